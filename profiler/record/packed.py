"""A run in a few flat files, for evidence that is committed or sent: `read_run` reads it like any other.

run.json   points.jsonl   plans.json {id: plan}   series.jsonl.gz, ops.jsonl.gz (each row with its point_id; profiler.record.rows)
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from profiler.record.rows import KINDS, compressed, read_rows, text_of
from profiler.record.store import Run


def pack_run(run: Run, folder: Path) -> None:
    """Copies `run` into `folder`, which must exist. Raises OSError when it cannot."""
    for name in ("run.json", "points.jsonl"):
        shutil.copyfile(run.path / name, folder / name)
    (folder / "plans.json").write_text(json.dumps(run.plans, separators=(",", ":"), sort_keys=True) + "\n")
    for kind in KINDS:
        rows = [{"point_id": point["point_id"], **row} for point in run.points for row in read_rows(run, point, kind)]
        if rows or kind == "series":
            (folder / f"{kind}.jsonl.gz").write_bytes(compressed(text_of(rows), 9))
