"""Mixtral: Mistral's attention, every layer routes to experts. Importable without torch."""

from __future__ import annotations

from workloads.architectures import family
from workloads.architectures.llama import window
from workloads.architectures.rotary import read_rope
from workloads.config_json import Config
from workloads.model_spec import ModelSpec, Moe

FIXED = family.FIXED
IGNORED = family.IGNORED_OF_MOE | {"router_jitter_noise"}  # added in training alone


def read(config: Config, model_type: str) -> ModelSpec:
    layers, positions = family.layers(config), window(config)
    attention = family.gqa(config, window=positions, windowed_layers=frozenset(range(layers) if positions else ()))
    rope = read_rope(config, dim=attention.head_dim, theta=1e6)
    experts = config.size("num_local_experts", most=family.MOST_EXPERTS)
    moe = Moe(
        layers=frozenset(range(layers)),
        experts=experts,
        top_k=family.top_k(config, experts),
        intermediate=config.size("intermediate_size", most=family.MOST_WIDTH),
        renormalize=True,  # softmax over all experts, then the chosen weights divided by their sum
    )
    return family.spec(config, model_type, layers=layers, attention=attention, rope=rope, moe=moe)
