"""Residual add and RMS norm in one pass, as every decoder block begins.

Shapes: T tokens, H hidden.
"""

from __future__ import annotations

from typing import Any

import torch

from triton_kernels.formats import FORMATS, Format
from triton_kernels.launch import launch_kernel
from triton_kernels.operand import Operand
from triton_kernels.operation import OpCall, Operation, StepFacts, Work, wide
from triton_kernels.quantize import check_groups
from triton_kernels.results import check_result, empty_result, empty_scale, encode_result, result_bytes, unwritten_scale


def reference(
    residual_TH: torch.Tensor, x_TH: torch.Tensor | None, weight_H: torch.Tensor, eps: float,
    y_scale: torch.Tensor | None = None, plain_TH: torch.Tensor | None = None, out_format: str = "",
) -> torch.Tensor:  # fmt: skip
    """residual_TH += x_TH in place (when given); returns residual / sqrt(mean(residual^2) + eps) * weight_H,
    encoded in `out_format` where one is given (scales to y_scale), and then, where plain_TH is given, as it is too: a router reads it unquantised.

    Source: RMSNorm, arXiv 1910.07467; fused with the add as in vLLM, SGLang and TensorRT-LLM.
    """
    if x_TH is not None:
        residual_TH += x_TH
    r_TH = wide(residual_TH)
    y_TH = r_TH * torch.rsqrt(r_TH.square().mean(-1, keepdim=True) + eps)
    y_TH = y_TH.to(residual_TH.dtype) * weight_H
    if plain_TH is not None:
        plain_TH.copy_(y_TH)
    return encode_result(y_TH, out_format, y_scale)


def fake(
    residual_TH: torch.Tensor, x_TH: torch.Tensor | None, weight_H: torch.Tensor, eps: float,
    y_scale: torch.Tensor | None = None, plain_TH: torch.Tensor | None = None, out_format: str = "",
) -> torch.Tensor:  # fmt: skip
    return empty_result(residual_TH, tuple(residual_TH.shape), out_format)


def launch(
    residual_TH: torch.Tensor, x_TH: torch.Tensor | None, weight_H: torch.Tensor, eps: float,
    y_scale: torch.Tensor | None = None, plain_TH: torch.Tensor | None = None, out_format: str = "",
) -> torch.Tensor:  # fmt: skip
    from triton_kernels._jit.add_norm import add_norm_kernel

    tokens, hidden = residual_TH.shape
    assert residual_TH.is_contiguous(), residual_TH.stride()
    assert x_TH is None or (x_TH.shape == residual_TH.shape and x_TH.is_contiguous()), (x_TH.shape, residual_TH.shape)
    check_result((tokens, hidden), out_format, y_scale)
    assert plain_TH is None or (out_format and plain_TH.shape == residual_TH.shape and plain_TH.is_contiguous()), (out_format, plain_TH.shape)
    assert plain_TH is None or plain_TH.dtype == residual_TH.dtype, (plain_TH.dtype, residual_TH.dtype)
    group, groups = 1, 1
    if y_scale is not None:
        check_groups(hidden, FORMATS[out_format])
        group, groups = FORMATS[out_format].group, y_scale.shape[1]
    y_TH = empty_result(residual_TH, (tokens, hidden), out_format)
    block = max(group, 1 << (hidden - 1).bit_length())  # one program holds a whole row: 2 passes over registers, 1 over memory
    num_warps = 4 if block <= 4096 else 8
    launch_kernel(
        add_norm_kernel, (tokens,), residual_TH, x_TH, weight_H, y_TH, y_scale, plain_TH, hidden, y_TH.shape[1], groups, eps,
        OUT_FORMAT=out_format, GROUP=group or block, BLOCK_H=block, num_warps=num_warps,
    )  # fmt: skip
    return y_TH


def work(call: OpCall, facts: StepFacts) -> Work:
    """Reads x, residual and weight; writes residual (when it changes) and y, plain and encoded as asked for."""
    tokens, hidden = call.dims("residual_TH")
    written = call.nbytes("x_TH", "plain_TH") + result_bytes(call, tokens * hidden, "residual_TH")
    return Work(read_bytes=call.nbytes("residual_TH", "x_TH", "weight_H"), written_bytes=written)


def inputs(
    *, generator: torch.Generator, dtype: torch.dtype, tokens: int, hidden: int, add: bool = True, out_format: str = "", keep: bool = False
) -> dict[str, Any]:
    def draw(*dims: int) -> torch.Tensor:
        return torch.randn(*dims, generator=generator).to(dtype)

    return {
        "residual_TH": draw(tokens, hidden), "x_TH": draw(tokens, hidden) if add else None, "weight_H": draw(hidden), "eps": 1e-6,
        "y_scale": unwritten_scale((tokens, hidden), out_format), "plain_TH": torch.full((tokens, hidden), torch.nan, dtype=dtype) if keep else None,
        "out_format": out_format,
    }  # fmt: skip


add_norm = Operation(
    name="add_norm",
    reference=reference,
    launch=launch,
    fake=fake,
    work=work,
    inputs=inputs,
    mutates=("residual_TH", "y_scale", "plain_TH"),
    cases=(
        {"tokens": 1, "hidden": 2048},
        {"tokens": 7, "hidden": 2880},
        {"tokens": 5, "hidden": 96, "add": False},
        {"tokens": 3, "hidden": 1},
        {"tokens": 2, "hidden": 131},
        {"tokens": 3, "hidden": 300, "out_format": "fp8_1x128", "keep": True},
        {"tokens": 2, "hidden": 96, "out_format": "mxfp8", "add": False},
        {"tokens": 2, "hidden": 2880, "out_format": "nvfp4", "keep": True},
        {"tokens": 2, "hidden": 131, "out_format": "fp8_row"},
        {"tokens": 1, "hidden": 64, "out_format": "mxfp4"},
    ),
)


def normed(
    residual_TH: torch.Tensor, x_TH: torch.Tensor | None, weight_H: torch.Tensor, eps: float, *, out: Format, keep: bool = False
) -> tuple[Operand, torch.Tensor | None]:
    """add_norm in the format `out`; with `keep` in the residual's own too (the same tensor where `out` is that)."""
    if out.plain:
        y_TH = add_norm(residual_TH, x_TH, weight_H, eps)
        return Operand(format=out, values=y_TH), y_TH if keep else None
    plain_TH = torch.empty_like(residual_TH) if keep else None
    y_scale = empty_scale(residual_TH, tuple(residual_TH.shape), out.name)
    values = add_norm(residual_TH, x_TH, weight_H, eps, y_scale, plain_TH, out.name)
    return Operand(format=out, values=values, scale=y_scale), plain_TH
