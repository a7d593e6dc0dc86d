"""Tiles of the attention kernels, and into how many segments a sequence's keys are cut."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from triton_kernels.target import Chip
from triton_kernels.tiles import family


@dataclass(frozen=True, kw_only=True, slots=True)
class AttentionTile:
    """What one program holds: `rows` (query token x head of the group) against `kv` positions in one step of its loop."""

    rows: int
    kv: int  # see tile_for
    warps: int
    stages: int


def _tile(rows: int, kv: int, warps: int, stages: int) -> AttentionTile:
    return AttentionTile(rows=rows, kv=kv, warps=warps, stages=stages)


# By family of chips and whether the head dim is over 128: the tile for up to so many rows of the longest sequence, ascending; None: any number.
# Decode is bound by memory: few rows, deep loads, mma.sync keeps up. 64 rows are the least that wgmma multiplies; prefill takes 128 x 128, as FlashAttention-3
# does, or what registers hold without spilling (seen in the SASS of triton 3.6 and 3.9). fp32 multiplies on CUDA cores, where a large tile only spills.
TILES: dict[tuple[str, bool], tuple[tuple[int | None, AttentionTile], ...]] = {
    ("sm90", False): ((16, _tile(16, 64, 4, 3)), (32, _tile(32, 64, 4, 3)), (64, _tile(64, 64, 4, 3)), (None, _tile(128, 128, 8, 2))),
    ("sm90", True): ((16, _tile(16, 32, 4, 3)), (32, _tile(32, 32, 4, 3)), (64, _tile(64, 64, 8, 2)), (None, _tile(128, 32, 8, 3))),
    ("sm100", False): ((16, _tile(16, 64, 4, 3)), (32, _tile(32, 64, 4, 3)), (64, _tile(64, 64, 4, 3)), (None, _tile(128, 128, 8, 2))),
    ("sm100", True): ((16, _tile(16, 32, 4, 3)), (32, _tile(32, 32, 4, 3)), (64, _tile(64, 64, 8, 2)), (None, _tile(128, 32, 8, 3))),
    ("sm80", False): ((16, _tile(16, 64, 4, 3)), (32, _tile(32, 64, 4, 3)), (64, _tile(64, 64, 8, 2)), (None, _tile(128, 32, 8, 3))),
    ("sm80", True): ((16, _tile(16, 32, 4, 3)), (32, _tile(32, 32, 4, 3)), (None, _tile(64, 32, 8, 2))),
    ("fp32", False): ((16, _tile(16, 32, 8, 2)), (None, _tile(32, 16, 8, 2))),
    ("fp32", True): ((16, _tile(16, 16, 4, 2)), (None, _tile(16, 16, 8, 2))),
}
DECODE_ROWS = 64  # sequences of no more rows read each key once and are bound by memory
L2_BYTES = 24 << 20  # keys and values walked together: half of Hopper's 50 MB


def tile_for(dtype: torch.dtype, arch: int, rows: int, dim: int, page_size: int, *, crowded: bool = False) -> AttentionTile:
    """The tile for sequences of at most `rows` rows (query tokens x heads of a group) of `dtype` on a chip.

    crowded: codes that are widened on their way to shared memory, or small groups of the result, take registers beside the sums.
    """
    tile = next(tile for most, tile in TILES[family(arch, dtype), dim > 128] if most is None or rows <= most)
    if crowded and family(arch, dtype) == "sm100":
        tile = replace(tile, kv=min(tile.kv, 64))
    # Pages under 64 need a page number for each position, and the registers for it.
    return tile if page_size >= 64 else replace(tile, kv=min(tile.kv, 64))


def splits_for(decode: bool, kv: int, chip: Chip, programs: int, context: int) -> int:
    """Segments that each sequence's keys are cut into, from shapes alone: `programs` without splitting, `context` the most positions a sequence can have,
    `kv` positions in a step of the loop.

    Decode: about 3 programs per SM (they share its bandwidth), of one step at least. Prefill splits only where half of the SMs would idle,
    since its partial results are large.
    """
    if decode:
        wanted, most = -(-3 * chip.sm_count // programs) if programs < 2 * chip.sm_count else 1, -(-context // kv)
    else:
        wanted, most = chip.sm_count // programs, context // (4 * kv)
    return max(1, min(wanted, most))
