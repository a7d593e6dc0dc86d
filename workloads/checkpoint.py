"""Weights from a local folder of safetensors with Hugging Face names, whole or sharded, in tokenmill's layout and a rank's part of it.

Shapes: E experts, H hidden, I intermediate, A heads, K and D query dims without and with position.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch

from triton_kernels.errors import TokenmillError
from workloads import block_fp8, mxfp4
from workloads.checkpoint_files import CheckpointFiles
from workloads.checkpoint_names import EXPERT, alternatives, ignored, stacked_rows, within_layer
from workloads.model_spec import Mla, ModelSpec
from workloads.weights import Cut, DtypeOf, local_dims

_PLAIN = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


class CheckpointWeights:
    """A WeightSource over the *.safetensors files of a folder. TokenmillError names a tensor that is missing, misshapen, undecodable or left over."""

    def __init__(self, spec: ModelSpec, folder: Path, *, dtype_of: DtypeOf, device: torch.device) -> None:
        self.spec, self.dtype_of, self.device = spec, dtype_of, device
        self._files = CheckpointFiles(folder, device)

    def __call__(self, name: str, *dims: int, std: float | None, cuts: tuple[Cut, ...] = ()) -> torch.Tensor:
        out = torch.empty(local_dims(dims, cuts), dtype=self.dtype_of(name, dims), device=self.device)
        assert out.element_size() > 1, name  # bytes need scales beside them, which nothing here hands out
        tensors = self._spelled(name)
        if not within_layer(name).startswith("experts."):
            out.copy_(_cut_out(self._reordered(name, self._stacked(name, tensors, dims)), cuts))
            return out
        ranges = next((one.ranges for one in cuts if one.dim == 0), ((0, dims[0]),))
        inside = tuple(Cut(dim=one.dim - 1, ranges=one.ranges) for one in cuts if one.dim)
        for place, expert in enumerate(e for first, last in ranges for e in range(first, last)):
            out[place].copy_(_cut_out(self._expert(name, tensors, dims, expert), inside))
        return out

    def refuse_leftovers(self) -> None:
        """Raises when the checkpoint holds tensors that the model never asked for: it would be another model."""
        left = {name for name in self._files.unread if not ignored(self.spec, name)}
        if left:
            raise TokenmillError(f"{self._files.folder}: holds {len(left)} tensors this model does not have, such as {min(left)[:100]!r}")

    def _spelled(self, name: str) -> tuple[str, ...]:
        """The first spelling of which the files hold anything; the published one where they hold none, which is then missed by its name."""
        spellings = alternatives(self.spec, name)
        return next((tensors for tensors in spellings if any(t.replace(EXPERT, "0") in self._files for t in tensors)), spellings[0])

    def _stacked(self, name: str, tensors: tuple[str, ...], dims: tuple[int, ...]) -> torch.Tensor:
        """The named tensors one below the other, viewed as `dims`."""
        rows, columns = (dims[0], ()) if len(dims) == 1 else (math.prod(dims[:-1]), dims[-1:])
        parts = [self._decoded(t, (part, *columns)) for t, part in zip(tensors, stacked_rows(self.spec, name, rows), strict=True)]
        return (parts[0] if len(parts) == 1 else torch.cat(parts)).view(dims)

    def _expert(self, name: str, tensors: tuple[str, ...], dims: tuple[int, ...], expert: int) -> torch.Tensor:
        """One expert's part of a parameter of all experts."""
        if EXPERT in tensors[0]:
            return self._stacked(name, tuple(t.replace(EXPERT, str(expert)) for t in tensors), dims[1:])
        (tensor,) = tensors
        if self.spec.model_type != "gpt_oss":
            return self._decoded(tensor, dims, at=expert)
        # gpt-oss multiplies from the right (its matrices are inputs x outputs) and has gate and up in turn, not one behind the other
        if f"{tensor}_blocks" in self._files:
            values = self._mxfp4(tensor, dims, expert)
        elif len(dims) == 3:
            values = self._decoded(tensor, (dims[0], dims[2], dims[1]), at=expert).T
        else:
            values = self._decoded(tensor, dims, at=expert)
        return _evens_first(values) if "gate_up" in name else values

    def _reordered(self, name: str, values: torch.Tensor) -> torch.Tensor:
        """DeepSeek rotates neighbours, tokenmill halves: rotated rows trade places, in queries and keys alike, so that their products stay the same."""
        block = self.spec.attention
        if not isinstance(block, Mla):
            return values
        rest, d = within_layer(name), block.rope_dim
        if rest == "q_a_kv_a":
            return torch.cat((values[:-d], _evens_first(values[-d:])))
        if rest in ("q", "q_b"):
            heads = values.view(block.heads, block.nope_dim + d, -1)
            rotated = heads[:, block.nope_dim :].transpose(0, 1)
            return torch.cat((heads[:, : block.nope_dim], _evens_first(rotated).transpose(0, 1)), 1).view(values.shape)
        return values

    def _decoded(self, tensor: str, dims: tuple[int, ...], *, at: int | None = None) -> torch.Tensor:
        """A tensor's values, or those of index `at` of its first dimension, whatever format the checkpoint keeps them in."""
        if tensor not in self._files:
            for suffix in ("_packed", "_blocks"):
                if f"{tensor}{suffix}" in self._files:
                    raise self._files.error(f"{tensor}{suffix}", "is in a quantized format that tokenmill does not decode; use a bf16 checkpoint")
        values = self._files.read(tensor, dims, at=at)
        if values.dtype == torch.float8_e4m3fn and values.dim() == 2 and at is None:
            return block_fp8.decode(values, self._finite_scale(f"{tensor}_scale_inv", block_fp8.scale_dims(*dims)))
        if values.dtype not in _PLAIN:
            raise self._files.error(tensor, f"is {str(values.dtype).removeprefix('torch.')}, which tokenmill does not decode here; use a bf16 checkpoint")
        return values

    def _finite_scale(self, tensor: str, dims: tuple[int, ...]) -> torch.Tensor:
        scale = self._files.read(tensor, dims)
        if not scale.is_floating_point() or not bool(torch.isfinite(scale.float()).all()):
            raise self._files.error(tensor, "holds scales that are not finite numbers; download it again")
        return scale

    def _mxfp4(self, tensor: str, dims: tuple[int, ...], expert: int) -> torch.Tensor:
        experts, rows, columns = dims
        if columns % mxfp4.GROUP:
            raise self._files.error(f"{tensor}_blocks", f"is in groups of {mxfp4.GROUP}, which do not divide config.json's {columns} columns")
        groups = columns // mxfp4.GROUP
        blocks = self._files.read(f"{tensor}_blocks", (experts, rows, groups, mxfp4.GROUP_BYTES), at=expert)
        scales = self._files.read(f"{tensor}_scales", (experts, rows, groups), at=expert)
        for name, values in ((f"{tensor}_blocks", blocks), (f"{tensor}_scales", scales)):
            if values.dtype != torch.uint8:
                raise self._files.error(name, f"is {str(values.dtype).removeprefix('torch.')}, not the uint8 of mxfp4")
        if bool((scales == mxfp4.NAN_SCALE).any()):
            raise self._files.error(f"{tensor}_scales", "holds scales that are not numbers; download it again")
        return mxfp4.decode(blocks, scales)


def _cut_out(values: torch.Tensor, cuts: tuple[Cut, ...]) -> torch.Tensor:
    for one in cuts:
        values = torch.cat([values.narrow(one.dim, first, last - first) for first, last in one.ranges], one.dim)
    return values


def _evens_first(values: torch.Tensor) -> torch.Tensor:
    """Rows 0, 2, 4, ... and then 1, 3, 5, ..."""
    return torch.cat((values[0::2], values[1::2]))
