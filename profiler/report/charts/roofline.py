"""The data of the roofline chart: what each step does per byte and per second, under this machine's own ceilings and under the datasheet's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from profiler.explain.vanity import busiest_lane
from profiler.gpus import GPUS
from profiler.pareto.operating import Reported, machine, positive
from profiler.report.rows import ok, size_of

MOST_POINTS = 2000


def roofline_data(reported: Reported, most: int = MOST_POINTS) -> dict[str, Any]:
    """{"x", "y": axes, "machines": [{"label", "roofs": [{"lane", "source", "flops_per_s", "bandwidth_bytes_per_s"}]}], "points": [...], "left_out"}.

    A point: FLOP per byte of device memory (`x`) and FLOP/s (`y`) of one step on one GPU; both follow from its plan, the time is measured. A roof is
    min(flops_per_s, x * bandwidth_bytes_per_s), by `source`: "measured" beside the points, or "datasheet".
    """
    machines: dict[str, dict[tuple[str, str], dict[str, Any]]] = {}
    points: list[dict[str, Any]] = []
    for run, _, derived in reported:
        lanes = {name: busiest_lane(plan) for name, plan in run.plans.items()}
        for point in derived.points:
            found = _point(point, lanes.get(str(point.get("plan"))))
            if found is not None:
                name = machine(run, point)
                points.append(found | {"run_id": run.run_id, "machine": name})
                machines.setdefault(name, {}).update({(roof["lane"], roof["source"]): roof for roof in _roofs(point, found["lane"])})
    stride = max(1, -(-len(points) // most))
    return {
        "x": {"label": "arithmetic intensity", "unit": "FLOP per byte of device memory"},
        "y": {"label": "arithmetic", "unit": "FLOP/s"},
        "machines": [{"label": name, "roofs": list(roofs.values())} for name, roofs in machines.items()],
        "points": points[::stride],
        "left_out": len(points) - len(points[::stride]),
    }


def _point(point: Mapping[str, Any], lane: str | None) -> dict[str, Any] | None:
    flops, moved, step = (positive(value) for value in (point.get("step_flops"), point.get("step_memory_bytes"), (point.get("step_s") or {}).get("median")))
    if flops is None or moved is None or step is None or not ok(point):
        return None
    return {
        "x": flops / moved, "y": flops / step, "phase": point.get("phase"), "precision": point.get("precision"), "batch": point.get("batch"),
        "name": " ".join(str(part) for part in (point.get("phase"), point.get("precision"), size_of(point)) if part),
        "lane": lane, "point_id": point.get("point_id"),
        "share_of_roofline": point.get("share_of_roofline"), "valid": bool(point.get("valid")),
        "kind": (point.get("provenance") or {}).get("step_s") or "measured",
    }  # fmt: skip


def _roofs(point: Mapping[str, Any], lane: str | None) -> Sequence[dict[str, Any]]:
    """The roof of the point's matrix units as measured and as sold, each where both its rates are known."""
    measured, gpu = point.get("ceilings") or {}, GPUS.get(str(point.get("gpu_key")))
    rates = [("measured", measured.get("bandwidth_bytes_per_s"), (measured.get("flops_per_s") or {}).get(lane))]
    if gpu is not None:
        rates.append(("datasheet", gpu.bandwidth_bytes_per_s, gpu.flops_per_s.get(str(lane))))
    return [
        {"lane": str(lane), "source": source, "flops_per_s": flops, "bandwidth_bytes_per_s": bandwidth}
        for source, bandwidth, flops in ((source, positive(bandwidth), positive(flops)) for source, bandwidth, flops in rates)
        if bandwidth is not None and flops is not None
    ]
