"""The Pareto figure: a panel each for tokens/s per GPU, dollars and tokens/s per megawatt, against tokens/s per user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from profiler.pareto.front import PER_MW, PER_MW_DRAWN, RATE, USD
from profiler.pareto.operating import Reported
from profiler.report.charts.caption import caption_lines
from profiler.report.charts.pareto import pareto_data
from profiler.report.draw.names import MOST_NAMED, name_points
from profiler.report.draw.style import GREY, MARKS, MOST_LEGEND, caption, colour, inert, legend_below, line, scale
from profiler.report.rows import size_of
from triton_kernels.errors import TokenmillError


def pareto_figure(reported: Reported) -> Figure:
    """The figure. TokenmillError where no point has tokens/s per user."""
    data = pareto_data(reported)
    shown = _panels(data["ys"])
    if not data["points"] or not shown:
        raise TokenmillError("nothing to draw: no point has tokens/s per user and a rate, so there is no Pareto chart; `tokenmill run` measures decodes")
    figure = Figure(figsize=(max(5.2 * len(shown), 7.0), 5.4))
    grid = figure.subplots(1, len(shown), squeeze=False)
    for axes, y in zip(grid[0], shown, strict=True):
        _panel(axes, data, y)
    handles = [_handle(n, group) for n, group in enumerate(data["groups"])]
    rows = min(len(handles) + 1, MOST_LEGEND)
    columns = 1 if len(shown) == 1 or rows <= 3 else 2
    foot = [*caption_lines(reported, priced=any(y["name"] == USD for y in shown)), _reading(data)]
    figure.subplots_adjust(left=0.62 / figure.get_figwidth() + 0.01, right=0.985, top=0.93, wspace=0.24)
    invalid = [_not_valid()] if any(not point["valid"] for point in data["points"]) else []
    legend_below(figure, [*handles, *invalid], inches=0.66, columns=columns)
    caption(figure, foot, bottom=1.22 + 0.17 * -(-rows // columns))
    for axes, y in zip(grid[0], shown, strict=True):  # when all else has its place
        _name(axes, data, y["name"])
    return figure


def _panels(ys: Sequence[Mapping[str, str]]) -> list[Mapping[str, str]]:
    """Throughput, dollars where priced, and tokens per megawatt at the widest boundary that was drawn from, else as provisioned."""
    by_name = {y["name"]: y for y in ys}
    per_mw = [by_name[name] for name in (*PER_MW_DRAWN, f"{PER_MW}.provisioned") if name in by_name]
    return [*(by_name[name] for name in (RATE, USD) if name in by_name), *per_mw[:1]]


def _panel(axes: Axes, data: Mapping[str, Any], y: Mapping[str, str]) -> None:
    name, points = y["name"], data["points"]
    on_front = {place for front in data["fronts"][name] for place in front}
    drawn = [(n, point) for n, point in enumerate(points) if name in point["y"]]
    for n, point in drawn:
        _mark(axes, point, name, on_front=n in on_front)
    for group, curve in enumerate(data["curves"][name]):
        if curve:
            axes.plot([x for x, _ in curve], [v for _, v in curve], color=colour(group), linestyle=line(group), linewidth=1.1, zorder=2)
    scale(axes, "x", [point["x"] for _, point in drawn])
    scale(axes, "y", [point["y"][name] for _, point in drawn])
    axes.set_xlabel(f"{data['x']['label']} ({data['x']['unit']})")
    axes.set_ylabel(y["unit"])
    axes.set_title(f"{y['label']}, {y['better']} is better", fontsize=9.5, loc="left")
    axes.margins(0.09)


def _name(axes: Axes, data: Mapping[str, Any], y: str) -> None:
    """Batches beside the points of fronts, away from the curve, which rises to the right where less is better."""
    named = [data["points"][place] for place in sorted({place for front in data["fronts"][y] for place in front})]
    if len(named) <= MOST_NAMED:
        name_points(axes, [(point["x"], point["y"][y], inert(size_of(point), 24)) for point in named], below=y == USD)


def _mark(axes: Axes, point: Mapping[str, Any], name: str, *, on_front: bool) -> None:
    x, y, group = point["x"], point["y"][name], point["group"]
    if not point["valid"]:
        axes.plot([x], [y], marker="x", color=GREY, markersize=5, linestyle="none", zorder=1)
        return
    shade = colour(group)
    if on_front and name in point["ci95"]:
        low, high = point["ci95"][name]
        axes.errorbar([x], [y], yerr=[[max(y - low, 0.0)], [max(high - y, 0.0)]], color=shade, elinewidth=0.8, capsize=2, zorder=3)
    face, alpha = (shade, 1.0) if on_front else ("none", 0.55)
    axes.plot([x], [y], marker=_marker(group), color=shade, markerfacecolor=face, alpha=alpha, markersize=5 if on_front else 4, linestyle="none", zorder=3)


def _handle(n: int, group: Mapping[str, Any]) -> Line2D:
    return Line2D([], [], color=colour(n), marker=_marker(n), linestyle=line(n), linewidth=1.1, markersize=5, label=inert(group["label"]))


def _not_valid() -> Line2D:
    return Line2D([], [], color=GREY, marker="x", linestyle="none", markersize=5, label="not valid: on no front")


def _reading(data: Mapping[str, Any]) -> str:
    left = f"; {data['left_out']} beaten points not drawn" if data["left_out"] else ""
    return f"filled: on the front; hollow: valid and beaten; lines between points: modelled, of a batch between both; bars: 95 % of the windows' noise{left}"


def _marker(n: int) -> str:
    return MARKS[n % len(MARKS)]
