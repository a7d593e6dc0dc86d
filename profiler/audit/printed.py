"""A cell as it is printed: "$4.20", "6,000", "54 K", "65x". What it says is an interval: half a unit of its last printed digit either way."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from profiler.audit.interval import Interval

MOST_CHARACTERS = 40
_SCALES = {"": 1.0, "K": 1e3, "k": 1e3, "M": 1e6, "B": 1e9}
_NUMBER = re.compile(r"(?P<whole>\d{1,3}(?:,\d{3}){1,4}|\d{1,15})(?:\.(?P<places>\d{1,9}))?\s?(?P<scale>[KkMB]?)", re.ASCII)


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """What a row of a table holds, how its cells are written, and the range that no such figure leaves."""

    name: str
    label: str
    unit: str
    before: str = ""  # sign that has to stand before the number
    after: tuple[str, ...] = ()  # words of which one may stand behind it
    needs_after: bool = False
    example: str
    least: float
    most: float


ROWS: Mapping[str, Row] = {
    row.name: row
    for row in (
        Row(name="usd_per_gpu_hour", label="$ per GPU-hour", unit="US dollars per GPU-hour", before="$", example="$1.41", least=1e-3, most=1e3),
        Row(name="pflops_per_usd", label="PFLOPS per $/h", unit="PFLOP/s per US dollar and hour", after=("PFLOPS",), example="2.8", least=1e-3, most=1e4),
        Row(name="tokens_per_s_per_gpu", label="tokens/s per GPU", unit="tokens/s per GPU", example="6,000", least=1e-3, most=1e8),
        Row(name="tokens_per_s_per_mw", label="tokens/s per MW", unit="tokens/s per MW", example="2.8 M", least=1.0, most=1e12),
        Row(name="kw_per_gpu", label="kW per GPU", unit="kW per GPU", after=("kW",), example="1.73", least=0.01, most=20.0),
        Row(name="usd_per_mtok", label="$ per Mtok", unit="US dollars per million tokens", before="$", example="$4.20", least=1e-6, most=1e6),
    )
}
RATIO = Row(name="ratio", label="ratio", unit="ratio", after=("x", "×"), needs_after=True, example="65x", least=1e-6, most=1e9)


def interval_of(text: str, row: Row) -> Interval:
    """The interval of a printed cell, in the row's unit. ValueError, in words for the author of the table, for anything that is no such cell.

    "90" is 89.5 to 90.5, "6,000" 5,999.5 to 6,000.5, "54 K" 53,500 to 54,500, "$0.12" 0.115 to 0.125.
    """
    shown = text.strip()
    foreign = next((c for c in shown if unicodedata.category(c) == "Sc" and c != "$"), None)
    if foreign is not None:
        raise ValueError(f"{text[:MOST_CHARACTERS]!r} is in {unicodedata.name(foreign, 'another currency').lower()}: every price has to be in US dollars")
    number = shown.removeprefix(row.before).strip() if row.before else shown
    if row.before and not shown.startswith(row.before):
        raise ValueError(f"{text[:MOST_CHARACTERS]!r} has no unit: a price begins with {row.before}, such as {row.example!r}")
    word = next((word for word in row.after if number.endswith(word)), None)
    if word is not None:
        number = number.removesuffix(word).rstrip()
    match = _NUMBER.fullmatch(number) if len(text) <= MOST_CHARACTERS else None
    if match is None or (row.needs_after and word is None):
        raise ValueError(f"{text[:MOST_CHARACTERS]!r} should be the number as printed, above 0, such as {row.example!r}")
    return _in_range(match, text, row)


def _in_range(match: re.Match[str], text: str, row: Row) -> Interval:
    places, scale = match["places"] or "", _SCALES[match["scale"]]
    value = float(f"{match['whole'].replace(',', '')}.{places or 0}") * scale
    half = 0.5 * 10.0 ** -len(places) * scale
    if not row.least <= value <= row.most:
        raise ValueError(f"{text[:MOST_CHARACTERS]!r}: no {row.unit if row is not RATIO else 'ratio'} is outside {row.least:g} to {row.most:g}")
    return Interval(value=value, low=value - half, high=value + half)
