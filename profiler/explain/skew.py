"""What uneven routing costs: points that differ in nothing but how experts were drawn, each against the evenest of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from profiler.economics.formulas import usd_per_mtok
from profiler.economics.hour import gpu_hour_usd
from profiler.economics.prices import PricePick
from profiler.explain.alike import alike
from profiler.explain.bar import total, total_j
from profiler.explain.waterfall import Explained

BASELINES = ("balanced", "uniform")  # the first that was measured
MOVED = ("dispatch", "experts", "combine")


def skew_of(found: Sequence[Explained], price: PricePick | None) -> list[dict[str, Any]]:
    """One table per group: {phase, model, ..., baseline, rows: [{routing, step_s, gpu_s, energy_j, usd_per_mtok, over: {...}, parts: {...}}]}.

    `gpu_s`, `energy_j` (of the boundary that the points were measured at) and `usd_per_mtok` are per token of the phase; `over` is against the baseline;
    `parts` likewise in seconds and joules of one step, where operations were measured alone. Groups without a baseline are left out.
    """
    tables = []
    for group in alike(found, but="routing"):
        baseline = next((e for routing in BASELINES for e in group if e.point.get("routing") == routing), None)
        if baseline is None or len({e.point.get("routing") for e in group}) < 2:
            continue
        even = _row(baseline, price)
        rows = [_row(e, price) for e in group]
        subject = {name: baseline.point.get(name) for name in ("phase", "model", "precision", "kv_cache", "batch", "context")}
        tables.append(
            {**subject, "unit": baseline.step.unit, "baseline": baseline.point.get("routing"), "rows": [row | {"over": _over(row, even)} for row in rows]}
        )
    return tables


def _row(found: Explained, price: PricePick | None) -> dict[str, Any]:
    bars = [bar for bar in found.bars if bar.name not in ("idle", "host", "facility")]
    gpu_s = total([bar.gpu_s for bar in bars])
    hour = None if price is None else gpu_hour_usd(price, found.step.watts.facility)[0]
    rate = 1 / gpu_s if gpu_s and found.step.unit != "step" else None
    return {
        "run_id": found.run_id,
        "point_id": found.point.get("point_id"),
        "routing": found.point.get("routing"),
        "step_s": found.step.mean_s,
        "gpu_s": gpu_s,
        "energy_j": total_j(bars),
        "usd_per_mtok": usd_per_mtok(hour, rate, utilisation=price.utilisation if price else 1.0),
        "parts": {group: _part(found, group) for group in MOVED},
        "valid": bool(found.point.get("valid")),
    }


def _part(found: Explained, group: str) -> dict[str, float] | None:
    """Seconds and joules of one step that the group's operations took alone; None unless all of them were measured."""
    ops = [op for op in (found.operations.ops if found.operations else ()) if op.group == group]
    seconds = [op.time_s for op in ops if op.time_s is not None]
    joules = [op.energy_j for op in ops if op.energy_j is not None]
    if not ops or len(seconds) < len(ops):
        return None
    return {"s": sum(seconds)} | ({"j": sum(joules)} if len(joules) == len(ops) else {})


def _over(row: Mapping[str, Any], even: Mapping[str, Any]) -> dict[str, Any]:
    """What a row has beyond the baseline; None where either lacks the figure."""

    def beyond(a: float | None, b: float | None) -> float | None:
        return None if a is None or b is None else a - b

    parts = {}
    for group in MOVED:
        mine, base = row["parts"][group] or {}, even["parts"][group] or {}
        parts[group] = {unit: beyond(mine.get(unit), base.get(unit)) for unit in ("s", "j")}
    return {name: beyond(row[name], even[name]) for name in ("step_s", "gpu_s", "energy_j", "usd_per_mtok")} | {"parts": parts}
