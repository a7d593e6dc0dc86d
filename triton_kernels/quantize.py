"""Activations into a number format with scales of their own, where no operation before did it in its epilogue.

Shapes: T tokens, K columns.
"""

from __future__ import annotations

from typing import Any

import torch

from triton_kernels.formats import FORMATS, Format
from triton_kernels.launch import launch_kernel
from triton_kernels.operand import Operand
from triton_kernels.operation import OpCall, Operation, StepFacts, Work
from triton_kernels.results import check_result, empty_result, empty_scale, encode_result, result_bytes, unwritten_scale

# Values in one program's tile of 128 threads: 16 bytes of bf16 for each.
_TILE = 1024
# Twice that where there are tiles enough to fill every GPU of the catalogue twice. Not for 4-bit codes: those of two loads would pass through shared memory.
_LARGE_TILE, _MANY = 2048, 1 << 20


def reference(x_TK: torch.Tensor, out_format: str, y_scale: torch.Tensor) -> torch.Tensor:
    """x in `out_format`, its scales written to y_scale. Source of the rules: triton_kernels.operand.encode, global scale 1. NaN has no code in 4 bits."""
    return encode_result(x_TK, out_format, y_scale)


def fake(x_TK: torch.Tensor, out_format: str, y_scale: torch.Tensor) -> torch.Tensor:
    return empty_result(x_TK, tuple(x_TK.shape), out_format)


def launch(x_TK: torch.Tensor, out_format: str, y_scale: torch.Tensor) -> torch.Tensor:
    from triton_kernels._jit.quantize import quantize_kernel

    tokens, k = x_TK.shape
    fmt = FORMATS[out_format]
    assert x_TK.is_contiguous(), x_TK.stride()
    check_groups(k, fmt)
    check_result((tokens, k), out_format, y_scale)
    y = fake(x_TK, out_format, y_scale)
    rows, outputs, groups = tokens, y.shape[1], y_scale.shape[1]
    if fmt.group and k % fmt.group == 0:  # groups of all rows follow each other: one long row, whose tiles are full whatever K is
        rows, k, outputs, groups = 1, tokens * k, tokens * outputs, tokens * groups
    most = _LARGE_TILE if x_TK.numel() >= _MANY and fmt.per_byte == 1 else _TILE
    columns = max(fmt.group, min(most, power_of_two(k))) if fmt.group else power_of_two(k)  # a scale of a whole row: the row in one program
    tiles = -(-k // columns)
    launch_kernel(
        quantize_kernel, (rows * tiles,), x_TK, y, y_scale, k, outputs, groups, tiles,
        OUT_FORMAT=out_format, GROUP=fmt.group or columns, COLUMNS=columns, EVEN_K=k % columns == 0, num_warps=min(16, max(4, columns // 1024)),
    )  # fmt: skip
    return y


def power_of_two(size: int) -> int:
    """The least that is no smaller; 1 for 0."""
    return 1 << max(size - 1, 0).bit_length()


def check_groups(k: int, fmt: Format) -> None:
    """Asserts that rows of K values divide into the groups that share a scale. With scales in fp32, a row's last group may be shorter."""
    assert fmt.block is not None, fmt.name
    assert fmt.block[0] == 1, fmt.name
    assert fmt.scale == "fp32" or k % fmt.group == 0, (k, fmt.name)


def work(call: OpCall, facts: StepFacts) -> Work:
    """Reads x, writes codes and scales."""
    tokens, k = call.dims("x_TK")
    return Work(read_bytes=call.nbytes("x_TK"), written_bytes=result_bytes(call, tokens * k, "x_TK"))


def inputs(*, generator: torch.Generator, dtype: torch.dtype, tokens: int, k: int, out_format: str) -> dict[str, Any]:
    x_TK = (torch.randn(tokens, k, generator=generator) * torch.exp(torch.randn(tokens, k, generator=generator))).to(dtype)
    return {"x_TK": x_TK, "out_format": out_format, "y_scale": unwritten_scale((tokens, k), out_format)}


quantize = Operation(
    name="quantize",
    reference=reference,
    launch=launch,
    fake=fake,
    work=work,
    inputs=inputs,
    mutates=("y_scale",),
    cases=(
        {"tokens": 3, "k": 300, "out_format": "fp8_1x128"},
        {"tokens": 1, "k": 2048, "out_format": "fp8_1x128"},
        {"tokens": 5, "k": 96, "out_format": "mxfp8"},
        {"tokens": 2, "k": 2080, "out_format": "mxfp4"},
        {"tokens": 7, "k": 48, "out_format": "nvfp4"},
        {"tokens": 3, "k": 131, "out_format": "fp8_row"},
    ),
)


def quantized(x: Operand, fmt: Format) -> Operand:
    """x in `fmt`: itself where it is that already."""
    if x.format is fmt:
        return x
    assert x.format.plain, (x.format.name, fmt.name)
    y_scale = empty_scale(x.values, tuple(x.values.shape), fmt.name)
    return Operand(format=fmt, values=quantize(x.values, fmt.name, y_scale), scale=y_scale)
