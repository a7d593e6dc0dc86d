"""Numbers as people read them: SI prefixes, digits that matter, intervals. What is None was not measured and prints as a dash, never as 0."""

from __future__ import annotations

import math
from collections.abc import Sequence

from profiler.report.text import dollars

NONE = "–"
_COUNTS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "K"))
_SI = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"))


def fixed(value: float, digits: int = 3) -> str:
    """`digits` significant digits without an exponent: 0.06031 -> '0.0603', 41.2 -> '41.2', 1234.5 -> '1,234' (whole digits are never rounded away)."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    places = max(0, digits - 1 - math.floor(math.log10(abs(float(f"{value:.{digits - 1}e}")))))
    return f"{value:,.{places}f}"


def si(value: float | None, unit: str, digits: int = 3) -> str:
    """A physical quantity with its prefix: si(4.31e12, 'B/s') -> '4.31 TB/s'."""
    if value is None:
        return NONE
    for scale, prefix in _SI:
        if abs(value) >= scale * (1 - 0.5 * 10**-digits):
            return f"{fixed(value / scale, digits)} {prefix}{unit}"
    return f"{value:.{digits}g} {unit}"


def count(value: float | None) -> str:
    """A count or a rate of tokens: 53902 -> '53.9 K', 123.4 -> '123'."""
    if value is None:
        return NONE
    if abs(value) >= 9999.5:
        scale, prefix = next((scale, prefix) for scale, prefix in _COUNTS if abs(value) >= scale * 0.9995)
        return f"{fixed(value / scale)} {prefix}"
    return fixed(value)


def usd(value: float | None) -> str:
    """US dollars, with the sign of dollars: 4.2002 -> '$4.20'."""
    return NONE if value is None else dollars(value)


def percent(share: float | None) -> str:
    """A share: 0.783 -> '78%', 0.04 -> '4.0%'."""
    if share is None:
        return NONE
    if share == 0 or abs(share) >= 0.0995:
        return f"{share * 100:.0f}%"
    return f"{share * 100:.1f}%" if abs(share) >= 0.00995 else f"{share * 100:.2g}%"


def plus_minus(value: float | None, interval: Sequence[float] | None) -> str:
    """A figure and half the width of its interval: (0.5182, [0.506, 0.530]) -> '0.518±0.012'. Without an interval the figure alone.

    An interval as wide as a quarter of the figure is shown by its ends (9.1–44): its halves are not alike, and 18±17 would look like a price near 0.
    The half width has two digits where the first two are 10 to 35, else one (the Particle Data Group's rule), and decides the places of both.
    """
    if value is None:
        return NONE
    if interval is None:
        return fixed(value)
    half = (interval[1] - interval[0]) / 2
    if half <= 0:
        return fixed(value)
    if half > abs(value) / 4:
        return f"{fixed(interval[0], 2)}–{fixed(interval[1], 2)}"
    exponent = math.floor(math.log10(half))
    places = min(max((1 if half / 10**exponent < 3.55 else 0) - exponent, 0), 9)
    return f"{value:,.{places}f}±{half:,.{places}f}"


def duration(seconds: float | None) -> str:
    """0.0154 -> '15.4 ms', 125 -> '2 min 5 s'."""
    if seconds is None:
        return NONE
    if seconds < 60:
        return si(seconds, "s")
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"
