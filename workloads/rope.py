"""Rotary positions: the frequencies of a model and how it stretches them to long contexts. Importable without torch.

Sources: RoFormer, arXiv 2104.09864; YaRN, arXiv 2309.00071; Llama 3.1's scaling, arXiv 2407.21783, as transformers' modeling_rope_utils computes it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True, slots=True)
class Llama3Scaling:
    """Frequencies of fewer than `low_factor` turns over the original positions are divided by `factor`, of more than `high_factor` kept, between blended."""

    factor: float
    low_factor: float
    high_factor: float
    original_positions: int


@dataclass(frozen=True, kw_only=True, slots=True)
class YarnScaling:
    """Frequencies of more than `beta_fast` turns over the original positions are kept, of fewer than `beta_slow` divided by `factor`, between them ramped."""

    factor: float
    beta_fast: float
    beta_slow: float
    original_positions: int
    attention_factor: float  # multiplies cosines and sines
    softmax_factor: float = 1.0  # multiplies the softmax scale (DeepSeek's mscale_all_dim, squared)
    truncate: bool = True  # the ramp's ends are rounded to whole dimensions


@dataclass(frozen=True, kw_only=True, slots=True)
class Rope:
    """`dim` rotary dimensions at base `theta`, scaled or not."""

    theta: float
    dim: int
    scaling: Llama3Scaling | YarnScaling | None = None

    @property
    def softmax_factor(self) -> float:
        return self.scaling.softmax_factor if isinstance(self.scaling, YarnScaling) else 1.0

    def frequencies(self) -> list[float]:
        """Radians per position of each of the dim / 2 pairs."""
        plain = [self.theta ** (-2 * i / self.dim) for i in range(self.dim // 2)]
        if isinstance(self.scaling, Llama3Scaling):
            return [_llama3(f, self.scaling) for f in plain]
        if isinstance(self.scaling, YarnScaling):
            return _yarn(plain, self, self.scaling)
        return plain


def yarn_mscale(factor: float, weight: float) -> float:
    """0.1 x weight x ln(factor) + 1, YaRN's attention temperature; 1 where nothing is stretched."""
    return 1.0 if factor <= 1 else 0.1 * weight * math.log(factor) + 1.0


def _llama3(frequency: float, scaling: Llama3Scaling) -> float:
    turns = scaling.original_positions * frequency / (2 * math.pi)
    if turns < scaling.low_factor:
        return frequency / scaling.factor
    if turns > scaling.high_factor:
        return frequency
    kept = (turns - scaling.low_factor) / (scaling.high_factor - scaling.low_factor)
    return (1 - kept) * frequency / scaling.factor + kept * frequency


def _yarn(plain: list[float], rope: Rope, scaling: YarnScaling) -> list[float]:
    def pair_of(turns: float) -> float:
        """The pair (fractional) that turns so often over the original positions."""
        return rope.dim * math.log(scaling.original_positions / (turns * 2 * math.pi)) / (2 * math.log(rope.theta))

    low, high = pair_of(scaling.beta_fast), pair_of(scaling.beta_slow)
    if scaling.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, rope.dim - 1)
    width = (high - low) or 0.001  # no division by zero where both ends meet

    def stretched(i: int) -> float:
        return min(max((i - low) / width, 0.0), 1.0)

    return [f / scaling.factor * stretched(i) + f * (1 - stretched(i)) for i, f in enumerate(plain)]


def rotary_table(rope: Rope, positions: int, device: torch.device) -> torch.Tensor:
    """cos_sin_QD in fp32: row q holds the cosines of q x frequency for each of the D / 2 pairs, then the sines."""
    import torch

    if device.type == "meta":
        return torch.empty(positions, rope.dim, device=device)
    angles = torch.arange(positions, dtype=torch.float64)[:, None] * torch.tensor(rope.frequencies(), dtype=torch.float64)
    factor = rope.scaling.attention_factor if isinstance(rope.scaling, YarnScaling) else 1.0
    return (torch.cat([angles.cos(), angles.sin()], dim=1) * factor).float().to(device)
