"""The roofline of a plan: the least time its arithmetic and its memory traffic take at given rates. Plain numbers; importable without torch.

Source: Williams, Waterman, Patterson, "Roofline" (CACM 2009), applied per operation and summed: the operations of a step run one after another.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from profiler.gpus import GpuSpec
from profiler.modelled.link import group_of
from triton_kernels.errors import TokenmillError, unknown

BANDWIDTH = "bandwidth"
LANES = ("bf16", "fp8", "fp4", "fp32")


@dataclass(frozen=True, kw_only=True, slots=True)
class Floor:
    """The floor of one step. `floor_s` is None when a rate that the plan needs is unknown; `missing` names it."""

    floor_s: float | None
    flops: float  # of all lanes together
    memory_bytes: float
    link_bytes: float
    rates: dict[str, float]  # what was used: bandwidth in bytes/s, lanes in FLOP/s
    rates_source: str  # "datasheet", "measured", "given", or two of them
    missing: tuple[str, ...]
    ops: list[dict[str, Any]]  # one per plan entry that is no collective: op, part, count, flops, bytes, link_bytes, floor_s, bound ("memory" | "compute")


def parse_ceilings(text: str) -> dict[str, float]:
    """`bandwidth=4.3e12,bf16=788e12` as {"bandwidth": bytes/s, lane: FLOP/s}. A TokenmillError for unknown names and for rates that are not above 0."""
    rates: dict[str, float] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = (part.strip() for part in item.partition("="))
        if name not in (BANDWIDTH, *LANES):
            raise unknown("ceiling", name, (BANDWIDTH, *LANES))
        if name in rates:
            raise TokenmillError(f"--ceilings: {name} is given twice")
        rates[name] = _rate(name, value) if equals else _rate(name, "")
    if not rates:
        raise TokenmillError("--ceilings: nothing given; write for example bandwidth=4.3e12,bf16=788e12 (bytes/s and FLOP/s)")
    return rates


def _rate(name: str, text: str) -> float:
    unit = "bytes/s" if name == BANDWIDTH else "FLOP/s"
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    # A thousand times less than any GPU's or CPU's is TB/s or TFLOP/s typed for bytes/s or FLOP/s.
    if not math.isfinite(value) or value < 1e8:
        raise TokenmillError(f"--ceilings: {name}={text[:40]!r} should be a rate in {unit}, such as {name}={'4.3e12' if name == BANDWIDTH else '788e12'}")
    return value


def floor_of_plan(plan: Mapping[str, Any], *, gpu: GpuSpec | None, ceilings: Mapping[str, float] | None = None, ceilings_name: str = "given") -> Floor:
    """The floor of a plan's JSON at `ceilings`, the GPU's datasheet filling in rates they lack.

    `plan`: {"calls": [{"op", "part", "count", "work": {"flops", "lane", "read_bytes", "written_bytes", "link_bytes"}}]}, work being an entry's total.
    `ceilings`: {"bandwidth": bytes/s, lane: FLOP/s}. Collectives among several ranks are left out, with what they read and write in memory: links have
    their own model, whose cited times are of whole kernels. Bytes over the link are counted.
    """
    calls = [entry for entry in plan["calls"] if group_of(entry) == 1]
    rates, source = _rates(calls, gpu, ceilings or {}, ceilings_name)
    ops = [_op(entry, rates) for entry in calls]
    missing = tuple(sorted({name for entry in calls for name in _needs(entry) if name not in rates}))
    return Floor(
        floor_s=None if missing else math.fsum(op["floor_s"] for op in ops),
        flops=math.fsum(op["flops"] for op in ops),
        memory_bytes=math.fsum(op["bytes"] for op in ops),
        link_bytes=math.fsum(entry["work"]["link_bytes"] for entry in plan["calls"]),
        rates=rates,
        rates_source=source,
        missing=missing,
        ops=ops,
    )


def share_of_roofline(floor_s: float | None, step_s: float | None) -> float | None:
    """Floor over measured time: 1 = as fast as the rates allow. None when either is unknown."""
    return None if floor_s is None or not step_s else floor_s / step_s


def _needs(entry: Mapping[str, Any]) -> set[str]:
    work = entry["work"]
    needs = {BANDWIDTH} if work["read_bytes"] + work["written_bytes"] else set()
    return needs | {work["lane"]} if work["flops"] and work["lane"] else needs


def _rates(calls: Sequence[Mapping[str, Any]], gpu: GpuSpec | None, ceilings: Mapping[str, float], name: str) -> tuple[dict[str, float], str]:
    """Rates by name and where they come from: `ceilings` first, then the datasheet."""
    datasheet = {BANDWIDTH: gpu.bandwidth_bytes_per_s, **gpu.flops_per_s} if gpu else {}
    needed = {rate for entry in calls for rate in _needs(entry)}
    rates = {rate: ceilings.get(rate, datasheet.get(rate)) for rate in sorted(needed)}
    used = [label for label, table in ((name, ceilings), ("datasheet", {k: v for k, v in datasheet.items() if k not in ceilings})) if needed & set(table)]
    return {rate: value for rate, value in rates.items() if value is not None}, " and ".join(used) or "none"


def _op(entry: Mapping[str, Any], rates: Mapping[str, float]) -> dict[str, Any]:
    work = entry["work"]
    nbytes = work["read_bytes"] + work["written_bytes"]
    compute_s = work["flops"] / rates[work["lane"]] if work["flops"] and work["lane"] in rates else 0.0
    memory_s = nbytes / rates[BANDWIDTH] if BANDWIDTH in rates else 0.0
    known = all(need in rates for need in _needs(entry))
    return {
        "op": entry["op"],
        "part": entry["part"],
        "count": entry["count"],
        "flops": work["flops"],
        "bytes": nbytes,
        "link_bytes": work["link_bytes"],
        "floor_s": max(compute_s, memory_s) if known else None,
        "bound": ("compute" if compute_s > memory_s else "memory") if known else None,
    }
