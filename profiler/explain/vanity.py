"""FLOPS per dollar: what a datasheet sells. The tip of the iceberg, for contrast."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from profiler.gpus import GpuSpec


def vanity_of(point: Mapping[str, Any], plan: Mapping[str, Any] | None, gpu: GpuSpec | None, usd_per_gpu_hour: float | None) -> dict[str, Any] | None:
    """{"flops_per_s" (dense), "lane", "source", "pflop_per_s_per_usd_h"} of the matrix units that do most of the arithmetic. None where no peak is known."""
    flops: dict[str, float] = {}
    for entry in (plan or {}).get("calls", ()):
        lane = entry["work"]["lane"]
        if lane:
            flops[lane] = flops.get(lane, 0.0) + entry["work"]["flops"]
    if not flops:
        return None
    lane = max(flops, key=lambda name: flops[name])
    sheet = gpu.flops_per_s.get(lane) if gpu is not None else None
    rate = sheet or ((point.get("ceilings") or {}).get("flops_per_s") or {}).get(lane)
    if not rate:
        return None
    return {
        "flops_per_s": rate, "lane": lane, "source": "datasheet" if sheet else "measured",
        "pflop_per_s_per_usd_h": rate / 1e15 / usd_per_gpu_hour if usd_per_gpu_hour else None,
    }  # fmt: skip
