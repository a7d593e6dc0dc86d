"""FLOP/s that datasheets print of a GPU, dense and with sparsity: what a claim of FLOPS per dollar was made of."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from profiler.audit.interval import Interval
from profiler.gpus import GpuSpec

MATRIX_LANES = ("bf16", "fp8", "fp4")
TWICE = "2 x dense: two of four values are 0 and skipped (NVIDIA's structured sparsity, from Ampere on)"

# Where sparsity does not double the dense peak.
SPARSE = {
    ("gb300", "fp4"): (20_000e12, "NVIDIA GB300 NVL72: 1,440 PFLOPS of FP4 with sparsity (1,080 dense) over 72 GPUs"),
    ("b300", "fp4"): (18_000e12, "SemiAnalysisAI/InferenceX-app packages/app/src/lib/gpu-specs.ts (2026-04)"),
    ("rtx_pro_6000", "fp4"): (4_000e12, "NVIDIA RTX PRO 6000 Blackwell Server Edition datasheet: 4,000 TOPS of FP4 with sparsity"),
}
# Dense peaks that another source of the catalogue's gives; a published claim may rest on either.
ALSO_DENSE = {("b300", "fp4"): (13_500e12, "SemiAnalysisAI/InferenceX-app packages/app/src/lib/gpu-specs.ts (2026-04)")}


@dataclass(frozen=True, kw_only=True, slots=True)
class Peak:
    """FLOP/s of one format's matrix units."""

    lane: str
    sparse: bool
    flops_per_s: float
    source: str

    @property
    def name(self) -> str:
        return f"{'sparse' if self.sparse else 'dense'} {self.lane.upper()}"

    def json(self) -> dict[str, Any]:
        return {"name": self.name, "format": self.lane, "sparse": self.sparse, "flops_per_s": self.flops_per_s, "source": self.source}


def peaks_of(gpu: GpuSpec) -> tuple[Peak, ...]:
    """Every peak of its matrix units that a table may have used."""
    found: list[Peak] = []
    for lane in MATRIX_LANES:
        if lane not in gpu.flops_per_s:
            continue
        dense = gpu.flops_per_s[lane]
        also, sparse = ALSO_DENSE.get((gpu.key, lane)), SPARSE.get((gpu.key, lane), (2 * dense, TWICE))
        found.append(Peak(lane=lane, sparse=False, flops_per_s=dense, source=gpu.sources[lane]))
        found += [Peak(lane=lane, sparse=False, flops_per_s=also[0], source=also[1])] if also else []
        found.append(Peak(lane=lane, sparse=True, flops_per_s=sparse[0], source=sparse[1]))
    return tuple(found)


def dense_peak(gpu: GpuSpec, lane: str) -> Peak | None:
    return next((peak for peak in peaks_of(gpu) if peak.lane == lane and not peak.sparse), None)


def nearest(peaks: Iterable[Peak], flops_per_s: Interval) -> Peak:
    """The peak that differs by the smallest factor."""
    return min(peaks, key=lambda peak: abs(math.log(peak.flops_per_s / flops_per_s.value)))
