"""Qwen3 and Qwen3-MoE: each head of q and k is normed; every layer, every n-th, or all but a few route to experts. Importable without torch."""

from __future__ import annotations

from workloads.architectures import family
from workloads.architectures.rotary import read_rope
from workloads.config_json import Config
from workloads.model_spec import ModelSpec, Moe

FIXED = {**family.FIXED, "use_sliding_window": (False, "sliding-window attention")}
IGNORED = family.IGNORED | {"max_window_layers", "sliding_window"}  # both mean nothing without use_sliding_window
IGNORED_OF_MOE = IGNORED | family.IGNORED_OF_MOE | {"intermediate_size"}  # read where a layer is dense


def read_dense(config: Config, model_type: str) -> ModelSpec:
    layers = _full_attention_layers(config)
    # absent means 128 to transformers, whatever the hidden size
    attention = family.gqa(config, head_dim=128, qk_norm=True, bias=config.flag("attention_bias", default=False))
    rope = read_rope(config, dim=attention.head_dim)
    return family.spec(config, model_type, layers=layers, attention=attention, rope=rope, dense_intermediate=family.dense_width(config))


def read_moe(config: Config, model_type: str) -> ModelSpec:
    layers = _full_attention_layers(config)
    attention = family.gqa(config, qk_norm=True, bias=config.flag("attention_bias", default=False))
    rope = read_rope(config, dim=attention.head_dim)
    moe = _moe(config, layers)
    dense = family.dense_width(config) if len(moe.layers) < layers else None
    return family.spec(config, model_type, layers=layers, attention=attention, rope=rope, moe=moe if moe.layers else None, dense_intermediate=dense)


def _full_attention_layers(config: Config) -> int:
    layers = family.layers(config)
    family.layer_kinds(config, layers, ("full_attention",))
    return layers


def _moe(config: Config, layers: int) -> Moe:
    """Which layers route to experts: every `decoder_sparse_step`-th, but those listed as MLP only (transformers, Qwen3MoeDecoderLayer)."""
    spelled = "num_local_experts" if "num_local_experts" in config else "num_experts"  # transformers 5, transformers 4
    experts = config.size(spelled, most=family.MOST_EXPERTS)
    config.same("num_experts", experts, spelled)
    every = config.size("decoder_sparse_step", most=10_000, default=1)
    dense = frozenset(config.sizes("mlp_only_layers"))
    return Moe(
        layers=frozenset(i for i in range(layers) if (i + 1) % every == 0 and i not in dense),
        experts=experts,
        top_k=family.top_k(config, experts),
        intermediate=config.size("moe_intermediate_size", most=family.MOST_WIDTH),
        renormalize=config.flag("norm_topk_prob", default=False),
    )
