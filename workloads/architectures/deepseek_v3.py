"""DeepSeek-V3 and R1, Kimi-K2, Moonlight: latent attention, a few dense layers, then experts chosen by group with a shared one. Importable without torch."""

from __future__ import annotations

from workloads.architectures import family
from workloads.architectures.rotary import read_rope
from workloads.config_json import Config
from workloads.model_spec import Mla, ModelSpec, Moe

FIXED = {
    **family.FIXED,
    "attention_bias": (False, "a bias in latent attention"),
    "moe_layer_freq": (1, "experts in every n-th layer only, n ="),
    "rope_interleave": (True, "a checkpoint whose rotary pairs are not interleaved"),
    "scoring_func": ("sigmoid", "scoring"),
    "topk_method": ("noaux_tc", "choosing experts by"),
}
IGNORED = family.IGNORED_OF_MOE | {"aux_loss_alpha", "seq_aux"}


def read(config: Config, model_type: str) -> ModelSpec:
    layers = family.layers(config)
    attention = _mla(config)
    dense_layers = config.size("first_k_dense_replace", least=0, most=layers)
    dense_width, moe = family.dense_width(config), _moe(config, frozenset(range(dense_layers, layers)))
    return family.spec(
        config,
        model_type,
        layers=layers,
        attention=attention,
        rope=read_rope(config, dim=attention.rope_dim, softmax=True),
        moe=moe if moe.layers else None,
        dense_intermediate=dense_width if dense_layers else None,
        mtp_modules=config.size("num_nextn_predict_layers", least=0, most=64, default=0),
    )


def _mla(config: Config) -> Mla:
    heads = config.size("num_attention_heads", most=65_536)
    config.same("num_key_value_heads", heads, "num_attention_heads")  # every head expands the latent into its own key and value
    mla = Mla(
        heads=heads,
        query_rank=config.size("q_lora_rank", most=1 << 20) if "q_lora_rank" in config else None,
        latent_rank=config.size("kv_lora_rank", most=1 << 20),
        nope_dim=config.size("qk_nope_head_dim", most=1024),
        rope_dim=config.size("qk_rope_head_dim", most=1024),
        value_dim=config.size("v_head_dim", most=1024),
    )
    if not config.states("q_lora_rank"):  # absent means 1536 to transformers
        raise config.error("q_lora_rank", "is missing; write null for a query without a low-rank projection")
    if mla.rope_dim % 2:
        raise config.error("qk_rope_head_dim", f"{mla.rope_dim} is odd; rotary embedding turns pairs")
    # transformers 5 writes two sums down as well
    config.same("head_dim", mla.rope_dim, "qk_rope_head_dim")
    config.same("qk_head_dim", mla.nope_dim + mla.rope_dim, "qk_nope_head_dim + qk_rope_head_dim")
    return mla


def _moe(config: Config, moe_layers: frozenset[int]) -> Moe:
    experts = config.size("n_routed_experts", most=family.MOST_EXPERTS)
    top_k = family.top_k(config, experts)
    groups = config.size("n_group", most=experts)
    kept = config.size("topk_group", most=groups)
    if experts % groups or (groups > 1 and experts // groups < 2):  # a group is judged by the sum of its two best
        raise config.error("n_group", f"{experts} experts cannot be shared evenly by {groups} groups of two or more")
    if top_k > kept * (experts // groups):
        raise config.error("topk_group", f"{kept} of {groups} groups hold {kept * (experts // groups)} experts, but num_experts_per_tok is {top_k}")
    width = config.size("moe_intermediate_size", most=family.MOST_WIDTH)
    return Moe(
        layers=moe_layers,
        experts=experts,
        top_k=top_k,
        intermediate=width,
        shared_intermediate=width * config.size("n_shared_experts", least=0, most=1024, default=0),
        scoring="sigmoid",
        correction_bias=True,
        groups=groups,
        groups_kept=kept,
        renormalize=config.flag("norm_topk_prob"),
        scaling=config.number("routed_scaling_factor"),
    )
