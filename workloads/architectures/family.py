"""What a family of models is to the reader of config.json, and the keys that mean the same in every family. Importable without torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from workloads.config_json import Config
from workloads.model_spec import Gqa, ModelSpec, Moe
from workloads.rope import Rope

MOST_EXPERTS = 65_536
MOST_WIDTH = 1 << 24

# Known keys that change nothing a step computes: training, text generation's defaults, book-keeping of transformers and of tools that rewrite a config.
IGNORED = frozenset(
    {
        "_attn_implementation", "_attn_implementation_autoset", "_experts_implementation", "_name_or_path", "architectures", "attention_dropout", "auto_map",
        "bad_words_ids", "begin_suppress_tokens", "bos_token_id", "chunk_size_feed_forward", "decoder_start_token_id", "diversity_penalty", "do_sample",
        "dtype", "early_stopping", "encoder_no_repeat_ngram_size", "eos_token_id", "exponential_decay_length_penalty", "finetuning_task",
        "forced_bos_token_id", "forced_eos_token_id", "id2label", "initializer_range", "is_decoder", "label2id", "length_penalty", "max_length", "min_length",
        "no_repeat_ngram_size", "num_beam_groups", "num_beams", "num_return_sequences", "output_attentions", "output_hidden_states", "output_scores",
        "pad_token_id", "prefix", "pretraining_tp", "problem_type", "remove_invalid_values", "repetition_penalty", "return_dict", "return_dict_in_generate",
        "sep_token_id", "suppress_tokens", "task_specific_params", "temperature", "tf_legacy_loss", "tie_encoder_decoder", "tokenizer_class", "top_k", "top_p",
        "torch_dtype", "torchscript", "transformers_version", "typical_p", "unsloth_fixed", "unsloth_version", "use_bfloat16", "use_cache",
    }
)  # fmt: skip
IGNORED_OF_MOE = IGNORED | {"ep_size", "output_router_logits", "router_aux_loss_coef"}

# Keys that may have one value only: key -> (that value, what another one would mean). Absent means that value.
FIXED: Mapping[str, tuple[Any, str]] = {
    "hidden_act": ("silu", "activation"),
    "partial_rotary_factor": (1.0, "rotary positions on a part of each head,"),
    "add_cross_attention": (False, "cross-attention"),
    "is_encoder_decoder": (False, "an encoder"),
    "pruned_heads": ({}, "a model without heads"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """How to read the configs of one model_type. A key that `read` does not look at and that stands in neither table is refused."""

    read: Callable[[Config, str], ModelSpec]  # of a config and its model_type; name, folder and quantization are the caller's
    fixed: Mapping[str, tuple[Any, str]]
    ignored: frozenset[str]


def spec(
    config: Config,
    model_type: str,
    *,
    layers: int,
    attention: Any,
    rope: Rope,
    moe: Moe | None = None,
    dense_intermediate: int | None = None,
    mtp_modules: int = 0,
) -> ModelSpec:
    """A ModelSpec with the keys that every family spells alike."""
    return ModelSpec(
        name="",
        model_type=model_type,
        layers=layers,
        hidden=hidden(config),
        vocab=config.size("vocab_size", most=1 << 27),
        attention=attention,
        moe=moe,
        dense_intermediate=dense_intermediate,
        mtp_modules=mtp_modules,
        tied_embeddings=config.flag("tie_word_embeddings", default=False),
        rope=rope,
        rms_norm_eps=config.number("rms_norm_eps", default=1e-6),
        max_positions=max_positions(config),
        quantization=None,
        folder=None,
    )


def layers(config: Config) -> int:
    return config.size("num_hidden_layers", most=10_000)


def hidden(config: Config) -> int:
    return config.size("hidden_size", most=1 << 20)


def max_positions(config: Config) -> int:
    return config.size("max_position_embeddings", most=1 << 24, default=32_768)


def dense_width(config: Config) -> int:
    return config.size("intermediate_size", most=MOST_WIDTH)


def gqa(config: Config, *, head_dim: int | None = None, bias: bool = False, **rest: Any) -> Gqa:
    """Grouped-query attention; `head_dim` is what an absent key means, None: an even share of the hidden size."""
    heads = config.size("num_attention_heads", most=65_536)
    kv_heads = config.size("num_key_value_heads", most=65_536, default=heads)
    if heads % kv_heads:
        raise config.error("num_key_value_heads", f"{heads} query heads cannot share {kv_heads} key/value heads evenly")
    if head_dim is None and hidden(config) % heads == 0:
        head_dim = hidden(config) // heads
    head_dim = config.size("head_dim", most=1024, default=head_dim)
    if head_dim % 2:
        raise config.error("head_dim", f"{head_dim} is odd; rotary embedding turns pairs")
    return Gqa(heads=heads, kv_heads=kv_heads, head_dim=head_dim, bias=bias, output_bias=bias, **rest)


def top_k(config: Config, experts: int) -> int:
    count = config.size("num_experts_per_tok", most=MOST_EXPERTS)
    if count > experts:
        raise config.error("num_experts_per_tok", f"{count} experts per token, but the model has {experts}")
    return count


def layer_kinds(config: Config, layers: int, supported: tuple[str, ...]) -> tuple[str, ...]:
    """The kind of each layer's attention, as `layer_types` lists them; () when it is absent."""
    kinds = config.strings("layer_types")
    for kind in kinds:
        if kind not in supported:
            raise config.error("layer_types", f"layers of type {kind[:40]!r} are not supported yet; supported: {', '.join(supported)}")
    if kinds and len(kinds) != layers:
        raise config.error("layer_types", f"lists {len(kinds)} layers, but num_hidden_layers is {layers}")
    return kinds
