"""What Hugging Face checkpoints call tokenmill's parameters, family by family. Importable without torch.

Sources: transformers, models/{qwen3, qwen3_moe, llama, mixtral, gpt_oss, deepseek_v3}; for multi-token prediction README_WEIGHTS.md of DeepSeek-V3.
"""

from __future__ import annotations

from workloads.model_spec import Gqa, Mla, ModelSpec

EXPERT = "{expert}"  # where an expert's number stands in the name of a tensor of its own

# tokenmill's name within a layer -> the tensors it is stacked from, along dimension 0.
_LAYER = {
    "attention_norm": ("input_layernorm.weight",),
    "mlp_norm": ("post_attention_layernorm.weight",),
    "qkv": ("self_attn.q_proj.weight", "self_attn.k_proj.weight", "self_attn.v_proj.weight"),
    "qkv_bias": ("self_attn.q_proj.bias", "self_attn.k_proj.bias", "self_attn.v_proj.bias"),
    "q_norm": ("self_attn.q_norm.weight",),
    "k_norm": ("self_attn.k_norm.weight",),
    "sinks": ("self_attn.sinks",),
    "o": ("self_attn.o_proj.weight",),
    "o_bias": ("self_attn.o_proj.bias",),
    "q": ("self_attn.q_proj.weight",),
    "q_a_norm": ("self_attn.q_a_layernorm.weight",),
    "q_b": ("self_attn.q_b_proj.weight",),
    "kv_a_norm": ("self_attn.kv_a_layernorm.weight",),
    "kv_b": ("self_attn.kv_b_proj.weight",),
    "mlp.gate_up": ("mlp.gate_proj.weight", "mlp.up_proj.weight"),
    "mlp.down": ("mlp.down_proj.weight",),
    "shared.gate_up": ("mlp.shared_experts.gate_proj.weight", "mlp.shared_experts.up_proj.weight"),
    "shared.down": ("mlp.shared_experts.down_proj.weight",),
    "router_bias": ("mlp.router.bias",),
    "router_correction": ("mlp.gate.e_score_correction_bias",),
}
_QUERY_A, _LATENT_A = "self_attn.q_a_proj.weight", "self_attn.kv_a_proj_with_mqa.weight"
_Spellings = dict[str, tuple[tuple[str, ...], ...]]
_GPT_OSS: _Spellings = {
    "router": (("mlp.router.weight",),),
    "experts.gate_up": (("mlp.experts.gate_up_proj",),),
    "experts.gate_up_bias": (("mlp.experts.gate_up_proj_bias",),),
    "experts.down": (("mlp.experts.down_proj",),),
    "experts.down_bias": (("mlp.experts.down_proj_bias",),),
}
# All experts in one tensor, as transformers 5 holds them.
_FUSED = {"experts.gate_up": ("mlp.experts.gate_up_proj",), "experts.down": ("mlp.experts.down_proj",)}
_EXPERTS: _Spellings = {
    "router": (("mlp.gate.weight",),),
    "experts.gate_up": ((f"mlp.experts.{EXPERT}.gate_proj.weight", f"mlp.experts.{EXPERT}.up_proj.weight"), _FUSED["experts.gate_up"]),
    "experts.down": ((f"mlp.experts.{EXPERT}.down_proj.weight",), _FUSED["experts.down"]),
}
_MIXTRAL: _Spellings = {
    "router": (("block_sparse_moe.gate.weight",), ("mlp.gate.weight",)),
    "experts.gate_up": (
        (f"block_sparse_moe.experts.{EXPERT}.w1.weight", f"block_sparse_moe.experts.{EXPERT}.w3.weight"),
        _FUSED["experts.gate_up"],
    ),
    "experts.down": ((f"block_sparse_moe.experts.{EXPERT}.w2.weight",), _FUSED["experts.down"]),
}
_EXPERTS_OF = {"gpt_oss": _GPT_OSS, "mixtral": _MIXTRAL}
_TOP = {"embedding": ("model.embed_tokens.weight",), "norm": ("model.norm.weight",), "head": ("lm_head.weight",)}
_MTP = {"embedding_norm": ("enorm.weight",), "hidden_norm": ("hnorm.weight",), "projection": ("eh_proj.weight",), "norm": ("shared_head.norm.weight",)}
_PREFIX_OF = {"kimi_k25": "language_model."}  # a model of text and images keeps its language model beside the rest


