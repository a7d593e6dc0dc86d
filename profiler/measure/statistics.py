"""Medians, quantiles, intervals and the repeatability gate. Imports nothing heavy until an interval is asked for."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

BOOTSTRAP_FROM = 20  # samples: from here on resampling tells more of the distribution than Student's assumption of a normal one

# A GPU's steps repeat within 1 % where clocks are settled; beyond 5 % something else was measured. A shared CPU is noisier: a warning says how much.
NOISE_LIMIT = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """A figure's samples in short. Unit: the samples'. `ci95` is of the mean over windows, whose number is `windows`; None below two windows."""

    median: float
    p10: float
    p90: float
    ci95: tuple[float, float] | None
    n: int  # samples behind the median
    windows: int

    def json(self) -> dict[str, Any]:
        return {"median": self.median, "p10": self.p10, "p90": self.p90, "ci95": None if self.ci95 is None else list(self.ci95), "n": self.n}


def quantile(values: Sequence[float], share: float) -> float:
    """The quantile at `share` (0 to 1), linear between neighbours as numpy's default."""
    assert values, "a quantile needs at least one value"
    assert 0 <= share <= 1, share
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def median(values: Sequence[float]) -> float:
    return quantile(values, 0.5)


def t_95(degrees: int) -> float:
    """Student's t for a two-sided 95 % interval."""
    from scipy.special import stdtrit

    assert degrees >= 1, degrees
    return float(stdtrit(degrees, 0.975))


def mean_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """The 95 % interval of the mean: Student's t, from 20 values on the bias-corrected bootstrap (Efron 1987), always the same draws. None below two values."""
    if len(values) < 2:
        return None
    if len(values) >= BOOTSTRAP_FROM and (found := _bootstrap(values)) is not None:
        return found
    mean = math.fsum(values) / len(values)
    variance = math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1)
    half = t_95(len(values) - 1) * math.sqrt(variance / len(values))
    return mean - half, mean + half


def _bootstrap(values: Sequence[float]) -> tuple[float, float] | None:
    """None where values are too much alike for the correction of bias."""
    import numpy as np
    from scipy.stats import bootstrap

    if min(values) == max(values):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a degenerate sample, which the answer says too
        found = bootstrap((np.asarray(values),), np.mean, method="BCa", random_state=np.random.default_rng(0)).confidence_interval
    low, high = float(found.low), float(found.high)
    return (low, high) if math.isfinite(low) and math.isfinite(high) else None


def summarise(samples: Sequence[float], window_means: Sequence[float]) -> Summary:
    """Median and quantiles over all samples, the interval over window means: samples inside a window are not independent."""
    return Summary(
        median=median(samples),
        p10=quantile(samples, 0.1),
        p90=quantile(samples, 0.9),
        ci95=mean_interval(window_means),
        n=len(samples),
        windows=len(window_means),
    )


def noise(summary: Summary) -> float | None:
    """Half the interval's width over the median; None without an interval."""
    if summary.ci95 is None:
        return None
    return (summary.ci95[1] - summary.ci95[0]) / 2 / summary.median


def noise_gate(summary: Summary, device: str) -> tuple[list[str], list[str]]:
    """(invalid_reasons, warnings) of a figure's repeatability on a device of this type: on a CPU noise warns, and never invalidates."""
    share = noise(summary)
    if share is None:
        return ["not_repeated"], []
    if share <= NOISE_LIMIT:
        return [], []
    return ["noise_above_limit"] if device == "cuda" else [], [f"noise: the windows' mean is known to +/- {share:.1%} only"]
