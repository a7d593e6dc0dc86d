"""gpt-oss: windowed and full attention in turn, each head with a sink, biases everywhere, experts with a clamped SwiGLU. Importable without torch."""

from __future__ import annotations

from workloads.architectures import family
from workloads.architectures.rotary import read_rope
from workloads.config_json import Config
from workloads.model_spec import Gqa, ModelSpec, Moe
from workloads.rope import YarnScaling

FIXED = {**family.FIXED, "swiglu_alpha": (1.702, "a clamped SwiGLU with alpha")}
IGNORED = family.IGNORED_OF_MOE


def read(config: Config, model_type: str) -> ModelSpec:
    layers = family.layers(config)
    attention = _attention(config, layers)
    if "rope_scaling" not in config and "rope_parameters" not in config:  # transformers would assume the published model's YaRN
        raise config.error("rope_scaling", "is missing")
    rope = read_rope(config, dim=attention.head_dim, theta=150_000.0)
    if isinstance(rope.scaling, YarnScaling):
        config.same("initial_context_length", rope.scaling.original_positions, "original_max_position_embeddings")
    return family.spec(config, model_type, layers=layers, attention=attention, rope=rope, moe=_moe(config, layers))


def _attention(config: Config, layers: int) -> Gqa:
    kinds = family.layer_kinds(config, layers, ("sliding_attention", "full_attention"))
    if not kinds:
        raise config.error("layer_types", "is missing")
    windowed = frozenset(i for i, kind in enumerate(kinds) if kind == "sliding_attention")
    window = config.size("sliding_window", most=1 << 24, least=1) if windowed else 0
    return family.gqa(config, head_dim=64, bias=config.flag("attention_bias", default=True), sinks=True, window=window, windowed_layers=windowed)


def _moe(config: Config, layers: int) -> Moe:
    experts = config.size("num_local_experts", most=family.MOST_EXPERTS)
    top_k = family.top_k(config, experts)
    config.same("experts_per_token", top_k, "num_experts_per_tok")
    return Moe(
        layers=frozenset(range(layers)),
        experts=experts,
        top_k=top_k,
        intermediate=config.size("intermediate_size", most=family.MOST_WIDTH),
        renormalize=True,  # softmax over the chosen logits alone, which is the same
        router_bias=True,
        bias=True,
        activation="clamped_swiglu",
        limit=config.number("swiglu_limit"),
    )
