"""Names beside points that stay inside their panel and off each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes

MOST_NAMED = 24  # names over all fronts of a panel
_SIZE = 6.5
_WIDE, _HIGH = 0.62 * _SIZE, 1.25 * _SIZE  # of a letter, in points: DejaVu Sans is no wider on average
_POINTS_PER_INCH = 72

Box = tuple[float, float, float, float]


def name_points(axes: Axes, named: Sequence[tuple[float, float, str]], *, below: bool) -> None:
    """Writes each (x, y, name) above its point, or `below` where that is away from the curve; left of it where the panel ends.

    A name that would lie on another is left out. Needs the axes' final scales and margins.
    """
    axes.autoscale_view()
    right = _points(axes, axes.transAxes.transform((1.0, 1.0)))[0]
    taken: list[Box] = []
    for x, y, text in named:
        at, wide = _points(axes, axes.transData.transform((x, y))), len(text) * _WIDE
        leftward = at[0] + 5 + wide > right
        left, foot = at[0] - 5 - wide if leftward else at[0] + 5, at[1] + (-9 if below else 5)
        box = (left, foot, left + wide, foot + _HIGH)
        if text and not any(_meet(box, other) for other in taken):
            taken.append(box)
            offset, side = (-5 if leftward else 5, foot - at[1]), "right" if leftward else "left"
            axes.annotate(text, (x, y), xytext=offset, textcoords="offset points", ha=side, fontsize=_SIZE, color="#444444")


def _points(axes: Axes, pixels: Any) -> tuple[float, float]:
    """Pixels of a drawing as points of type."""
    assert axes.figure is not None
    scale = _POINTS_PER_INCH / axes.figure.dpi
    return float(pixels[0]) * scale, float(pixels[1]) * scale


def _meet(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
