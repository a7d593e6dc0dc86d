"""Llama and Mistral: the plain dense decoder; Mistral's early models have a window in every layer. Importable without torch."""

from __future__ import annotations

from workloads.architectures import family
from workloads.architectures.rotary import read_rope
from workloads.config_json import Config
from workloads.model_spec import ModelSpec

FIXED = {**family.FIXED, "mlp_bias": (False, "a bias in the MLP")}
IGNORED = family.IGNORED


def read_llama(config: Config, model_type: str) -> ModelSpec:
    return _read(config, model_type, bias=config.flag("attention_bias", default=False), window=0)


def read_mistral(config: Config, model_type: str) -> ModelSpec:
    if not config.states("sliding_window"):  # absent means 4096 to transformers and none to some other tools
        raise config.error("sliding_window", "is missing; write the window's positions, or null for full attention")
    return _read(config, model_type, bias=False, window=window(config))


def window(config: Config) -> int:
    """The positions of a window in every layer; 0 where there is none or none that a sequence could outgrow."""
    if "sliding_window" not in config:
        return 0
    positions = config.size("sliding_window", most=1 << 24)
    return positions if positions < family.max_positions(config) else 0


def _read(config: Config, model_type: str, *, bias: bool, window: int) -> ModelSpec:
    layers = family.layers(config)
    attention = family.gqa(config, bias=bias, window=window, windowed_layers=frozenset(range(layers) if window else ()))
    rope = read_rope(config, dim=attention.head_dim)
    return family.spec(config, model_type, layers=layers, attention=attention, rope=rope, dense_intermediate=family.dense_width(config))
