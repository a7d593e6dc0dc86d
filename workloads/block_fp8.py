"""Weights in e4m3 with one scale for each block of 128 x 128, as DeepSeek-V3 publishes them.

Source: arXiv 2412.19437, 3.3.2, and README_WEIGHTS.md beside the checkpoint.
"""

from __future__ import annotations

import torch

BLOCK = 128  # rows and columns; blocks at the edge are smaller


def scale_dims(rows: int, columns: int) -> tuple[int, int]:
    """Blocks along each dimension."""
    return -(-rows // BLOCK), -(-columns // BLOCK)


def decode(codes_NK: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Values in fp32, each code times its block's scale."""
    rows, columns = codes_NK.shape
    scale_NK = scale.float().repeat_interleave(BLOCK, 0)[:rows].repeat_interleave(BLOCK, 1)[:, :columns]
    return codes_NK.float() * scale_NK
