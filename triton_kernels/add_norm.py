"""Residual add and RMS norm in one pass, as every decoder block begins.

Shapes: T tokens, H hidden.
"""

from __future__ import annotations

from typing import Any

import torch

from triton_kernels.launch import launch_kernel
from triton_kernels.operation import OpCall, Operation, StepFacts, Work, wide


def reference(residual_TH: torch.Tensor, x_TH: torch.Tensor | None, weight_H: torch.Tensor, eps: float) -> torch.Tensor:
    """residual_TH += x_TH in place (when given); returns residual / sqrt(mean(residual^2) + eps) * weight_H.

    Source: RMSNorm, arXiv 1910.07467; fused with the add as in vLLM, SGLang and TensorRT-LLM.
    """
    if x_TH is not None:
        residual_TH += x_TH
    r_TH = wide(residual_TH)
    y_TH = r_TH * torch.rsqrt(r_TH.square().mean(-1, keepdim=True) + eps)
    return y_TH.to(residual_TH.dtype) * weight_H


def fake(residual_TH: torch.Tensor, x_TH: torch.Tensor | None, weight_H: torch.Tensor, eps: float) -> torch.Tensor:
    return torch.empty_like(residual_TH)


def launch(residual_TH: torch.Tensor, x_TH: torch.Tensor | None, weight_H: torch.Tensor, eps: float) -> torch.Tensor:
    from triton_kernels._jit.add_norm import add_norm_kernel

    tokens, hidden = residual_TH.shape
    assert residual_TH.is_contiguous(), residual_TH.stride()
    assert x_TH is None or (x_TH.shape == residual_TH.shape and x_TH.is_contiguous()), (x_TH.shape, residual_TH.shape)
    y_TH = torch.empty_like(residual_TH)
    block = 1 << (hidden - 1).bit_length()  # one program holds a whole row: 2 passes over registers, 1 over memory
    num_warps = 4 if block <= 4096 else 8
    launch_kernel(add_norm_kernel, (tokens,), residual_TH, x_TH, weight_H, y_TH, hidden, eps, BLOCK_H=block, num_warps=num_warps)
    return y_TH


def work(call: OpCall, facts: StepFacts) -> Work:
    """Reads x, residual and weight; writes residual (when it changes) and y."""
    changed = call.nbytes("x_TH")
    return Work(read_bytes=call.nbytes("residual_TH", "x_TH", "weight_H"), written_bytes=changed + call.nbytes("residual_TH"))


def inputs(*, generator: torch.Generator, dtype: torch.dtype, tokens: int, hidden: int, add: bool = True) -> dict[str, Any]:
    def draw(*dims: int) -> torch.Tensor:
        return torch.randn(*dims, generator=generator).to(dtype)

    return {"residual_TH": draw(tokens, hidden), "x_TH": draw(tokens, hidden) if add else None, "weight_H": draw(hidden), "eps": 1e-6}


add_norm = Operation(
    name="add_norm",
    reference=reference,
    launch=launch,
    fake=fake,
    work=work,
    inputs=inputs,
    mutates=("residual_TH",),
    cases=(
        {"tokens": 1, "hidden": 2048},
        {"tokens": 7, "hidden": 2880},
        {"tokens": 5, "hidden": 96, "add": False},
        {"tokens": 3, "hidden": 1},
        {"tokens": 2, "hidden": 131},
    ),
)
