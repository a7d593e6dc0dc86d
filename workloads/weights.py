"""Where a model's parameters come from. The model asks for each of them once, by name and whole shape; a source answers with this rank's part as a tensor.

Shapes: V vocabulary, H hidden, W fused qkv width, A query heads, D head dim, E experts, I expert or MLP intermediate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import torch

DtypeOf = Callable[[str, tuple[int, ...]], torch.dtype]  # of a parameter, by name and whole shape: see workloads.recipe


@dataclass(frozen=True, kw_only=True, slots=True)
class Cut:
    """Which part of a dimension a rank keeps: the given ranges, one behind the other."""

    dim: int
    ranges: tuple[tuple[int, int], ...]

    @property
    def size(self) -> int:
        return sum(last - first for first, last in self.ranges)


def cut(dim: int, blocks: tuple[int, ...], *, part: int, parts: int) -> tuple[Cut, ...]:
    """Part `part` of `parts` of each block of a dimension, blocks behind one another (gate and up; query, key and value heads). Nothing to cut: ()."""
    if parts == 1:
        return ()
    ranges, start = [], 0
    for size in blocks:
        assert size % parts == 0, (blocks, parts)
        ranges.append((start + size // parts * part, start + size // parts * (part + 1)))
        start += size
    return (Cut(dim=dim, ranges=tuple(ranges)),)


def local_dims(dims: tuple[int, ...], cuts: tuple[Cut, ...]) -> tuple[int, ...]:
    """The shape of a rank's part."""
    local = list(dims)
    for one in cuts:
        local[one.dim] = one.size
    return tuple(local)


class WeightSource(Protocol):
    def __call__(self, name: str, *dims: int, std: float | None, cuts: tuple[Cut, ...] = ()) -> torch.Tensor:
        """This rank's part of the parameter `name`, whose whole shape is `dims`. `std`: spread of random values around 0; None: a norm's gain, around 1."""
        ...


@dataclass(kw_only=True)
class MetaWeights:
    """Shapes without values: a model of any size costs no memory. Counts what was asked for: whole shapes, and this rank's bytes."""

    dtype_of: DtypeOf
    parameters: dict[str, tuple[int, ...]] = field(default_factory=dict)
    rank_bytes: int = 0

    def __call__(self, name: str, *dims: int, std: float | None, cuts: tuple[Cut, ...] = ()) -> torch.Tensor:
        self.parameters[name] = dims
        values = torch.empty(local_dims(dims, cuts), dtype=self.dtype_of(name, dims), device="meta")
        self.rank_bytes += values.nbytes
        return values


class RandomWeights:
    """Values of a trained model's scale, made on the device that will use them: never zeros, which run faster than real data."""

    def __init__(self, *, dtype_of: DtypeOf, device: torch.device, seed: int) -> None:
        self.dtype_of = dtype_of
        self.device = device
        self._generator = torch.Generator(device=device).manual_seed(seed)

    def __call__(self, name: str, *dims: int, std: float | None, cuts: tuple[Cut, ...] = ()) -> torch.Tensor:
        values = torch.empty(local_dims(dims, cuts), dtype=self.dtype_of(name, dims), device=self.device)
        mean, spread = (1.0, 0.1) if std is None else (0.0, std)
        return values.normal_(mean, spread, generator=self._generator)


@dataclass(frozen=True, kw_only=True, slots=True)
class ParameterCount:
    """Parameters of the whole model, and those one token touches: publishers count the embedding table in (3.35 B of Qwen3-30B-A3B) or out (3.04 B)."""

    total: int
    active: int
    active_without_embedding: int


def count_parameters(parameters: dict[str, tuple[int, ...]], *, experts: int, top_k: int) -> ParameterCount:
    """Counts what the model asked for. Names under `.experts.` hold all experts in their first dimension; a token touches top_k of them.

    Multi-token-prediction modules (names under `mtp.`) are not counted, as publishers do not.
    """
    total = active = embedding = 0
    for name, dims in parameters.items():
        if name.startswith("mtp."):
            continue
        size = 1
        for dim in dims:
            size *= dim
        total += size
        active += size * top_k // experts if ".experts." in name else size
        embedding += size if name == "embedding" else 0
    # A tied table is also the head, which every token multiplies with: it stays active.
    tied = "head" not in parameters
    return ParameterCount(total=total, active=active, active_without_embedding=active - (0 if tied else embedding))
