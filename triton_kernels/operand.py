"""One side of a product: values in a number format, with the scales they are multiplied by. Encoding and decoding in plain torch, on any device.

Shapes: N rows (tokens, output channels), K columns, the dimension that is contracted; dimensions before them (experts) are as many such matrices.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from triton_kernels.codes import decode_e8m0, decode_element, encode_e8m0, encode_element, pack, repack, unpack
from triton_kernels.formats import ELEMENTS, FORMATS, Format, format_of


@dataclass(frozen=True, kw_only=True)
class Operand:
    """`values` [.., N, K], or bytes [.., N, K / 2] of 4-bit codes in `layout`; `scale` [.., rows of blocks, columns of blocks]; `global_scale` fp32 [.., 1, 1].

    A value is its code times its block's scale times the global scale.
    """

    format: Format
    values: torch.Tensor
    scale: torch.Tensor | None = None
    global_scale: torch.Tensor | None = None
    layout: str = "neighbours"

    @property
    def dims(self) -> tuple[int, ...]:
        """Of the matrix that the codes stand for."""
        *rest, k = self.values.shape
        return (*rest, k * self.format.per_byte)

    @property
    def nbytes(self) -> int:
        return sum(t.nbytes for t in (self.values, self.scale, self.global_scale) if t is not None)

    def rows(self, first: int, last: int) -> Operand:
        """Some of the rows, as views. For formats whose scales belong to one row each."""
        assert self.format.plain or self.format.block in ((1, self.format.group), (1, 0)), self.format.name
        return replace(self, values=self.values[first:last], scale=None if self.scale is None else self.scale[first:last])

    def matrix(self, i: int) -> Operand:
        """One of the matrices of [.., N, K], as views: an expert's."""
        scale, global_scale = (None if t is None else t[i] for t in (self.scale, self.global_scale))
        return replace(self, values=self.values[i], scale=scale, global_scale=global_scale)

    def in_layout(self, layout: str) -> Operand:
        """The same operand with its 4-bit codes packed as `layout` says."""
        if self.format.per_byte == 1 or layout == self.layout:
            return self
        return replace(self, values=repack(self.values, old=self.layout, new=layout), layout=layout)


def plain(values: torch.Tensor) -> Operand:
    """A tensor whose values stand for themselves."""
    found = format_of(values.dtype)
    assert found is not None, values.dtype
    return Operand(format=found, values=values)


