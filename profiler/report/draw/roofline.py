"""The roofline figure: each step's arithmetic per byte and per second, under the measured ceilings and the datasheet's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from profiler.pareto.operating import Reported
from profiler.report.charts.caption import caption_lines
from profiler.report.charts.roofline import roofline_data
from profiler.report.draw.style import CYCLE, GREY, MOST_LEGEND, caption, inert, legend_below, scale
from profiler.report.numbers import si
from profiler.report.rows import size_of
from triton_kernels.errors import TokenmillError

_PHASE_MARKS = {"decode": "o", "prefill": "s"}
_MOST_NAMED = 16


def roofline_figure(reported: Reported) -> Figure:
    """The figure. TokenmillError where no point has a plan and a time."""
    data = roofline_data(reported)
    if not data["points"]:
        raise TokenmillError("nothing to draw: no point has a recorded plan and a measured step, so there is no roofline")
    figure = Figure(figsize=(8.4, 5.8))
    axes = figure.subplots()
    groups = list(dict.fromkeys((point["machine"], str(point["precision"])) for point in data["points"]))
    xs = [point["x"] for point in data["points"]]
    reach = (min(xs) / 4, max([*xs, *(roof["flops_per_s"] / roof["bandwidth_bytes_per_s"] for roof in _roofs(data))]) * 6)
    for n, (_, roof) in enumerate(_named_roofs(data)):
        _roof(axes, roof, reach, n)
    for point in data["points"]:
        _point(axes, point, groups.index((point["machine"], str(point["precision"]))), named=len(data["points"]) <= _MOST_NAMED)
    ys = [point["y"] for point in data["points"]] + [roof["flops_per_s"] for roof in _roofs(data)]
    scale(axes, "x", list(reach), force_log=True)
    scale(axes, "y", ys, force_log=True)
    axes.yaxis.set_major_formatter(lambda value, _: si(value, "").strip())
    axes.set_ylim(min(point["y"] for point in data["points"]) / 3, max(ys) * 2)
    axes.set_xlim(*reach)
    axes.set_xlabel(f"{data['x']['label']} ({data['x']['unit']})")
    axes.set_ylabel(f"{data['y']['label']} ({data['y']['unit']})")
    axes.set_title("roofline: a step's arithmetic, its plan's over its measured time", fontsize=9.5, loc="left")
    handles = _handles(data, groups)
    figure.subplots_adjust(left=0.1, right=0.985, top=0.93)
    legend_below(figure, handles, inches=0.62, columns=2)
    left = f"; {data['left_out']} points not drawn" if data["left_out"] else ""
    foot = [*caption_lines(reported, priced=False), f"FLOP and bytes are the plan's (model), seconds are measured{left}"]
    caption(figure, foot, bottom=1.15 + 0.1 * min(len(handles), MOST_LEGEND))
    return figure


def _roofs(data: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [roof for machine in data["machines"] for roof in machine["roofs"]]


def _named_roofs(data: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Each roof with what it is of."""
    return [
        (f"{machine['label']} {roof['lane']}, {roof['source']}: {si(roof['flops_per_s'], 'FLOP/s')}, {si(roof['bandwidth_bytes_per_s'], 'B/s')}", roof)
        for machine in data["machines"]
        for roof in machine["roofs"]
    ]


def _roof(axes: Axes, roof: Mapping[str, Any], reach: Sequence[float], n: int) -> None:
    ridge = roof["flops_per_s"] / roof["bandwidth_bytes_per_s"]
    xs = sorted({reach[0], min(max(ridge, reach[0]), reach[1]), reach[1]})
    ys = [min(roof["flops_per_s"], x * roof["bandwidth_bytes_per_s"]) for x in xs]
    axes.plot(xs, ys, **_roof_look(roof, n))


def _roof_look(roof: Mapping[str, Any], n: int) -> dict[str, Any]:
    measured = roof["source"] == "measured"
    return {"color": ("#222222", "#555555", "#888888")[n // 2 % 3], "linestyle": "-" if measured else "--", "linewidth": 1.3 if measured else 1.0, "zorder": 1}


def _point(axes: Axes, point: Mapping[str, Any], group: int, *, named: bool) -> None:
    colour = CYCLE[group % len(CYCLE)] if point["valid"] else GREY
    mark = _PHASE_MARKS.get(str(point["phase"]), "^") if point["valid"] else "x"
    axes.plot([point["x"]], [point["y"]], marker=mark, color=colour, markersize=5, linestyle="none", zorder=3)
    if named:
        axes.annotate(inert(size_of(point), 20), (point["x"], point["y"]), xytext=(5, -3), textcoords="offset points", fontsize=6.5, color="#444444")


def _handles(data: Mapping[str, Any], groups: Sequence[tuple[str, str]]) -> list[Line2D]:
    """Roofs, then machines' formats by colour, then phases by mark."""
    roofs = [Line2D([], [], label=inert(label, 76), **_roof_look(roof, n)) for n, (label, roof) in enumerate(_named_roofs(data))]
    colours = [
        Line2D([], [], color=CYCLE[n % len(CYCLE)], marker="o", linestyle="none", markersize=5, label=inert(f"{precision} on {machine}", 76))
        for n, (machine, precision) in enumerate(groups)
    ]
    phases = [name for name in _PHASE_MARKS if any(point["phase"] == name for point in data["points"])]
    marks = [Line2D([], [], color=GREY, marker=_PHASE_MARKS[name], linestyle="none", markersize=5, label=name) for name in phases]
    bad = [Line2D([], [], color=GREY, marker="x", linestyle="none", markersize=5, label="not valid")] if any(not p["valid"] for p in data["points"]) else []
    return [*roofs, *colours, *marks, *bad]
