"""The power figure: watts, clock and temperature of one point over time, with the windows shaded that its figures are of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from profiler.pareto.operating import Reported
from profiler.report.charts.caption import caption_lines
from profiler.report.charts.chosen import chosen
from profiler.report.charts.timeline import timeline_data
from profiler.report.draw.style import LINES, SKY, caption, colour, inert, legend_below, number
from triton_kernels.errors import TokenmillError

_FIELDS = {"instant_w": "as the sensor sees it", "average_w": "1 s average", "counter_j": "mean between looks at its counter"}


def power_figure(reported: Reported) -> Figure:
    """The figure of the headline's decode, else of its prefill, else of the first point that was sampled. TokenmillError where no sensor was sampled."""
    run, point, data = _sampled(reported)
    panels = data["panels"]
    figure = Figure(figsize=(9.0, 1.6 * len(panels) + 1.9))
    grid = figure.subplots(len(panels), 1, sharex=True, squeeze=False)
    lines = list(dict.fromkeys((each["device"], each["boundary"]) for panel in panels for each in panel["lines"]))
    for axes, panel in zip(grid[:, 0], panels, strict=True):
        _panel(axes, panel, data["windows"], lines)
    last = grid[-1, 0]
    last.set_xlabel("seconds from the first window")
    last.xaxis.set_major_formatter(lambda value, _: number(value))
    verdict = "valid" if point.get("valid") else f"NOT VALID: {', '.join(str(reason) for reason in point.get('invalid_reasons') or ())}"
    grid[0, 0].set_title(inert(f"{point.get('model')}, {point['point_id']}: {verdict}"), fontsize=9.5, loc="left")
    handles: list[Any] = [
        Line2D([], [], color=colour(n), linestyle=LINES[n % len(LINES)], label=inert(f"{device} ({boundary})", 50))
        for n, (device, boundary) in enumerate(lines)
    ]
    handles.append(Patch(facecolor=SKY, alpha=0.3, label="windows that the figures are of"))
    height = figure.get_size_inches()[1]
    figure.subplots_adjust(left=0.085, right=0.985, top=1 - 0.32 / height, hspace=0.16)
    legend_below(figure, handles, inches=0.5, columns=4)
    caption(figure, caption_lines([each for each in reported if each[0].run_id == run], priced=False), bottom=1.22)
    return figure


def _sampled(reported: Reported) -> tuple[str, Mapping[str, Any], dict[str, Any]]:
    """The run's id, the point and its timeline."""
    best = chosen(reported)
    first = [] if best is None else [(best.reported[0], point) for point in best.row.points]
    every = ((run, point) for run, _, derived in reported for point in derived.points)
    for run, point in (*first, *every):
        data = timeline_data(run, point)
        if data is not None and any(len(line["t"]) > 1 for panel in data["panels"] for line in panel["lines"]):  # one sample is no line
            return run.run_id, point, data
    declared = any(point.get("power_source") == "declared" for _, _, derived in reported for point in derived.points)
    why = " (watts were declared)" if declared else ""
    raise TokenmillError(f"nothing to draw: no sensor was sampled in these runs{why}, so there is no timeline of power, clock or temperature")


def _panel(axes: Axes, panel: Mapping[str, Any], windows: list[list[float]], lines: list[tuple[str, str]]) -> None:
    for start, end in windows:
        axes.axvspan(start, end, facecolor=SKY, alpha=0.3, linewidth=0)
    for each in panel["lines"]:
        n = lines.index((each["device"], each["boundary"]))
        values = [float("nan") if value is None else value for value in each["v"]]
        axes.plot(each["t"], values, color=colour(n), linestyle=LINES[n % len(LINES)], linewidth=0.9, marker="." if len(values) < 60 else None, markersize=3)
    how = dict.fromkeys(_FIELDS[each["field"]] for each in panel["lines"] if each["field"] in _FIELDS)
    axes.set_ylabel(f"{panel['label']} ({panel['unit'].replace('deg C', '°C')})")
    if panel["unit"] == "W":
        axes.set_ylim(bottom=0.0)
        axes.text(1.0, 1.02, "; ".join(how), transform=axes.transAxes, ha="right", va="bottom", fontsize=6.5, color="#555555")
    axes.yaxis.set_major_formatter(lambda value, _: number(value))
