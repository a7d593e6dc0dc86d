"""The data of the Pareto chart: operating points once, with every figure that a chart can put on its y axis, and the fronts as places in that list."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from profiler.pareto import interpolate
from profiler.pareto.front import FIGURES, PER_MW, RATE, USD, Front, fronts_of
from profiler.pareto.operating import Group, Operating, Reported, devices, operating_points
from profiler.report.kinds import short

MOST_CURVED, _STEPS = 60, 8  # points of a front that are close together need no curve between them
MOST_POINTS = 2000  # drawn behind the fronts; a chart of more shows the same and takes a megabyte

X = {"name": "tokens_per_s_per_user", "label": "interactivity", "unit": "tokens/s/user", "better": "higher"}


def pareto_data(reported: Reported, most: int = MOST_POINTS) -> dict[str, Any]:
    """{"x", "ys": [axis], "groups": [{..., "label"}], "points": [{"group", "name", "x", "y": {figure: value}, ...}], "fronts": {figure: [[place]]},
    "curves": {figure: [[[x, y]]]}, "left_out"}.

    An axis is {"name", "label", "unit", "better"}, only of figures that some point has. `fronts[figure][group]`: places in `points`, by x;
    `curves[figure][group]`: the line through them, modelled between measured points (profiler.pareto.interpolate). Of more than `most` points those on no
    front are thinned evenly; `left_out` says how many.
    """
    every = [at for at in operating_points(reported) if at.x is not None]
    known = [y for y in FIGURES if any(at.figure(y) is not None for at in every)]
    drawn = {y: fronts_of(every, y) for y in known}
    groups = [front.group for front in next(iter(drawn.values()), [])]
    kept = _thinned(every, {id(point.at) for fronts in drawn.values() for front in fronts for point in front.front}, most)
    device = devices(every)
    place, number = {id(at): n for n, at in enumerate(kept)}, {group: n for n, group in enumerate(groups)}
    return {
        "x": X,
        "ys": [axis(y, device) for y in known],
        "groups": [group_json(group) for group in groups],
        "points": [_point(at, number[at.group], known) for at in kept],
        "fronts": {y: [[place[id(point.at)] for point in front.front] for front in drawn[y]] for y in known},
        "curves": {y: [_curve(front) for front in drawn[y]] for y in known},
        "left_out": len(every) - len(kept),
    }


def axis(y: str, device: str = "GPU") -> dict[str, str]:
    """How a figure of profiler.pareto.front.FIGURES is named on an axis. `device`: what rates are per, GPU or CPU."""
    if y == USD:
        return {"name": y, "label": "price of output", "unit": "$ per million output tokens", "better": "lower"}
    if y == RATE:
        return {"name": y, "label": "throughput", "unit": f"output tokens/s/{device}", "better": "higher"}
    boundary = y.removeprefix(f"{PER_MW}.")
    return {"name": y, "label": f"per megawatt, {boundary.replace('_', ' + ')}", "unit": "output tokens/s/MW", "better": "higher"}


def group_json(group: Group) -> dict[str, Any]:
    """A group with the label of its curve."""
    return {name: getattr(group, name) for name in Group.__slots__} | {"label": group_label(group)}


def group_label(group: Group) -> str:
    """`qwen3-30b-a3b fp8 on H200 SXM, mix 8k/1k`; the cache's format where it differs, the kind of source where it is not measured. Not yet safe to print."""
    cache = f", {group.kv_cache} cache" if group.kv_cache not in ("", group.precision) else ""
    routing = "" if group.routing in ("", "uniform") else f", {group.routing} routing"
    source = "" if group.provenance == "measured" else f" ({group.provenance})"
    return f"{group.model} {group.precision}{cache} on {group.gpu}, {group.workload}{routing}{source}"


def _thinned(every: list[Operating], on_fronts: set[int], most: int) -> list[Operating]:
    """In their order: all points of fronts, and evenly many of the others."""
    if len(every) <= most:
        return every
    others = [at for at in every if id(at) not in on_fronts]
    room = min(max(most - len(on_fronts), 0), len(others))
    some = {id(others[n * len(others) // room]) for n in range(room)}
    return [at for at in every if id(at) in on_fronts or id(at) in some]


def _curve(front: Front) -> list[list[float]]:
    """The front's points with modelled ones between them; of a front with many points nothing is between."""
    speeds = [point.x for point in front.front if point.x is not None]
    if len(speeds) <= MOST_CURVED:
        speeds += [slow + n / _STEPS * (fast - slow) for slow, fast in pairwise(speeds) if fast > slow for n in range(1, _STEPS)]
    measured = {point.x: point.y for point in front.front}
    found = [(x, measured[x] if x in measured else between.y if (between := interpolate.at(front, x)) is not None else None) for x in sorted(set(speeds))]
    return [[x, y] for x, y in found if y is not None]


def _point(at: Operating, group: int, known: Sequence[str]) -> dict[str, Any]:
    """One point; what is not known is left out, as it would be null in every one."""
    values = {y: value for y in known if (value := at.figure(y)) is not None}
    intervals = {y: list(interval) for y in values if (interval := at.ci95(y)) is not None}
    return {
        "group": group, "name": at.name, "run_id": at.run_id, "points": dict(at.point_ids), "batch": at.batch, "concurrency": at.concurrency, "x": at.x,
        "y": values, "ci95": intervals, "kinds": {y: money_kind(at, y) for y in values}, "valid": at.valid, "invalid_reasons": list(at.invalid_reasons),
    }  # fmt: skip


def money_kind(at: Operating, y: str) -> str:
    """`meas`, of money with the price's kind beside it: `meas×ref`."""
    price = at.price.provenance if y == USD else None
    return short(at.kind(y)) + (f"×{short(price)}" if price is not None else "")
