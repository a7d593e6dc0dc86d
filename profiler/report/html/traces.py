"""Power, clock and temperature over time, of few points: the headline's and the cheapest of each format. Packed for the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from profiler.record.store import Run
from profiler.report.charts.timeline import timeline_data
from profiler.report.html.items import Item, label
from profiler.report.html.packing import Strings, rounded
from profiler.report.numbers import percent, si
from profiler.report.rows import Figures, ok

MOST, _BUCKETS, _TIME_DIGITS = 6, 200, 5


def traces_of(runs: Sequence[Run], items: Sequence[Item], names: Sequence[str], best: Item | None, strings: Strings) -> list[dict[str, Any]]:
    """{"name", "answer", "windows", "phases", "panels"} of up to MOST points that were sampled. TokenmillError for samples that were changed."""
    found: list[dict[str, Any]] = []
    for item, point in _chosen(items, best):
        if len(found) == MOST:
            break
        data = timeline_data(runs[item.run], point, _BUCKETS)
        if data is not None and any(len(line["t"]) > 1 for panel in data["panels"] for line in panel["lines"]):
            found.append(_packed(data, f"{label(item, names)}: {point.get('phase')}", answer(point), strings))
    return found


def _chosen(items: Sequence[Item], best: Item | None) -> list[tuple[Item, Figures]]:
    """The headline's decode and prefill, then the first decode of each other format, valid ones first; a point that was never sampled is passed over."""
    order = sorted(items, key=lambda item: (item is not best, not item.fit, not item.valid))
    formats: dict[tuple[str, str], Item] = {}
    for item in order:
        formats.setdefault((item.gpu, item.named("precision")), item)
    lines = [*([best] if best is not None else []), *(item for item in formats.values() if item is not best)]
    points = [(item, point) for item in lines for point in item.row.points if ok(point)]
    return [(item, point) for item, point in points if (point.get("digests") or {}).get("series")]


def _packed(data: Mapping[str, Any], name: str, said: str, strings: Strings) -> dict[str, Any]:
    panels = [
        {
            "label": panel["label"], "unit": panel["unit"].replace("deg C", "°C"),
            "lines": [
                {
                    "name": strings.place(f"{line['device']} ({line['boundary']})"), "t": [rounded(t, _TIME_DIGITS) for t in line["t"]],
                    "v": [rounded(v, _TIME_DIGITS) for v in line["v"]],
                }
                for line in panel["lines"]
            ],
        }
        for panel in data["panels"]
    ]  # fmt: skip
    windows = [[rounded(edge, _TIME_DIGITS) for edge in window] for window in data["windows"]]
    return {"name": strings.place(name), "answer": strings.place(said), "windows": windows, "panels": panels}


def answer(point: Figures) -> str:
    """What the traces say, in a sentence of figures that were recorded with them."""
    windows = point.get("windows") or ()
    said = [f"{len(windows)} windows of {si(_mean([float(w['t_end_s']) - float(w['t_start_s']) for w in windows]), 's')}"] if windows else []
    watts = point.get("board_w") if point.get("board_w") is not None else point.get("node_w")
    whose = "board" if point.get("board_w") is not None else "node"
    said += [f"{si(watts, 'W')} mean {whose} power in them"] if watts is not None else []
    clocks = [float(w["sm_hz"]) for w in windows if w.get("sm_hz")]
    if clocks:
        held = max(clocks) / min(clocks) - 1
        said.append(f"SM clock {si(_mean(clocks), 'Hz')}" + (f", {percent(held)} apart between windows" if held >= 0.0005 else ", the same in all"))
    hottest = max((float(w["temperature_c"]) for w in windows if w.get("temperature_c") is not None), default=None)
    said += [f"at most {hottest:.0f} °C"] if hottest is not None else []
    return "; ".join(said) + "." if said else "Nothing was recorded of its windows."


def why_none(items: Sequence[Item]) -> str:
    """Why there is no timeline."""
    declared = any(point.get("power_source") == "declared" for item in items for point in item.row.points)
    why = "Watts were declared and not sampled" if declared else "No sensor was sampled beside these points"
    return f"{why}, so there is no timeline."


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
