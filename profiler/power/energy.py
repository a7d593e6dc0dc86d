"""Joules of measured windows from a recorded power trace. Pure functions: no sensor, no clock, the same answer every time.

The counter is exact where it ticks and silent in between, so a window's mean power is taken between the first and the last tick inside it
(profiler.power.readings). Beside it the integral of instant power must agree (profiler.power.scope).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from profiler.power.readings import Reading, counter_reading, integral_reading, p99_watts
from profiler.power.scope import CounterCheck, check_counter
from profiler.power.source import PowerTrace, lost_since
from profiler.power.window import Window as Window
from profiler.power.window import stretch

MOST_COUNTER_SPREAD = 0.1  # beyond it, sampled power says more than a counter with so few ticks; a 2 s window stays below 6 %

# Failures of the recording, not of the hardware's abilities: a figure that they touch is not to be believed.
_GATES = ("counter_reset", "sample_gap_exceeded", "window_not_bracketed")
# What no_power may give as its cause; other notes (persistence, processes) are about other things.
_POWER_NOTES = ("power", "counter_j", "instant_w", "average_w", "power_fields", "power_usage", "page")


@dataclass(frozen=True, kw_only=True)
class PointEnergy:
    """Energy of all windows of a point. `windows_j` has one entry per window; everything is None where no method worked for all windows."""

    power_source: str  # "nvml-counter", "nvml-instant", "nvml-average", "dcgm-...", "declared", "replay", "none"
    method: str | None = None  # "counter", "instant", "average", "constant"
    energy_j: float | None = None
    spread_j: float | None = None
    windows_j: tuple[float, ...] | None = None
    noise_j: tuple[float, ...] | None = None  # standard uncertainty of each window's joules from its edges; None where the method tells none
    board_w: float | None = None
    board_w_p99: float | None = None
    power_scope: str | None = None  # what the counter counts: "gpu", "module"; None: nothing tells
    disagreement: float | None = None  # counter against integral over all of the measured stretch, as a share of the larger
    invalid_reasons: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def idle_watts(trace: PowerTrace, window: Window) -> float | None:
    """Mean watts of a stretch without work; None where no sensor told. Declared watts say nothing of idle, and a module's counter nothing of the board."""
    if trace.kind == "assumed" or trace.invalid_reasons or window.duration_s <= 0:
        return None
    gap_s = trace.most_gap_s
    readings = (
        integral_reading(trace.samples, "instant_w", window, most_gap_s=gap_s),
        counter_reading(trace.samples, window, most_gap_s=gap_s),
        integral_reading(trace.samples, "average_w", window, most_gap_s=gap_s),
    )
    return next((r.energy_j / window.duration_s for r in readings if r.energy_j is not None), None)


def point_energy(trace: PowerTrace, windows: Sequence[Window]) -> PointEnergy:
    """Energy of all windows by the best method that works for every one of them: counter, then instant power, then average power."""
    if trace.invalid_reasons:
        return PointEnergy(power_source="none", invalid_reasons=list(trace.invalid_reasons), warnings=_no_power(trace))
    if trace.kind is None:
        return PointEnergy(power_source="none", warnings=_no_power(trace))
    if trace.kind == "assumed":
        return _constant(trace, windows)
    if (lost_s := lost_since(trace)) is not None and _unseen(trace, windows):
        said = f"power_lost: nothing was read from {lost_s - windows[0].t_start_s:.1f} s after the first window's start on{_why(trace)}"
        return PointEnergy(power_source="none", invalid_reasons=["power_lost"], warnings=[said])
    return _measured(trace, windows)


def _measured(trace: PowerTrace, windows: Sequence[Window]) -> PointEnergy:
    check = check_counter(trace, stretch(windows))
    by_method = _by_method(trace, windows, check)
    totals = {method: _total(readings) for method, readings in by_method.items()}
    method = next((m for m, total in totals.items() if total is not None), None)
    invalid, warnings = _judge(by_method, method, check)
    if method is None:
        scope = {"power_scope": check.power_scope, "disagreement": check.disagreement}
        return PointEnergy(power_source="none", **scope, invalid_reasons=invalid, warnings=warnings + _no_power(trace))  # type: ignore[arg-type]
    chosen, energy_j = by_method[method], totals[method]
    assert energy_j is not None
    spreads = [r.spread_j for r in chosen if r.spread_j is not None]
    return PointEnergy(
        power_source="replay" if trace.kind == "replayed" else f"{trace.source}-{method}",
        method=method,
        energy_j=energy_j,
        spread_j=sum(spreads) if spreads else None,
        windows_j=tuple(r.energy_j for r in chosen if r.energy_j is not None),
        noise_j=tuple(r.noise_j for r in chosen if r.noise_j is not None) or None,
        board_w=energy_j / sum(w.duration_s for w in windows),
        board_w_p99=p99_watts(trace.samples, windows),
        power_scope=check.power_scope,
        disagreement=check.disagreement,
        invalid_reasons=invalid,
        warnings=warnings,
    )


