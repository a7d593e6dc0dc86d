"""Points as CSV: one flat row per point. What was not measured is an empty cell, never 0."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from profiler.report.text import plain

# A spreadsheet takes a cell that begins so for a formula (OWASP, "CSV Injection").
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as RFC 4180 text with a header line. Text cells cannot become formulas, and hold no control characters."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([_cell(name) for name in columns])
    writer.writerows([_cell(row.get(name)) for name in columns] for row in rows)
    return out.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    return text_cell(str(value))


@lru_cache(maxsize=1 << 16)
def text_cell(value: str) -> str:
    """A text that is safe in a cell. A column has few different ones, however many rows."""
    text = plain(value)
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text
