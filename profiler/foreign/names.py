"""Other tools' names of models, GPUs and number formats, as tokenmill calls them.

A name that is not in a table is nobody's here: None, and the original is kept.
"""

from __future__ import annotations

import re
from functools import cache

from profiler.gpus import gpu_for_name, gpu_named
from triton_kernels.errors import TokenmillError
from workloads.catalogue import CATALOGUE

# Last part of a Hugging Face id or an InferenceX prefix, in lower case and without its number format, where it is not the catalogue's own name.
# Prefixes: SemiAnalysisAI/InferenceX-app packages/db/src/etl/normalizers.ts. Upper-case names: older ai-dynamo/aiconfigurator sdk/common.py.
_MODELS = {
    "dsr1": "deepseek-r1",
    "deepseek-r1-0528": "deepseek-r1",
    "deepseek-v3-0324": "deepseek-v3",
    "deepseek_v3": "deepseek-v3",
    "gptoss": "gpt-oss-120b",
    "gptoss120b": "gpt-oss-120b",
    "gpt_oss_120b": "gpt-oss-120b",
    "gpt_oss_20b": "gpt-oss-20b",
    "llama70b": "llama-3.3-70b",
    "llama-3.3-70b-instruct": "llama-3.3-70b",
    "llama-3.1-70b-instruct": "llama-3.1-70b",
    "llama-3.1-8b-instruct": "llama-3.1-8b",
    "llama-3.1-405b-instruct": "llama-3.1-405b",
    "llama3.1_8b": "llama-3.1-8b",
    "llama3.1_70b": "llama-3.1-70b",
    "llama3.1_405b": "llama-3.1-405b",
    "kimi-k2-instruct": "kimi-k2",
    "qwen3_235b": "qwen3-235b-a22b",
    "qwen3-235b-a22b-instruct-2507": "qwen3-235b-a22b",
    "qwen3-30b-a3b-instruct-2507": "qwen3-30b-a3b",
    "mixtral-8x7b-instruct-v0.1": "mixtral-8x7b",
    "moe_mixtral8x7b": "mixtral-8x7b",
}

# What a checkpoint's name says of its weights: nvidia/DeepSeek-R1-0528-FP4-v2, openai's MXFP4 preview.
_FORMAT_SUFFIX = re.compile(r"[-_](nvfp4|mxfp4|mxfp8|fp4|fp8|bf16)(?:[-_](?:v\d+|preview|kv|dynamic))*$", re.IGNORECASE)

# ai-dynamo/aiconfigurator sdk/common.py (GEMMQuantMode, MoEQuantMode), InferenceX's `precision`, and names of dtypes.
_RECIPES = {
    "bf16": "bf16",
    "bfloat16": "bf16",
    "float16": "fp16",
    "fp16": "fp16",
    "fp8": "fp8",
    "fp8_block": "fp8",
    "fp8_static": "fp8",
    "fp8_ootb": "fp8",
    "mxfp8": "mxfp8",
    "mxfp4": "mxfp4",
    "w4a16_mxfp4": "mxfp4",
    "w4a8_mxfp4_mxfp8": "mxfp4",
    "nvfp4": "nvfp4",
}

# Systems of aiconfigurator's older releases that are no alias in the catalogue.
_SYSTEMS = {"gb200_sxm": "gb200", "gb300_sxm": "gb300"}


@cache
def model_named(*names: str | None) -> str | None:
    """The catalogue's name of the first of `names` that it knows; None for any other model, such as a later release of a known one."""
    for name in names:
        if name:
            last = name.rstrip("/").rsplit("/", 1)[-1].lower()
            for form in (last, _FORMAT_SUFFIX.sub("", last)):
                found = _MODELS.get(form, form).removeprefix("meta-")
                if (found := _MODELS.get(found, found)) in CATALOGUE:
                    return found
    return None


@cache
def gpu_key(name: str | None) -> str | None:
    """The catalogue's key of a system id (`h200_sxm`, `gb200`) or of a driver's name (`NVIDIA H200`); None for any other, a PCIe or NVL variant among them."""
    if not name:
        return None
    by_driver = gpu_for_name(name)
    if by_driver is not None:
        return by_driver.key
    try:
        return gpu_named(_SYSTEMS.get(name.lower(), name)).key
    except TokenmillError:
        return None


def runner_gpu_key(hw: str | None) -> str | None:
    """The GPU of an InferenceX runner: what stands before the first `-`, behind the last `:` (`h200-nv`, `gb200-nv`, `cluster:h100-dgxc`).

    Source: `hwToGpuKey` of SemiAnalysisAI/InferenceX-app packages/db/src/etl/normalizers.ts.
    """
    return gpu_key(hw.lower().rsplit(":", 1)[-1].split("-", 1)[0]) if hw else None


def recipe_of(precision: str | None, *, model: str | None = None, gpu: str | None = None) -> tuple[str | None, str | None]:
    """(tokenmill's name of a number format, what was taken for granted or None). A format that no recipe has keeps its name.

    `fp4` alone is NVFP4 on a GPU that multiplies it, and MXFP4 for gpt-oss, which is published so; anywhere else nobody can tell.
    """
    if not precision:
        return None, None
    name = precision.lower()
    if name != "fp4":
        return _RECIPES.get(name, precision), None
    if model is not None and model.startswith("gpt-oss"):
        return "mxfp4", "precision fp4 is MXFP4 here: gpt-oss is published so"
    if gpu is not None and "fp4" in gpu_named(gpu).flops_per_s:
        return "nvfp4", f"precision fp4 is NVFP4 here: {gpu} multiplies it"
    return "fp4", None


def recipe_in_name(checkpoint: str | None, *, model: str | None, gpu: str | None) -> tuple[str | None, str | None]:
    """(the number format that a checkpoint's name ends with, `DeepSeek-R1-0528-FP4`; what was taken for granted), or None and None where it ends with none."""
    found = _FORMAT_SUFFIX.search(checkpoint.rstrip("/")) if checkpoint else None
    if found is None:
        return None, None
    name, assumed = recipe_of(found[1], model=model, gpu=gpu)
    return name, assumed or f"precision {name} is from the model's name"
