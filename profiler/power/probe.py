"""How often a board's own sensors have news, and so how often it is worth sampling them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from profiler.measure.statistics import median
from profiler.power.sampler import PERIOD_S
from profiler.power.source import PowerSample, PowerSource

_BURST_S, _LOOK_S = 1.5, 0.015  # fifteen updates of 100 ms, looked for often enough to place them
_LEAST_CHANGES = 5
_JITTER = 0.25  # either way, so that no periodic load is met at one phase for long


@dataclass(frozen=True, kw_only=True, slots=True)
class Probe:
    """Median seconds between changes of the energy counter and of instant power; None where too few were seen. `samples`: the burst."""

    counter_s: float | None
    power_s: float | None
    samples: tuple[PowerSample, ...]

    @property
    def period_s(self) -> tuple[float, float]:
        """Shortest and longest time between samples: the board's faster period +/- 25 %, within 50 and 100 ms; PERIOD_S where nothing was told.

        Below 50 ms NVML may answer with errors or zeros (Zeus, PowerMonitor); above 100 ms the ticks of most boards would be missed.
        """
        known = [s for s in (self.counter_s, self.power_s) if s is not None]
        if not known:
            return PERIOD_S
        shortest_s, longest_s = PERIOD_S
        own_s = min(max(min(known), shortest_s), longest_s)
        return max(shortest_s, (1 - _JITTER) * own_s), min(longest_s, (1 + _JITTER) * own_s)


def probe(source: PowerSource, *, burst_s: float = _BURST_S, sleep: Callable[[float], None] = time.sleep) -> Probe:
    """Looks at the sensors every 15 ms for 1.5 s. So fast some may answer nothing: those looks say nothing."""
    samples = [source.sample()]
    for _ in range(round(burst_s / _LOOK_S)):
        sleep(_LOOK_S)
        samples.append(source.sample())
    return Probe(
        counter_s=update_period_s([(s.t_s, s.counter_j) for s in samples]),
        power_s=update_period_s([(s.t_s, s.instant_w) for s in samples]),
        samples=tuple(samples),
    )


def update_period_s(values: Sequence[tuple[float, float | None]]) -> float | None:
    """Median time between changes; None below five changes. An idle board whose watts stay the same looks slower than it is."""
    known = [(t, value) for t, value in values if value is not None]
    changes = [after[0] for before, after in pairwise(known) if after[1] != before[1]]
    return median([b - a for a, b in pairwise(changes)]) if len(changes) >= _LEAST_CHANGES else None


def probed_period(source: PowerSource, *, sleep: Callable[[float], None] = time.sleep) -> tuple[float, float]:
    """The sampling period to use with this source, as (shortest, longest)."""
    return probe(source, sleep=sleep).period_s
