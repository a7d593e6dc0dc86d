"""Tiles of the matmul kernels: what one program computes at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from triton_kernels.formats import Format
from triton_kernels.operand import Operand
from triton_kernels.product import Product, product_of
from triton_kernels.target import Chip


@dataclass(frozen=True, kw_only=True, slots=True)
class Tile:
    """One program's tile. `swap` puts the weights on the tensor core's M side, which is 64 rows at least, so that few rows of x (16 at least) still fill it."""

    rows: int  # of x
    outputs: int  # of w, in each accumulator: a SwiGLU tile holds two, gate and up
    inputs: int  # contracted in one step of the loop
    warps: int
    stages: int  # tiles of x and w in flight
    swap: bool = False
    per_sm: int = 1  # programs that share an SM: shared memory (stages x tile bytes) and registers allow for it

    @property
    def options(self) -> dict[str, int]:
        return {"num_warps": self.warps, "num_stages": self.stages}


# Rows of x at or below which a tile serves, ascending; None: any number. What a row counts is the table's business.
TileTable = dict[tuple[str, bool], tuple[tuple[int | None, Tile], ...]]


def family(arch: int, dtype: torch.dtype) -> str:
    """Which rows of a tile table hold for a chip: "sm90" (wgmma), "sm100" (tcgen05), "sm80" (mma.sync, 99 KiB of shared memory), or "fp32" (no tensor core)."""
    if dtype == torch.float32:
        return "fp32"
    return {9: "sm90", 10: "sm100"}.get(arch // 10, "sm80")


def tile_for(table: TileTable, key: tuple[str, bool], rows: float) -> Tile:
    """The first tile of `table[key]` that serves `rows`."""
    return next(tile for most, tile in table[key] if most is None or rows <= most)


def product_on(chip: Chip, x: Operand, w: Operand) -> Product:
    """How two operands are multiplied on a chip. The interpreter, which is no chip, also takes pairs that only Blackwell multiplies."""
    product = product_of(x.format, w.format, chip.arch)
    if product is None and x.values.device.type == "cpu":
        product = product_of(x.format, w.format, 100)
    assert product is not None, (x.format.name, w.format.name, chip.arch)
    assert w.format.per_byte == 1 or w.layout == product.layout, (w.layout, product)
    return product


def scaled_tile(tile: Tile, product: Product, x: Format, w: Format, *, gated: bool, out_group: int) -> Tile:
    """A bf16 tile for operands with scales: whole groups in a step of the loop, and whole groups of the result in a tile.

    A second accumulator (blocks) or a tile of widened weights (decoded) takes registers that the largest bf16 tiles do not have: half the rows or outputs, or
    twice the warps, as `tokenmill kernels --inspect` shows no spills with.
    """
    if product.name == "plain":
        return replace(tile, outputs=max(tile.outputs, out_group))
    fp4 = x.bits == w.bits == 4
    inputs, outputs, rows, warps = 128, max(min(tile.outputs, 128), out_group), tile.rows, tile.warps
    if product.name == "decoded":
        inputs, outputs = 64, max(64, out_group) if gated or tile.swap else outputs
    elif product.name == "groups":  # a scale for every output and step of 32
        inputs, outputs, rows = 32, max(64, out_group), min(tile.rows, 64)
    elif product.name == "native":
        inputs, outputs = 256 if fp4 and not (gated and tile.swap) else 128, 128
    if tile.swap and tile.rows >= 32 and outputs == 128:
        warps = 8
    if product.name == "blocks" and gated:  # Blackwell's sums pass through registers on their way out of tensor memory
        rows = min(rows, 64) if not tile.swap else min(rows, 32) if product.kind.startswith("tcgen05") else rows
    return replace(tile, rows=rows, inputs=inputs, outputs=outputs, warps=warps, stages=min(tile.stages, 3))


def one_block(tile: Tile, product: Product, outputs: int, *, gated: bool) -> bool:
    """Whether all outputs of every tile share a scale of a 128 x 128 block, gate's and up's each."""
    return product.name == "blocks" and tile.outputs <= 128 and (not gated or outputs % 128 == 0)
