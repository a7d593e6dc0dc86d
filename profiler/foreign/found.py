"""Recorded runs by reference: a user's own, or those of another tool's result file."""

from __future__ import annotations

from collections.abc import Sequence
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


def paths_of(ref: str, root: Path) -> list[str]:
    """What `ref` expands to, each a reference of its own: a run's folder, or a file with what is said of it. TokenmillError for a pattern of nothing."""
    from profiler.foreign.reference import parted
    from profiler.record.find import expand

    name, said = parted(ref)
    return [path + said for path in expand(name, root)]


def found_run(ref: str, root: Path) -> Run:
    """The one run that `ref` names; TokenmillError where it names several."""
    runs = found_runs(ref, root)
    if len(runs) > 1:
        raise TokenmillError(f"{ref[:120]}: holds {len(runs)} runs: name one of them{_references(runs)}")
    return runs[0]


def _references(runs: Sequence[Run]) -> str:
    """The references that work, of a file with several GPUs all of them."""
    if len({run.path for run in runs}) > 1:
        return f", such as {runs[0].path}"
    gpus = [next((str(point["gpu_key"]) for point in run.points if point.get("gpu_key")), None) for run in runs]
    known = [f"FILE@{gpu}" for gpu in gpus if gpu is not None]
    others = "1 more has a GPU that is not in the catalogue" if None in gpus else ""
    return f", as {'; '.join(part for part in (', '.join(known), others) if part)}"
