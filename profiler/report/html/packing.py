"""Data for a page's scripts: small, and inert whatever the texts in it are."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from profiler.report.text import plain

CHART_DIGITS = 6  # more than any screen has pixels


def script_json(value: Any) -> str:
    """`value` as JSON that may stand inside a script element: nothing in it ends the element, begins a comment or ends a line of JavaScript."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def rounded(value: float | None, digits: int = CHART_DIGITS) -> float | None:
    """A figure with as many digits as a chart can show; None for what is not known or no finite number."""
    if value is None or not math.isfinite(value):
        return None
    found = float(f"{value:.{digits - 1}e}")
    return int(found) if found.is_integer() and abs(found) < 1e15 else found


def column(values: Sequence[Any]) -> Any:
    """The values; the first alone where all are alike and it is no list, which the page's scripts read as a value for every row."""
    if values and not isinstance(values[0], list) and all(value == values[0] and type(value) is type(values[0]) for value in values):
        return values[0]
    return list(values)


def columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Rows as columns by name, each as `column` has it; what a row lacks is None."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: column([row.get(name) for row in rows]) for name in names}


class Strings:
    """Texts that are said many times, each once: the page's data holds their places in `texts`."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {}

    def place(self, text: object | None) -> int | None:
        """Where the text is, made inert; None for None."""
        return None if text is None else self._places.setdefault(plain(text), len(self._places))

    @property
    def texts(self) -> list[str]:
        return list(self._places)