def scale_dims(dims: tuple[int, ...], fmt: Format) -> tuple[int, ...]:
    """Of the scales of a tensor of `dims`."""
    assert fmt.block is not None, fmt.name
    *rest, n, k = dims
    rows, columns = fmt.block
    return (*rest, -(-n // rows) if rows else 1, -(-k // columns) if columns else 1)


def scale_dtype(fmt: Format) -> torch.dtype:
    """Of a format's scales: e8m0 in uint8, e4m3 in float8_e4m3fn."""
    assert fmt.scale is not None, fmt.name
    return {"fp32": torch.float32, "e8m0": torch.uint8, "e4m3": torch.float8_e4m3fn}[fmt.scale]


def empty_operand(dims: tuple[int, ...], fmt: Format, device: torch.device, *, layout: str = "neighbours") -> Operand:
    """Uninitialised tensors of an operand of `dims`: what a kernel writes, or, on meta, what a plan counts."""
    *rest, n, k = dims
    values = torch.empty((*rest, n, k // fmt.per_byte), dtype=fmt.dtype, device=device)
    if fmt.plain:
        return Operand(format=fmt, values=values)
    scale = torch.empty(scale_dims(dims, fmt), dtype=scale_dtype(fmt), device=device)
    global_scale = torch.empty((*rest, 1, 1), dtype=torch.float32, device=device) if fmt.global_scale else None
    return Operand(format=fmt, values=values, scale=scale, global_scale=global_scale, layout=layout if fmt.per_byte == 2 else "neighbours")


def encode(x: torch.Tensor, fmt: Format, *, scale_whole: bool = True, layout: str = "neighbours") -> Operand:
    """`x` [.., N, K] in `fmt`, each block's scale the least that its largest value needs.

    fp32 scales: amax / largest. e8m0: the next power of two up. e4m3 (nvfp4): amax / 6 over the global scale, which is amax / (448 x 6) of the whole matrix
    with `scale_whole`, as weights have it, else 1 (None), as activations are encoded as they come. A block of zeros has scale 1, or the least e8m0 or e4m3.

    NaN counts for no scale; its code is NaN in 8 bits and a zero in 4. Infinities saturate under an e8m0 or e4m3 scale and make NaN of their block under an
    infinite fp32 one.
    """
    if fmt.plain:
        return Operand(format=fmt, values=x.to(fmt.dtype))
    x = x.float()
    amax = _block_amax(x, fmt)
    whole = None
    if fmt.global_scale and scale_whole:
        whole = amax.amax((-2, -1), keepdim=True) / (ELEMENTS["e4m3"].largest * fmt.element.largest)
        whole = torch.where(whole > 0, whole, 1.0)
    wanted = amax / fmt.element.largest
    if fmt.scale == "fp32":
        scale = torch.where(wanted > 0, wanted, 1.0)
        value = scale
    elif fmt.scale == "e8m0":
        scale = encode_e8m0(wanted)
        value = decode_e8m0(scale)
    else:
        scale = encode_element(wanted if whole is None else wanted / whole, ELEMENTS["e4m3"])
        value = scale.float() if whole is None else scale.float() * whole
    # A block whose scale rounds to zero has no values but zero.
    inverse = torch.where(value > 0, 1 / value, 0.0)
    codes = encode_element(x * _spread(inverse, x.shape, fmt), fmt.element)
    values = pack(codes, layout) if fmt.per_byte == 2 else codes
    return Operand(format=fmt, values=values, scale=scale, global_scale=whole, layout=layout if fmt.per_byte == 2 else "neighbours")


def decode(operand: Operand) -> torch.Tensor:
    """Values in fp32 (a plain operand's own values, untouched), [.., N, K]."""
    fmt = operand.format
    if fmt.plain:
        return operand.values
    codes = unpack(operand.values, operand.layout) if fmt.per_byte == 2 else operand.values
    x = decode_element(codes, fmt.element)
    assert operand.scale is not None, fmt.name
    scale = decode_e8m0(operand.scale) if fmt.scale == "e8m0" else operand.scale.float()
    if operand.global_scale is not None:
        scale = scale * operand.global_scale
    return x * _spread(scale, x.shape, fmt)


def operand_of(
    values: torch.Tensor, scale: torch.Tensor | None, global_scale: torch.Tensor | None, name: str, layout: str = "neighbours"
) -> Operand:
    """The operand whose parts an operation was handed; `name` of its format, "" for a plain tensor."""
    if not name:  # a reference may be handed more digits than any format has
        return Operand(format=FORMATS["fp32"], values=values) if values.dtype == torch.float64 else plain(values)
    return Operand(format=FORMATS[name], values=values, scale=scale, global_scale=global_scale, layout=layout)


def _block_amax(x: torch.Tensor, fmt: Format) -> torch.Tensor:
    """Largest magnitude of each block, NaN left out; blocks at the edge are smaller."""
    assert fmt.block is not None, fmt.name
    rows, columns = fmt.block
    *rest, n, k = x.shape
    rows, columns = rows or max(n, 1), columns or max(k, 1)
    magnitude = torch.nn.functional.pad(x.abs().nan_to_num(0.0, torch.inf), (0, -k % columns, 0, -n % rows))
    return magnitude.view(*rest, magnitude.shape[-2] // rows, rows, magnitude.shape[-1] // columns, columns).amax((-3, -1))


def _spread(scale: torch.Tensor, dims: tuple[int, ...], fmt: Format) -> torch.Tensor:
    """Each block's scale at each of its values, or broadcastable to them."""
    assert fmt.block is not None, fmt.name
    for dim, size in ((-2, fmt.block[0]), (-1, fmt.block[1])):
        if size > 1:
            scale = scale.repeat_interleave(size, dim).narrow(dim, 0, dims[dim])
    return scale
