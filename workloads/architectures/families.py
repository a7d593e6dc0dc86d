"""The model_types that tokenmill reads, those that wrap one of them, and what others would need first. Importable without torch."""

from __future__ import annotations

from workloads.architectures import deepseek_v3, gpt_oss, llama, mixtral, qwen3
from workloads.architectures.family import Family

_DEEPSEEK_V3 = Family(read=deepseek_v3.read, fixed=deepseek_v3.FIXED, ignored=deepseek_v3.IGNORED)

FAMILIES = {
    "deepseek_v3": _DEEPSEEK_V3,
    "gpt_oss": Family(read=gpt_oss.read, fixed=gpt_oss.FIXED, ignored=gpt_oss.IGNORED),
    "kimi_k2": _DEEPSEEK_V3,
    "llama": Family(read=llama.read_llama, fixed=llama.FIXED, ignored=llama.IGNORED),
    "mistral": Family(read=llama.read_mistral, fixed=llama.FIXED, ignored=llama.IGNORED),
    "mixtral": Family(read=mixtral.read, fixed=mixtral.FIXED, ignored=mixtral.IGNORED),
    "qwen3": Family(read=qwen3.read_dense, fixed=qwen3.FIXED, ignored=qwen3.IGNORED),
    "qwen3_moe": Family(read=qwen3.read_moe, fixed=qwen3.FIXED, ignored=qwen3.IGNORED_OF_MOE),
}
