"""FLOPS per dollar: what a datasheet sells. The tip of the iceberg, for contrast."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from profiler.gpus import GpuSpec


def vanity_of(point: Mapping[str, Any], plan: Mapping[str, Any] | None, gpu: GpuSpec | None, usd_per_gpu_hour: float | None) -> dict[str, Any] | None:
    """{"flops_per_s" (dense), "lane", "source", "pflop_per_s_per_usd_h"} of the matrix units that do most of the arithmetic. None where no peak is known."""
    lane = busiest_lane(plan)
    rate, source = peak_of(point, gpu, lane)
    if not rate:
        return None
    return {"flops_per_s": rate, "lane": lane, "source": source, "pflop_per_s_per_usd_h": rate / 1e15 / usd_per_gpu_hour if usd_per_gpu_hour else None}


def busiest_lane(plan: Mapping[str, Any] | None) -> str | None:
    """The matrix units that do most of a plan's arithmetic."""
    flops: dict[str, float] = {}
    for entry in (plan or {}).get("calls", ()):
        if entry["work"]["lane"]:
            flops[entry["work"]["lane"]] = flops.get(entry["work"]["lane"], 0.0) + entry["work"]["flops"]
    return max(flops, key=lambda lane: flops[lane], default=None)


def peak_of(point: Mapping[str, Any], gpu: GpuSpec | None, lane: str | None) -> tuple[float | None, str]:
    """FLOP/s of a lane by the datasheet, else as measured beside the point."""
    if lane is not None and gpu is not None and lane in gpu.flops_per_s:
        return gpu.flops_per_s[lane], "datasheet"
    return ((point.get("ceilings") or {}).get("flops_per_s") or {}).get(lane), "measured"
