"""Weights from a local folder of safetensors with Hugging Face names, whole or sharded, in tokenmill's layout and a rank's part of it.

Quantised matrices keep their codes and scales where the recipe wants the format they are published in.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from triton_kernels.errors import TokenmillError
from triton_kernels.operand import Operand, empty_operand
from workloads.checkpoint_files import CheckpointFiles
from workloads.checkpoint_names import EXPERT, alternatives, ignored, scale_of_cache, stacked_rows, within_layer
from workloads.coded import Coded, plain_tensor, stacked
from workloads.coded_tensors import read_gpt_oss, read_scalar, read_tensor
from workloads.model_spec import Mla, ModelSpec
from workloads.recipe import Use
from workloads.weights import Cut, Matrix, UseOf, check_groups, local_dims, put


@dataclass(frozen=True, kw_only=True)
class _Piece:
    """What is read at once: a parameter, or one expert of it (then `dims` and `cuts` are an expert's). `place`: where it goes in this rank's tensor."""

    place: int | slice
    dims: tuple[int, ...]
    cuts: tuple[Cut, ...]
    coded: Coded  # rows x columns; a vector as it is


class CheckpointWeights:
    """A WeightSource over the *.safetensors files of a folder. TokenmillError names a tensor that is missing, misshapen, undecodable or left over.

    `notes`: what was quantised a second time because the recipe wants another format than the checkpoint's, or what does not fit one operand.
    """

    def __init__(self, spec: ModelSpec, folder: Path, *, use_of: UseOf, device: torch.device) -> None:
        self.spec, self.use_of, self.device = spec, use_of, device
        self.notes: list[str] = []
        self._files = CheckpointFiles(folder, device)

    def __call__(self, name: str, *dims: int, std: float | None, cuts: tuple[Cut, ...] = ()) -> torch.Tensor:
        use = self.use_of(name, dims)
        assert use.weight.plain, (name, use.weight.name)  # scales are for `matrix` to hand out
        out = torch.empty(local_dims(dims, cuts), dtype=use.weight.dtype, device=self.device)
        for piece in self._pieces(name, dims, cuts):
            out[piece.place].copy_(_cut_out(piece.coded.decoded().view(piece.dims), piece.cuts))
        return out

    def matrix(self, name: str, *dims: int, std: float, cuts: tuple[Cut, ...] = ()) -> Matrix:
        use, local = self.use_of(name, dims), local_dims(dims, cuts)
        check_groups(name, local, use.weight)
        weight = empty_operand(local, use.weight, self.device, layout=use.layout)
        for piece in self._pieces(name, dims, cuts):
            put(weight, piece.place, self._operand(name, piece, use))
        return Matrix(weight=weight, takes=use.takes)

    def cache_scale(self, name: str) -> torch.Tensor:
        tensor = scale_of_cache(self.spec, name)
        if tensor not in self._files:
            return torch.ones(1, device=self.device)  # as vLLM without a calibrated one
        return read_scalar(self._files, tensor)

    def refuse_leftovers(self) -> None:
        """Raises when the checkpoint holds tensors that the model never asked for: it would be another model."""
        left = {name for name in self._files.unread if not ignored(self.spec, name)}
        if left:
            raise TokenmillError(f"{self._files.folder}: holds {len(left)} tensors this model does not have, such as {min(left)[:100]!r}")

    def _operand(self, name: str, piece: _Piece, use: Use) -> Operand:
        coded = piece.coded
        for one in piece.cuts:
            coded = coded.columns(one.ranges) if one.dim else coded.rows(_numbers(one.ranges, self.device))
        kept = coded.kept(use.weight, use.layout)
        if kept is not None:
            return kept
        if why := coded.encoded_twice(use.weight):
            note = f"{within_layer(name)}: {why}; decoded and encoded again in {use.weight.name}, which rounds once more"
            if note not in self.notes:
                self.notes.append(note)
        return coded.to_operand(use.weight, use.layout)

    def _pieces(self, name: str, dims: tuple[int, ...], cuts: tuple[Cut, ...]) -> Iterator[_Piece]:
        tensors = self._spelled(name)
        if not within_layer(name).startswith("experts."):
            coded = self._stacked(name, tensors, dims)
            order = _rotated_halves(self.spec, name, dims[0], self.device)
            yield _Piece(place=slice(None), dims=dims, cuts=cuts, coded=coded if order is None else coded.rows(order))
            return
        ranges = next((one.ranges for one in cuts if one.dim == 0), ((0, dims[0]),))
        inside = tuple(Cut(dim=one.dim - 1, ranges=one.ranges) for one in cuts if one.dim)
        for place, expert in enumerate(e for first, last in ranges for e in range(first, last)):
            yield _Piece(place=place, dims=dims[1:], cuts=inside, coded=self._expert(name, tensors, dims, expert))

    def _spelled(self, name: str) -> tuple[str, ...]:
        """The first spelling of which the files hold anything; the published one where they hold none, which is then missed by its name."""
        spellings = alternatives(self.spec, name)
        return next((tensors for tensors in spellings if any(t.replace(EXPERT, "0") in self._files for t in tensors)), spellings[0])

    def _stacked(self, name: str, tensors: tuple[str, ...], dims: tuple[int, ...]) -> Coded:
        """The named tensors one below the other."""
        rows, columns = (dims[0], ()) if len(dims) == 1 else (math.prod(dims[:-1]), dims[-1:])
        return stacked([read_tensor(self._files, t, (part, *columns)) for t, part in zip(tensors, stacked_rows(self.spec, name, rows), strict=True)])

    def _expert(self, name: str, tensors: tuple[str, ...], dims: tuple[int, ...], expert: int) -> Coded:
        """One expert's part of a parameter of all experts."""
        if EXPERT in tensors[0]:
            return self._stacked(name, tuple(t.replace(EXPERT, str(expert)) for t in tensors), dims[1:])
        (tensor,) = tensors
        if self.spec.model_type != "gpt_oss":
            return read_tensor(self._files, tensor, dims, at=expert)
        # gpt-oss multiplies from the right (its matrices are inputs x outputs) and has gate and up in turn, not one behind the other
        if f"{tensor}_blocks" in self._files:
            experts, n, k = dims
            coded = read_gpt_oss(self._files, tensor, (experts, n, k), expert)
        elif len(dims) == 3:
            turned = read_tensor(self._files, tensor, (dims[0], dims[2], dims[1]), at=expert)
            coded = plain_tensor(turned.decoded().T)
        else:
            coded = read_tensor(self._files, tensor, dims, at=expert)
        return coded.rows(_evens_first(dims[1], self.device)) if "gate_up" in name else coded


def _cut_out(values: torch.Tensor, cuts: tuple[Cut, ...]) -> torch.Tensor:
    for one in cuts:
        values = torch.cat([values.narrow(one.dim, first, last - first) for first, last in one.ranges], one.dim)
    return values


def _rotated_halves(spec: ModelSpec, name: str, rows: int, device: torch.device) -> torch.Tensor | None:
    """DeepSeek rotates neighbours, tokenmill halves: rotated rows trade places, in queries and keys alike, so that their products stay the same."""
    block, rest = spec.attention, within_layer(name)
    if not isinstance(block, Mla) or rest not in ("q_a_kv_a", "q", "q_b"):
        return None
    d = block.rope_dim
    order = torch.arange(rows, device=device)
    heads = order.view(1, rows) if rest == "q_a_kv_a" else order.view(block.heads, block.nope_dim + d)
    heads[:, -d:] = heads[:, -d:][:, _evens_first(d, device)]
    return order


def _evens_first(rows: int, device: torch.device) -> torch.Tensor:
    """Numbers 0, 2, 4, ... and then 1, 3, 5, ..."""
    order = torch.arange(rows, device=device)
    return torch.cat((order[0::2], order[1::2]))


def _numbers(ranges: tuple[tuple[int, int], ...], device: torch.device) -> torch.Tensor:
    return torch.cat([torch.arange(first, last, device=device) for first, last in ranges])
