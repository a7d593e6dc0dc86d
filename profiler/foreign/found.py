"""Recorded runs by reference: a user's own, or those of another tool's result file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from triton_kernels.errors import TokenmillError

if TYPE_CHECKING:
    from profiler.record.store import Run


def found_runs(ref: str, root: Path) -> list[Run]:
    """The runs of a path, an id under `root`, `last`, a pattern or a folder of runs, or of another tool's result file (profiler.foreign.reference).

    TokenmillError where one cannot be read. Never empty.
    """
    from profiler.foreign.reference import parted, reference_of
    from profiler.record.find import expand
    from profiler.record.store import read_run

    name, said = parted(ref)
    found: list[Run] = []
    for path in expand(name, root):
        reference = reference_of(path, said)
        if reference is None:
            found.append(read_run(path, root))
        else:
            from profiler.foreign.read import read_foreign

            found += read_foreign(reference)
    return found


def found_run(ref: str, root: Path) -> Run:
    """The one run that `ref` names; TokenmillError where it names several."""
    runs = found_runs(ref, root)
    if len(runs) > 1:
        names = ", ".join(run.run_id for run in runs[:3])
        raise TokenmillError(f"{ref[:120]}: holds {len(runs)} runs ({names}...): name one of them, or of a file with several GPUs one, as FILE@h200")
    return runs[0]
