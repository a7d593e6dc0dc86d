"""A scatter of characters: enough to see the shape of a front on a terminal. Both axes are logarithmic where they span more than a decade."""

from __future__ import annotations

import math
from collections.abc import Sequence

from profiler.report.numbers import count, fixed

Marks = Sequence[tuple[float, float, str]]  # x, y, character; a later one is drawn over an earlier one


def scatter_lines(marks: Marks, *, columns: int, rows: int = 12) -> list[str]:
    """The lines of a chart `columns` wide with the least and greatest values on both axes; [] where there is nothing to place."""
    if not marks:
        return []
    xs, ys = [x for x, _, _ in marks], [y for _, y, _ in marks]
    labels = [_number(max(ys)), _number(min(ys))]
    margin = max(map(len, labels)) + 1
    width = max(columns - margin - 1, 8)
    grid = [[" "] * width for _ in range(rows)]
    for x, y, mark in marks:
        grid[rows - 1 - _place(y, ys, rows)][_place(x, xs, width)] = mark
    lines = [f"{label:>{margin - 1}} │{''.join(row).rstrip()}" for label, row in zip([labels[0], *[""] * (rows - 2), labels[1]], grid, strict=True)]
    left, right = _number(min(xs)), _number(max(xs))
    return [*lines, f"{'':>{margin}}└{'─' * width}", f"{'':>{margin + 1}}{left}{right:>{max(width - len(left), len(right) + 1)}}"]


def _place(value: float, values: Sequence[float], cells: int) -> int:
    low, high = min(values), max(values)
    if low == high:
        return cells // 2
    part = math.log(value / low) / math.log(high / low) if low > 0 and high / low > 10 else (value - low) / (high - low)
    return min(round(part * (cells - 1)), cells - 1)


def _number(value: float) -> str:
    return count(value) if value >= 1000 else fixed(value)
