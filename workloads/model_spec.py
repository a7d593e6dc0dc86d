"""What a model is made of, read from a Hugging Face config.json as plain, untrusted data. Importable without torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from triton_kernels.errors import TokenmillError, unknown
from workloads.catalogue import CATALOGUE
from workloads.config_json import Config, read_config

MODEL_TYPES = ("qwen3", "qwen3_moe")


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSpec:
    """The dimensions of one decoder-only model. Sizes are counts; `None` means the model has no such thing."""

    name: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    dense_intermediate: int | None  # of the dense layers' MLP; None: every layer is MoE
    moe_layers: frozenset[int]
    experts: int
    top_k: int
    moe_intermediate: int
    renormalize: bool  # top-k weights sum to one
    attention_bias: bool
    tied_embeddings: bool
    rope_theta: float
    rms_norm_eps: float
    max_positions: int
    folder: Path | None  # a checkpoint's folder, when the model was named by one

    @property
    def weights(self) -> str:
        """`files` when the folder holds safetensors, else `random`."""
        return "files" if self.folder is not None and any(self.folder.glob("*.safetensors")) else "random"


def read_model(name_or_path: str) -> ModelSpec:
    """A catalogue name, a config.json, or the folder of one. TokenmillError for anything that is not a supported model."""
    if name_or_path in CATALOGUE:
        entry = CATALOGUE[name_or_path]
        return _spec(read_config(entry.config), name=entry.name, folder=None)
    path = Path(name_or_path)
    if path.is_dir():
        path = path / "config.json"
        if not path.is_file():
            raise TokenmillError(f"{path}: no such file; name a folder that holds a config.json")
    if not path.is_file():
        if path.suffix == ".json" or "/" in name_or_path:
            raise TokenmillError(f"{name_or_path}: no such file or folder; name a config.json, its folder, or a model of `tokenmill list models`")
        raise unknown("model", name_or_path, CATALOGUE)
    folder = path.resolve().parent
    return _spec(read_config(path), name=path.stem if path.name != "config.json" else folder.name or "model", folder=folder)


def _spec(config: Config, *, name: str, folder: Path | None) -> ModelSpec:
    model_type = config.string("model_type")
    if model_type not in MODEL_TYPES:
        raise config.error("model_type", f"architecture {model_type[:60]!r} is not supported yet; supported: {', '.join(MODEL_TYPES)}")
    _refuse_what_is_missing(config)
    moe = model_type == "qwen3_moe"
    layers = config.size("num_hidden_layers", most=10_000)
    heads = config.size("num_attention_heads", most=65_536)
    kv_heads = config.size("num_key_value_heads", most=65_536, default=heads)
    hidden = config.size("hidden_size", most=1 << 20)
    if heads % kv_heads:
        raise config.error("num_key_value_heads", f"{heads} query heads cannot share {kv_heads} key/value heads evenly")
    head_dim = config.size("head_dim", most=1024, default=hidden // heads if hidden % heads == 0 else None)
    if head_dim % 2:
        raise config.error("head_dim", f"{head_dim} is odd; rotary embedding turns pairs")
    # transformers 4 writes num_experts, transformers 5 num_local_experts
    experts = config.size("num_local_experts" if "num_local_experts" in config else "num_experts", most=65_536) if moe else 0
    top_k = config.size("num_experts_per_tok", most=65_536) if moe else 0
    if top_k > experts:
        raise config.error("num_experts_per_tok", f"{top_k} experts per token, but the model has {experts}")
    moe_layers = _moe_layers(config, layers) if moe else frozenset[int]()
    return ModelSpec(
        name=name,
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        vocab=config.size("vocab_size", most=1 << 27),
        dense_intermediate=config.size("intermediate_size", most=1 << 24) if len(moe_layers) < layers else None,
        moe_layers=moe_layers,
        experts=experts,
        top_k=top_k,
        moe_intermediate=config.size("moe_intermediate_size", most=1 << 24) if moe else 0,
        renormalize=config.flag("norm_topk_prob", default=False),
        attention_bias=config.flag("attention_bias", default=False),
        tied_embeddings=config.flag("tie_word_embeddings", default=False),
        rope_theta=_rope_theta(config),
        rms_norm_eps=config.number("rms_norm_eps", default=1e-6),
        max_positions=config.size("max_position_embeddings", most=1 << 24, default=32_768),
        folder=folder,
    )


def _moe_layers(config: Config, layers: int) -> frozenset[int]:
    """Which layers route to experts: every `decoder_sparse_step`-th, but those listed as MLP only (transformers, Qwen3MoeDecoderLayer)."""
    every = config.size("decoder_sparse_step", most=10_000, default=1)
    dense = config.sizes("mlp_only_layers")
    return frozenset(i for i in range(layers) if (i + 1) % every == 0 and i not in dense)


def _rope_theta(config: Config) -> float:
    """`rope_theta` at the top (transformers 4) or inside `rope_parameters` (transformers 5)."""
    rope = config.table("rope_parameters") or config.table("rope_scaling")
    if rope is not None:
        kind = rope.string("rope_type", default=None) or rope.string("type", default="default")
        if kind != "default":
            raise config.error("rope_scaling", f"rope scaling {kind[:40]!r} is not supported yet")
        if "rope_theta" in rope:
            return rope.number("rope_theta")
    return config.number("rope_theta", default=10_000.0)


def _refuse_what_is_missing(config: Config) -> None:
    """Keys that would change what the model computes, in ways no operation here computes yet."""
    if config.string("hidden_act", default="silu") != "silu":
        raise config.error("hidden_act", f"activation {config.string('hidden_act')[:40]!r} is not supported; supported: silu")
    if config.flag("use_sliding_window", default=False):
        raise config.error("use_sliding_window", "sliding-window attention is not supported yet")
    if "quantization_config" in config:
        raise config.error("quantization_config", "quantized checkpoints are not supported yet; use the bf16 release of this model")
    for kind in config.strings("layer_types"):
        if kind != "full_attention":
            raise config.error("layer_types", f"layers of type {kind[:40]!r} are not supported yet; supported: full_attention")
