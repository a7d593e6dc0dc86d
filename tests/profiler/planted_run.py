"""A decode step on an H200 whose every cause is known: 100 tokens, four operations, in round figures.

    operation   FLOP, bytes                  datasheet: FLOP  roofline | ceilings: roofline | measured alone
    gate_up     9.89 G bf16, 96 MB                    10 us     20 us  |            24 us  |   2 x 20 us at 500 W
    head        98.9 G bf16, 4.8 MB                  100 us    100 us  |           125 us  |      150 us at 700 W
    norm        0, 48 MB                               0        10 us  |            12 us  |       15 us at 300 W
    attend      0, 480 MB                              0       100 us  |           120 us  |      160 us at 600 W
    together                                         110 us    230 us  |           281 us  |      365 us, 0.2255 J

Datasheet: 989 TFLOP/s, 4.8 TB/s. Ceilings: 791.2 TFLOP/s, 4.0 TB/s. The step takes 400 us and 0.24 J: gaps of 35 us and 0.0145 J.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from profiler.economics.points import derive_point
from profiler.economics.prices import PricePick
from profiler.explain.operations import operations_of
from profiler.explain.step import step_of
from profiler.explain.waterfall import Explained, Waterfall, explained, of_point
from profiler.gpus import GPUS
from tests.profiler import handmade_run as made

TOKENS = 100
PLAN_ID = "a" * 16
CEILINGS = {"bandwidth_bytes_per_s": 4.0e12, "copy_bytes_per_s": 3.2e12, "flops_per_s": {"bf16": 791.2e12}}
# part -> (seconds of all calls, watts), and what lies between the operations.
ALONE = {"experts.gate_up": (40e-6, 500.0), "head.logits": (150e-6, 700.0), "mlp.norm": (15e-6, 300.0), "attention.attend": (160e-6, 600.0)}
GAPS = (35e-6, 0.0145)


def entry(op: str, part: str, count: int, flops: float, nbytes: float, **attrs: Any) -> dict[str, Any]:
    lane = "bf16" if flops else None
    work = {"flops": flops, "lane": lane, "read_bytes": nbytes, "written_bytes": 0, "link_bytes": 0}
    return {"op": op, "part": part, "count": count, "shapes": {"x_TK": [[32, 64], "bfloat16"]}, "attrs": attrs, "work": work}


def plan(*more: dict[str, Any]) -> dict[str, Any]:
    calls = [
        entry("grouped_matmul", "experts.gate_up", 2, 9.89e9, 96e6, w_format="mxfp4"),
        entry("matmul", "head.logits", 1, 98.9e9, 4.8e6),
        entry("add_norm", "mlp.norm", 1, 0, 48e6),
        entry("attention", "attention.attend", 1, 0, 480e6),
    ]
    return {"calls": [*calls, *more]}


def all_reduce() -> dict[str, Any]:
    """Two calls of 3.9 MB among 8 ranks: 2 x (8.5 us + 3.9 MB / 390 GB/s) = 37 us on H200's NVLink."""
    found = entry("all_reduce", "attention.all_reduce", 2, 0, 0, group_size=8)
    return found | {"work": found["work"] | {"link_bytes": 7.8e6}}


def rows(alone: dict[str, tuple[float, float]] | None = None, **fields: Any) -> list[dict[str, Any]]:
    """Rows of ops/ as `run --per-op` writes them."""
    found = []
    for index, call in enumerate(plan()["calls"]):
        if call["part"] in (alone or ALONE):
            seconds, watts = (alone or ALONE)[call["part"]]
            one = seconds / call["count"]
            figures = {"call_s": {"median": one, "ci95": None, "n": 5}, "call_j": {"mean": one * watts, "ci95": None, "n": 5}, "why_not": None}
        else:
            figures = {"call_s": None, "call_j": None, "why_not": "no time was left"}
        windows = [{"t_start_s": 10.0 + index, "t_end_s": 10.5 + index, "calls": 1000, "energy_j": 100.0}]
        named = {"entry": index, "op": call["op"], "part": call["part"], "count": call["count"], "rotated": 8, "windows": windows}
        found.append(named | figures | fields)
    return found


def point(alone: dict[str, tuple[float, float]] | None = None, gaps: tuple[float, float] = GAPS, **fields: Any) -> dict[str, Any]:
    """The point whose step is the operations and the gaps: 10,000 steps in one window."""
    parts = alone or ALONE
    step_s = sum(s for s, _ in parts.values()) + gaps[0]
    step_j = sum(s * w for s, w in parts.values()) + gaps[1]
    steps = 10_000
    measured = {
        "step_s": {"median": step_s, "p10": step_s, "p90": step_s, "ci95": [step_s, step_s], "n": steps}, "output_tokens": steps * TOKENS,
        "input_tokens": 0, "tokens_per_step": TOKENS, "window_s": steps * step_s, "energy_j": steps * step_j, "board_w": step_j / step_s,
        "plan": PLAN_ID, "ceilings": CEILINGS, "batch": TOKENS, "mix": None,
        "windows": [{"t_start_s": 1.0, "t_end_s": 5.0, "steps": steps, "energy_j": steps * step_j}],
    }  # fmt: skip
    return made.point("decode-planted") | measured | fields


def price(**changes: Any) -> PricePick:
    """$3.60 per GPU-hour: a GPU-second costs $0.001, so 1 us per token is $0.001 per Mtok."""
    return replace(made.price(), **changes)


def worked_out(found: dict[str, Any], ops: list[dict[str, Any]], calls: dict[str, Any] | None = None, at: PricePick | None = None) -> Explained:
    gpu, steps = GPUS.get(found["gpu_key"] or ""), calls or plan()
    derived = derive_point(found, steps, gpu, at or price())
    step = step_of(derived, at or price())
    assert step is not None
    return explained("run", derived, step, operations_of(derived, steps, gpu, ops), at or price(), ops)


def waterfall(
    found: dict[str, Any] | None = None, ops: list[dict[str, Any]] | None = None, calls: dict[str, Any] | None = None, at: PricePick | None = None
) -> Waterfall:
    """The planted point's waterfall; each of its parts may be another."""
    return of_point(worked_out(found or point(), rows() if ops is None else ops, calls, at), at or price())
