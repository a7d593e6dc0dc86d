"""A matrix as a checkpoint codes it, through everything reading does to its rows and columns, and as the operand it becomes.

Shapes: N rows, K columns, G groups of columns that share a scale.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from triton_kernels.formats import FORMATS, Format, format_of
from triton_kernels.operand import Operand, decode, encode

Ranges = tuple[tuple[int, int], ...]


@dataclass(frozen=True, kw_only=True)
class Coded:
    """`values` [N, K], or bytes [N, K / 2] of neighbouring 4-bit codes; `scale` [N, G], a block's repeated for each of its rows; `whole` the global one.

    Plain tensors may have any number of dimensions. `lost`: why a matrix that was coded is plain by now; "" otherwise.
    """

    format: Format
    values: torch.Tensor
    scale: torch.Tensor | None = None
    whole: torch.Tensor | None = None
    lost: str = ""

    def rows(self, order: torch.Tensor) -> Coded:
        """The rows of these numbers, in this order."""
        return replace(self, values=_picked(self.values, order), scale=None if self.scale is None else _picked(self.scale, order))

    def columns(self, ranges: Ranges) -> Coded:
        """The columns of these ranges, one behind the other. Groups that are cut through have no scale of their own any more: the values lose their codes."""
        if self.scale is None:
            return replace(self, values=_joined([self.values[:, first:last] for first, last in ranges], 1))
        group, per = self.format.group, self.format.per_byte
        ragged = self.format.scale == "fp32"  # blocks of 128 may be narrow at the end, groups of the others not
        if any(first % group for first, _ in ranges) or any(last % group for _, last in (ranges[:-1] if ragged else ranges)):
            return self.plain("a rank's columns cut through its blocks").columns(ranges)
        values = _joined([self.values[:, first // per : last // per] for first, last in ranges], 1)
        return replace(self, values=values, scale=_joined([self.scale[:, first // group : -(-last // group)] for first, last in ranges], 1))

    def decoded(self) -> torch.Tensor:
        """Values in fp32; those of a plain tensor untouched."""
        by_row = FORMATS["fp8_1x128"] if self.format.name == "fp8_128x128" else self.format
        return decode(Operand(format=by_row, values=self.values, scale=self.scale, global_scale=self.whole))

    def plain(self, why: str) -> Coded:
        """Without codes, because of `why`."""
        return Coded(format=FORMATS["fp32"], values=self.decoded(), lost=why)

    def kept(self, fmt: Format, layout: str) -> Operand | None:
        """The very codes and scales, where they are codes of `fmt`; None where they are not, or rows of one block have different scales."""
        if self.format is not fmt:
            return None
        scale = self.scale
        if scale is not None and fmt.block is not None and fmt.block[0] > 1:
            first = scale[:: fmt.block[0]]
            if not torch.equal(first.repeat_interleave(fmt.block[0], 0)[: len(scale)], scale):
                return None
            scale = first
        return Operand(format=fmt, values=self.values, scale=scale, global_scale=self.whole).in_layout(layout)

    def to_operand(self, fmt: Format, layout: str) -> Operand:
        """In `fmt`: as it is coded where it can be, else decoded and encoded."""
        return self.kept(fmt, layout) or encode(self.decoded(), fmt, layout=layout)

    def encoded_twice(self, fmt: Format) -> str | None:
        """Why a quantised matrix is quantised once more to become one of `fmt`; None where it is not. Only to be asked where `kept` gave nothing."""
        if fmt.plain or (self.format.plain and not self.lost):
            return None
        return self.lost or (f"its blocks of {fmt.block} do not stay whole" if self.format is fmt else f"it is published in {self.format.name}")


def plain_tensor(values: torch.Tensor) -> Coded:
    """Values that stand for themselves; float64, which no format here has, in fp32."""
    values = values.float() if values.dtype == torch.float64 else values
    found = format_of(values.dtype)
    assert found is not None, values.dtype
    return Coded(format=found, values=values)


def stacked(parts: list[Coded]) -> Coded:
    """One below the other. With codes of different formats or different global scales, the values lose them: an operand has one of each."""
    first = parts[0]
    if len(parts) == 1:
        return first
    if all(part.format.plain for part in parts):
        return replace(plain_tensor(torch.cat([part.values for part in parts])), lost=next((part.lost for part in parts if part.lost), ""))
    if any(part.format is not first.format for part in parts):
        return stacked([part.plain("its parts are in different formats") for part in parts])
    if first.whole is not None and any(part.whole is None or not torch.equal(part.whole, first.whole) for part in parts):
        return stacked([part.plain("its parts have different global scales") for part in parts])
    scale = None if first.scale is None else _joined([part.scale for part in parts if part.scale is not None], 0)
    return replace(first, values=_joined([part.values for part in parts], 0), scale=scale)


def _bytes(values: torch.Tensor) -> torch.Tensor:
    """Tensors of one byte each as uint8: not everything works on fp8."""
    return values.view(torch.uint8) if values.element_size() == 1 else values


def _picked(values: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    return _bytes(values).index_select(0, order).view(values.dtype)


def _joined(parts: list[torch.Tensor], dim: int) -> torch.Tensor:
    return parts[0] if len(parts) == 1 else torch.cat([_bytes(part) for part in parts], dim).view(parts[0].dtype)
