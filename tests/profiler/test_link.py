from typing import Any

import pytest

from profiler.gpus import GPUS, GpuSpec
from profiler.modelled.link import COMBINE_ROW, DISPATCH_ROW, EXCHANGE_US, LinkTime, Span, collective_seconds, span_of
from triton_kernels.errors import TokenmillError

H200, GB200 = GPUS["h200"], GPUS["gb200"]
MIB = 1 << 20


def link(span: str, gpu: GpuSpec | None = H200, gpus: int = 32) -> LinkTime:
    found = span_of(gpu, gpus, span)
    assert found is not None
    return LinkTime(gpu=gpu, span=found)


@pytest.mark.parametrize(
    ("tokens", "dispatch_us", "combine_us"), [(1, 11.9, 12.6), (32, 16.5, 24.6), (64, 23, 39), (128, 35, 68), (256, 61, 124)]
)  # ai-dynamo/aiconfigurator comm rows, H200 DeepEP low latency over NVLink, EP8
def test_the_cited_nvlink_exchanges_are_met(tokens: int, dispatch_us: float, combine_us: float) -> None:
    pairs = tokens * 8 * 7 / 8  # of a token's eight choices, seven are on other ranks
    domain = link("nvl8", gpus=8)
    assert domain.of_call("ep_dispatch", 8, pairs * DISPATCH_ROW)[0] == pytest.approx(dispatch_us * 1e-6, rel=0.10)
    assert domain.of_call("ep_combine", 8, pairs * COMBINE_ROW)[0] == pytest.approx(combine_us * 1e-6, rel=0.10)


@pytest.mark.parametrize(("nodes", "dispatch_us", "combine_us"), [(2, 102, 186), (4, 143, 263), (8, 167, 305), (16, 192, 369), (32, 194, 360)])
def test_the_cited_exchanges_of_nodes_are_met(nodes: int, dispatch_us: float, combine_us: float) -> None:
    pairs = 128 * 8 * (1 - 1 / (8 * nodes))
    across = link("nodes", gpus=8 * nodes)
    seconds, source = across.of_call("ep_dispatch", 8 * nodes, pairs * DISPATCH_ROW)
    assert seconds == pytest.approx(dispatch_us * 1e-6, rel=1e-6)
    assert ("H800" if nodes > 8 else "H200") in source
    assert across.of_call("ep_combine", 8 * nodes, pairs * COMBINE_ROW)[0] == pytest.approx(combine_us * 1e-6, rel=1e-6)


def test_one_node_of_the_table_of_nodes_is_the_nvlink_fit() -> None:
    """40 and 72 us at 128 tokens on one node, another series of the same rows."""
    domain = link("nvl8", gpus=8)
    assert domain.of_call("ep_dispatch", 8, 896 * DISPATCH_ROW)[0] == pytest.approx(40e-6, rel=0.105)
    assert domain.of_call("ep_combine", 8, 896 * COMBINE_ROW)[0] == pytest.approx(72e-6, rel=0.105)


@pytest.mark.parametrize(("mib", "us"), [(0.5, 11), (1, 14), (2, 18), (4, 27), (8, 46), (16, 87)])
def test_the_cited_all_reduces_of_eight_gpus_are_met(mib: float, us: float) -> None:
    assert link("nvl8", gpus=8).of_call("all_reduce", 8, mib * MIB * 2 * 7 / 8)[0] == pytest.approx(us * 1e-6, rel=0.10)


@pytest.mark.parametrize(("mib", "us"), [(1, 121.8), (8, 146.5), (16, 203.0), (32, 298.5), (64, 467.9)])
def test_the_cited_all_reduces_of_two_nodes_are_met(mib: float, us: float) -> None:
    seconds, source = link("nodes", gpus=16).of_call("all_reduce", 16, mib * MIB * 2 * 15 / 16)
    assert seconds == pytest.approx(us * 1e-6, rel=0.10)
    assert "assumed" not in source


def layer_s(where: LinkTime, group: int, tokens: int = 128) -> float:
    pairs = tokens * 8 * (1 - 1 / group)
    return where.of_call("ep_dispatch", group, pairs * DISPATCH_ROW)[0] + where.of_call("ep_combine", group, pairs * COMBINE_ROW)[0]


def test_deepseek_r1_exchanges_of_a_step() -> None:
    """EP32, 128 tokens per rank, 58 MoE layers: (143 + 263) us over four nodes; (35 + 68) us of EP8, and 31/32 instead of 7/8 leave, in one NVLink domain."""
    assert 58 * layer_s(link("nodes"), 32) == pytest.approx(23.5e-3, rel=0.02)
    assert 58 * layer_s(link("nvl72"), 32) == pytest.approx(6e-3, rel=0.10)


