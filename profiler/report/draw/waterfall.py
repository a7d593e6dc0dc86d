"""The waterfall figure: a bar per cause, each beginning where the one before ended, with its time, joules and dollars beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from profiler.pareto.operating import Reported
from profiler.report.charts.caption import caption_lines
from profiler.report.charts.waterfall import waterfall_data
from profiler.report.draw.style import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY, caption, inert, number
from profiler.report.kinds import short
from profiler.report.numbers import NONE, fixed
from triton_kernels.errors import TokenmillError

# Colour and hatch of who can change a cause; what took less than its floor is green.
_LOOKS = {
    "floor": (BLUE, ""), "parts": (ORANGE, ""), "kernels": (PURPLE, "//"), "gaps": (RED, ""), "links": (SKY, "\\\\"), "idle": (GREY, ".."), "site": (GREY, ""),
}  # fmt: skip
_SAVED = (GREEN, "xx")
_COLUMNS = (1.11, 1.23, 1.37, 1.41)  # right edges of µs, J, $ and the left edge of the kind, in widths of the chart


def waterfall_figure(reported: Reported) -> Figure:
    """The figure of the headline's mix. TokenmillError where nothing was measured."""
    data = waterfall_data(reported)
    if data is None:
        raise TokenmillError("nothing to draw: no point of these runs has a measured step, so there is no waterfall")
    rows = _rows(data)
    height = 0.24 * len(rows) + 1.2
    figure = Figure(figsize=(9.6, height))
    axes = figure.subplots()
    for n, row in enumerate(rows):
        _row(axes, n, row)
    _columns(axes, data, len(rows))
    axes.set_yticks(range(len(rows)), [inert(row["label"], 44) for row in rows])
    axes.set_ylim(len(rows) - 0.4, -1.6)
    axes.set_xlim(0.0, max(row["end_s"] or 0.0 for row in rows) * 1.03e6)
    axes.xaxis.set_major_formatter(lambda value, _: number(value))
    axes.set_xlabel(f"µs of {data['device']} time per {data['unit']}")
    axes.grid(visible=False, axis="y")
    state = "" if data["valid"] else f"; NOT VALID: {', '.join(data['invalid_reasons'])}"
    axes.set_title(inert(f"{data['label']}{state}"), fontsize=9.5, loc="left", x=-0.3)
    foot = caption_lines(reported)
    unknown = [f"{bar['label']}: {bar['why_null']}" for bar in data["bars"] if bar["gpu_s"] is None]
    lines = [*foot, f"shown: {data['why']}", f"joules: {data['boundary']}", *(f"not known: {why}" for why in unknown)]
    figure.set_size_inches(9.6, height + 0.13 * len(lines))
    figure.subplots_adjust(left=0.235, right=0.68, top=1 - 0.34 / (height + 0.13 * len(lines)))
    caption(figure, lines, bottom=0.62 + 0.13 * len(lines))
    return figure


def _rows(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Bars and the two sums, in the order they are read."""
    rows: list[dict[str, Any]] = []
    for bar in data["bars"]:
        if bar["name"] == "idle":
            rows.append(_sum(f"busy {data['device']}", data["busy"]))
        if bar["name"] != "collectives" or bar["gpu_s"] != 0:  # no link, no bar
            rows.append(dict(bar))
    return [*rows, _sum("delivered token", data["delivered"])]


def _sum(label: str, sums: Mapping[str, float | None]) -> dict[str, Any]:
    return {"label": label, "layer": None, "begin_s": 0.0, "end_s": sums["gpu_s"], "kind": None, **sums}


def _row(axes: Axes, n: int, row: Mapping[str, Any]) -> None:
    if row["begin_s"] is None or row["end_s"] is None:
        return
    begin, width = row["begin_s"] * 1e6, (row["end_s"] - row["begin_s"]) * 1e6
    if row["layer"] is None:
        axes.barh(n, width, left=begin, height=0.62, color="#444444")
        return
    colour, hatch = _SAVED if width < 0 else _LOOKS[row["layer"]]
    axes.barh(n, width, left=begin, height=0.62, color=colour, hatch=hatch, edgecolor="white", linewidth=0.0)


def _columns(axes: Axes, data: Mapping[str, Any], rows: int) -> None:
    """Numbers beside the bars; a dash for what is not known."""
    joule = _joules_unit(data)
    places = axes.get_yaxis_transform()
    for x, heading in zip(_COLUMNS, ("µs", joule[0], "$/Mtok", "kind"), strict=True):
        axes.text(x, -1.0, heading, transform=places, ha="left" if x == _COLUMNS[-1] else "right", va="center", fontsize=7.5, color="#555555")
    for n, row in enumerate(_rows(data)):
        weight = "bold" if row["layer"] is None else "normal"
        cells = (_cell(row["gpu_s"], 1e6), _cell(row["energy_j"], joule[1]), _cell(row["usd_per_mtok"], 1.0))
        for x, text in zip(_COLUMNS, cells, strict=False):
            axes.text(x, n, text, transform=places, ha="right", va="center", fontsize=7.5, weight=weight)
        axes.text(_COLUMNS[-1], n, "" if row["kind"] is None else short(row["kind"]), transform=places, ha="left", va="center", fontsize=7.5, color="#555555")


def _cell(value: float | None, factor: float) -> str:
    if value is None:
        return NONE
    return "0" if value == 0 else fixed(value * factor) if abs(value * factor) >= 0.0005 else "<0.001" if value > 0 else ">-0.001"


def _joules_unit(data: Mapping[str, Any]) -> tuple[str, float]:
    whole = data["delivered"]["energy_j"]
    return ("J", 1.0) if whole is not None and whole >= 1 else ("mJ", 1e3)
