"""Operations measured alone (`run --per-op`) in two runs: seconds of one step by operation and place, and whether the difference is more than noise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from profiler.compare.difference import LEAST_WINDOWS, LEVEL, SAME, holm, of_sum, p_value
from profiler.compare.student import t_95
from profiler.explain.operations import figure

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Alone:
    """All calls of an operation at one place, in one step. `parts`: (variance of the mean, degrees of freedom) of each plan entry, () where unknown."""

    seconds: float
    mean_s: float
    parts: tuple[tuple[float, float], ...]
    windows: int  # the fewest of an entry


@dataclass(frozen=True, kw_only=True, slots=True)
class OperationDifference:
    """Seconds per step; None where a run did not measure it alone. `more_than_noise`: None where nobody can tell. `p`: of it by itself."""

    op: str
    part: str
    old_s: float | None
    new_s: float | None
    change_s: float | None
    p: float | None
    p_adjusted: float | None
    more_than_noise: bool | None
    windows: tuple[int, int]

    def json(self) -> dict[str, Any]:
        return asdict(self) | {"windows": list(self.windows)}


def operation_differences(old: Rows, new: Rows) -> list[OperationDifference]:
    """By (operation, place) of one pair of points, the largest change first, then what only one run has. Holm's method over all of them.

    Welch's t on the mean of each operation's windows, whose interval is recorded. Raises ValueError or LookupError for rows that are not what they should be.
    """
    before, after = _alone(old), _alone(new)
    names = list(dict.fromkeys([*before, *after]))
    p_values = {name: _p(before.get(name), after.get(name)) for name in names}
    known = [name for name in names if p_values[name] is not None]
    adjusted = dict(zip(known, holm([p for name in known if (p := p_values[name]) is not None]), strict=True))
    found = [_difference(name, before.get(name), after.get(name), p_values[name], adjusted.get(name)) for name in names]
    return sorted(found, key=lambda each: -abs(each.change_s) if each.change_s is not None else math.inf)


def _alone(rows: Rows) -> dict[tuple[str, str], Alone]:
    """Operations of which every entry was measured; one that was left out would make a sum look short."""
    entries: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        entries.setdefault((str(row["op"]), str(row["part"])), []).append(row)
    return {name: _sum(found) for name, found in entries.items() if all((row.get("call_s") or {}).get("median") is not None for row in found)}


def _sum(rows: Rows) -> Alone:
    seconds, mean_s, parts, windows = 0.0, 0.0, [], []
    for row in rows:
        count, call = row["count"], row["call_s"]
        middle, n = figure(call, "median") or 0.0, int(call.get("n") or 0)
        seconds += count * middle
        windows.append(n)
        if call.get("ci95") is None or n < 2:
            mean_s += count * middle
            continue
        low, high = call["ci95"]
        mean_s += count * (low + high) / 2
        parts.append(((count * (high - low) / 2 / t_95(n - 1)) ** 2, float(n - 1)))
    return Alone(seconds=seconds, mean_s=mean_s, parts=tuple(parts) if len(parts) == len(rows) else (), windows=min(windows))


def _p(old: Alone | None, new: Alone | None) -> float | None:
    """How likely noise alone makes the difference of two sums of means; None where windows are too few."""
    if old is None or new is None:
        return None
    change_s = new.mean_s - old.mean_s
    if abs(change_s) <= SAME * old.mean_s:  # a copy, or the last digit of a sum
        return 1.0
    if not old.parts or not new.parts or min(old.windows, new.windows) < LEAST_WINDOWS:
        return None
    return p_value(change_s, *of_sum([*old.parts, *new.parts]))


def _difference(name: tuple[str, str], old: Alone | None, new: Alone | None, p: float | None, adjusted: float | None) -> OperationDifference:
    return OperationDifference(
        op=name[0], part=name[1], old_s=old.seconds if old else None, new_s=new.seconds if new else None,
        change_s=new.seconds - old.seconds if old and new else None, p=p, p_adjusted=adjusted,
        more_than_noise=None if adjusted is None else adjusted <= LEVEL, windows=(old.windows if old else 0, new.windows if new else 0),
    )  # fmt: skip