def test_numbers_of_nodes_between_and_beyond_the_cited_ones() -> None:
    times = [layer_s(link("nodes", gpus=8 * n), 8 * n) for n in (2, 3, 4)]
    assert times[0] < times[1] < times[2]
    assert layer_s(link("nodes", gpus=512), 512) == pytest.approx(layer_s(link("nodes", gpus=256), 256), rel=0.01)


def test_a_faster_nvlink_scales_the_bandwidth_and_keeps_the_latency() -> None:
    """900 GB/s one way are twice H200's 450."""
    (slow, _), (fast, source) = (link("nvl72", gpu).of_call("ep_dispatch", 32, 7e6) for gpu in (H200, GB200))
    (empty, _) = link("nvl72", GB200).of_call("ep_dispatch", 32, 0)
    assert fast - empty == pytest.approx((slow - empty) / 2)
    assert empty == link("nvl72", H200).of_call("ep_dispatch", 32, 0)[0]
    assert source.startswith("modelled: bandwidth x 2")


@pytest.mark.parametrize(
    ("key", "gpus", "wanted", "span"),
    [
        ("h200", 1, None, None),
        ("h200", 8, None, Span(name="nvl8", domain=8)),
        ("h200", 16, None, Span(name="nodes", domain=8)),
        ("h200", 32, "nvl72", Span(name="nvl72", domain=72)),
        ("gb200", 72, None, Span(name="nvl72", domain=72)),
        ("gb200", 128, None, Span(name="nodes", domain=72)),
        ("gb200", 32, "nodes", Span(name="nodes", domain=8)),
        ("rtx_pro_6000", 4, None, Span(name="nodes", domain=1)),
        (None, 2, None, Span(name="nvl8", domain=8)),
    ],
)
def test_spans(key: str | None, gpus: int, wanted: str | None, span: Span | None) -> None:
    assert span_of(None if key is None else GPUS[key], gpus, wanted) == span


@pytest.mark.parametrize(
    ("gpus", "wanted", "says"),
    [
        (8, "nvl36", "unknown span 'nvl36'"),
        (32, "nvl8", "--span nvl8: the deployment has 32 GPUs, more than 8; use nvl72 or nodes"),
        (128, "nvl72", "use nodes"),
        (8, "nodes", "--span nodes: 8 GPUs are one node"),
        (1, "nvl8", "one GPU has nothing to exchange"),
    ],
)
def test_spans_that_cannot_be(gpus: int, wanted: str, says: str) -> None:
    with pytest.raises(TokenmillError, match=says) as caught:
        span_of(H200, gpus, wanted)
    assert "\n" not in str(caught.value)


def entry(op: str, *, count: int, link_bytes: float, group: int) -> dict[str, Any]:
    attrs = {"group": "ep" if op.startswith("ep") else "tp", "group_size": group}
    return {"op": op, "part": f"layer.{op}", "count": count, "attrs": attrs, "work": {"link_bytes": link_bytes}}


def test_a_plans_collectives() -> None:
    """Two reductions of 3.9 MB in a node: 2 x (8.5 + 10) us. An exchange of 58 calls over four nodes. Neither a matmul nor a group of one crosses a link."""
    sent = 992 * DISPATCH_ROW
    plan = {
        "calls": [
            entry("all_reduce", count=2, link_bytes=7.8e6, group=8),
            entry("ep_dispatch", count=58, link_bytes=58 * sent, group=32),
            entry("all_gather", count=1, link_bytes=0.0, group=1),
            {"op": "matmul", "part": "head", "count": 1, "attrs": {}, "work": {"link_bytes": 0}},
        ]
    }
    reduce, dispatch = link("nodes").of_plan(plan)
    assert (reduce["count"], reduce["bytes"], reduce["span"]) == (2, 7.8e6, "nvl8")
    assert reduce["s"] == pytest.approx(37e-6)
    assert (dispatch["part"], dispatch["span"]) == ("layer.ep_dispatch", "nodes")
    assert dispatch["s"] == pytest.approx(58 * EXCHANGE_US[4]["ep_dispatch"] * 1e-6)
    assert collective_seconds([reduce, dispatch], 8e-3) == pytest.approx({"overlapped": 58 * 143e-6 + 37e-6 - 8e-3, "serial": 58 * 143e-6 + 37e-6})
    assert collective_seconds([reduce], 8e-3)["overlapped"] == 0.0


def test_links_that_nobody_measured_say_so() -> None:
    assert link("nvl8", gpus=8).of_call("all_gather", 8, 1e6)[1].startswith("assumed: as all_reduce")
    unknown_gpu = link("nvl8", None, gpus=2)
    assert unknown_gpu.provenance == "assumed"
    assert unknown_gpu.of_call("all_reduce", 2, 1e6)[1].startswith("assumed: as H200 SXM")
    assert link("nodes", gpus=32).of_call("all_reduce", 32, 1e6)[1].startswith("assumed: as NVIDIA/nccl")
