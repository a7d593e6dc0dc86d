"""One window's energy by one method, from a trace's samples. Pure functions: no sensor, no clock, the same answer every time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import fsum, hypot, sqrt

from profiler.measure.statistics import quantile
from profiler.power.source import MOST_GAP_S, PowerSample
from profiler.power.window import Window

_TICKS_AT_AN_END = 5
_LEAST_TICK_COVER = 0.5  # ticks nearer together than half the window would be stretched too far


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """A window's energy by one method, or the reason why there is none. `spread_j`: how far off the edges can put it at most, `noise_j`: the standard
    uncertainty (GUM 4.3.7) that comes of it; sensor error apart from both."""

    energy_j: float | None = None
    spread_j: float | None = None
    noise_j: float | None = None
    reason: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TickSpan:
    """From the first to the last counter tick that was seen inside a stretch. `spread_s`: how far off both ends can be, together; `noise_s`: their standard
    uncertainty."""

    first_s: float
    last_s: float
    energy_j: float
    spread_s: float
    noise_s: float

    @property
    def duration_s(self) -> float:
        return self.last_s - self.first_s


def tick_span(samples: Sequence[PowerSample], window: Window, *, ends: int = 1, most_gap_s: float = MOST_GAP_S) -> TickSpan | str:
    """The ticks inside the window, or the reason why there are too few. `ends`: each end is the mean of up to so many ticks, a fifth of all at most,
    and the outermost are left out where that is more than one.

    A tick lies somewhere between the two samples that saw the counter change: it is placed in the middle, and half the distance is its spread.
    """
    inside = [(s.t_s, s.counter_j) for s in samples if s.counter_j is not None and window.holds(s.t_s)]
    if not inside:
        return "counter_unsupported"
    pairs = list(pairwise(inside))
    if any(after[1] < before[1] for before, after in pairs):
        return "counter_reset"
    ticks = [
        ((before[0] + after[0]) / 2, (after[0] - before[0]) / 2, after[1])
        for before, after in pairs
        if after[1] > before[1] and after[0] - before[0] <= most_gap_s
    ]
    if len(ticks) < 2:
        return "counter_too_few_ticks"
    n = max(1, min(ends, len(ticks) // 5))
    if n > 1:
        ticks = ticks[1:-1]
    first_s, first_spread_s, first_j = (fsum(column) / n for column in zip(*ticks[:n], strict=True))
    last_s, last_spread_s, last_j = (fsum(column) / n for column in zip(*ticks[-n:], strict=True))
    spread_s = first_spread_s + last_spread_s
    if last_s - first_s <= spread_s or last_s - first_s < _LEAST_TICK_COVER * window.duration_s:
        return "counter_too_few_ticks"
    noise_s = hypot(first_spread_s, last_spread_s) / sqrt(3 * n)  # each of n ticks lies anywhere in +/- its spread
    return TickSpan(first_s=first_s, last_s=last_s, energy_j=last_j - first_j, spread_s=spread_s, noise_s=noise_s)


def counter_reading(samples: Sequence[PowerSample], window: Window, *, most_gap_s: float = MOST_GAP_S) -> Reading:
    """Mean watts between the first and the last counter ticks seen inside the window, times its duration.

    Of the very first tick it is known that none was seen before it in the window, so it lies early between its two samples, and the last one late: 0.6 %
    too many watts in windows of 2 s with ticks of 100 ms. The mean of the next few ticks has neither that bias nor so much noise.
    """
    span = tick_span(samples, window, ends=_TICKS_AT_AN_END, most_gap_s=most_gap_s)
    if isinstance(span, str):
        return Reading(reason=span)
    energy_j = span.energy_j / span.duration_s * window.duration_s
    # The true distance of the ticks is at least duration - spread, so the true watts are at most this much more.
    spread_j = energy_j * span.spread_s / (span.duration_s - span.spread_s)
    return Reading(energy_j=energy_j, spread_j=spread_j, noise_j=energy_j * span.noise_s / span.duration_s)


def integral_reading(samples: Sequence[PowerSample], figure: str, window: Window, *, most_gap_s: float = MOST_GAP_S) -> Reading:
    """Trapezoids over `figure` (instant_w, average_w, ...), the window's edges interpolated between the samples around them."""
    points = [(s.t_s, float(getattr(s, figure))) for s in samples if getattr(s, figure) is not None]
    run = _around(points, window, most_gap_s)
    if isinstance(run, str):
        return Reading(reason=run if points else f"{figure}_missing")
    energy_j = 0.0
    for before, after in pairwise(run):
        start_s, end_s = max(before[0], window.t_start_s), min(after[0], window.t_end_s)
        energy_j += (end_s - start_s) * (_between(before, after, start_s) + _between(before, after, end_s)) / 2
    return Reading(energy_j=energy_j)


def growth(samples: Sequence[PowerSample], figure: str, window: Window, *, most_gap_s: float = MOST_GAP_S) -> float | str:
    """By how much `figure`, a sum without ticks of its own (joules of RAPL, seconds of an event), grew in the window; or the reason why nobody knows."""
    points = [(s.t_s, float(getattr(s, figure))) for s in samples if getattr(s, figure) is not None]
    run = _around(points, window, most_gap_s)
    if isinstance(run, str):
        return run if points else f"{figure}_missing"
    if any(after[1] < before[1] for before, after in pairwise(run)):
        return "counter_reset"
    return _between(run[-2], run[-1], window.t_end_s) - _between(run[0], run[1], window.t_start_s)


def _around(points: list[tuple[float, float]], window: Window, most_gap_s: float) -> list[tuple[float, float]] | str:
    """The points in the window and one on either side, or the reason why not."""
    first = max((i for i, (t, _) in enumerate(points) if t <= window.t_start_s), default=None)
    last = min((i for i, (t, _) in enumerate(points) if t >= window.t_end_s), default=None)
    if first is None or last is None or first == last:
        return "window_not_bracketed"
    run = points[first : last + 1]
    return "sample_gap_exceeded" if any(after[0] - before[0] > most_gap_s for before, after in pairwise(run)) else run


def _between(before: tuple[float, float], after: tuple[float, float], t_s: float) -> float:
    share = (t_s - before[0]) / (after[0] - before[0]) if after[0] > before[0] else 0.0
    return before[1] + share * (after[1] - before[1])


def p99_watts(samples: Sequence[PowerSample], windows: Sequence[Window], figure: str = "instant_w") -> float | None:
    """The 99th percentile of instant power inside the windows; None where no instant power was read."""
    watts = [w for s in samples if (w := getattr(s, figure)) is not None and any(window.holds(s.t_s) for window in windows)]
    return quantile(watts, 0.99) if watts else None


def mean_watts(samples: Sequence[PowerSample], figure: str, windows: Sequence[Window], *, most_gap_s: float = MOST_GAP_S) -> float | None:
    """Mean of `figure` over all windows; None where one of them was not seen whole."""
    joules = [integral_reading(samples, figure, w, most_gap_s=most_gap_s).energy_j for w in windows]
    known = [j for j in joules if j is not None]
    return sum(known) / sum(w.duration_s for w in windows) if known and len(known) == len(joules) else None
