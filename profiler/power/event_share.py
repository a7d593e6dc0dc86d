"""How much of the windows' time clocks were held back, by reason."""

from __future__ import annotations

from collections.abc import Sequence

from profiler.power.readings import growth
from profiler.power.source import PowerTrace
from profiler.power.window import Window

# Reason -> its bits in the mask of clocks event reasons (nvml.h, nvmlClocksEventReason*) where the board keeps no time of it.
BITS = {"sw_power_cap": 0x4, "sw_thermal": 0x20, "hw_thermal": 0x40, "hw_power_brake": 0x80}


def event_share(trace: PowerTrace, windows: Sequence[Window]) -> dict[str, float]:
    """Reason -> share of the windows' time: by the board's own nanosecond counter, else the share of samples that show its bit. Without either no entry."""
    shares = {name: _timed(trace, f"{name}_s", windows) for name in BITS}
    masks = [s.event_reasons for s in trace.samples if s.event_reasons is not None and any(w.holds(s.t_s) for w in windows)]
    for name, bit in BITS.items():
        if shares[name] is None and masks:
            shares[name] = sum(bool(mask & bit) for mask in masks) / len(masks)
    return {name: share for name, share in shares.items() if share is not None}


def _timed(trace: PowerTrace, figure: str, windows: Sequence[Window]) -> float | None:
    grown = [growth(trace.samples, figure, w, most_gap_s=trace.most_gap_s) for w in windows]
    held_s = [g for g in grown if not isinstance(g, str)]
    if not held_s or len(held_s) < len(grown):
        return None
    return min(1.0, sum(held_s) / sum(w.duration_s for w in windows))
