"""How long sampled power takes to follow a load that begins or ends at once. Pure functions of recorded samples."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from profiler.measure.statistics import median
from profiler.power.window import Window
from profiler.sensors.recording import HIGH, LOW, Recording, Stretch, around, known
from profiler.sensors.ticks import spread_of

LAGGING = ("instant_w", "average_w")
_SHARES = (0.5, 0.9)
_LEAST_STEP = 0.2  # of the higher level: less is no step that noise could not cross


def lag_findings(recording: Recording, figure: str) -> dict[str, Any] | None:
    """Seconds from a step until `figure` has gone 50 and 90 % of the way between its settled levels before and after: {"rise50", "rise90", "fall50", "fall90",
    "n"}, each but n with median, p10, p90 and n. None where no step was seen.

    A crossing lies between two looks and is placed in the middle. A figure that has not settled when the next step comes looks faster than it is.
    """
    found: dict[str, list[float]] = {f"{way}{share * 100:.0f}": [] for way in ("rise", "fall") for share in _SHARES}
    steps = 0
    for before, after in pairwise(recording.parts(HIGH, LOW)):
        crossings = _crossings(recording, figure, before, after) if before.part != after.part else {}
        steps += bool(crossings)
        for name, seconds in crossings.items():
            found[name].append(seconds)
    return {**{name: spread_of(values) for name, values in found.items()}, "n": steps} if steps else None


def _crossings(recording: Recording, figure: str, before: Stretch, after: Stretch) -> dict[str, float]:
    points = known(around(recording.trace, Window(t_start_s=before.window.t_start_s, t_end_s=after.window.t_end_s)).samples, figure)
    old_w, new_w = (_level(points, stretch, recording.times.level_s) for stretch in (before, after))
    if old_w is None or new_w is None or abs(new_w - old_w) < _LEAST_STEP * max(old_w, new_w):
        return {}
    way = "rise" if new_w > old_w else "fall"
    crossed = {share: _crossed_s(points, after.window, old_w, new_w, share) for share in _SHARES}
    return {f"{way}{share * 100:.0f}": seconds for share, seconds in crossed.items() if seconds is not None}


def _level(points: Sequence[tuple[float, float]], stretch: Stretch, level_s: float) -> float | None:
    end = Window(t_start_s=stretch.window.t_end_s - level_s, t_end_s=stretch.window.t_end_s)
    watts = [w for t, w in points if end.holds(t)]
    return median(watts) if watts else None


def _crossed_s(points: Sequence[tuple[float, float]], window: Window, old_w: float, new_w: float, share: float) -> float | None:
    for (before_s, _), (t_s, watts) in pairwise(points):
        if window.holds(t_s) and (watts - old_w) / (new_w - old_w) >= share:
            return (max(before_s, window.t_start_s) + t_s) / 2 - window.t_start_s
    return None
