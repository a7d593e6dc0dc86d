"""The list a kernel engineer acts on: each operation measured alone, how near it is to what bounds it, and what it is worth to get nearer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from profiler.economics.equations import SECONDS_PER_HOUR
from profiler.explain.operations import Operation, copy_rate
from profiler.explain.places import in_words
from profiler.explain.waterfall import Explained

REACHABLE = 0.90  # of a ceiling that was itself measured with a simple kernel: what a tuned one reaches


@dataclass(frozen=True, kw_only=True, slots=True)
class KernelLine:
    """One operation. Savings are of GPU time alone, in a token's dollars at the price used, once it runs at REACHABLE of what bounds it."""

    run_id: str
    point_id: str
    phase: str
    part: str
    op: str
    words: str
    format: str
    batch: int | None
    bound: str | None  # memory or compute
    ceiling: str  # what it is compared with
    achieved: float | None  # share of that ceiling
    kernel_ratio: float | None  # PyTorch's own library's time over ours, where it was compared
    library: str | None
    share_of_step: float
    saves_share: float  # of the GPU-seconds of the subject's token
    saves_usd_per_mtok: float | None

    def json(self) -> dict[str, Any]:
        return asdict(self)


def kernel_lines(phases: Sequence[tuple[Explained, float]], plans: Mapping[str, Mapping[str, Any]], gpu_s: float, hour_usd: float | None) -> list[KernelLine]:
    """The operations of a subject's phases, most money at stake first.

    `phases`: each with how many of its tokens one token of the subject takes (prefill: ISL / OSL). `gpu_s`: the subject's busy GPU-seconds per token;
    `hour_usd`: dollars of a busy GPU-hour, the price over the utilisation.
    """
    lines = [
        _line(found, op, plans.get(str(found.point.get("plan"))), tokens, gpu_s, hour_usd)
        for found, tokens in phases
        if found.operations is not None
        for op in found.operations.measured
        if op.time_s
    ]
    return sorted(lines, key=lambda line: (-line.saves_share, -line.share_of_step, line.part, line.op))


def _line(found: Explained, op: Operation, plan: Mapping[str, Any] | None, tokens: float, gpu_s: float, hour_usd: float | None) -> KernelLine:
    assert found.operations is not None
    assert op.time_s
    rate, ceiling, amount = _ceiling(found, op)
    achieved = amount / op.time_s / rate if rate and amount else None
    saved_s = 0.0 if achieved is None else op.time_s * max(0.0, 1 - achieved / REACHABLE)
    saved = saved_s * found.step.gpu_s_per_s * tokens
    batch = found.point.get("batch")
    return KernelLine(
        run_id=found.run_id,
        point_id=str(found.point.get("point_id")),
        phase=str(found.point.get("phase")),
        part=op.part,
        op=op.op,
        words=in_words(op.op, op.part),
        format=_format(plan, op) or str(found.point.get("precision")),
        batch=batch,
        bound=op.bound,
        ceiling=ceiling,
        achieved=achieved,
        kernel_ratio=op.kernel_ratio,
        library=op.library,
        share_of_step=op.time_s / found.step.median_s,
        saves_share=saved / gpu_s if gpu_s else 0.0,
        saves_usd_per_mtok=None if hour_usd is None else saved * hour_usd / SECONDS_PER_HOUR * 1e6,
    )


def _ceiling(found: Explained, op: Operation) -> tuple[float | None, str, float]:
    """The rate that bounds an operation, its name, and what the operation does of it: bytes or FLOP."""
    assert found.operations is not None
    if op.bound == "compute" and op.lane is not None:
        return found.operations.rates.get(op.lane), f"{op.lane} rate", op.flops
    rate, name = copy_rate(found.point, found.operations.rates)
    return rate, name, op.nbytes


# torch's names of types as formats are called here.
_SHORT_TYPES = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32", "float8_e4m3fn": "fp8"}


def _format(plan: Mapping[str, Any] | None, op: Operation) -> str:
    """The format of the operation's weights where it names one, else of what it reads, else of its first tensor's type."""
    entry = (plan or {"calls": []})["calls"][op.entry :]
    attrs, shapes = (entry[0].get("attrs") or {}, entry[0].get("shapes") or {}) if entry else ({}, {})
    named = next((str(attrs[name]) for name in ("w_format", "x_format", "format") if attrs.get(name)), None)
    types = [str(shape[1]) for shape in shapes.values() if len(shape) > 1]
    return named or next((_SHORT_TYPES[t] for t in types if t in _SHORT_TYPES), "")
