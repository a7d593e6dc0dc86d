"""What collectives take, by how far apart the GPUs are: latency plus bytes over bandwidth, fitted on cited rows. Importable without torch.

Bytes are those that `Work.link_bytes` counts: what one rank sends in one call. For tokens that travel to their experts: a row for each (token, choice) pair
whose expert is on another rank, as DeepEP's low-latency kernels send them. Every cited row lies within about 10 % of its fit (tests/profiler/test_link.py); the
cited all-to-all rows end at 256 tokens per rank, and what is priced beyond them is extrapolated.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from profiler.gpus import GPUS, GpuSpec
from triton_kernels.errors import TokenmillError, unknown

SPANS = ("nvl8", "nvl72", "nodes")  # one HGX board's NVLink domain, one NVL72 rack's, HGX nodes of 8 GPUs behind a NIC each
_DOMAINS = {"nvl8": 8, "nvl72": 72}
HGX_GPUS = 8
MEASURED_ON = GPUS["h200"]  # the NVLink rows' GPU; H100 and H800 rows are of the same NVLink generation

# A row of 7168 values in e4m3 with a 4-byte scale for each 128, an id and a weight; back in bf16. Token and choice pairs of 128 tokens, top-8.
DISPATCH_ROW, COMBINE_ROW, PAIRS_OF_128 = 7168 + 4 * 56 + 8, 2 * 7168, 128 * 8

DEEPEP_H200 = "ai-dynamo/aiconfigurator comm rows, H200 DeepEP low latency"
DEEPEP_H800 = "deepseek-ai/DeepEP docs/legacy.md, low-latency kernels, H800"
VLLM_ALL_REDUCE = "vllm-project/vllm pull request 42324, symmetric-memory all-reduce on Hopper"
NCCL_NODES = "NVIDIA/nccl issue 1244, all-reduce of two H20 nodes"


@dataclass(frozen=True, kw_only=True, slots=True)
class Fit:
    """Seconds of a call that sends so many bytes: latency + bytes / bandwidth."""

    latency_s: float
    bytes_per_s: float
    source: str

    def seconds(self, nbytes: float) -> float:
        return self.latency_s + nbytes / self.bytes_per_s


# NVLink, EP8, hidden 7168, top-8. Cited us at 1, 32, 64, 128, 256 tokens per rank: dispatch 11.9, 16.5, 23, 35, 61; combine 12.6, 24.6, 39, 68, 124.
# Seven eighths of the pairs leave a rank: 51.8 kB to 13.3 MB out, 100 kB to 25.7 MB back. Both slopes are steady, 26 us per 6.6 MB and 56 us per 12.8 MB.
_NVLINK_EXCHANGE = {
    "ep_dispatch": Fit(latency_s=11.0e-6, bytes_per_s=265e9, source=DEEPEP_H200),
    "ep_combine": Fit(latency_s=11.5e-6, bytes_per_s=228e9, source=DEEPEP_H200),
}

# Nodes of 8: cited us at 128 tokens per rank by number of nodes. H800 rows fill in what the H200 rows lack: both send through 400 Gb/s NICs.
EXCHANGE_US: dict[int, dict[str, float]] = {
    2: {"ep_dispatch": 102, "ep_combine": 186},
    4: {"ep_dispatch": 143, "ep_combine": 263},
    8: {"ep_dispatch": 167, "ep_combine": 305},
    16: {"ep_dispatch": 192, "ep_combine": 369},
    32: {"ep_dispatch": 194, "ep_combine": 360},
}
_MOST_H200_NODES = 8
# Assumed: the NVLink kernels' 11 us and about 10 us more for an RDMA write and its flag through two NICs and a switch; no cited row has few enough tokens.
_NODES_LATENCY_S = 21e-6

# NVLink all-reduce (multimem), the last of the Hopper tables, taken for 8 GPUs. Cited us at 0.5, 1, 2, 4, 8, 16 MiB: 11, 14, 18, 27, 46, 87.
# A ring would send 2 x 7/8 of the tensor, which is how bytes are counted.
_NVLINK_ALL_REDUCE = Fit(latency_s=8.5e-6, bytes_per_s=390e9, source=VLLM_ALL_REDUCE)
# Two nodes of 8. Cited us at 1, 8, 16, 32, 64 MiB: 122, 146, 203, 298, 468, of which 2 x 15/16 is sent. Smaller messages, of which no row is at hand, may
# be faster.
_NODES_ALL_REDUCE = Fit(latency_s=110e-6, bytes_per_s=350e9, source=NCCL_NODES)

COLLECTIVES = ("all_reduce", "all_gather", "gather_rows", "ep_dispatch", "ep_combine")


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """What a deployment covers. `domain`: GPUs that NVLink joins; those of a tensor-parallel group are neighbours."""

    name: str
    domain: int

    def nodes(self, group: int) -> int:
        """NVLink domains that a group of so many neighbours covers."""
        return math.ceil(group / self.domain)


def span_of(gpu: GpuSpec | None, gpus: int, wanted: str | None = None) -> Span | None:
    """The span of `gpus` GPUs: `wanted`, else the GPU's NVLink domain where that is enough, else nodes. None for one GPU.

    A GPU not in the table is taken for one on an HGX board.
    """
    if wanted is not None and wanted not in SPANS:
        raise unknown("span", wanted, SPANS)
    if gpus == 1:
        if wanted is not None:
            raise TokenmillError(f"--span {wanted}: one GPU has nothing to exchange; give --tp, --ep or --dp")
        return None
    own = gpu.nvlink_domain if gpu is not None else HGX_GPUS
    if wanted is None and gpus <= own:
        return Span(name="nvl72" if own > HGX_GPUS else "nvl8", domain=own)
    if wanted in _DOMAINS:
        if gpus > _DOMAINS[wanted]:
            wider = "nvl72 or nodes" if gpus <= _DOMAINS["nvl72"] else "nodes"
            raise TokenmillError(f"--span {wanted}: the deployment has {gpus} GPUs, more than {_DOMAINS[wanted]}; use {wider}")
        return Span(name=wanted, domain=_DOMAINS[wanted])
    if gpus > own:
        return Span(name="nodes", domain=own)
    if gpus <= HGX_GPUS:
        raise TokenmillError(f"--span nodes: {gpus} GPUs are one node; use nvl8")
    return Span(name="nodes", domain=HGX_GPUS)


def group_of(entry: Mapping[str, Any]) -> int:
    """Ranks that a plan entry's call runs among; 1 for all but collectives."""
    return int(entry["attrs"].get("group_size", 1)) if entry["op"] in COLLECTIVES else 1


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkTime:
    """The time of a plan's collectives on GPUs of one kind across one span."""

    gpu: GpuSpec | None  # None: not in the table; its links are taken for H200's
    span: Span

    @property
    def provenance(self) -> str:
        return "assumed" if self.gpu is None else "modelled"

    def of_call(self, op: str, group: int, nbytes: float) -> tuple[float, str]:
        """Seconds of one call among `group` ranks that sends `nbytes` from each, and where the figures come from."""
        nodes = self.span.nodes(group)
        fit = self._nvlink(op) if nodes == 1 else _across_nodes(op, nodes)
        return fit.seconds(nbytes), fit.source

    def of_plan(self, plan: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Each collective of a plan's JSON: {"op", "part", "count", "bytes" (all calls), "span", "s" (all calls), "source"}."""
        rows: list[dict[str, Any]] = []
        for entry in plan["calls"]:
            group = group_of(entry)
            if group == 1:
                continue
            count, nbytes = entry["count"], entry["work"]["link_bytes"]
            seconds, source = self.of_call(entry["op"], group, nbytes / count)
            inside = self.span.name == "nodes" and self.span.nodes(group) == 1
            row = {"op": entry["op"], "part": entry["part"], "count": count, "bytes": nbytes, "span": f"nvl{self.span.domain}" if inside else self.span.name}
            rows.append(row | {"s": count * seconds, "source": source})
        return rows

    def _nvlink(self, op: str) -> Fit:
        """Inside one NVLink domain. Another generation's bandwidth is scaled by its datasheet's NVLink rate, its latency kept."""
        cited = _NVLINK_EXCHANGE.get(op, _NVLINK_ALL_REDUCE)
        source = cited.source if op in ("all_reduce", *_NVLINK_EXCHANGE) else f"assumed: as all_reduce, {cited.source}"
        if self.gpu is None:
            return Fit(latency_s=cited.latency_s, bytes_per_s=cited.bytes_per_s, source=f"assumed: as {MEASURED_ON.name}, {source}")
        own, reference = self.gpu.nvlink_bytes_per_s, MEASURED_ON.nvlink_bytes_per_s
        assert reference is not None
        # A GPU without NVLink in an NVLink span that was asked for: as the span's own machines.
        ratio = 1.0 if own is None else own / reference
        if ratio != 1.0:
            source = f"modelled: bandwidth x {ratio:.3g} by the datasheets' NVLink, {source}"
        return Fit(latency_s=cited.latency_s, bytes_per_s=cited.bytes_per_s * ratio, source=source)


def _across_nodes(op: str, nodes: int) -> Fit:
    """Across NICs. The exchange's bandwidth lies between those of the cited numbers of nodes, on the logarithm; beyond the last it stays."""
    if op not in _NVLINK_EXCHANGE:
        source = NCCL_NODES if op == "all_reduce" and nodes == 2 else f"assumed: as {NCCL_NODES}"
        return Fit(latency_s=_NODES_ALL_REDUCE.latency_s, bytes_per_s=_NODES_ALL_REDUCE.bytes_per_s, source=source)
    low = max(n for n in EXCHANGE_US if n <= nodes)
    high = min((n for n in EXCHANGE_US if n >= nodes), default=low)
    step = 0.0 if low == high else math.log2(nodes / low) / math.log2(high / low)
    rate = _exchange_rate(op, low) * (1 - step) + _exchange_rate(op, high) * step
    return Fit(latency_s=_NODES_LATENCY_S, bytes_per_s=rate, source=DEEPEP_H200 if high <= _MOST_H200_NODES else DEEPEP_H800)


def _exchange_rate(op: str, nodes: int) -> float:
    """Bytes per second that meet the cited row of so many nodes of 8: all pairs but those for the rank's own experts leave it."""
    row = DISPATCH_ROW if op == "ep_dispatch" else COMBINE_ROW
    sent = PAIRS_OF_128 * (1 - 1 / (HGX_GPUS * nodes)) * row
    return sent / (EXCHANGE_US[nodes][op] * 1e-6 - _NODES_LATENCY_S)


def collective_seconds(links: list[dict[str, Any]], compute_s: float) -> dict[str, float]:
    """What the links of `LinkTime.of_plan` add to `compute_s` seconds of compute.

    serial: all of it, one after the other; overlapped: what sticks out where they hide behind the compute as far as it goes.
    """
    serial_s = math.fsum(row["s"] for row in links)
    return {"overlapped": max(0.0, serial_s - compute_s), "serial": serial_s}
