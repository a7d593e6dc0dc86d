"""Where a model's parameters come from. The model asks for each of them once, by name and shape; a source answers with a tensor.

Shapes: V vocabulary, H hidden, W fused qkv width, A query heads, D head dim, E experts, I expert or MLP intermediate.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import torch


class WeightSource(Protocol):
    def __call__(self, name: str, *dims: int, std: float | None) -> torch.Tensor:
        """The parameter `name` of shape `dims`. `std`: spread of random values around 0; None: a norm's gain, around 1."""
        ...


@dataclass(kw_only=True)
class MetaWeights:
    """Shapes without values: a model of any size costs no memory. Counts what was asked for."""

    dtype: torch.dtype
    parameters: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def __call__(self, name: str, *dims: int, std: float | None) -> torch.Tensor:
        self.parameters[name] = dims
        return torch.empty(dims, dtype=self.dtype, device="meta")


class RandomWeights:
    """Values of a trained model's scale, made on the device that will use them: never zeros, which run faster than real data."""

    def __init__(self, *, dtype: torch.dtype, device: torch.device, seed: int) -> None:
        self.dtype = dtype
        self.device = device
        self._generator = torch.Generator(device=device).manual_seed(seed)

    def __call__(self, name: str, *dims: int, std: float | None) -> torch.Tensor:
        values = torch.empty(dims, dtype=self.dtype, device=self.device)
        mean, spread = (1.0, 0.1) if std is None else (0.0, std)
        return values.normal_(mean, spread, generator=self._generator)


@dataclass(frozen=True, kw_only=True, slots=True)
class ParameterCount:
    """Parameters in all, and those one token touches: publishers count the embedding table in (3.35 B of Qwen3-30B-A3B) or out (3.04 B)."""

    total: int
    active: int
    active_without_embedding: int


def count_parameters(parameters: dict[str, tuple[int, ...]], *, experts: int, top_k: int) -> ParameterCount:
    """Counts what the model asked for. Names under `.experts.` hold all experts in their first dimension; a token touches top_k of them."""
    total = active = embedding = 0
    for name, dims in parameters.items():
        size = 1
        for dim in dims:
            size *= dim
        total += size
        active += size * top_k // experts if ".experts." in name else size
        embedding += size if name == "embedding" else 0
    # A tied table is also the head, which every token multiplies with: it stays active.
    tied = "head" not in parameters
    return ParameterCount(total=total, active=active, active_without_embedding=active - (0 if tied else embedding))
