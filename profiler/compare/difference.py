"""Whether two measured figures differ by more than their noise: Welch's t on logarithms of windows, from 20 each the bootstrap too; Holm for many."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from profiler.compare.spread import Noise, Spread
from profiler.compare.student import t_95, two_sided
from profiler.measure.statistics import BOOTSTRAP_FROM

LEAST_WINDOWS = 5  # of each side: below, a variance says too little
LEVEL = 0.05
SAME = 1e-9  # a relative difference below which two figures are one: what rounding does to a sum


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Difference:
    """ln(new / old) of a figure that is made of times or joules, so that above 0 is worse.

    `low` and `high` bound it at 95 % by itself; None below two windows. `p`: how likely noise alone shows as much; None below five windows.
    `n`: the fewest windows of a measurement in it, (old, new).
    """

    log_ratio: float
    low: float | None
    high: float | None
    p: float | None
    n: tuple[int, int]
    method: str | None  # "welch", "bootstrap"; None: no interval


def difference(log_ratio: float, old: Noise, new: Noise) -> Difference:
    """The difference of two figures with the noise of each. The ratio is exactly 1 for copies, and no noise makes more of it."""
    n = (min((s.n for _, s in old), default=0), min((s.n for _, s in new), default=0))
    if min(n) < 2:
        return Difference(log_ratio=log_ratio, low=None, high=None, p=1.0 if same(log_ratio) else None, n=n, method=None)
    if len(old) == len(new) == 1 and min(n) >= BOOTSTRAP_FROM:
        low, high, p = _resampled(log_ratio, old[0][1], new[0][1], old[0][0], new[0][0])
        return Difference(log_ratio=log_ratio, low=low, high=high, p=p, n=n, method="bootstrap")
    error, degrees = welch([*old, *new])
    half = error * t_95(degrees) if error else 0.0
    told = min(n) >= LEAST_WINDOWS or same(log_ratio)
    return Difference(
        log_ratio=log_ratio, low=log_ratio - half, high=log_ratio + half, p=_p(log_ratio, error, degrees) if told else None, n=n, method="welch",
    )  # fmt: skip


def same(log_ratio: float) -> bool:
    return abs(log_ratio) <= SAME


def welch(terms: Noise | Sequence[tuple[float, Spread]]) -> tuple[float, float]:
    """(standard error, degrees of freedom) of a weighted sum of means of windows."""
    return of_sum([(weight * weight * (spread.variance or 0.0) / spread.n, spread.n - 1) for weight, spread in terms])


def of_sum(parts: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """(standard error, degrees of freedom) of a sum of means, each part (variance of the mean, its degrees): Welch (1947), Satterthwaite (1946)."""
    variance = math.fsum(part for part, _ in parts)
    if variance == 0:
        return 0.0, 1.0
    return math.sqrt(variance), 1 / math.fsum((part / variance) ** 2 / degrees for part, degrees in parts)


def p_value(change: float, error: float, degrees: float) -> float:
    """How likely noise alone makes a change as large. Windows that do not vary at all: any change is more than their noise."""
    return two_sided(change / error, degrees) if error else 0.0


def _p(log_ratio: float, error: float, degrees: float) -> float:
    return 1.0 if same(log_ratio) else p_value(log_ratio, error, degrees)


def _resampled(log_ratio: float, old: Spread, new: Spread, *shares: float) -> tuple[float, float, float]:
    """(low, high, p) by the bootstrap. Welch's t must find the difference too, and judges alone where resamples grow too rare for Holm's small levels."""
    from profiler.compare.bootstrap import COARSE, deviations

    error, degrees = welch([(shares[0], old), (shares[1], new)])
    p = _p(log_ratio, error, degrees)
    if error == 0:
        return log_ratio, log_ratio, p
    around = deviations(old.logs, new.logs, *shares)
    low, high = around.interval(t_95(degrees))
    beyond = around.beyond(log_ratio)
    return log_ratio + low, log_ratio + high, max(p, beyond) if beyond > COARSE else p


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values adjusted so that, of all of them together, one is wrongly below a level at most that often (Holm 1979); in their own order."""
    adjusted, worst = [1.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        worst = max(worst, min(1.0, p_values[index] * (len(p_values) - rank)))
        adjusted[index] = worst
    return adjusted
