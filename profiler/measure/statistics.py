"""Medians, quantiles, intervals and the repeatability gate, in plain Python: no torch, no numpy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

# Two-sided 95 % quantiles of Student's t by degrees of freedom (NIST/SEMATECH e-Handbook, table 1.3.6.7.2).
# fmt: off
T_95 = {
    1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262, 10: 2.228,
    11: 2.201, 12: 2.179, 13: 2.160, 14: 2.145, 15: 2.131, 16: 2.120, 17: 2.110, 18: 2.101, 19: 2.093, 20: 2.086,
    21: 2.080, 22: 2.074, 23: 2.069, 24: 2.064, 25: 2.060, 26: 2.056, 27: 2.052, 28: 2.048, 29: 2.045, 30: 2.042,
    40: 2.021, 60: 2.000, 120: 1.980,
}
# fmt: on

# A GPU's steps repeat within 1 % where clocks are settled; beyond 5 % something else was measured. A shared CPU is noisier: a warning says how much.
NOISE_LIMIT = {"cuda": 0.05, "cpu": 0.25}
NOISE_WARNING = 0.05


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
    """Student's t for a two-sided 95 % interval; between the table's rows the next lower row's, which is the wider interval."""
    assert degrees >= 1, degrees
    return T_95[max(d for d in T_95 if d <= degrees)]


def mean_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """The 95 % t-interval of the mean; None for fewer than two values."""
    if len(values) < 2:
        return None
    mean = math.fsum(values) / len(values)
    variance = math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1)
    half = t_95(len(values) - 1) * math.sqrt(variance / len(values))
    return mean - half, mean + half


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
    """(invalid_reasons, warnings) of a figure's repeatability on a device of this type."""
    share = noise(summary)
    if share is None:
        return ["not_repeated"], []
    if share > NOISE_LIMIT[device]:
        return ["noise_above_limit"], [f"noise: the windows' mean is known to +/- {share:.1%} only"]
    if share > NOISE_WARNING:
        return [], [f"noise: the windows' mean is known to +/- {share:.1%} only"]
    return [], []
