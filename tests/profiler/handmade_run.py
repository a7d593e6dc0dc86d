"""A recorded run made by hand, with round figures: H200, qwen3-30b-a3b in bf16, mix 8k/1k, decode at batch 32 and 128.

At $3.60 per GPU-hour a GPU-second costs $0.001, so all-in dollars per Mtok of output = GPU-seconds of a request / 1024 x 1000:
    prefill                40,960 tok/s: 8192 tokens take 0.2 s
    decode of batch 32      1,600 tok/s: 1024 tokens take 0.64 s:  0.84 s -> $0.8203
    decode of batch 128     4,000 tok/s: 1024 tokens take 0.256 s: 0.456 s -> $0.4453
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from profiler.economics.price_book import load_price_book
from profiler.economics.prices import PricePick, pick_price
from profiler.record.store import Run

RUN_ID = "20261122-153012-qwen3-30b-a3b-ab12"
CEILINGS = {"bandwidth_bytes_per_s": 4.3e12, "copy_bytes_per_s": 4.0e12, "flops_per_s": {"bf16": 788e12}}


def plan(part: str, *, gflop: float, gigabytes: float) -> dict[str, Any]:
    """A plan of two operations: one that only moves bytes, one that only computes."""
    base = {"op": "matmul", "count": 48, "shapes": {}, "attrs": {}}
    moves = {"flops": 0, "lane": None, "read_bytes": gigabytes * 1e9, "written_bytes": 0, "link_bytes": 0}
    computes = {"flops": gflop * 1e9, "lane": "bf16", "read_bytes": 0, "written_bytes": 0, "link_bytes": 0}
    return {"calls": [{**base, "part": "experts.up", "work": moves}, {**base, "part": part, "work": computes}]}


# At the ceilings above: decode 43 GB take 10 ms and 4,728 GFLOP take 6 ms = 16 ms; prefill 43 GB take 10 ms and 118,200 GFLOP take 150 ms = 160 ms.
PLANS = {"d" * 16: plan("head", gflop=4728, gigabytes=43), "e" * 16: plan("attention", gflop=118_200, gigabytes=43)}


def point(point_id: str, **fields: Any) -> dict[str, Any]:
    base = {
        "schema_version": 1, "run_id": RUN_ID, "point_id": point_id, "kind": "step", "status": "ok", "error": None, "model": "qwen3-30b-a3b",
        "weights": "random", "phase": "decode", "precision": "bf16", "kv_cache": "bf16", "batch": 128, "context": 8704, "query_len": 1, "mix": "8k/1k",
        "tp": 1, "ep": 1, "dp": 1, "span": None, "routing": "uniform", "rank": "hottest", "seed": 0, "gpu": "NVIDIA H200", "gpu_key": "h200",
        "measured_gpus": 1, "deployment_gpus": 1, "device": "cuda", "kernels": "triton", "kernel_ratio": None, "windows": [], "cached_tokens": 0,
        "board_w_p99": None, "idle_board_w": 75.0, "power_source": "nvml-counter", "sensor_accuracy": 0.05, "plan": "d" * 16, "ceilings": CEILINGS,
        "params": {"total": 30_532_122_624, "active": 3_353_000_000, "active_without_embedding": 3_042_000_000}, "weight_bytes": 61_064_245_248,
        "kv_bytes_per_token": 98_304, "valid": True, "invalid_reasons": [], "warnings": [],
        "provenance": {"step_s": "measured", "energy_j": "measured", "board_w": "measured"}, "environment": {},
    }  # fmt: skip
    return base | fields


def decode(batch: int, step_s: float, board_w: float, **fields: Any) -> dict[str, Any]:
    """Sixteen seconds of decode steps."""
    steps = round(16 / step_s)
    measured = {
        "step_s": {"median": step_s, "p10": step_s, "p90": step_s, "ci95": [step_s * 0.99, step_s * 1.01], "n": steps},
        "output_tokens": steps * batch, "input_tokens": 0, "tokens_per_step": batch, "window_s": 16.0, "energy_j": board_w * 16, "board_w": board_w,
    }  # fmt: skip
    return point(f"decode-b{batch}", batch=batch) | measured | fields


def prefill(**fields: Any) -> dict[str, Any]:
    """Ten seconds of prefill steps of 0.2 s: 40,960 tokens/s at 700 W."""
    measured = {
        "step_s": {"median": 0.2, "p10": 0.2, "p90": 0.2, "ci95": [0.199, 0.201], "n": 50}, "output_tokens": 0, "input_tokens": 50 * 8192,
        "tokens_per_step": 8192, "window_s": 10.0, "energy_j": 7000.0, "board_w": 700.0, "plan": "e" * 16, "phase": "prefill", "batch": 1,
        "context": 8192, "query_len": 8192,
    }  # fmt: skip
    return point("prefill-b1") | measured | fields


def run(*points: dict[str, Any], **header: Any) -> Run:
    """A run of these points; without any, of the prefill and both decodes."""
    found = list(points) or [prefill(), decode(32, 0.020, 480.0), decode(128, 0.032, 500.0)]
    base = {
        "schema_version": 1, "run_id": RUN_ID, "created": "2026-11-22T15:30:12+00:00", "command": "tokenmill run", "argv": ["run"], "tokenmill": "0.1.0",
        "environment": {"driver": "575.57.08", "cuda": "12.9", "torch": "2.13.0", "triton": "3.7.0", "gpu": {"name": "NVIDIA H200", "power_limit_w": 700.0}},
        "price": None, "status": "done",
    }  # fmt: skip
    return Run(path=Path("runs") / RUN_ID, header=base | header, points=found, plans=PLANS)


def price(**flags: Any) -> PricePick:
    """$3.60 per GPU-hour, declared, on an H200."""
    return pick_price(load_price_book(), "h200", **({"usd_per_gpu_hour": 3.6} | flags))


def no_price() -> PricePick:
    return replace(pick_price(load_price_book(), None), provisioned_kw_per_gpu=None)


def cpu_point(found: dict[str, Any]) -> dict[str, Any]:
    """The same point on a CPU without any power source."""
    return found | {
        "gpu": None, "gpu_key": None, "device": "cpu", "power_source": "none", "energy_j": None, "board_w": None, "idle_board_w": None,
        "warnings": ["no_power: no NVIDIA driver on this machine"], "provenance": {"step_s": "measured"},
    }  # fmt: skip


def out_of_memory(batch: int) -> dict[str, Any]:
    """A decode point that did not fit: nothing was measured."""
    return decode(batch, 0.1, 0.0) | {
        "status": "oom", "error": "out of memory", "step_s": None, "output_tokens": None, "input_tokens": None, "tokens_per_step": None, "window_s": None,
        "energy_j": None, "board_w": None, "power_source": "none", "plan": None, "ceilings": None, "valid": False, "provenance": {},
    }  # fmt: skip
