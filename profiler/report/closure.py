"""The line of the screen that says whether operations measured alone add up to their step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from profiler.economics.derive import RunLike
from profiler.economics.points import time_kind
from profiler.modelled.closure import Closure, closure
from profiler.record.rows import read_rows
from profiler.report.kinds import short
from profiler.report.numbers import NONE
from profiler.report.rows import Figures, Row
from profiler.report.text import printable

_NAMES = {"launch_gaps": "launch gaps", "overlap": "overlap"}
_ON_A_CPU = _NAMES | {"launch_gaps": "between operations"}  # where a launch is inside its operation


def closure_line(run: RunLike, points: Sequence[Figures], best: Row | None) -> str | None:
    """Of the cheapest row's decode where its operations were measured alone, else of the last point whose were; None where none were asked for."""
    asked = [point for point in points if point.get("per_op") is not None]
    if not asked:
        return None
    measured = [point for point in asked if point["per_op"]["measured"]]
    if not measured:
        return f"{NONE} ({printable('; '.join(asked[-1]['per_op']['left_out'])[:200])})"
    decode = best.decode if best is not None else None
    point = decode if decode in measured else measured[-1]
    found = closure(point, run.plans[str(point["plan"])], read_rows(run, point, "ops"))
    count = len(found.unmeasured)
    left_out = f"; {count} operation{' was' if count == 1 else 's were'} left out" if count else ""
    names = _ON_A_CPU if point.get("device") == "cpu" else _NAMES
    return f"{printable(point.get('phase'))} batch {point.get('batch')}: operations alone {_shares(found, names)}{left_out} ({short(time_kind(point))})"


def _shares(found: Closure, names: Mapping[str, str]) -> str:
    if found.time_share is None or found.residue_name is None:
        return f"{NONE} ({found.why_no_time})"
    energy = f", {found.energy_share:.1%} of its energy with idle power" if found.energy_share is not None and found.why_no_energy is None else ""
    return f"{found.time_share:.1%} of the step's time{energy}; residue {abs(1 - found.time_share):.1%} {names[found.residue_name]}"
