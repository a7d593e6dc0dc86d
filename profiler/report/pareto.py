"""Fronts on a terminal: the points an operator may choose among, fastest last, with a chart of characters above."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_lowercase

from rich.console import Console
from rich.table import Table

from profiler.pareto.front import PER_MW, PER_MW_DRAWN, RATE, USD, Front, Point
from profiler.pareto.operating import Operating, devices
from profiler.report.charts.pareto import axis, group_label, money_kind
from profiler.report.numbers import NONE, count, plus_minus
from profiler.report.scatter import scatter_lines
from profiler.report.text import printable

WIDTH = 100
MOST_FRONTS = 26
SHORT_UNITS = {USD: "$/Mtok", RATE: "tok/s/GPU", PER_MW: "tok/s/MW"}  # all of output tokens
_MOST_ROWS = 12  # of one front; a sweep of hundreds of points has fronts of dozens
_MOST_BEHIND = 5000  # marks behind the fronts


def print_fronts(fronts: Sequence[Front], console: Console) -> None:
    """Prints the fronts of one figure. A front without a valid point says so; prices per GPU-hour that differ are said."""
    width = min(console.width, WIDTH)
    if not fronts:
        console.print("– no point has tokens/s per user and a rate: only decodes that ran have", width=width)
        return
    device = devices(point.at for front in fronts for point in front.points)
    on_axis = axis(fronts[0].y, device)
    console.print(f"[cyan]Pareto[/]  {on_axis['unit']} ({on_axis['better']} is better) by tokens/s/user", width=width)
    for line in chart_lines(fronts, min(width, 78)):
        console.print(line, width=width, markup=False, highlight=False)
    for letter, front in zip(_letters(len(fronts)), fronts[:MOST_FRONTS], strict=False):
        console.print(f"\n[bold]{letter}[/]  {printable(group_label(front.group))}: {counted(front)}", width=width)
        if front.front:
            console.print(front_table(front, device), width=width)
    if len(fronts) > MOST_FRONTS:
        console.print(f"\n[dim]and {len(fronts) - MOST_FRONTS} more fronts[/]", width=width)
    said = _unlike_prices(fronts)
    console.print(f"\n[dim]letters: on the front; ·: valid and beaten; ✗: not valid, on no front{said}[/]", width=width, highlight=False)


def chart_lines(fronts: Sequence[Front], columns: int) -> list[str]:
    """All fronts of one figure as a chart of characters: a letter for each front, the others behind. One point alone is no chart."""
    marks = _marks(fronts)
    return scatter_lines(marks, columns=columns) if len({(x, y) for x, y, _ in marks}) > 1 else []


def _letters(many: int) -> list[str]:
    return [ascii_lowercase[n % 26] for n in range(many)]


def _marks(fronts: Sequence[Front]) -> list[tuple[float, float, str]]:
    stride = max(1, sum(len(front.points) for front in fronts) // _MOST_BEHIND)
    behind = [mark for front in fronts for point in front.points[::stride] for mark in _mark(point, "·" if point.valid else "✗")]
    letters = zip(_letters(len(fronts)), fronts, strict=True)
    return [*behind, *(mark for letter, front in letters for point in front.front for mark in _mark(point, letter))]


def _mark(point: Point, mark: str) -> list[tuple[float, float, str]]:
    return [] if point.x is None or point.y is None else [(point.x, point.y, mark)]


def counted(front: Front) -> str:
    """`2 of 5 points on the front, 1 not valid`."""
    invalid = sum(not point.valid for point in front.points)
    without = sum(point.valid and (point.x is None or point.y is None) for point in front.points)
    said = [f"{len(front.front)} of {len(front.points)} points on the front"]
    said += [f"{invalid} not valid"] if invalid else []
    said += [f"{without} without this figure ({printable(_why(front))})"] if without else []
    return ", ".join(said)


def _why(front: Front) -> str:
    return next(point.why_null for point in front.points if point.valid and point.why_null is not None) if front.points else ""


def front_table(front: Front, device: str = "GPU") -> Table:
    """The points of one front, or evenly many of a long one: the front's figure first, then the others that its points have. Rates are per `device`."""
    figures = [front.y, *(name for name in (RATE, USD, _widest(front)) if name not in (None, front.y) and any(p.at.figure(name) for p in front.front))]
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    table.add_column("point", overflow="fold", min_width=9)
    for heading in ("tok/s/user", *(_heading(name, device) for name in figures)):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("kind", no_wrap=True)
    shown = front.front if len(front.front) <= _MOST_ROWS else _thinned(front.front)
    for point in shown:
        table.add_row(printable(point.name), count(point.x), *(_figure(point.at, name) for name in figures), money_kind(point.at, front.y))
    if len(shown) < len(front.front):
        table.add_row(f"and {len(front.front) - len(shown)} more between them", *([""] * (len(figures) + 2)), style="dim")
    return table


def _widest(front: Front) -> str:
    """Tokens per megawatt at the widest boundary whose watts were known for the points, else as provisioned."""
    found = [name for name in PER_MW_DRAWN if any(point.at.figure(name) for point in front.front)]
    return found[0] if found else f"{PER_MW}.provisioned"


def _heading(y: str, device: str) -> str:
    boundary = y.partition(".")[2]
    return SHORT_UNITS[y.partition(".")[0]].replace("GPU", device) + (f" {boundary}" if boundary else "")


def _thinned(points: Sequence[Point]) -> list[Point]:
    """Evenly many, both ends among them."""
    return [points[round(n * (len(points) - 1) / (_MOST_ROWS - 1))] for n in range(_MOST_ROWS)]


def _figure(at: Operating, y: str) -> str:
    value = at.figure(y)
    if value is None:
        return NONE
    return count(value) if value >= 1e5 else ("$" if y == USD else "") + plus_minus(value, at.ci95(y))


def _unlike_prices(fronts: Sequence[Front]) -> str:
    """What to know where one machine's points were priced unlike each other."""
    by_gpu: dict[str, set[float]] = {}
    for front in fronts:
        for point in front.points:
            usd = point.at.figures.get("usd_per_gpu_hour")
            if usd:
                by_gpu.setdefault(front.group.gpu, set()).add(float(usd))
    unlike = [f"{printable(gpu)} at {len(prices)} prices per GPU-hour" for gpu, prices in by_gpu.items() if len(prices) > 1]
    return f"; {', '.join(unlike)}: --usd-per-gpu-hour prices all alike" if unlike and fronts[0].y == USD else ""
