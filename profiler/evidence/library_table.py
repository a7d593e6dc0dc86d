"""Our kernels beside PyTorch's libraries at ten shapes that matter: rows from the records of the `operations` part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from profiler.explain.operations import Operation, Operations, operations_of
from profiler.gpus import GPUS
from profiler.modelled.floor_math import BANDWIDTH
from profiler.record.rows import read_rows
from profiler.record.store import Run

WORST = 3


@dataclass(frozen=True, kw_only=True)
class Shape:
    """An operation of one point: the folder of its run, the point's phase and recipe there (None: the run has one), its place in the model."""

    folder: str
    phase: str
    part: str
    precision: str | None = None


# The large operations of decode, which read weights and cache, and of prefill, which multiplies; in bf16 and fp8, at two batches.
TEN = (
    Shape(folder="operations", phase="decode", part="attention.attend"),
    Shape(folder="operations", phase="decode", part="experts.gate_up"),
    Shape(folder="operations", phase="decode", part="experts.down"),
    Shape(folder="operations", phase="decode", part="attention.qkv"),
    Shape(folder="operations", phase="decode", part="head.logits"),
    Shape(folder="operations-more", phase="decode", precision="bf16", part="attention.attend"),
    Shape(folder="operations-more", phase="prefill", precision="bf16", part="attention.attend"),
    Shape(folder="operations-more", phase="prefill", precision="bf16", part="experts.gate_up"),
    Shape(folder="operations-more", phase="decode", precision="fp8", part="experts.gate_up"),
    Shape(folder="operations-more", phase="prefill", precision="fp8", part="attention.qkv"),
)
FOLDERS = tuple(dict.fromkeys(shape.folder for shape in TEN))
_OF_THE_POINT = ("model", "precision", "phase", "batch", "context")


def rows_of(runs: Mapping[str, Run]) -> list[dict[str, Any]]:
    """A row per shape of TEN. `runs` by folder. What was not measured is None, with `why_not`."""
    return [_row(shape, runs.get(shape.folder)) for shape in TEN]


def _row(shape: Shape, run: Run | None) -> dict[str, Any]:
    row: dict[str, Any] = {"run": shape.folder, "phase": shape.phase, "part": shape.part}
    if run is None:
        return row | _blank("the run was not recorded")
    point = next((p for p in run.points if _is_of(p, shape)), None)
    if point is None:
        return row | _blank("the point was not measured")
    row |= {name: point.get(name) for name in _OF_THE_POINT} | {"point": point["point_id"], "arch": _arch(run)}
    recorded = read_rows(run, point, "ops")
    found = operations_of(point, run.plans.get(point.get("plan") or ""), GPUS.get(point.get("gpu_key") or ""), recorded)
    named = [op for op in found.ops if op.part == shape.part] if found else []
    if found is None or not named:
        return row | _blank("it is not in the point's plan")
    op = max(named, key=lambda op: op.floor_s)
    alone = next((one for one in recorded if one["entry"] == op.entry), None)
    if alone is None or alone.get("call_s") is None or op.time_s is None:
        return row | {"op": op.op} | _blank((alone or {}).get("why_not") or "it was not measured alone")
    return row | _measured(op, found, alone)


def _is_of(point: Mapping[str, Any], shape: Shape) -> bool:
    return point.get("status") == "ok" and point.get("phase") == shape.phase and shape.precision in (None, point.get("precision"))


def _arch(run: Run) -> int | None:
    """Ten times the compute capability; None on a CPU."""
    gpu = (run.header.get("environment") or {}).get("gpu")
    return None if gpu is None else gpu.get("arch")


def _blank(why: str) -> dict[str, Any]:
    names = ("ours_s", "ours_j", "library", "library_s", "library_note", "ratio", "ratio_ci95", "flops_per_s", "bytes_per_s")
    return dict.fromkeys((*names, "share_of_flops_per_s", "share_of_bandwidth", "share_of_floor", "bound")) | {"why_not": why}


def _measured(op: Operation, found: Operations, alone: Mapping[str, Any]) -> dict[str, Any]:
    """Rates are of the least work (each byte moved once), shares of the ceilings measured in the run."""
    assert op.time_s is not None, op.part
    flops_per_s, bytes_per_s = op.flops / op.time_s, op.nbytes / op.time_s
    rate, bandwidth = found.rates.get(op.lane or ""), found.rates.get(BANDWIDTH)
    return {
        "op": op.op, "ours_s": alone["call_s"], "ours_j": alone.get("call_j"), "library": alone.get("library"), "library_s": alone.get("library_s"),
        "library_note": alone.get("library_note"), "ratio": alone.get("kernel_ratio"), "ratio_ci95": alone.get("kernel_ratio_ci95"),
        "flops_per_s": flops_per_s or None, "bytes_per_s": bytes_per_s or None, "share_of_flops_per_s": flops_per_s / rate if rate and flops_per_s else None,
        "share_of_bandwidth": bytes_per_s / bandwidth if bandwidth else None, "share_of_floor": op.floor_s / op.time_s if op.floor_s else None,
        "bound": op.bound, "why_not": None,
    }  # fmt: skip


def worst_of(rows: Sequence[Mapping[str, Any]]) -> tuple[list[int], str]:
    """Places of the worst WORST rows, the worst first, and what they were ranked by: the ratio to the library, where nobody compared the share of the floor."""
    for name, words in (("ratio", "the library's time over ours"), ("share_of_floor", "share of the roofline: nobody compared")):
        ranked = sorted((row[name], place) for place, row in enumerate(rows) if row[name] is not None)
        if ranked:
            return [place for _, place in ranked[:WORST]], words
    return [], "nothing was measured"
