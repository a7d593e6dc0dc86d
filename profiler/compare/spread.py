"""How the windows of one measured figure scatter, in natural logarithms: a ratio's noise is then a sum, whatever the unit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from profiler.measure.statistics import BOOTSTRAP_FROM


@dataclass(frozen=True, kw_only=True, slots=True)
class Spread:
    """`variance` of one window's logarithm (n - 1 below the sum of squares), None below two windows; `logs` are kept only where they will be resampled."""

    n: int
    mean: float
    variance: float | None
    logs: tuple[float, ...] = ()


# A figure's noise: (weight, spread) of each measurement that it is made of, the weights being shares of the figure. () is unknown.
Noise = tuple[tuple[float, Spread], ...]


def spread_of(values: Sequence[float]) -> Spread | None:
    """The spread of one value per window. None without windows, and where a value is 0 (a counter that did not tick): it has no ratio.

    Raises ValueError or TypeError for a value that is no figure.
    """
    if not values or any(value == 0 for value in values):
        return None
    logs = tuple(math.log(value) for value in values)
    if not math.isfinite(sum(logs)):
        raise ValueError("a window's figure is not finite")
    mean = math.fsum(logs) / len(logs)
    variance = math.fsum((log - mean) ** 2 for log in logs) / (len(logs) - 1) if len(logs) > 1 else None
    if min(logs) == max(logs):
        variance = 0.0 if len(logs) > 1 else None  # and not the last digit of the mean
    return Spread(n=len(logs), mean=mean, variance=variance, logs=logs if len(logs) >= BOOTSTRAP_FROM else ())


def noise_of(spread: Spread | None, share: float = 1.0) -> Noise:
    """The noise of a figure of which `share` scatters so and the rest is exact."""
    return () if spread is None else ((share, spread),)


def together(*terms: tuple[float, Noise]) -> Noise:
    """The noise of a sum of independent figures, each (value, noise): to first order each weighs as its share of the sum (GUM, JCGM 100, 5.1)."""
    whole = sum(value for value, _ in terms)
    if not whole or any(not noise for _, noise in terms):
        return ()
    return tuple((weight * value / whole, spread) for value, noise in terms for weight, spread in noise)
