"""Joules of measured windows from a recorded power trace. Pure functions: no sensor, no clock, the same answer every time.

The counter is exact where it ticks and silent in between, so a window's mean power is taken between the first and the last tick inside it. Beside
it the integral of instant power must agree within 5 %: boards exist whose counter and power field differ (ml-energy/zeus issue 181: 187 J and 327 J).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from profiler.measure.statistics import quantile
from profiler.power.source import MOST_GAP_S, PowerSample, PowerTrace
from profiler.power.window import Window as Window

MOST_DISAGREEMENT = 0.05
SHORTEST_GPU_WINDOW_S = 2.0  # twenty counter ticks of 100 ms
_LEAST_TICK_COVER = 0.5  # ticks nearer together than half the window would be stretched too far
MOST_COUNTER_SPREAD = 0.1  # beyond it, sampled power says more than a counter with so few ticks; a 2 s window stays below 6 %

# Failures of the recording, not of the hardware's abilities: a figure that they touch is not to be believed.
_GATES = ("counter_reset", "sample_gap_exceeded", "window_not_bracketed")


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """A window's energy by one method, or the reason why there is none. `spread_j`: how far off the edges can put it, sensor error apart."""

    energy_j: float | None = None
    spread_j: float | None = None
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class PointEnergy:
    """Energy of all windows of a point. `windows_j` has one entry per window; everything is None where no method worked for all windows."""

    power_source: str  # "nvml-counter", "nvml-instant", "nvml-average", "declared", "replay", "none"
    method: str | None = None  # "counter", "instant", "average", "constant"
    energy_j: float | None = None
    spread_j: float | None = None
    windows_j: tuple[float, ...] | None = None
    board_w: float | None = None
    board_w_p99: float | None = None
    disagreement: float | None = None  # counter against integral, as a share of the larger
    invalid_reasons: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def counter_reading(samples: Sequence[PowerSample], window: Window) -> Reading:
    """Mean watts between the first and the last counter tick seen inside the window, times its duration.

    A tick lies somewhere between the two samples that saw the counter change: it is placed in the middle, and half the distance is its spread.
    """
    inside = [(s.t_s, s.counter_j) for s in samples if s.counter_j is not None and window.t_start_s <= s.t_s <= window.t_end_s]
    if not inside:
        return Reading(reason="counter_unsupported")
    pairs = list(pairwise(inside))
    if any(after[1] < before[1] for before, after in pairs):
        return Reading(reason="counter_reset")
    ticks = [
        ((before[0] + after[0]) / 2, (after[0] - before[0]) / 2, after[1])
        for before, after in pairs
        if after[1] > before[1] and after[0] - before[0] <= MOST_GAP_S
    ]
    if len(ticks) < 2 or ticks[-1][0] - ticks[0][0] < _LEAST_TICK_COVER * window.duration_s:
        return Reading(reason="counter_too_few_ticks")
    (first_s, first_spread_s, first_j), (last_s, last_spread_s, last_j) = ticks[0], ticks[-1]
    energy_j = (last_j - first_j) / (last_s - first_s) * window.duration_s
    return Reading(energy_j=energy_j, spread_j=energy_j * (first_spread_s + last_spread_s) / (last_s - first_s))


def integral_reading(samples: Sequence[PowerSample], figure: str, window: Window) -> Reading:
    """Trapezoids over `figure` ("instant_w" or "average_w"), the window's edges interpolated between the samples around them."""
    points = [(s.t_s, float(getattr(s, figure))) for s in samples if getattr(s, figure) is not None]
    if not points:
        return Reading(reason=f"{figure}_missing")
    first = max((i for i, (t, _) in enumerate(points) if t <= window.t_start_s), default=None)
    last = min((i for i, (t, _) in enumerate(points) if t >= window.t_end_s), default=None)
    if first is None or last is None:
        return Reading(reason="window_not_bracketed")
    run = points[first : last + 1]
    if any(after[0] - before[0] > MOST_GAP_S for before, after in pairwise(run)):
        return Reading(reason="sample_gap_exceeded")
    energy_j = 0.0
    for before, after in pairwise(run):
        start_s, end_s = max(before[0], window.t_start_s), min(after[0], window.t_end_s)
        energy_j += (end_s - start_s) * (_between(before, after, start_s) + _between(before, after, end_s)) / 2
    return Reading(energy_j=energy_j)


def _between(before: tuple[float, float], after: tuple[float, float], t_s: float) -> float:
    share = (t_s - before[0]) / (after[0] - before[0]) if after[0] > before[0] else 0.0
    return before[1] + share * (after[1] - before[1])


def disagreement(one_j: float, other_j: float) -> float:
    """How far two figures of one energy are apart, as a share of the larger."""
    larger = max(abs(one_j), abs(other_j))
    return 0.0 if larger == 0 else abs(one_j - other_j) / larger


def p99_watts(samples: Sequence[PowerSample], windows: Sequence[Window]) -> float | None:
    """The 99th percentile of instant power inside the windows; None where no instant power was read."""
    watts = [s.instant_w for s in samples if s.instant_w is not None and any(w.t_start_s <= s.t_s <= w.t_end_s for w in windows)]
    return quantile(watts, 0.99) if watts else None


