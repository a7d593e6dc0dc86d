"""Where in a model an operation belongs: a `part(...)` name of the decoder as one of few groups, and in plain words."""

from __future__ import annotations

# In the order of the waterfall. `other`: a record of a model that this version does not know.
GROUPS = ("router", "dispatch", "experts", "combine", "attention", "dense", "head", "norms", "quantize", "embedding", "other")

# part -> (group, what a reader calls it). A multi-token-prediction module's parts are the model's own behind "mtp.".
PLACES: dict[str, tuple[str, str]] = {
    "embedding": ("embedding", "embedding"),
    "embedding.all_gather": ("embedding", "embedding all-gather"),
    "attention.norm": ("norms", "norm before attention"),
    "attention.qkv": ("attention", "attention QKV projection"),
    "attention.rope_kv_write": ("attention", "rotary positions and cache write"),
    "attention.attend": ("attention", "attention"),
    "attention.attend_window": ("attention", "windowed attention"),
    "attention.o": ("attention", "attention output projection"),
    "attention.all_reduce": ("attention", "attention all-reduce"),
    "attention.qkv_a": ("attention", "attention down-projections"),
    "attention.latent_kv_write": ("attention", "latent cache write"),
    "attention.q_b": ("attention", "attention query projection"),
    "attention.absorb_q": ("attention", "query into latent space"),
    "attention.v_b": ("attention", "latents to values"),
    "attention.latent_gather": ("attention", "latent gather"),
    "attention.kv_b": ("attention", "latents to keys and values"),
    "mlp.norm": ("norms", "norm before MLP"),
    "mlp.gate_up": ("dense", "MLP gate and up projection"),
    "mlp.down": ("dense", "MLP down-projection"),
    "mlp.all_reduce": ("dense", "MLP all-reduce"),
    "experts.router": ("router", "MoE router projection"),
    "experts.route": ("router", "MoE routing"),
    "experts.dispatch": ("dispatch", "MoE dispatch"),
    "experts.all_to_all": ("dispatch", "MoE all-to-all"),
    "experts.gate_up": ("experts", "MoE gate and up projection"),
    "experts.down": ("experts", "MoE down-projection"),
    "experts.combine": ("combine", "MoE combine"),
    "experts.all_reduce": ("combine", "MoE all-reduce"),
    "experts.all_to_all_back": ("combine", "MoE all-to-all back"),
    "experts.gather_rows": ("combine", "MoE gather of rows"),
    "experts.shared.gate_up": ("dense", "shared expert gate and up projection"),
    "experts.shared.down": ("dense", "shared expert down-projection"),
    "head.norm": ("norms", "norm before head"),
    "head.last_rows": ("head", "last rows"),
    "head.logits": ("head", "head"),
    "head.all_gather": ("head", "head all-gather"),
    "head.sample": ("head", "sampling"),
    "concat_norm": ("norms", "norms of the MTP module's inputs"),
    "projection": ("dense", "MTP projection"),
    "norm": ("norms", "norm after the MTP module"),
}


def group_of_part(op: str, part: str) -> str:
    """The group of an operation; `other` for a part that no model of this version has."""
    if op == "quantize":
        return "quantize"
    return PLACES.get(part.removeprefix("mtp."), ("other", ""))[0]


def in_words(op: str, part: str) -> str:
    """`experts.down` -> `MoE down-projection`; a part that is not known keeps its name."""
    said = PLACES.get(part.removeprefix("mtp."), ("", part))[1]
    if op == "quantize":
        said = f"quantization for {said}"
    return f"MTP: {said}" if part.startswith("mtp.") and "MTP" not in said else said
