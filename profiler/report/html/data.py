"""What the page's scripts read: one JSON document, columns where lines are many, and no text twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from profiler.economics.equations import table_json
from profiler.pareto.operating import Group
from profiler.report.charts.pareto import axis
from profiler.report.charts.roofline import roofline_data
from profiler.report.html import price as prices
from profiler.report.html.figures import FIGURES, HOUR, PER_MW, RATE, USD, interval_of, kinds_of, value_of
from profiler.report.html.items import Item, Reported, device_of, label, source_of
from profiler.report.html.packing import Strings, column, columns, rounded
from profiler.report.html.render import of_device
from profiler.report.html.waterfalls import Falling, layers, packed
from profiler.report.html.words import cut

_AXES = (USD, RATE, *(name for name in FIGURES if name.startswith(PER_MW)))


def page_data(
    reported: Reported,
    items: Sequence[Item],
    *,
    names: Sequence[str],
    waterfalls: Sequence[Falling],
    traces: Sequence[Mapping[str, Any]],
    controls: Sequence[prices.Control],
    runs: Mapping[str, Any],
    strings: Strings,
) -> dict[str, Any]:
    """The document. Texts are places in `texts`; a column that holds one value alone holds it for every line."""
    table, device = table_json(), device_of(items)
    document = {
        "equations": {name: {"tree": equation["tree"]} for name, equation in table["equations"].items()},
        "limits": {control.name: [control.least, control.most, control.unit] for control in controls},
        "figures": {name: {"form": shown.form, "money": shown.money, "whole": _of_requests(name)} for name, shown in FIGURES.items()},
        "device": device,
        "axes": [_axis(name, device) for name in _AXES if any(value_of(item, name) is not None for item in items)],
        "runs": runs,
        "lines": len(items),
        "controls": {control.name: column(list(control.values)) for control in controls},
        "items": _items(items, names, strings, runs=len(reported)),
        "inputs": columns([item.inputs() for item in items]),
        "intervals": {name: found for name in FIGURES if (found := _edges(items, name)) is not None},
        "kinds": {name: column([strings.place(" × ".join(kinds_of(item, name)) or None) for item in items]) for name in FIGURES},
        "groups": _groups(items, strings),
        "workloads": [strings.place(f"{cut(model)}, {cut(workload)}") for model, workload in workloads_of(items)],
        "roofline": _roofline(reported, strings),
        "layers": layers(waterfalls),
        "waterfalls": [packed(falling, strings) for falling in waterfalls],
        "traces": list(traces),
    }
    return document | {"texts": strings.texts}


def _axis(name: str, device: str) -> dict[str, str]:
    found = axis(FIGURES[name].derived)
    return found | {"figure": name, "unit": of_device(found["unit"], device)}


def _of_requests(name: str) -> bool:
    """Whether a figure is of whole requests: a phase alone has none."""
    return name == RATE or (FIGURES[name].money and name != HOUR)


def workloads_of(items: Sequence[Item]) -> list[tuple[str, str]]:
    """(model, workload) of the lines that a planner compares: tokens of unlike work have no common price."""
    return list(dict.fromkeys((item.operating.group.model, item.operating.group.workload) for item in items if item.operating is not None))


def _items(items: Sequence[Item], names: Sequence[str], strings: Strings, *, runs: int) -> dict[str, Any]:
    groups, workloads = _group_places(items), {workload: n for n, workload in enumerate(workloads_of(items))}
    rows = []
    for item in items:
        at = item.operating
        row: dict[str, Any] = {
            "run": item.run, "name": strings.place(label(item, names)), "size": strings.place(item.size), "fit": int(item.fit),
            "whole": int(item.whole), "valid": int(at.valid if at is not None else item.valid),
            "of": strings.place(source_of(item, runs)), "invalid": strings.place(", ".join(item.row.invalid_reasons) or None),
        }  # fmt: skip
        if at is not None:
            row |= {"x": at.x, "group": groups[item.place], "workload": workloads[at.group.model, at.group.workload]}
        rows.append(row)
    return columns(rows)


def _group_places(items: Sequence[Item]) -> dict[int, int]:
    """Of each line that is on a chart the place of its group."""
    groups = {group: n for n, group in enumerate(_group_list(items))}
    return {item.place: groups[item.operating.group] for item in items if item.operating is not None}


def _group_list(items: Sequence[Item]) -> list[Group]:
    return list(dict.fromkeys(item.operating.group for item in items if item.operating is not None))


def _groups(items: Sequence[Item], strings: Strings) -> list[dict[str, Any]]:
    groups = _group_list(items)
    return [{"name": strings.place(_short(group, groups)), "reference": group.provenance not in ("measured", "emulated", "replayed")} for group in groups]


def _short(group: Group, groups: Sequence[Group]) -> str:
    """The format, and what else tells the group from the others."""
    said = {"model": group.model, "gpu": group.gpu, "workload": group.workload}
    differ = [cut(text) for name, text in said.items() if len({getattr(other, name) for other in groups}) > 1]
    differ += [f"{group.routing} routing"] if group.routing not in ("", "uniform") else []
    caches = {other.kv_cache for other in groups if other.precision == group.precision and other.provenance == group.provenance}
    differ += [f"{group.kv_cache} cache"] if group.kv_cache and len(caches) > 1 else []
    return ", ".join([group.precision, *differ]) + ("" if group.provenance == "measured" else f" ({group.provenance})")


def _edges(items: Sequence[Item], name: str) -> dict[str, Any] | None:
    """The interval of a figure as two columns, each over its value: at another price it is as wide in proportion."""
    ratios = [_ratio(item, name) for item in items]
    if not any(ratios):
        return None
    return {"low": column([r and rounded(r[0], 7) for r in ratios]), "high": column([r and rounded(r[1], 7) for r in ratios])}


def _ratio(item: Item, name: str) -> tuple[float, float] | None:
    value, interval = value_of(item, name), interval_of(item, name)
    return None if not value or interval is None else (interval[0] / value, interval[1] / value)


def _roofline(reported: Reported, strings: Strings) -> dict[str, Any]:
    found = roofline_data(reported)
    machines = [machine["label"] for machine in found["machines"]]
    points = [
        {
            "x": rounded(p["x"]), "y": rounded(p["y"]), "batch": p["batch"], "machine": machines.index(p["machine"]), "valid": int(p["valid"]),
            "share": rounded(p["share_of_roofline"], 4), "decode": int(p["phase"] == "decode"), "lane": strings.place(p["lane"]),
            "precision": strings.place(p["precision"]),
        }
        for p in found["points"]
    ]  # fmt: skip
    return {
        "x": found["x"], "y": found["y"], "points": columns(points), "many": len(points),
        "machines": [
            {"name": strings.place(machine["label"]), "roofs": [{**roof, "lane": strings.place(roof["lane"])} for roof in machine["roofs"]]}
            for machine in found["machines"]
        ],
    }  # fmt: skip
