"""Models of text and images whose language model is one that tokenmill reads, nested in `text_config`. Only the language model is. Importable without torch."""

from __future__ import annotations

from workloads.config_json import Config

# model_type -> the model_types its text_config may have
NESTED = {"kimi_k25": ("kimi_k2", "deepseek_v3")}

# Known keys beside text_config that change nothing a step on text computes.
IGNORED = frozenset(
    {
        "architectures", "auto_map", "bos_token_id", "dtype", "eos_token_id", "ignore_index", "image_token_id", "media_placeholder_token_id", "pad_token_id",
        "projection_hidden_size", "projection_layer_norm_eps", "torch_dtype", "transformers_version", "use_cache", "use_unified_vision_chunk",
        "video_placeholder", "video_token_id", "vision_config", "vision_end_token_id", "vision_start_token_id",
    }
)  # fmt: skip


def open_nested(config: Config, model_type: str) -> Config:
    """The language model's own config. What stands beside it is checked here, but for the quantization, which may stand in either place."""
    text = config.table("text_config")
    if text is None:
        raise config.error("text_config", "is missing")
    kind = text.string("model_type")
    if kind not in NESTED[model_type]:
        raise text.error("model_type", f"{kind[:60]!r} in a {model_type} is not supported; supported: {', '.join(NESTED[model_type])}")
    config.same("tie_word_embeddings", text.flag("tie_word_embeddings", default=False), "text_config.tie_word_embeddings")
    config.refuse_unknown(model_type, IGNORED | {"quantization_config"})
    return text
