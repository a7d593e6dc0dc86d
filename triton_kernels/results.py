"""Results that an operation writes in a number format: values, and the scales of their groups in a tensor of the caller's (`y_scale`).

A result [T, .., N] is encoded as the matrix that the next product reads: T rows, all other dimensions as its columns.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from triton_kernels.formats import FORMATS, Format
from triton_kernels.operand import Operand, decode, encode, scale_dims, scale_dtype
from triton_kernels.operation import OpCall


def empty_result(like: torch.Tensor, dims: tuple[int, ...], out_format: str) -> torch.Tensor:
    """Room for the values: in `out_format`, or in `like`'s type where that is ""."""
    if not out_format:
        return like.new_empty(dims)
    fmt = FORMATS[out_format]
    return like.new_empty((*dims[:-1], dims[-1] // fmt.per_byte), dtype=fmt.dtype)


def empty_scale(like: torch.Tensor, dims: tuple[int, ...], out_format: str) -> torch.Tensor | None:
    """Room for the scales of a result of `dims`; None where it has none."""
    if not out_format:
        return None
    fmt = FORMATS[out_format]
    return like.new_empty(scale_dims(_matrix(dims), fmt), dtype=scale_dtype(fmt))


def unwritten_scale(dims: tuple[int, ...], out_format: str) -> torch.Tensor | None:
    """The same on the CPU for an operation's inputs: every scale NaN, so that one nobody writes shows."""
    if not out_format:
        return None
    fmt = FORMATS[out_format]
    poison = 255 if fmt.scale == "e8m0" else float("nan")
    return torch.full(scale_dims(_matrix(dims), fmt), poison, dtype=scale_dtype(fmt))


def check_result(dims: tuple[int, ...], out_format: str, y_scale: torch.Tensor | None) -> None:
    """Asserts that the caller's scales fit a result of `dims`."""
    if not out_format:
        assert y_scale is None, (out_format, y_scale.shape)
        return
    fmt = FORMATS[out_format]
    assert y_scale is not None, out_format
    assert not fmt.plain, out_format
    assert dims[-1] % fmt.per_byte == 0, (dims, out_format)
    assert y_scale.shape == scale_dims(_matrix(dims), fmt), (y_scale.shape, dims, out_format)
    assert y_scale.dtype == scale_dtype(fmt), (y_scale.dtype, out_format)
    assert y_scale.is_contiguous(), y_scale.stride()


def encode_result(y: torch.Tensor, out_format: str, y_scale: torch.Tensor | None) -> torch.Tensor:
    """A reference's result `y` as the operation returns it; its scales go to y_scale."""
    if not out_format:
        return y
    assert y_scale is not None, out_format
    encoded = encode(y.flatten(1), FORMATS[out_format], scale_whole=False)
    assert encoded.scale is not None, out_format
    y_scale.copy_(encoded.scale)
    return encoded.values.view(*y.shape[:-1], -1)


def decode_result(values: torch.Tensor, out_format: str, y_scale: torch.Tensor) -> torch.Tensor:
    """What values and scales stand for, in fp32, as a matrix."""
    return decode(Operand(format=FORMATS[out_format], values=values.flatten(1), scale=y_scale))


def result_bytes(call: OpCall, count: int, like: str) -> int:
    """Bytes written for a result of `count` values, scales included; `like` names the argument whose type a plain result has."""
    out_format = str(call.attr("out_format"))
    bits = FORMATS[out_format].bits if out_format else 8 * call.shape(like).dtype.itemsize
    return count * bits // 8 + call.nbytes("y_scale")


def _matrix(dims: tuple[int, ...]) -> tuple[int, int]:
    columns = 1
    for size in dims[1:]:
        columns *= size
    return dims[0], columns


def in_format(run: Callable[[torch.Tensor | None, str], torch.Tensor], like: torch.Tensor, dims: tuple[int, ...], out: Format) -> Operand:
    """What `run(y_scale, out_format)`, an operation with a result of `dims`, gives in the format `out`: the matrix that the next product reads."""
    name = "" if out.plain else out.name
    y_scale = empty_scale(like, dims, name)
    tokens, columns = _matrix(dims)
    return Operand(format=out, values=run(y_scale, name).view(tokens, columns // out.per_byte), scale=y_scale)