def _by_method(trace: PowerTrace, windows: Sequence[Window], check: CounterCheck) -> dict[str, list[Reading]]:
    """The board's readings, best method first. A counter that is not the board's gives none."""
    gap_s = trace.most_gap_s
    if check.power_scope == "module" or "scope_unknown" in check.invalid_reasons:
        counter = [Reading(reason="counter_of_another_scope") for _ in windows]
    else:
        counter = [_fine_enough(counter_reading(trace.samples, w, most_gap_s=gap_s)) for w in windows]
    return {
        "counter": counter,
        "instant": [integral_reading(trace.samples, "instant_w", w, most_gap_s=gap_s) for w in windows],
        "average": [integral_reading(trace.samples, "average_w", w, most_gap_s=gap_s) for w in windows],
    }


def _fine_enough(reading: Reading) -> Reading:
    if reading.energy_j is not None and reading.spread_j is not None and reading.spread_j > MOST_COUNTER_SPREAD * reading.energy_j:
        return Reading(reason="counter_too_coarse")
    return reading


def _total(readings: Sequence[Reading]) -> float | None:
    joules = [r.energy_j for r in readings if r.energy_j is not None]
    return sum(joules) if readings and len(joules) == len(readings) else None


def _judge(by_method: dict[str, list[Reading]], method: str | None, check: CounterCheck) -> tuple[list[str], list[str]]:
    """What the methods that failed say: of the point when the recording failed, as a warning when the board lacks the figure."""
    counter, instant = (sorted({r.reason for r in by_method[m] if r.reason is not None}) for m in ("counter", "instant"))
    invalid = list(dict.fromkeys([*check.invalid_reasons, *(r for r in counter if r == "counter_reset")]))
    warnings = list(check.warnings)
    lacking = [r for r in counter if r not in ("counter_reset", "counter_of_another_scope")]
    if method is None:
        warnings += [f"no_power: {r}" for r in lacking]
    elif method != "counter":
        warnings += [f"{r}: energy is from sampled power" for r in lacking]
    if method is None:
        average = {r.reason for r in by_method["average"] if r.reason is not None}
        invalid += [r for r in _GATES if r in {*instant, *average} and r not in invalid]
    elif method != "counter":
        invalid += [r for r in instant if r in _GATES]
    elif instant or check.unchecked:  # the figure stands, its cross-check is missing
        why = instant[0] if instant else str(check.unchecked)
        warnings.append(f"{why if why == 'instant_w_missing' else f'counter_unchecked: {why}'}: the energy counter was not checked against sampled power")
    if method == "average":
        warnings.append("average_power_lags: instant power is missing, and the average lags by about 1 s")
    return invalid, warnings


def _constant(trace: PowerTrace, windows: Sequence[Window]) -> PointEnergy:
    """Declared watts do not change between samples, so the windows' edges alone decide."""
    watts = next(s.instant_w for s in trace.samples if s.instant_w is not None)
    windows_j = tuple(watts * w.duration_s for w in windows)
    return PointEnergy(power_source=trace.source, method="constant", energy_j=sum(windows_j), windows_j=windows_j, board_w=watts)


def _unseen(trace: PowerTrace, windows: Sequence[Window]) -> bool:
    """Whether the last answer of any sensor came before the windows' end."""
    return max(s.t_s for s in trace.samples if s.readable) < windows[-1].t_end_s


def _why(trace: PowerTrace) -> str:
    return next((f" ({trace.notes[figure]})" for figure in _POWER_NOTES if figure in trace.notes), "")


def _no_power(trace: PowerTrace) -> list[str]:
    noted = [(figure, why) for figure, why in sorted(trace.notes.items()) if figure in _POWER_NOTES]
    return [f"no_power: {f'{figure}: ' if figure != 'power' else ''}{why}" for figure, why in noted]
