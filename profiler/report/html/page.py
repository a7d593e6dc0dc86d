"""`tokenmill report -o report.html`: the runs as one file that needs nothing else and asks for nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from profiler.economics.price_book import PriceBook
from profiler.pareto.answer import cheapest_line
from profiler.report import advice
from profiler.report.headline import levels
from profiler.report.html import method, precisions, traces
from profiler.report.html import price as prices
from profiler.report.html.cards import best_of, cards_of
from profiler.report.html.data import page_data, workloads_of
from profiler.report.html.figures import HOUR, figure_of
from profiler.report.html.items import Item, Reported, device_of, differing, items_of, label, source_of
from profiler.report.html.packing import Strings
from profiler.report.html.points import columns_of
from profiler.report.html.render import counted, file_text, rendered
from profiler.report.html.waterfalls import TONES, Falling, geometry, tone, waterfalls_of
from profiler.report.html.words import cut, joined, unmarked
from profiler.report.text import printable

_SCRIPTS = (
    "density.js", "vendor/uPlot.iife.min.js", "frame.js", "numbers.js", "equations.js", "model.js", "charts.js", "waterfall.js", "pareto.js", "sections.js",
    "page.js",
)  # fmt: skip
_STYLES = ("vendor/uPlot.min.css", "style.css")
_NOTICE = "vendor/LICENSE.uPlot"
_SECTIONS = (
    ("headline", "Headline"), ("cheaper", "Cheaper"), ("pareto", "Pareto"), ("roofline", "Roofline"), ("timeline", "Timeline"), ("precision", "Formats"),
    ("price", "Price"), ("points", "Points"), ("method", "Methods"),
)  # fmt: skip


def html_text(reported: Reported, book: PriceBook | None = None) -> str:
    """The page of these runs, each at its price. `book`: where the page finds what a GPU costs to own; None: as priced, or not at all.

    TokenmillError where rows beside a point were changed or cut short. Texts of records are inert in the page, whatever they hold.
    """
    items, strings, owned = items_of(reported), Strings(), prices.owned_hours(reported, book)
    names, best = differing(items), best_of(items)
    falls, controls = waterfalls_of(reported, items, names, best), prices.controls_of(reported, owned)
    found = traces.traces_of([run for run, _, _ in reported], items, names, best, strings)
    data = page_data(reported, items, names=names, waterfalls=falls, traces=found, controls=controls, runs=prices.runs_json(reported, owned), strings=strings)
    labels = {item.place: label(item, names) for item in items}
    context: dict[str, Any] = {
        **_headline(reported, items, best, labels),
        **_charts(items, best, falls, data, strings),
        **_pricing(reported, best, controls, data),
        **_methods(reported, items, labels),
        "precisions": precisions.groups_of(items, names), "no_precisions": precisions.why_none(items), "items": items,
        "columns": columns_of(items, names, len(reported)), "data": data,
        "pareto": _pareto(reported, items),
    }  # fmt: skip
    return rendered("template.html.j2", _SCRIPTS, _STYLES, **context, sections=_SECTIONS, notice=file_text(_NOTICE))


def _headline(reported: Reported, items: Sequence[Item], best: Item | None, labels: Mapping[int, str]) -> dict[str, Any]:
    return {
        "title": title_of(items), "subtitle": _subtitle(reported, items), "answer": _answer(reported, items, best), "best": best,
        "best_label": best and labels[best.place], "best_of": best and source_of(best, len(reported)), "cards": cards_of(best),
        "workloads": [(cut(model), cut(workload)) for model, workload in workloads_of(items)],
        "level": next(iter(levels([item.row for item in items])), None), "next": _advice(reported, items) if items else "",
    }  # fmt: skip


def _charts(items: Sequence[Item], best: Item | None, falls: Sequence[Falling], data: Mapping[str, Any], strings: Strings) -> dict[str, Any]:
    texts, shown = strings.texts, data["traces"]
    return {
        "waterfalls": falls, "geometry": geometry, "tone": tone, "tones": TONES, "axes": data["axes"], "roofline": _roofline(items, best),
        "machines": [texts[machine["name"]] for machine in data["roofline"]["machines"]], "roofline_points": data["roofline"]["many"],
        "trace_answer": texts[shown[0]["answer"]] if shown else None, "traces": [texts[trace["name"]] for trace in shown],
        "no_trace": traces.why_none(items), "device": device_of(items),
    }  # fmt: skip


def _pricing(reported: Reported, best: Item | None, controls: Sequence[prices.Control], data: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "controls": controls, "owning": any(control.owning for control in controls), "ways": prices.way_names(reported), "prices": prices.price_lines(reported),
        "hour": figure_of(best, HOUR), "hosting": data["runs"]["hosting"], "runs": data["runs"]["id"],
    }  # fmt: skip


def _methods(reported: Reported, items: Sequence[Item], labels: Mapping[int, str]) -> dict[str, Any]:
    return {
        "valid": sum(item.valid for item in items), "invalid": method.invalid(items, labels), "failed": method.failed(items),
        "warnings": method.warnings(items, labels), "sources": method.sources(reported), "kinds": method.KINDS,
    }  # fmt: skip


def title_of(items: Sequence[Item]) -> str:
    """What was measured on what."""
    models, machines = (list(dict.fromkeys(cut(item.named(name)) for item in items)) for name in ("model", "gpu"))
    return f"{joined(models)} on {joined(machines)}" if items else "No point was recorded"


def _subtitle(reported: Reported, items: Sequence[Item]) -> str:
    mixes = list(dict.fromkeys(cut(str(mix)) for item in items if (mix := item.row.subject.get("mix")) is not None))
    dates = sorted({str(run.header["created"])[:10] for run, _, _ in reported if run.header.get("created")})
    said = [f"mix {joined(mixes)}"] if mixes else []
    said += [counted(len(items), "line"), counted(len(reported), "run"), *([f"{dates[0]} to {dates[-1]}" if len(dates) > 1 else dates[0]] if dates else [])]
    return " · ".join(said)


def _answer(reported: Reported, items: Sequence[Item], best: Item | None) -> str | None:
    """Why there is no headline; None where there is one."""
    if best is not None:
        return None
    if not items:
        return "This run holds no point: nothing was measured, and no figure is shown."
    return f"No valid point has a price of tokens, so no figure is shown here: {_advice(reported, items)}."


def _advice(reported: Reported, items: Sequence[Item]) -> str:
    plans = {name: plan for run, _, _ in reported for name, plan in run.plans.items()}
    return unmarked(advice.next_line([item.row for item in items], plans))


def _pareto(reported: Reported, items: Sequence[Item]) -> str:
    """The planner's line at the speed that every valid point reaches."""
    reached = levels([item.row for item in items])
    line = cheapest_line(reported, reached[0]) if reached else ""
    for model in dict.fromkeys(printable(item.named("model")) for item in items):
        line = line.replace(model, cut(model)) if model else line
    return line or "No valid point has tokens/s per user, so there is no front."


def _roofline(items: Sequence[Item], best: Item | None) -> str:
    """How far the headline's two phases are from their rooflines."""
    points = [point for point in (best.row.points if best is not None else ()) if point.get("share_of_roofline") is not None]
    if not points:
        return "No share of a roofline is known for the headline." if items else "Nothing was measured."
    said = [f"{point.get('phase')} reaches {point['share_of_roofline']:.0%}" for point in points]
    return f"Of what this machine's own ceilings allow its operations, the cheapest point's {' and its '.join(said)}."
