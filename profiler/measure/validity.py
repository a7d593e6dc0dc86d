"""Verdicts on a measured point from what was recorded beside it: clocks, throttling, temperature, limits. Names follow one list, for every command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from profiler.measure.statistics import median
from profiler.power.energy import Window
from profiler.power.nvml_device import GpuState
from profiler.power.source import PowerSample, PowerTrace

# nvml.h, nvmlClocksEventReasons.
SW_POWER_CAP, HW_SLOWDOWN, SW_THERMAL, HW_THERMAL, HW_POWER_BRAKE = 0x4, 0x8, 0x20, 0x40, 0x80
CLOCK_SPREAD_WARNING = 0.03
SETTLED_CLOCK = 0.02


@dataclass(kw_only=True)
class Verdict:
    """What speaks against a point, collected as it is measured."""

    invalid_reasons: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def add(self, invalid_reasons: Sequence[str], warnings: Sequence[str] = ()) -> None:
        self.invalid_reasons += [r for r in invalid_reasons if r not in self.invalid_reasons]
        self.warnings += [w for w in warnings if w not in self.warnings]


def inside(trace: PowerTrace, window: Window) -> list[PowerSample]:
    """The samples taken during a window."""
    return [s for s in trace.samples if window.t_start_s <= s.t_s <= window.t_end_s]


def sm_clock(trace: PowerTrace, windows: Sequence[Window]) -> float | None:
    """Median SM clock in Hz over the windows; None where it was not read."""
    clocks = [s.sm_hz for w in windows for s in inside(trace, w) if s.sm_hz is not None]
    return median(clocks) if clocks else None


def judge_clocks(verdict: Verdict, trace: PowerTrace, windows: Sequence[Window]) -> None:
    """Throttling in any sample of a window makes the point invalid. The software power cap is where many boards sit at load: a warning with its share."""
    reasons = [s.event_reasons for w in windows for s in inside(trace, w) if s.event_reasons is not None]
    if any(r & (SW_THERMAL | HW_THERMAL) for r in reasons):
        verdict.add(["throttled_thermal"])
    if any(r & HW_POWER_BRAKE or (r & HW_SLOWDOWN and not r & HW_THERMAL) for r in reasons):
        verdict.add(["throttled_hw_power_brake"])
    capped = sum(bool(r & SW_POWER_CAP) for r in reasons)
    if capped:
        verdict.add([], [f"sw_power_cap: {capped / len(reasons):.0%} of samples at the board's power limit"])
    by_window = [clock for w in windows if (clock := sm_clock(trace, [w])) is not None]
    if by_window and (spread := (max(by_window) - min(by_window)) / median(by_window)) > CLOCK_SPREAD_WARNING:
        verdict.add([], [f"clock_changed: the windows' SM clocks differ by {spread:.1%}"])


def clocks_settled(trace: PowerTrace, *, span_s: float = 0.5) -> bool:
    """Whether the SM clock of the last `span_s` equals that of the span before within 2 %. True where no clock is read: nothing to wait for."""
    clocks = [(s.t_s, s.sm_hz) for s in trace.samples if s.sm_hz is not None]
    if not clocks:
        return True
    end_s = clocks[-1][0]
    late = [hz for t, hz in clocks if t > end_s - span_s]
    early = [hz for t, hz in clocks if end_s - 2 * span_s < t <= end_s - span_s]
    if not early:
        return False
    return abs(median(late) - median(early)) <= SETTLED_CLOCK * median(early)


def judge_states(verdict: Verdict, before: GpuState | None, after: GpuState | None) -> None:
    """What changed on the GPU between the point's beginning and end."""
    if before is None or after is None:
        return
    if before.power_limit_w != after.power_limit_w:
        verdict.add(["power_limit_changed"])
    if before.ecc_uncorrected is not None and after.ecc_uncorrected is not None and after.ecc_uncorrected > before.ecc_uncorrected:
        verdict.add(["ecc_uncorrected"])
    processes = max(before.compute_processes or 0, after.compute_processes or 0)
    if processes > 1:  # the worker is one
        verdict.add(["foreign_process_on_gpu"], [f"foreign_process_on_gpu: {processes - 1} other compute processes on this GPU"])
