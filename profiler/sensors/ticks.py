"""How often sensors have news, how finely they count, and how many looks they leave unanswered. Pure functions of recorded samples."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import gcd
from typing import Any

from profiler.measure.statistics import median, quantile
from profiler.power.source import PowerSample
from profiler.sensors.recording import known

UPDATED = ("instant_w", "average_w", "memory_w")
LOOKED_FOR = ("counter_j", "instant_w", "average_w", "module_w", "memory_w", "sm_hz", "temperature_c", "event_reasons")
_LEAST = 5  # changes, as profiler.power.probe wants them
_MICRO = 1_000_000  # counters are whole millijoules (NVML) or microjoules (RAPL); a float holds either exactly enough


def spread_of(values: Sequence[float], *, least: int = 1) -> dict[str, Any] | None:
    """{"median", "p10", "p90", "n"} in the values' unit; None where there are fewer than `least`."""
    if len(values) < least:
        return None
    return {"median": median(values), "p10": quantile(values, 0.1), "p90": quantile(values, 0.9), "n": len(values)}


def update_spread(samples: Sequence[PowerSample], figure: str) -> dict[str, Any] | None:
    """Seconds between changes of a figure: its update period, no finer than the looks. A board whose watts stay the same looks slower than it is."""
    changes = [after[0] for before, after in pairwise(known(samples, figure)) if after[1] != before[1]]
    return spread_of([b - a for a, b in pairwise(changes)], least=_LEAST - 1)


def counter_findings(samples: Sequence[PowerSample]) -> dict[str, Any]:
    """The energy counter's ticks: seconds between them, joules of each, and `resolution_j`, the joules of which every step is a whole multiple."""
    ticks = [(after[0], after[1] - before[1]) for before, after in pairwise(known(samples, "counter_j")) if after[1] > before[1]]
    micro = [round(joules * _MICRO) for _, joules in ticks]
    enough = len(ticks) >= _LEAST
    return {
        "tick_s": update_spread(samples, "counter_j"),
        "tick_j": spread_of([joules for _, joules in ticks], least=_LEAST),
        "resolution_j": gcd(*micro) / _MICRO if enough else None,
    }


def failed_looks(samples: Sequence[PowerSample]) -> dict[str, float]:
    """Figure -> share of looks that answered nothing, of the figures that answered at least once: what a board never tells is no failure."""
    answered = {figure: len(known(samples, figure)) for figure in LOOKED_FOR}
    return {figure: 1 - n / len(samples) for figure, n in answered.items() if n}


def call_spread(call_s: Sequence[float]) -> dict[str, Any] | None:
    """{"median", "p99", "n"} of the seconds that one look at all sensors takes."""
    return {"median": median(call_s), "p99": quantile(call_s, 0.99), "n": len(call_s)} if call_s else None
