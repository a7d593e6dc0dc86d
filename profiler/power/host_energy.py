"""Watts of the host's CPUs in measured windows, all zones or sockets together. Pure functions of their traces."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter

from profiler.measure.statistics import quantile
from profiler.power.readings import growth, integral_reading
from profiler.power.source import PowerTrace
from profiler.power.window import Window


@dataclass(frozen=True, kw_only=True)
class HostWatts:
    """`why_not`: of the first zone that did not tell, since a sum without it would be too small."""

    mean_w: float | None = None
    p99_w: float | None = None
    source: str | None = None
    why_not: str | None = None


def host_watts(traces: Sequence[PowerTrace], windows: Sequence[Window]) -> HostWatts:
    """Joules of every zone over the windows' time. Counters of CPUs run on every millisecond, so their edges are interpolated, not searched for ticks."""
    if not traces:
        return HostWatts()
    total_j = 0.0
    for trace in traces:
        for window in windows:
            joules = _joules(trace, window)
            if isinstance(joules, str):
                return HostWatts(source=trace.source, why_not=f"{trace.device}: {joules}")
            total_j += joules
    return HostWatts(mean_w=total_j / sum(w.duration_s for w in windows), p99_w=_p99(traces, windows), source=traces[0].source)


def _joules(trace: PowerTrace, window: Window) -> float | str:
    if any(s.counter_j is not None for s in trace.samples):
        return growth(trace.samples, "counter_j", window, most_gap_s=trace.most_gap_s)
    reading = integral_reading(trace.samples, "instant_w", window, most_gap_s=trace.most_gap_s)
    return reading.energy_j if reading.energy_j is not None else str(reading.reason)


def _p99(traces: Sequence[PowerTrace], windows: Sequence[Window]) -> float | None:
    """Over the mean watts between one sample of the first zone and the next, where every zone has samples around both."""
    running = [_running(trace) for trace in traces]
    first_s, last_s = max(points[0][0] for points in running), min(points[-1][0] for points in running)
    watts: list[float] = []
    for (start_s, _), (end_s, _) in pairwise(running[0]):
        if start_s >= first_s and end_s <= last_s and end_s > start_s and any(w.holds(start_s) and w.holds(end_s) for w in windows):
            watts.append(sum(_at(points, end_s) - _at(points, start_s) for points in running) / (end_s - start_s))
    return quantile(watts, 0.99) if watts else None


def _running(trace: PowerTrace) -> list[tuple[float, float]]:
    """Joules since the first sample, over time."""
    counted = [(s.t_s, s.counter_j) for s in trace.samples if s.counter_j is not None]
    if counted:
        return counted
    points, total_j = [], 0.0
    watts = [(s.t_s, s.instant_w) for s in trace.samples if s.instant_w is not None]
    for before, after in pairwise([watts[0], *watts]):
        total_j += (after[0] - before[0]) * (before[1] + after[1]) / 2
        points.append((after[0], total_j))
    return points


def _at(points: list[tuple[float, float]], t_s: float) -> float:
    after = max(1, bisect_left(points, t_s, key=itemgetter(0)))
    (early_s, early_j), (late_s, late_j) = points[after - 1], points[after]
    return early_j + (late_j - early_j) * (t_s - early_s) / (late_s - early_s)
