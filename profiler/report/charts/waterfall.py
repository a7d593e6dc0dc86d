"""The data of the waterfall: where a token's GPU time, joules and dollars went, bar by bar. Of the headline's mix."""

from __future__ import annotations

from typing import Any

from profiler.economics.derive import Derived
from profiler.explain.bar import Bar
from profiler.explain.explanation import Explanation, explain
from profiler.explain.explanation import Reported as Explainable
from profiler.explain.places import GROUPS
from profiler.explain.waterfall import Waterfall
from profiler.pareto.operating import Reported
from profiler.report.charts.chosen import Chosen, chosen
from profiler.report.explain_subject import Subject, subject_of
from profiler.report.rows import size_of

# Who can change a cause: the hardware's maker, who wrote the kernels, who runs the fleet.
LAYERS = {
    **dict.fromkeys(("peak", "memory", "ceilings"), "floor"),
    **dict.fromkeys((*GROUPS, "operations", "not_measured_alone"), "parts"),
    "our_kernels": "kernels",
    **dict.fromkeys(("launch_gaps", "overlap", "slow_steps"), "gaps"),
    "collectives": "links",
    **dict.fromkeys(("queueing", "idle"), "idle"),
    **dict.fromkeys(("host", "facility"), "site"),
}


def waterfall_data(reported: Reported) -> dict[str, Any] | None:
    """{"label", "why", "unit", "device", "boundary", "bars": [{"name", "label", "layer", "begin_s", "end_s", "gpu_s", "energy_j", "usd_per_mtok", "kind",
    ...}], "busy", "delivered", "price", "valid", "invalid_reasons"}: GPU-seconds, joules and dollars per million, of one
    token. `device`: GPU, or CPU whose seconds they then are. None where nothing was measured.

    `begin_s`, `end_s`: where a bar stands in the running sum of GPU-seconds; None for one whose time is not known.
    """
    picked = chosen(reported)
    found = explained(picked) if picked is not None else None
    if found is None or picked is None:
        return None
    subject, waterfall = found[1], found[1].waterfall
    return {
        "label": label(waterfall), "why": subject.why, "run_id": waterfall.run_id, "unit": waterfall.unit, "device": _device(picked),
        "boundary": waterfall.boundary,
        "bars": _bars(waterfall), "busy": waterfall.busy, "delivered": waterfall.delivered, "price": waterfall.price.json(), "valid": waterfall.valid,
        "invalid_reasons": list(waterfall.invalid_reasons),
    }  # fmt: skip


def explained(found: Chosen) -> tuple[Explanation, Subject] | None:
    """The explanation of the chosen point, or of its whole request, alone: a fleet's record has tens of thousands that nobody asked about."""
    run, price, _ = found.reported
    explanation = explain([Explainable(run=run, price=price, derived=_only(found))])
    return (explanation, subject_of(explanation, None)) if explanation.found else None


def _only(found: Chosen) -> Derived:
    mix = found.row.mix
    return Derived(points=[dict(point) for point in found.row.points], mixes=[] if mix is None else [dict(mix)])


def _device(found: Chosen) -> str:
    return "CPU" if found.row.subject.get("device") == "cpu" else "GPU"


def label(waterfall: Waterfall) -> str:
    """What the waterfall is of. Not yet safe to print."""
    subject = waterfall.subject
    what = f"a request of mix {subject.get('mix')}" if subject.get("phase") == "request" else f"{subject.get('phase')}"
    name = " ".join(str(subject[part]) for part in ("model", "precision") if subject.get(part) is not None)
    return ", ".join(part for part in (name, size_of(subject), what) if part)


def _bars(waterfall: Waterfall) -> list[dict[str, Any]]:
    at, bars = 0.0, []
    for bar in waterfall.bars:
        begin, at = at, at + (bar.gpu_s or 0.0)
        bars.append(_bar(bar) | {"begin_s": None if bar.gpu_s is None else begin, "end_s": None if bar.gpu_s is None else at})
    return bars


def _bar(bar: Bar) -> dict[str, Any]:
    return bar.json() | {"layer": LAYERS.get(bar.name, "parts")}
