"""Verdicts on a measured point from what was recorded beside it: clocks, throttling, temperature, limits. Every name is of `profiler.measure.reasons`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from profiler.measure.reasons import REASONS, name_of
from profiler.measure.statistics import median
from profiler.power.event_share import BITS
from profiler.power.nvml_device import GpuState
from profiler.power.source import PowerSample, PowerTrace
from profiler.power.window import Window

HW_SLOWDOWN = 0x8  # nvml.h: thermal or power brake, whichever is not said beside it
_THERMAL = BITS["sw_thermal"] | BITS["hw_thermal"]
CLOCK_SPREAD_WARNING = 0.03
SETTLED_CLOCK = 0.02
SETTLED_TEMPERATURE_C = 2.0


@dataclass(kw_only=True)
class Verdict:
    """What speaks against a point, collected as it is measured."""

    invalid_reasons: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def add(self, invalid_reasons: Sequence[str], warnings: Sequence[str] = ()) -> None:
        for name in (*invalid_reasons, *map(name_of, warnings)):
            assert name in REASONS, f"{name} is not in the closed list"
        self.invalid_reasons += [r for r in invalid_reasons if r not in self.invalid_reasons]
        self.warnings += [w for w in warnings if w not in self.warnings]


def inside(trace: PowerTrace, window: Window) -> list[PowerSample]:
    """The samples taken during a window."""
    return [s for s in trace.samples if window.holds(s.t_s)]


def sm_clock(trace: PowerTrace, windows: Sequence[Window]) -> float | None:
    """Median SM clock in Hz over the windows; None where it was not read."""
    clocks = [s.sm_hz for w in windows for s in inside(trace, w) if s.sm_hz is not None]
    return median(clocks) if clocks else None


def judge_clocks(verdict: Verdict, trace: PowerTrace, windows: Sequence[Window], shares: Mapping[str, float]) -> None:
    """Throttling in any part of a window makes the point invalid. The software power cap is where many boards sit at load: a warning with its share.

    `shares`: of the windows' time, by reason, from the board's own counters; the samples' bits tell what they miss.
    """
    reasons = [s.event_reasons for w in windows for s in inside(trace, w) if s.event_reasons is not None]
    if shares.get("sw_thermal") or shares.get("hw_thermal") or any(r & _THERMAL for r in reasons):
        verdict.add(["throttled_thermal"])
    if shares.get("hw_power_brake") or any(r & BITS["hw_power_brake"] or (r & HW_SLOWDOWN and not r & BITS["hw_thermal"]) for r in reasons):
        verdict.add(["throttled_hw_power_brake"])
    if capped := shares.get("sw_power_cap"):
        verdict.add([], [f"sw_power_cap: {capped:.0%} of the windows' time at the board's power limit"])
    by_window = [clock for w in windows if (clock := sm_clock(trace, [w])) is not None]
    if by_window and (spread := (max(by_window) - min(by_window)) / median(by_window)) > CLOCK_SPREAD_WARNING:
        verdict.add([], [f"clock_changed: the windows' SM clocks differ by {spread:.1%}"])


def settled(trace: PowerTrace) -> bool:
    """Whether SM clock and temperature have stopped moving. True where neither is read: nothing to wait for."""
    return clocks_settled(trace) and temperature_settled(trace)


def clocks_settled(trace: PowerTrace, *, span_s: float = 0.5) -> bool:
    """Whether the SM clock of the last `span_s` equals that of the span before within 2 %."""
    found = _last_two(trace, "sm_hz", span_s)
    return found is None or (found[0] is not None and abs(found[1] - found[0]) <= SETTLED_CLOCK * found[0])


def temperature_settled(trace: PowerTrace, *, span_s: float = 1.0) -> bool:
    """Whether the temperature of the last `span_s` is within 2 degrees of the span before: boards creep for minutes, and jump when a load begins."""
    found = _last_two(trace, "temperature_c", span_s)
    return found is None or (found[0] is not None and abs(found[1] - found[0]) <= SETTLED_TEMPERATURE_C)


def _last_two(trace: PowerTrace, figure: str, span_s: float) -> tuple[float | None, float] | None:
    """Medians of the span before the last one (None where the trace is too short) and of the last. None where the figure was never read."""
    seen = [(s.t_s, float(getattr(s, figure))) for s in trace.samples if getattr(s, figure) is not None]
    if not seen:
        return None
    end_s = seen[-1][0]
    late = [value for t, value in seen if t > end_s - span_s]
    early = [value for t, value in seen if end_s - 2 * span_s < t <= end_s - span_s]
    return median(early) if early else None, median(late)


def judge_states(verdict: Verdict, before: GpuState | None, after: GpuState | None) -> None:
    """What changed on the GPU between the point's beginning and end."""
    if before is None or after is None:
        return
    if None not in (before.power_limit_w, after.power_limit_w) and before.power_limit_w != after.power_limit_w:
        verdict.add(["power_limit_changed"])
    if None not in (before.uuid_hash, after.uuid_hash) and before.uuid_hash != after.uuid_hash:
        verdict.add(["gpu_identity_changed"])
    if after.xids:
        verdict.add(["xid"], [f"xid: {', '.join(map(str, after.xids))}"])
    if before.ecc_uncorrected is not None and after.ecc_uncorrected is not None and after.ecc_uncorrected > before.ecc_uncorrected:
        verdict.add(["ecc_uncorrected"])
    processes = max(before.compute_processes or 0, after.compute_processes or 0)
    if processes > 1:  # the worker is one
        verdict.add(["foreign_process_on_gpu"], [f"foreign_process_on_gpu: {processes - 1} other compute processes on this GPU"])
