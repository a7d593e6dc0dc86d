"""Weights from a local folder of safetensors with Hugging Face names, whole or sharded. Data only: no pickle, no code from the folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from triton_kernels.errors import TokenmillError
from workloads.model_spec import ModelSpec

# tokenmill's name within a layer -> the names of the HF tensors that make it up, stacked along dimension 0. Source: transformers, models/qwen3 and qwen3_moe.
_LAYER_NAMES = {
    "attention_norm": ("input_layernorm.weight",),
    "qkv": ("self_attn.q_proj.weight", "self_attn.k_proj.weight", "self_attn.v_proj.weight"),
    "qkv_bias": ("self_attn.q_proj.bias", "self_attn.k_proj.bias", "self_attn.v_proj.bias"),
    "q_norm": ("self_attn.q_norm.weight",),
    "k_norm": ("self_attn.k_norm.weight",),
    "o": ("self_attn.o_proj.weight",),
    "o_bias": ("self_attn.o_proj.bias",),
    "mlp_norm": ("post_attention_layernorm.weight",),
    "mlp.gate_up": ("mlp.gate_proj.weight", "mlp.up_proj.weight"),
    "mlp.down": ("mlp.down_proj.weight",),
    "router": ("mlp.gate.weight",),
}
_EXPERT_NAMES = {"experts.gate_up": ("gate_proj.weight", "up_proj.weight"), "experts.down": ("down_proj.weight",)}
_TOP_NAMES = {"embedding": ("model.embed_tokens.weight",), "norm": ("model.norm.weight",), "head": ("lm_head.weight",)}


class CheckpointWeights:
    """A WeightSource over the *.safetensors files of a folder. TokenmillError names a tensor that is missing, misshapen or left over."""

    def __init__(self, spec: ModelSpec, folder: Path, *, dtype: torch.dtype, device: torch.device) -> None:
        self.spec, self.folder, self.dtype, self.device = spec, folder, dtype, device
        self._files = [_open(path, device) for path in _shards(folder)]
        self._where = {name: file for file in self._files for name in file.keys()}  # noqa: SIM118 - a safetensors handle is no mapping
        self._unread = set(self._where)

    def __call__(self, name: str, *dims: int, std: float | None) -> torch.Tensor:
        values = torch.empty(dims, dtype=self.dtype, device=self.device)
        self._fill(values, name)
        return values

    def refuse_leftovers(self) -> None:
        """Raises when the checkpoint holds tensors that the model never asked for: it would be another model."""
        if self.spec.tied_embeddings:
            self._unread.discard("lm_head.weight")
        if self._unread:
            raise TokenmillError(f"{self.folder}: holds {len(self._unread)} tensors this model does not have, such as {min(self._unread)[:100]!r}")

    def _fill(self, out: torch.Tensor, name: str) -> None:
        if name in _TOP_NAMES:
            self._stack(out, list(_TOP_NAMES[name]))
            return
        _, index, rest = name.split(".", 2)
        if rest in _LAYER_NAMES:
            self._stack(out, [f"model.layers.{index}.{part}" for part in _LAYER_NAMES[rest]])
            return
        for expert in range(self.spec.experts):
            self._stack(out[expert], [f"model.layers.{index}.mlp.experts.{expert}.{part}" for part in _EXPERT_NAMES[rest]])

    def _stack(self, out: torch.Tensor, names: list[str]) -> None:
        """Copies the named tensors one below the other into `out`."""
        row = 0
        for name in names:
            if name not in self._where:
                raise TokenmillError(f"{self.folder}: tensor {name!r} is missing from the safetensors files")
            tensor = self._where[name].get_tensor(name)
            self._unread.discard(name)
            fits = tensor.dim() == out.dim() and tensor.shape[1:] == out.shape[1:] and row + tensor.shape[0] <= out.shape[0]
            if not fits or (name == names[-1] and row + tensor.shape[0] != out.shape[0]):
                raise TokenmillError(f"{self.folder}: tensor {name!r} has shape {list(tensor.shape)}, which does not fit config.json's {list(out.shape)}")
            out[row : row + tensor.shape[0]].copy_(tensor)
            row += tensor.shape[0]


def _shards(folder: Path) -> list[Path]:
    """The files that the index names, or every *.safetensors of the folder."""
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return sorted(folder.glob("*.safetensors"))
    try:
        weight_map = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        names = sorted(set(weight_map.values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as e:
        raise TokenmillError(f"{index}: is not a safetensors index with a weight_map") from e
    for name in names:
        if not isinstance(name, str) or Path(name).name != name or not name.endswith(".safetensors"):
            raise TokenmillError(f"{index}: names {str(name)[:80]!r}, which is not a safetensors file of this folder")
        if not (folder / name).is_file():
            raise TokenmillError(f"{folder / name}: is named by the index but missing; download it again")
    return [folder / name for name in names]


def _open(path: Path, device: torch.device) -> Any:
    from safetensors import SafetensorError, safe_open

    try:
        return safe_open(path, framework="pt", device=str(device))
    except (OSError, SafetensorError) as e:
        raise TokenmillError(f"{path}: is not a readable safetensors file ({e})") from e