def within_layer(name: str) -> str:
    """A parameter's name without the layer or module that holds it: `experts.down` of layers.3.experts.down and of mtp.0.block.experts.down."""
    parts = name.split(".")
    if parts[0] == "layers":
        return ".".join(parts[2:])
    if parts[0] == "mtp" and parts[2] == "block":
        return ".".join(parts[3:])
    return name


def alternatives(spec: ModelSpec, name: str) -> tuple[tuple[str, ...], ...]:
    """The ways a checkpoint may spell the parameter `name`, each the tensors to be stacked; the published way first."""
    prefix = _PREFIX_OF.get(spec.model_type, "")
    if name in _TOP:
        return (tuple(prefix + tensor for tensor in _TOP[name]),)
    kind, index, rest = name.split(".", 2)
    if kind == "mtp":  # the modules stand behind the last layer, under the numbers that follow its own
        prefix += f"model.layers.{spec.layers + int(index)}."
        spelled: tuple[tuple[str, ...], ...] = _spelled(spec, rest.removeprefix("block.")) if rest.startswith("block.") else (_MTP[rest],)
    else:
        prefix += f"model.layers.{index}."
        spelled = _spelled(spec, rest)
    return tuple(tuple(prefix + tensor for tensor in tensors) for tensors in spelled)


def _spelled(spec: ModelSpec, rest: str) -> tuple[tuple[str, ...], ...]:
    if rest == "q_a_kv_a":
        assert isinstance(spec.attention, Mla), spec.name
        return ((_QUERY_A, _LATENT_A),) if spec.attention.query_rank else ((_LATENT_A,),)
    return (_LAYER[rest],) if rest in _LAYER else _EXPERTS_OF.get(spec.model_type, _EXPERTS)[rest]


def stacked_rows(spec: ModelSpec, name: str, rows: int) -> tuple[int, ...]:
    """How many of a parameter's `rows` each of its tensors has."""
    rest, block = within_layer(name), spec.attention
    if rest in ("qkv", "qkv_bias"):
        assert isinstance(block, Gqa), spec.name
        return block.heads * block.head_dim, block.kv_heads * block.head_dim, block.kv_heads * block.head_dim
    if rest == "q_a_kv_a" and isinstance(block, Mla) and block.query_rank:
        return block.query_rank, block.latent_rank + block.rope_dim
    return (rows // 2, rows // 2) if rest.endswith("gate_up") else (rows,)


def modules_of(spec: ModelSpec, name: str) -> tuple[str, ...]:
    """The modules that hold the parameter's tensors, as a quantization_config names them. The first expert speaks for all."""
    tensors = (tensor.replace(EXPERT, "0") for tensor in alternatives(spec, name)[0])
    return tuple(tensor.removesuffix(".weight").removesuffix(".bias") for tensor in tensors)


def scale_of_cache(spec: ModelSpec, name: str) -> str:
    """The tensor that holds a layer's k_scale, v_scale or latent_scale, as TensorRT Model Optimizer writes it. vLLM scales latents by the keys' too."""
    inside, _, which = name.rpartition(".")
    projection = "v" if which == "v_scale" else "k"
    return alternatives(spec, f"{inside}.attention_norm")[0][0].replace("input_layernorm.weight", f"self_attn.{projection}_proj.{projection}_scale")


def ignored(spec: ModelSpec, tensor: str) -> bool:
    """Whether a model is complete without this tensor: what it computes itself, its head's copy of a tied embedding, modules it may run without, scales of
    activations (they are found as a step runs) and of a cache that is not in fp8."""
    prefix = _PREFIX_OF.get(spec.model_type, "")
    if not tensor.startswith(prefix):
        return True
    if tensor.endswith((".rotary_emb.inv_freq", ".input_scale", ".k_scale", ".v_scale")) or (spec.tied_embeddings and tensor == f"{prefix}lm_head.weight"):
        return True
    return any(tensor.startswith(f"{prefix}model.layers.{spec.layers + module}.") for module in range(spec.mtp_modules))
