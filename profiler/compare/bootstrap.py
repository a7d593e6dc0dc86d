"""Resampled windows: how far the ratio of two means of windows would lie elsewhere if the same windows had been drawn anew. Read from 20 each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Any

RESAMPLES = 9999
COARSE = 20 / RESAMPLES  # a p below it rests on a handful of resamples


@dataclass(frozen=True, kw_only=True)
class Deviations:
    """Ordered deviations of the resampled ln(new / old) from the one that was measured."""

    ordered: Any  # numpy array of RESAMPLES

    def interval(self, t: float) -> tuple[float, float]:
        """What lies between two percentiles: as far out as Student's `t` is on a normal curve, so 2.5 and 97.5 or a little wider."""
        rank = max(1, round(NormalDist().cdf(-t) * (RESAMPLES + 1)))
        return float(self.ordered[rank - 1]), float(self.ordered[RESAMPLES - rank])

    def beyond(self, log_ratio: float) -> float:
        """Twice the share of resamples that lie on the other side of 0 than `log_ratio`: a two-sided p, at most 1."""
        below = int(self.ordered.searchsorted(-log_ratio, side="right"))  # log_ratio + deviation <= 0
        above = RESAMPLES - int(self.ordered.searchsorted(-log_ratio, side="left"))
        return min(1.0, 2 * (min(below, above) + 1) / (RESAMPLES + 1))


def deviations(old: Sequence[float], new: Sequence[float], old_share: float = 1.0, new_share: float = 1.0) -> Deviations:
    """Means of windows drawn with replacement, in logarithms; the same draws every time.

    Each is stretched by sqrt(n / (n - 1)): a sample's own scatter is narrower than that of what it was drawn from. With the wider percentiles of `interval`
    that is the "expanded percentile" of Hesterberg (2015), without which intervals of 20 windows are too short.
    """
    import numpy as np

    moved = new_share * _moved(new, seed=1) - old_share * _moved(old, seed=0)
    return Deviations(ordered=np.sort(moved))


def _moved(logs: Sequence[float], *, seed: int) -> Any:
    import numpy as np

    values = np.asarray(logs) - math.fsum(logs) / len(logs)
    return values[_draws(len(logs), seed)].mean(axis=1) * math.sqrt(len(logs) / (len(logs) - 1))


@lru_cache(maxsize=8)
def _draws(n: int, seed: int) -> Any:
    """Which windows each resample takes, (RESAMPLES, n)."""
    import numpy as np

    return np.random.default_rng(seed).integers(0, n, size=(RESAMPLES, n), dtype=np.int32)
