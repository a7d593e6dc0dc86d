"""A figure known to within its printed digits, and products of such figures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

_ROUNDING = 1e-12  # edges that touch on paper may miss each other by a bit of the last place


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """`value` lies between `low` and `high`, all above 0."""

    value: float
    low: float
    high: float

    def overlaps(self, other: Interval) -> bool:
        """Whether one number can be both; edges belong to it."""
        return self.low <= other.high * (1 + _ROUNDING) and other.low <= self.high * (1 + _ROUNDING)

    def widened(self, share: float) -> Interval:
        """Both edges moved out by `share` of the value, the lower never to 0."""
        return Interval(value=self.value, low=max(self.low - share * self.value, self.value * 1e-9), high=self.high + share * self.value)

    def scaled(self, factor: float) -> Interval:
        """Times a number that is exact."""
        return product(factor, [(self, 1)])

    def common(self, other: Interval) -> Interval | None:
        """What both allow, its middle as the value; None where they do not meet."""
        low, high = max(self.low, other.low), min(self.high, other.high)
        return Interval(value=(low + high) / 2, low=low, high=high) if low <= high else None

    def json(self) -> dict[str, float]:
        return {"value": self.value, "low": self.low, "high": self.high}


def exact(value: float) -> Interval:
    """A number without an error of its own."""
    return Interval(value=value, low=value, high=value)


def product(factor: float, powers: Iterable[tuple[Interval, int]]) -> Interval:
    """`factor` times each interval to its power. Every figure stands once, so the edges are those of the true range."""
    value = low = high = factor
    for interval, power in powers:
        first, last = (interval.low, interval.high) if power > 0 else (interval.high, interval.low)
        value, low, high = value * interval.value**power, low * first**power, high * last**power
    return Interval(value=value, low=low, high=high)
