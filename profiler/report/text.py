"""Text that is safe and short to print: strings from records and flags are data, whatever they contain."""

from __future__ import annotations

import unicodedata

PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "K"))


def printable(text: object) -> str:
    """`text` on one line, inert in a terminal and in rich: control and direction characters go, brackets that rich would read as markup are escaped."""
    return escaped(plain(text))


def plain(text: object) -> str:
    """`text` on one line without control (Cc), format and direction (Cf), surrogate (Cs) and line-separator (Zl, Zp) characters."""
    kept = ("" if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") else c for c in str(text).replace("\n", " ").replace("\t", " "))
    return "".join(kept)


def escaped(text: str) -> str:
    """`text` with rich's markup brackets escaped."""
    from rich.markup import escape

    return escape(text)


def quantity(value: float | None, *, digits: int = 3) -> str:
    """A count or rate with a decimal prefix: 53902 -> '53.9 K', 2857143 -> '2.86 M'. None -> '-' (not measured)."""
    if value is None:
        return "-"
    for scale, prefix in PREFIXES:
        if abs(value) >= scale * (1 - 0.5 * 10**-digits):
            return f"{value / scale:.{digits}g} {prefix}" if abs(value) < 1000 * scale else f"{value / scale:,.0f} {prefix}"
    return f"{value:.{digits}g}"


def dollars(value: float | None) -> str:
    """US dollars with digits that matter: 4.2002 -> '$4.20', 0.12278 -> '$0.1228', 87116 -> '$87.1 K'. None -> '-'."""
    if value is None:
        return "-"
    if abs(value) >= 1e4:
        return f"${quantity(value)}"
    return f"${value:,.2f}" if abs(value) >= 1 else f"${value:.4g}" if abs(value) >= 1e-4 or value == 0 else f"${value:.2e}"
