"""The GPU catalogue: datasheet figures with their sources. Nothing here is measured; a GPU that is not in the table is None, never a guess."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from triton_kernels.errors import unknown

MIB = 1 << 20

# Short names of what the figures below were taken from.
AIC = "ai-dynamo/aiconfigurator systems/*.yaml"
IX = "SemiAnalysisAI/InferenceX-app packages/app/src/lib/gpu-specs.ts (2026-04)"
SMI = "memory.total of nvidia-smi"
A100_SHEET = "NVIDIA A100 datasheet"
H100_SHEET = "NVIDIA H100 datasheet"
H200_SHEET = "NVIDIA H200 datasheet"
BLACKWELL_SHEET = "NVIDIA Blackwell datasheet (GB200 NVL72, HGX B200)"
ULTRA_SHEET = "NVIDIA Blackwell Ultra datasheet (GB300 NVL72, HGX B300)"
RTX_SHEET = "NVIDIA RTX PRO 6000 Blackwell Server Edition datasheet (2025-12)"


@dataclass(frozen=True, kw_only=True, slots=True)
class GpuSpec:
    """One GPU as its datasheet describes it. Rates are dense (no sparsity) peaks; a lane that is absent is one the GPU lacks or nobody states."""

    key: str
    name: str
    aliases: tuple[str, ...] = ()
    nvml_names: tuple[str, ...]  # regular expressions that match the whole name NVML gives; a PCIe, NVL, 40 GB or MIG variant is another GPU
    arch: int  # compute capability x 10
    sm_count: int | None
    memory_bytes: int  # what the driver can address, which is less than the stacks hold
    bandwidth_bytes_per_s: float
    flops_per_s: Mapping[str, float]  # by lane: bf16, fp8, fp4 tensor cores; fp32 CUDA cores
    tdp_w: float
    nvlink_bytes_per_s: float | None  # one way, per GPU; None: no NVLink
    nvlink_domain: int  # GPUs that NVLink joins: 8 on an HGX board, 72 in an NVL72 rack; 1: none
    sources: Mapping[str, str]  # figure -> where it comes from
    notes: tuple[str, ...] = ()  # where two sources disagree, both


GPUS: dict[str, GpuSpec] = {
    gpu.key: gpu
    for gpu in (
        GpuSpec(
            key="a100",
            name="A100 SXM 80GB",
            aliases=("a100_sxm", "a100_sxm4", "a100_80gb"),
            nvml_names=(r"(NVIDIA )?A100-SXM4-80GB",),
            arch=80,
            sm_count=108,
            memory_bytes=81_920 * MIB,
            bandwidth_bytes_per_s=2.039e12,
            flops_per_s={"bf16": 312e12, "fp32": 19.5e12},
            tdp_w=400.0,
            nvlink_bytes_per_s=300e9,
            nvlink_domain=8,
            sources={
                "memory_bytes": SMI,
                "bandwidth_bytes_per_s": f"{A100_SHEET}; {AIC}",
                "bf16": f"{A100_SHEET}; {AIC}",
                "fp32": A100_SHEET,
                "tdp_w": f"{A100_SHEET}; {AIC}",
                "nvlink_bytes_per_s": AIC,
            },
            notes=("no FP8 tensor cores",),
        ),
        GpuSpec(
            key="h100",
            name="H100 SXM",
            aliases=("h100_sxm", "h100_sxm5"),
            nvml_names=(r"NVIDIA H100 80GB HBM3",),
            arch=90,
            sm_count=132,
            memory_bytes=81_559 * MIB,
            bandwidth_bytes_per_s=3.35e12,
            flops_per_s={"bf16": 989e12, "fp8": 1979e12, "fp32": 67e12},
            tdp_w=700.0,
            nvlink_bytes_per_s=450e9,
            nvlink_domain=8,
            sources={
                "memory_bytes": SMI,
                "bandwidth_bytes_per_s": f"{H100_SHEET}; {AIC}; {IX}",
                "bf16": f"{AIC}; {IX}",
                "fp8": f"{AIC}; {IX}",
                "fp32": H100_SHEET,
                "tdp_w": AIC,
                "nvlink_bytes_per_s": f"{AIC}; {IX}",
            },
        ),
        GpuSpec(
            key="h200",
            name="H200 SXM",
            aliases=("h200_sxm", "h200_sxm5"),
            nvml_names=(r"NVIDIA H200",),
            arch=90,
            sm_count=132,
            memory_bytes=143_771 * MIB,
            bandwidth_bytes_per_s=4.8e12,
            flops_per_s={"bf16": 989e12, "fp8": 1979e12, "fp32": 67e12},
            tdp_w=700.0,
            nvlink_bytes_per_s=450e9,
            nvlink_domain=8,
            sources={
                "memory_bytes": SMI,
                "bandwidth_bytes_per_s": f"{H200_SHEET}; {AIC}; {IX}",
                "bf16": f"{AIC}; {IX}",
                "fp8": f"{AIC}; {IX}",
                "fp32": H200_SHEET,
                "tdp_w": AIC,
                "nvlink_bytes_per_s": f"{AIC}; {IX}",
            },
        ),
        GpuSpec(
            key="b200",
            name="B200 SXM",
            aliases=("b200_sxm",),
            nvml_names=(r"NVIDIA B200",),
            arch=100,
            sm_count=148,
            memory_bytes=183_359 * MIB,
            bandwidth_bytes_per_s=7.7e12,
            flops_per_s={"bf16": 2250e12, "fp8": 4500e12, "fp4": 9000e12, "fp32": 75e12},
            tdp_w=1000.0,
            nvlink_bytes_per_s=900e9,
            nvlink_domain=8,
            sources={
                "memory_bytes": SMI,
                "bandwidth_bytes_per_s": f"{BLACKWELL_SHEET}; {AIC}",
                "bf16": f"{AIC}; {IX}",
                "fp8": f"{AIC}; {IX}",
                "fp4": f"{AIC}; {IX}",
                "fp32": BLACKWELL_SHEET,
                "tdp_w": AIC,
                "nvlink_bytes_per_s": f"{AIC}; {IX}",
            },
            notes=("bandwidth: 7.7 TB/s (AIC; 7,680-bit bus at 3,996 MHz gives 7.672) or 8 TB/s (InferenceX-app)",),
        ),
        GpuSpec(
            key="b300",
            name="B300 SXM",
            aliases=("b300_sxm", "b300_sxm6"),
            nvml_names=(r"NVIDIA B300 SXM6 AC", r"NVIDIA B300"),
            arch=103,
            sm_count=148,
            memory_bytes=275_040 * MIB,
            bandwidth_bytes_per_s=7.75e12,
            flops_per_s={"bf16": 2250e12, "fp8": 4500e12, "fp4": 14_000e12, "fp32": 75e12},
            tdp_w=1100.0,
            nvlink_bytes_per_s=900e9,
            nvlink_domain=8,
            sources={
                "memory_bytes": f"{SMI}, in {AIC}",
                "bandwidth_bytes_per_s": AIC,
                "bf16": f"{AIC}; {IX}",
                "fp8": f"{AIC}; {IX}",
                "fp4": AIC,
                "fp32": "verda.com/blog/gb300-nvl72-architecture",
                "tdp_w": AIC,
                "nvlink_bytes_per_s": f"{AIC}; {IX}",
            },
            notes=(
                "bandwidth: 7.75 TB/s (AIC) or 8 TB/s (InferenceX-app)",
                "fp4: 14,000 TFLOPS (AIC) or 13,500 (InferenceX-app); 18,000 with sparsity",
                "INT8 was cut to 154 TOPS: it is no stand-in for FP8",
            ),
        ),
        GpuSpec(
            key="gb200",
            name="GB200 NVL72",
            aliases=("gb200_nvl72",),
            nvml_names=(r"NVIDIA GB200",),
            arch=100,
            sm_count=None,
            memory_bytes=189_471 * MIB,
            bandwidth_bytes_per_s=8e12,
            flops_per_s={"bf16": 2500e12, "fp8": 5000e12, "fp4": 10_000e12, "fp32": 80e12},
            tdp_w=1200.0,
            nvlink_bytes_per_s=900e9,
            nvlink_domain=72,
            sources={
                "memory_bytes": f"{SMI}, in {IX}",
                "bandwidth_bytes_per_s": f"{BLACKWELL_SHEET}; {AIC}; {IX}",
                "bf16": f"{AIC}; {IX}",
                "fp8": f"{AIC}; {IX}",
                "fp4": f"{AIC}; {IX}",
                "fp32": BLACKWELL_SHEET,
                "tdp_w": f"{BLACKWELL_SHEET}; {AIC}",
                "nvlink_bytes_per_s": f"{AIC}; {IX}",
            },
        ),
        GpuSpec(
            key="gb300",
            name="GB300 NVL72",
            aliases=("gb300_nvl72",),
            nvml_names=(r"NVIDIA GB300", r"NVIDIA GB300 NVL(72)?"),
            arch=103,
            sm_count=None,
            memory_bytes=284_208 * MIB,
            bandwidth_bytes_per_s=8e12,
            flops_per_s={"bf16": 2500e12, "fp8": 5000e12, "fp4": 15_000e12, "fp32": 80e12},
            tdp_w=1400.0,
            nvlink_bytes_per_s=900e9,
            nvlink_domain=72,
            sources={
                "memory_bytes": f"{SMI}, in {AIC}",
                "bandwidth_bytes_per_s": f"{AIC}; {IX}",
                "bf16": f"{AIC}; {IX}",
                "fp8": f"{AIC}; {IX}",
                "fp4": f"{AIC}; {IX}",
                "fp32": "verda.com/blog/gb300-nvl72-architecture",
                "tdp_w": f"{ULTRA_SHEET}; {AIC}",
                "nvlink_bytes_per_s": f"{AIC}; {IX}",
            },
            notes=("INT8 was cut to 165 TOPS: it is no stand-in for FP8",),
        ),
        GpuSpec(
            key="rtx_pro_6000",
            name="RTX PRO 6000 Server",
            aliases=("rtx_pro_6000_server", "rtxpro6000"),
            nvml_names=(r"NVIDIA RTX PRO 6000 Blackwell Server Edition",),
            arch=120,
            sm_count=188,
            memory_bytes=97_887 * MIB,
            bandwidth_bytes_per_s=1.597e12,
            flops_per_s={"bf16": 468e12, "fp8": 936e12, "fp4": 1871e12, "fp32": 120e12},
            tdp_w=600.0,
            nvlink_bytes_per_s=None,
            nvlink_domain=1,
            sources={
                "memory_bytes": SMI,
                "bandwidth_bytes_per_s": RTX_SHEET,
                "bf16": AIC,
                "fp8": AIC,
                "fp4": AIC,
                "fp32": RTX_SHEET,
                "tdp_w": f"{RTX_SHEET}; {AIC}",
            },
            notes=(
                "bandwidth: 1.597 TB/s (datasheet of the Server Edition) or 1.792 TB/s (AIC; the Workstation Edition's, which is another GPU here)",
                "4,000 TOPS of FP4 are advertised with sparsity",
                "PCIe 5.0 x16: 64 GB/s one way",
            ),
        ),
    )
}

_BY_ALIAS = {alias: gpu for gpu in GPUS.values() for alias in (gpu.key, *gpu.aliases)}


def gpu_named(name: str) -> GpuSpec:
    """The GPU with this key or alias (`h200`, `H200-SXM`); a TokenmillError that offers the nearest names otherwise."""
    found = _BY_ALIAS.get(re.sub(r"[\s-]+", "_", name.strip().lower()))
    if found is None:
        raise unknown("GPU", name, GPUS)
    return found


def gpu_for_name(nvml_name: str) -> GpuSpec | None:
    """The GPU whose driver name this is. None for any other: a MIG slice, a PCIe or NVL variant, a GPU not in the table."""
    return next((gpu for gpu in GPUS.values() for pattern in gpu.nvml_names if re.fullmatch(pattern, nvml_name)), None)
