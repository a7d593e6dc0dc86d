"""A run as the few files of a packed run in the folder of evidence, which `tokenmill report` reads like any other."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from profiler.record.store import Run

SCRATCH = "whole-runs"  # in the folder of evidence while a run goes on; a killed call leaves it there
MOST_BYTES = 16 << 20  # of one file
_ROWS = ("series.jsonl.gz", "ops.jsonl.gz")  # that a run may lack: an earlier one's must go then


def scratch(out: Path) -> Path:
    """Where whole runs lie until they are packed; whatever an earlier call left there is gone."""
    shutil.rmtree(out / SCRATCH, ignore_errors=True)
    return out / SCRATCH


def pack(runs: Path, out: Path, name: str, left_out: list[str]) -> bool:
    """The newest run of `runs` into the folder `name` of `out`, in the place of an earlier one; `runs` is removed. What it did not measure joins `left_out`.

    Whether it holds a point: where there is none, what was there stays.
    """
    from profiler.record.packed import pack_run
    from profiler.record.store import read_run
    from triton_kernels.errors import TokenmillError

    folder = out / name
    try:
        run = read_run("last", runs)
        left_out += [f"{label(name)}: {line}" for line in _not_measured(run)]
        if run.points:
            folder.mkdir(exist_ok=True)
            for name in _ROWS:
                (folder / name).unlink(missing_ok=True)
            pack_run(run, folder)
    except TokenmillError as e:
        print(f"no run was recorded: {e}")
        return False
    finally:
        shutil.rmtree(runs, ignore_errors=True)
    for path in folder.iterdir():
        if path.is_file() and path.stat().st_size > MOST_BYTES:
            print(f"{path}: {path.stat().st_size} bytes, larger than the {MOST_BYTES >> 20} MiB that a file of evidence may have")
    print(f"{len(run.points)} points; read them with: tokenmill report {folder}", flush=True)
    return bool(run.points)


def label(name: str) -> str:
    """What the run in the folder `name` is called."""
    return "steps" if name == "." else name


def _not_measured(run: Run) -> list[str]:
    lines = list(run.header.get("not_measured") or [])
    for point in run.points:
        if missing := (point.get("per_op") or {}).get("left_out"):
            lines.append(f"{point['point_id']}: {len(missing)} operations alone ({'; '.join(line.partition(' (')[0] for line in missing)})")
    return lines
