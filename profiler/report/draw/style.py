"""How every figure looks: colours that colour-blind readers tell apart, a mark and a line beside each, ticks as in the tables, inert text."""

from __future__ import annotations

import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from profiler.report.numbers import count, fixed
from profiler.report.text import plain

# Okabe and Ito, "Color Universal Design" (2008), without its yellow, which is faint on white.
BLACK, ORANGE, SKY, GREEN, BLUE, RED, PURPLE = "#000000", "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7"
GREY = "#7F7F7F"
CYCLE = (BLUE, RED, GREEN, PURPLE, ORANGE, SKY, BLACK)
MARKS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
LINES: tuple[Literal["-", "--", "-.", ":"], ...] = ("-", "--", "-.", ":")
MOST_LEGEND = 12
_LONGEST = 110

# Text is drawn as it is: no mathtext and no TeX, whatever a reader's own matplotlibrc says. SVG keeps letters as letters, so that they can be searched.
_RC: dict[str, Any] = {
    "text.parse_math": False,
    "text.usetex": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "tokenmill",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    "savefig.facecolor": "white",
    "figure.facecolor": "white",
    "figure.dpi": 144.0,
    "savefig.dpi": 144.0,
    "path.simplify": True,
}


@contextmanager
def house_style() -> Iterator[None]:
    """Matplotlib's defaults and ours, until the block ends. A glyph that the font lacks is a box and no warning."""
    with style.context(["default", _RC], after_reset=True), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from")
        yield


def inert(text: object, most: int = _LONGEST) -> str:
    """Text for a figure: one line, without control and direction characters and what XML has no place for, cut at `most` characters."""
    kept = "".join(c for c in plain(text) if unicodedata.category(c) != "Cn")
    return kept if len(kept) <= most else f"{kept[: most - 1]}…"


def number(value: float, _place: int | None = None) -> str:
    """A tick: 53900 -> '53.9 K', 0.25 -> '0.25'. Zeros behind the point go."""
    if value == 0:
        return "0"
    text = count(value) if abs(value) >= 1000 else fixed(value)
    head, space, prefix = text.partition(" ")
    return (head.rstrip("0").rstrip(".") if "." in head else head) + space + prefix


def scale(axes: Axes, which: str, values: Sequence[float], *, force_log: bool = False) -> None:
    """A logarithmic axis where values span more than a decade; ticks as tables write numbers."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    if values and (force_log or (min(values) > 0 and max(values) / min(values) > 10)):
        (axes.set_xscale if which == "x" else axes.set_yscale)("log")
        decades = 1 if max(values) / min(values) > 1e4 else 3
        axis.set_major_locator(LogLocator(subs=(1.0,) if decades == 1 else (1.0, 2.0, 5.0)))
        axis.set_minor_locator(NullLocator())
    else:
        axis.set_major_locator(MaxNLocator(nbins=7))
    axis.set_major_formatter(FuncFormatter(number))
    axis.set_minor_formatter(NullFormatter())


def caption(figure: Figure, lines: Sequence[str], *, bottom: float) -> None:
    """Small grey lines at the foot. `bottom`: inches that are kept free for them."""
    height = figure.get_size_inches()[1]
    text = "\n".join(inert(line, 190) for line in lines)
    figure.text(0.012, min(0.02, 0.1 / height), text, fontsize=6.5, color="#555555", va="bottom", ha="left", linespacing=1.35)
    figure.subplots_adjust(bottom=bottom / height)


def colour(n: int) -> str:
    """Of the n-th thing drawn."""
    return CYCLE[n % len(CYCLE)]


def line(n: int) -> Literal["-", "--", "-.", ":"]:
    """A dash for each time that the colours begin again."""
    return LINES[n // len(CYCLE) % len(LINES)]


def legend_below(figure: Figure, handles: Sequence[Any], *, inches: float, columns: int) -> None:
    """One legend for all panels, above the caption. More than MOST_LEGEND entries are counted and not drawn."""
    labels = [str(handle.get_label()) for handle in handles]
    if len(labels) > MOST_LEGEND:
        labels[MOST_LEGEND - 1] = f"and {len(labels) - MOST_LEGEND + 1} more"
    shown = list(handles)[:MOST_LEGEND]
    figure.legend(shown, labels[:MOST_LEGEND], loc="lower center", bbox_to_anchor=(0.5, inches / figure.get_size_inches()[1]), ncols=columns)
