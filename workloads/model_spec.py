"""What a model is made of: plain dimensions, whatever its config.json called them. Importable without torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from workloads.rope import Rope


@dataclass(frozen=True, kw_only=True, slots=True)
class Gqa:
    """Grouped-query attention: query heads share key/value heads. Qwen3, Llama, Mixtral, gpt-oss."""

    heads: int
    kv_heads: int
    head_dim: int
    qk_norm: bool = False  # each head of q and k divided by its root mean square
    bias: bool = False  # of the q, k, v projections
    output_bias: bool = False
    sinks: bool = False  # a learned logit per head that joins the softmax's denominator
    window: int = 0  # positions that a query of a windowed layer sees, itself included; 0: no such layer
    windowed_layers: frozenset[int] = frozenset()

    @property
    def cache_width(self) -> int:
        """Cached values per token and layer."""
        return 2 * self.kv_heads * self.head_dim

    @property
    def rotary_dim(self) -> int:
        return self.head_dim


@dataclass(frozen=True, kw_only=True, slots=True)
class Mla:
    """Multi-head latent attention: one latent per token is cached, each head expands it. Source: DeepSeek-V2, arXiv 2405.04434."""

    heads: int
    query_rank: int | None  # of the query's low-rank projection; None: projected directly
    latent_rank: int
    nope_dim: int  # of a head's query and key, without position
    rope_dim: int  # with position; the key's is shared by all heads
    value_dim: int

    @property
    def cache_width(self) -> int:
        """Cached values per token and layer: the latent and the rotated key."""
        return self.latent_rank + self.rope_dim

    @property
    def rotary_dim(self) -> int:
        return self.rope_dim


@dataclass(frozen=True, kw_only=True, slots=True)
class Moe:
    """Mixture of experts: which layers, how many experts of which size, how a token's are chosen."""

    layers: frozenset[int]
    experts: int
    top_k: int
    intermediate: int
    shared_intermediate: int = 0  # of all shared experts together, which every token takes; 0: none
    scoring: str = "softmax"  # or "sigmoid"
    correction_bias: bool = False  # added to the scores for the choice alone (DeepSeek-V3's balancing without a loss)
    groups: int = 1  # of experts, of which a token may use `groups_kept`
    groups_kept: int = 1
    renormalize: bool = True  # the chosen weights sum to one
    scaling: float = 1.0  # of the chosen weights
    router_bias: bool = False
    bias: bool = False  # of the experts' projections
    activation: str = "swiglu"  # or "clamped_swiglu"
    limit: float = 0.0  # of clamped_swiglu


@dataclass(frozen=True, kw_only=True, slots=True)
class Quantization:
    """What a config.json's quantization_config says of its checkpoint."""

    method: str  # "fp8", "mxfp4", "compressed-tensors", ...
    recipe: str | None  # the --precision that serves it; None: tokenmill has none
    not_converted: tuple[str, ...]  # names and patterns of the modules that stayed in the checkpoint's own dtype, as Hugging Face names them


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSpec:
    """The dimensions of one decoder-only model. Sizes are counts; `None` means the model has no such thing."""

    name: str
    model_type: str  # Hugging Face's name of the architecture
    layers: int
    hidden: int
    vocab: int
    attention: Gqa | Mla
    moe: Moe | None
    dense_intermediate: int | None  # of the dense layers' MLP; None: every layer is MoE
    mtp_modules: int  # multi-token-prediction modules behind the last layer; not part of the totals
    tied_embeddings: bool
    rope: Rope
    rms_norm_eps: float
    max_positions: int
    quantization: Quantization | None
    folder: Path | None  # a checkpoint's folder, when the model was named by one

    @property
    def moe_layers(self) -> frozenset[int]:
        return frozenset() if self.moe is None else self.moe.layers

    @property
    def weights(self) -> str:
        """`files` when the folder holds safetensors, else `random`."""
        return "files" if self.folder is not None and any(self.folder.glob("*.safetensors")) else "random"

    @property
    def softmax_scale(self) -> float:
        """Of q k^T: one over the root of the head width, times what YaRN corrects it by."""
        width = self.attention.head_dim if isinstance(self.attention, Gqa) else self.attention.nope_dim + self.attention.rope_dim
        return float(width**-0.5 * self.rope.softmax_factor)
