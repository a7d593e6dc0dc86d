"""A run on disk of three number formats at many batches on an H200, with power samples, operations measured alone, an invalid point and one out of memory.

Steps take time by a simple law, so that fronts are fronts: a decode of batch b takes (10 ms + b x 0.1 ms) x the format's factor at 400 W + 2 W x b.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from profiler.record.store import RunWriter
from tests.profiler import handmade_run as made

FORMATS = {"bf16": (1.0, 61e9), "fp8": (0.6, 31e9), "mxfp4": (0.5, 18e9)}  # time, bytes of weights
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)
INVALID, OUT_OF_MEMORY = ("fp8", 16), ("bf16", 128)


def record(root: Path, batches: Sequence[int] = BATCHES, **header: Any) -> Path:
    """Writes the run; its folder. `header`: fields of run.json that are another's."""
    writer = RunWriter.create(root, subject="qwen3-30b-a3b", argv=["run", "--precision", ",".join(FORMATS), "--note", "two words"], version="0.1.0")
    writer.update(environment=made.run().header["environment"], **header)
    at = 1000.0
    for n, (name, (factor, weights)) in enumerate(FORMATS.items()):
        plan = (f"{n}" * 16, made.plan("attention.attend", gflop=4728, gigabytes=43))
        shared = {"precision": name, "weight_bytes": weights, "numerics": numerics(n), "plan": plan[0]}
        for point in [_prefill(name, factor, at), *(_decode(name, batch, factor, at) for batch in batches)]:
            ran = point["status"] == "ok"
            found = point | shared if ran else point | {"precision": name}
            rows = {"series": samples(at, point["board_w"]), "ops": _alone(found), "plan": plan[1]} if ran else {}
            writer.commit(found | {"run_id": writer.path.name}, **rows)
            at += 40.0
    writer.finish("done")
    return writer.path


def numerics(n: int) -> dict[str, Any] | None:
    """What the n-th format does to the numbers; nothing is said of the first, which the others are compared with."""
    if n == 0:
        return None
    figures = {"logits_relative_error": 0.01 * n, "kl_nats": 0.001 * n, "top1_agreement": 1 - 0.02 * n}
    return {"against": "bf16", "tokens": 8192, "parts": {"experts": 0.01 * n}} | figures


def _prefill(name: str, factor: float, at: float) -> dict[str, Any]:
    step_s = 0.2 * factor
    found = made.prefill(point_id=f"prefill-{name}", windows=_windows(at, step_s, 700.0), window_s=50 * step_s, energy_j=700.0 * 50 * step_s)
    return found | {"step_s": {"median": step_s, "p10": step_s, "p90": step_s, "ci95": [step_s * 0.995, step_s * 1.005], "n": 50}}


def _decode(name: str, batch: int, factor: float, at: float) -> dict[str, Any]:
    step_s, watts = (0.010 + batch * 0.0001) * factor, min(400.0 + 2 * batch, 700.0)
    if (name, batch) == OUT_OF_MEMORY:
        return made.out_of_memory(batch) | {"point_id": f"decode-{name}-{batch}"}
    found = made.decode(batch, step_s, watts, point_id=f"decode-{name}-{batch}", windows=_windows(at, step_s, watts))
    found["energy_per_step_j"] = {"mean": watts * step_s, "ci95": [watts * step_s * 0.995, watts * step_s * 1.005], "n": 5}
    if (name, batch) == INVALID:  # so fast that it would be on the front
        found |= {"valid": False, "invalid_reasons": ["throttled_thermal", "noise_above_limit"]}
        found |= {"output_tokens": found["output_tokens"] * 2, "step_s": found["step_s"] | {"median": step_s / 2}}
    return found


def _windows(at: float, step_s: float, watts: float) -> list[dict[str, Any]]:
    """Five windows of 3 s with a tenth of a second between them."""
    return [
        {
            "t_start_s": at + 3.1 * n, "t_end_s": at + 3.1 * n + 3, "steps": round(3 / step_s), "step_s": step_s, "energy_j": watts * 3, "board_w": watts,
            "sm_hz": 1.755e9, "temperature_c": 60 + n,
        }
        for n in range(5)
    ]  # fmt: skip


def samples(at: float, watts: float) -> list[dict[str, Any]]:
    """A sample every tenth of a second: idle for two seconds, 16 s of load, idle again."""
    shared = {"counter_j": None, "average_w": None, "device": "gpu0", "boundary": "board", "sm_hz": 1.755e9}
    return [
        {"t_s": at - 2 + n / 10, "instant_w": watts if 20 <= n < 180 else 80.0, "temperature_c": 50.0 + n // 20} | shared for n in range(200)
    ]  # fmt: skip


def _alone(point: dict[str, Any]) -> list[dict[str, Any]]:
    """Each of the plan's two operations alone: 45 % of the step."""
    seconds = point["step_s"]["median"] * 0.45 / 48
    one = {"count": 48, "rotated": 8, "windows": [], "call_s": {"median": seconds, "ci95": None, "n": 5}, "call_j": None, "why_not": None}
    return [{"entry": 0, "op": "matmul", "part": "experts.up", **one}, {"entry": 1, "op": "matmul", "part": "attention.attend", **one}]