def idle_watts(trace: PowerTrace, window: Window) -> float | None:
    """Mean watts of a stretch without work; None where no sensor told. Declared watts say nothing of idle."""
    if trace.kind == "assumed" or trace.invalid_reasons or window.duration_s <= 0:
        return None
    readings = (
        integral_reading(trace.samples, "instant_w", window),
        counter_reading(trace.samples, window),
        integral_reading(trace.samples, "average_w", window),
    )
    return next((r.energy_j / window.duration_s for r in readings if r.energy_j is not None), None)


def point_energy(trace: PowerTrace, windows: Sequence[Window], *, shortest_s: float = 0.0) -> PointEnergy:
    """Energy of all windows by the best method that works for every one of them: counter, then instant power, then average power.

    `shortest_s`: a measured or replayed window shorter than this is `window_too_short` (2 s on a GPU).
    """
    if trace.invalid_reasons:
        return PointEnergy(power_source="none", invalid_reasons=list(trace.invalid_reasons), warnings=_notes(trace))
    if trace.kind is None:
        return PointEnergy(power_source="none", warnings=_notes(trace))
    if trace.kind == "assumed":
        return _constant(trace, windows)
    by_method = {
        "counter": [_fine_enough(counter_reading(trace.samples, w)) for w in windows],
        "instant": [integral_reading(trace.samples, "instant_w", w) for w in windows],
        "average": [integral_reading(trace.samples, "average_w", w) for w in windows],
    }
    totals = {method: _total(readings) for method, readings in by_method.items()}
    method = next((m for m, total in totals.items() if total is not None), None)
    invalid, warnings = _judge(by_method, method)
    apart = None
    if totals["counter"] is not None and totals["instant"] is not None:
        apart = disagreement(totals["counter"], totals["instant"])
        if apart > MOST_DISAGREEMENT:
            invalid.append("energy_power_mismatch")
            warnings.append(f"energy_power_mismatch: counter {totals['counter']:.0f} J, integral {totals['instant']:.0f} J")
    if any(w.duration_s < shortest_s for w in windows):
        invalid.append("window_too_short")
    if method is None:
        return PointEnergy(power_source="none", disagreement=apart, invalid_reasons=invalid, warnings=warnings + _notes(trace))
    chosen, energy_j = by_method[method], totals[method]
    assert energy_j is not None
    spreads = [r.spread_j for r in chosen if r.spread_j is not None]
    return PointEnergy(
        power_source="replay" if trace.kind == "replayed" else f"{trace.source}-{method}",
        method=method,
        energy_j=energy_j,
        spread_j=sum(spreads) if spreads else None,
        windows_j=tuple(r.energy_j for r in chosen if r.energy_j is not None),
        board_w=energy_j / sum(w.duration_s for w in windows),
        board_w_p99=p99_watts(trace.samples, windows),
        disagreement=apart,
        invalid_reasons=invalid,
        warnings=warnings,
    )


def _fine_enough(reading: Reading) -> Reading:
    if reading.energy_j is not None and reading.spread_j is not None and reading.spread_j > MOST_COUNTER_SPREAD * reading.energy_j:
        return Reading(reason="counter_too_coarse")
    return reading


def _total(readings: Sequence[Reading]) -> float | None:
    joules = [r.energy_j for r in readings if r.energy_j is not None]
    return sum(joules) if readings and len(joules) == len(readings) else None


def _judge(by_method: dict[str, list[Reading]], method: str | None) -> tuple[list[str], list[str]]:
    """What the methods that failed say: of the point when the recording failed, as a warning when the board lacks the figure."""
    counter, instant = (sorted({r.reason for r in by_method[m] if r.reason is not None}) for m in ("counter", "instant"))
    invalid = [r for r in counter if r == "counter_reset"]
    warnings = [f"{r}: energy is from sampled power" for r in counter if r not in invalid and method in ("instant", "average")]
    if method is None:
        warnings += [f"no_power: {r}" for r in counter if r not in invalid]
    failed = [r for r in instant if r in _GATES]
    if method == "counter":  # the figure stands, its cross-check is missing
        warnings += [f"{r}: the energy counter was not checked against sampled power" for r in instant]
    else:
        invalid += failed
    if method == "average":
        warnings.append("average_power_lags: instant power is missing, and the average lags by about 1 s")
    return invalid, warnings


def _constant(trace: PowerTrace, windows: Sequence[Window]) -> PointEnergy:
    """Declared watts do not change between samples, so the windows' edges alone decide."""
    watts = next(s.instant_w for s in trace.samples if s.instant_w is not None)
    windows_j = tuple(watts * w.duration_s for w in windows)
    return PointEnergy(power_source=trace.source, method="constant", energy_j=sum(windows_j), windows_j=windows_j, board_w=watts)


def _notes(trace: PowerTrace) -> list[str]:
    return [f"no_power: {figure + ': ' if figure != 'power' else ''}{why}" for figure, why in sorted(trace.notes.items())]
