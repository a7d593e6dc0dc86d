"""A run in four flat files, for evidence that is committed or sent: `read_run` reads it like any other.

run.json   points.jsonl   plans.json {id: plan}   series.jsonl.gz (each sample with its point_id)
"""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

from profiler.record.store import Run


def pack_run(run: Run, folder: Path) -> None:
    """Copies `run` into `folder`, which must exist. Raises OSError when it cannot."""
    for name in ("run.json", "points.jsonl"):
        shutil.copyfile(run.path / name, folder / name)
    (folder / "plans.json").write_text(json.dumps(run.plans, separators=(",", ":"), sort_keys=True) + "\n")
    lines = []
    for point in run.points:
        series = run.path / "series" / f"{point['point_id']}.jsonl.gz"
        if series.is_file():
            with gzip.open(series, "rt") as file:
                lines += [json.dumps({"point_id": point["point_id"], **json.loads(line)}, separators=(",", ":")) + "\n" for line in file]
    (folder / "series.jsonl.gz").write_bytes(gzip.compress("".join(lines).encode(), 9, mtime=0))
