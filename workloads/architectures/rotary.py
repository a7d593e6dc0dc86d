"""Rotary positions of a config.json: transformers 4 writes rope_theta and rope_scaling, transformers 5 both in rope_parameters. Importable without torch."""

from __future__ import annotations

from workloads.config_json import Config
from workloads.rope import Llama3Scaling, Rope, YarnScaling, yarn_mscale

MOST_POSITIONS = 1 << 24


def read_rope(config: Config, *, dim: int, theta: float = 10_000.0, softmax: bool = False) -> Rope:
    """`theta` is what an absent key means. `softmax`: mscale_all_dim corrects the softmax too, as DeepSeek's attention does and no other."""
    spelled = "rope_parameters" if "rope_parameters" in config else "rope_scaling"
    if "rope_parameters" in config and "rope_scaling" in config:
        raise config.error("rope_scaling", "stands beside rope_parameters, which says the same; remove one of them")
    table = config.table(spelled)
    if table is None:
        return Rope(theta=_theta(config, theta), dim=dim)
    kind = table.string("rope_type", default=None) or table.string("type", default="default")
    table.same("type", kind, "rope_type")
    if kind not in ("default", "llama3", "yarn"):
        raise config.error(spelled, f"rope scaling {kind[:40]!r} is not supported yet; supported: default, llama3, yarn")
    table.only("partial_rotary_factor", 1.0, "rotary positions on a part of each head,")
    if "rope_theta" in table:
        theta = _theta(table, theta)
        config.same("rope_theta", theta, f"{spelled}.rope_theta")
    else:
        theta = _theta(config, theta)
    scaling = None if kind == "default" else _llama3(table) if kind == "llama3" else _yarn(table, softmax)
    table.refuse_unknown(f"{kind} rope", ())
    return Rope(theta=theta, dim=dim, scaling=scaling)


def _theta(config: Config, default: float) -> float:
    theta = config.number("rope_theta", default=default)
    if theta <= 1:
        raise config.error("rope_theta", f"should be above 1, got {theta:g}")
    return theta


def _llama3(table: Config) -> Llama3Scaling:
    low, high = table.number("low_freq_factor"), table.number("high_freq_factor")
    if low >= high:
        raise table.error("low_freq_factor", f"should be below high_freq_factor, got {low:g} and {high:g}")
    original = table.size("original_max_position_embeddings", most=MOST_POSITIONS)
    return Llama3Scaling(factor=_factor(table), low_factor=low, high_factor=high, original_positions=original)


def _yarn(table: Config, softmax: bool) -> YarnScaling:
    factor = _factor(table)
    fast, slow = table.number("beta_fast", default=32.0), table.number("beta_slow", default=1.0)
    for key, turns in (("beta_fast", fast), ("beta_slow", slow)):
        if not 1e-3 <= turns <= 1e6:  # published: 1 to 32
            raise table.error(key, f"should be from 0.001 to 1000000, got {turns:g}")
    if fast < slow:
        raise table.error("beta_fast", f"should not be below beta_slow, got {fast:g} and {slow:g}")
    weight, weight_all = (table.number(key, default=0.0, zero=True) for key in ("mscale", "mscale_all_dim"))  # 0 means absent, as in transformers
    temperature = yarn_mscale(factor, weight) / yarn_mscale(factor, weight_all) if weight and weight_all else yarn_mscale(factor, 1.0)
    return YarnScaling(
        factor=factor,
        beta_fast=fast,
        beta_slow=slow,
        original_positions=table.size("original_max_position_embeddings", most=MOST_POSITIONS),
        attention_factor=table.number("attention_factor", default=temperature),
        softmax_factor=yarn_mscale(factor, weight_all) ** 2 if softmax and weight_all else 1.0,
        truncate=table.flag("truncate", default=True),
    )


def _factor(table: Config) -> float:
    factor = table.number("factor")
    if factor < 1:
        raise table.error("factor", f"should be at least 1, got {factor:g}")
    return factor
