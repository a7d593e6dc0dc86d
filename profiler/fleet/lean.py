"""A recorded run read for its figures alone: without the rows of its windows, and with plans that many runs share parsed once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from os.path import isfile
from pathlib import Path
from typing import Any

from profiler.foreign.found import found_runs
from profiler.modelled.link import group_of
from profiler.record.schema import FIELDS
from profiler.record.store import Run, parsed, read_header, read_plans, read_points

# Two thirds of a line are lists that no derived figure is made of.
_LISTS = (b'"windows":[', b'"phases":[')

# What neither a rate nor an energy nor a price is made of.
_NOT_OF_A_FIGURE = (
    "windows", "phases", "gpu_states", "clock", "per_op", "digests", "formats", "numerics", "params", "environment", "event_share", "ceilings",
)  # fmt: skip

# Names of one text for all points: each line that is parsed brings its own, which take as much memory as all else of a point. What serves states the rates
# that are derived elsewhere.
_KEPT = tuple(dict.fromkeys(field.name for field in FIELDS if field.where in ("point", "serving", "derived") and field.name not in _NOT_OF_A_FIGURE))

_MOST_SHARED_BYTES = 1 << 20  # a plan has some 10 kB; larger ones are parsed anew rather than kept


def runs_at(path: Path, read: Callable[[Path], Run]) -> list[Run]:
    """The run in the folder `path`, read by `read`; or the runs of another tool's result file. TokenmillError where there are none."""
    return [read(path)] if isfile(path / "run.json") else found_runs(str(path), Path("runs"))


def figures_run(path: Path) -> Run:
    """The run in the folder `path` with what rates, joules and dollars follow from; its points have no floor. Raises as read_run does, or one of DAMAGE."""
    header = read_header(path)
    points = [{name: point[name] for name in _KEPT if name in point} for point in read_points(path, _without_lists)]
    plans = read_plans(path, (p.get("plan") for p in points if p.get("deployment_gpus") != 1), shared_plan)
    return Run(path=path, header=header, points=points, plans={name: _links(plan) for name, plan in plans.items()})


def flat_run(path: Path) -> Run:
    """The run in the folder `path` with all that one row per point holds: what read_run reads, less the rows of windows and phases."""
    header = read_header(path)
    points = list(read_points(path, _without_lists))
    return Run(path=path, header=header, points=points, plans=read_plans(path, (p.get("plan") for p in points), shared_plan))


def shared_plan(text: bytes) -> Any:
    """A plan's JSON, parsed once for all files of the same bytes. Nobody may change what it returns."""
    return _shared(text) if len(text) <= _MOST_SHARED_BYTES else parsed(text)


@lru_cache(maxsize=512)
def _shared(text: bytes) -> Any:
    return parsed(text)


def _without_lists(line: bytes) -> Any:
    """The point of a line, its long lists emptied before they are parsed. A list that holds another is left as it is."""
    short = line
    for start in _LISTS:
        head, found, rest = short.partition(start)
        rows, end, tail = rest.partition(b"]")
        if found and end and b"[" not in rows:
            short = b"%b%b]%b" % (head, start, tail)
    try:
        return parsed(short)
    except ValueError:  # not written by tokenmill: a bracket in a text, perhaps
        return parsed(line)


def _links(plan: Mapping[str, Any]) -> dict[str, Any]:
    """A plan's collectives alone: rates of an emulated deployment need their time."""
    calls: Iterable[Mapping[str, Any]] = plan["calls"]
    return {"calls": [entry for entry in calls if group_of(entry) != 1]}
