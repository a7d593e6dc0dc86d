"""Student's t for any number of degrees of freedom, in plain Python: a comparison is over before scipy would have been imported, and a laptop needs none."""

from __future__ import annotations

import math
from functools import lru_cache

_LEVEL = 0.05  # of two-sided 95 % intervals
_NORMAL = 1.959963984540054  # their quantile at endless degrees


def two_sided(t: float, degrees: float) -> float:
    """P(|T| >= |t|) for Student's T of `degrees` > 0, whole or not; from 1 at t = 0 to 0 at infinity.

    Source: I_x(degrees / 2, 1 / 2) at x = degrees / (degrees + t^2), Abramowitz and Stegun 26.7.1.
    """
    assert degrees > 0, degrees
    if math.isinf(t) or math.isinf(t * t):
        return 0.0
    whole = degrees + t * t
    return _beta_share(degrees / whole, t * t / whole, degrees / 2, 0.5)


@lru_cache(maxsize=4096)
def t_95(degrees: float) -> float:
    """The t of a two-sided 95 % interval for `degrees` >= 1, whole or not (Welch's are not)."""
    assert degrees >= 1, degrees
    t = _NORMAL
    for _ in range(100):  # Newton's steps from the left of a convex function never overshoot
        step = (two_sided(t, degrees) - _LEVEL) / (2 * _density(t, degrees))
        t += step
        if abs(step) < 1e-12 * t:
            break
    return t


def _density(t: float, degrees: float) -> float:
    log = math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2) - 0.5 * math.log(degrees * math.pi)
    return math.exp(log - (degrees + 1) / 2 * math.log1p(t * t / degrees))


def _beta_share(x: float, rest: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b); `rest` is 1 - x, given apart so that neither loses its digits."""
    if x <= 0 or rest <= 0:
        return 0.0 if x <= 0 else 1.0
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(rest))
    if x < (a + 1) / (a + b + 2):  # where the fraction converges fast
        return front / a * _fraction(x, a, b)
    return 1 - front / b * _fraction(rest, b, a)


def _fraction(x: float, a: float, b: float) -> float:
    """The continued fraction 1 / (1 + d1 / (1 + d2 / ...)) of NIST's DLMF 8.17.22, from the front (Lentz's method)."""
    tiny = 1e-300
    value, up, down = 1.0, 1.0, 0.0
    for n in range(1, 1000):
        m = n // 2
        top = m * (b - m) * x if n % 2 == 0 else -(a + m) * (a + b + m) * x
        d = top / ((a + n - 1) * (a + n))
        down = 1 / (1 + d * down or tiny)
        up = 1 + d / up or tiny
        value *= up * down
        if abs(up * down - 1) < 1e-15:
            break
    return 1 / value
