"""Sum of the rows that a token's experts left, back in token order.

Shapes: T tokens, J choices per token, R = T x J rows, H hidden.
"""

from __future__ import annotations

from typing import Any

import torch

from triton_kernels.launch import launch_kernel
from triton_kernels.operation import OpCall, Operation, StepFacts, Work, wide


def reference(y_RH: torch.Tensor, row_of_TJ: torch.Tensor, add_TH: torch.Tensor | None) -> torch.Tensor:
    """x_TH[t] = add_TH[t] (when given: the shared expert) + sum over j of y_RH[row_of_TJ[t, j]], summed in fp32 at least.

    Rows < 0 are on another rank and skipped. row_of_TJ: int32.
    """
    x_TH = wide(y_RH).new_zeros(row_of_TJ.shape[0], y_RH.shape[1]) if add_TH is None else wide(add_TH).clone()
    for row_T in row_of_TJ.T:
        live = row_T >= 0
        x_TH[live] += y_RH[row_T[live].long()]
    return x_TH.to(y_RH.dtype)


def fake(y_RH: torch.Tensor, row_of_TJ: torch.Tensor, add_TH: torch.Tensor | None) -> torch.Tensor:
    return y_RH.new_empty(row_of_TJ.shape[0], y_RH.shape[1])


def launch(y_RH: torch.Tensor, row_of_TJ: torch.Tensor, add_TH: torch.Tensor | None) -> torch.Tensor:
    from triton_kernels._jit.combine import combine_kernel

    (tokens, choices), hidden = row_of_TJ.shape, y_RH.shape[1]
    assert y_RH.is_contiguous(), y_RH.stride()
    assert row_of_TJ.is_contiguous(), row_of_TJ.stride()
    assert row_of_TJ.dtype == torch.int32, row_of_TJ.dtype
    x_TH = fake(y_RH, row_of_TJ, add_TH)
    assert add_TH is None or (add_TH.shape == x_TH.shape and add_TH.is_contiguous()), (add_TH.shape, x_TH.shape)
    block = min(1024, 1 << max(hidden - 1, 1).bit_length())
    launch_kernel(combine_kernel, (tokens, -(-hidden // block)), y_RH, row_of_TJ, add_TH, x_TH, hidden, CHOICES=choices, BLOCK_H=block, num_warps=4)
    return x_TH


def work(call: OpCall, facts: StepFacts) -> Work:
    """Reads the live rows, where they are, and what is added; writes every token."""
    assert call.layer is not None, call.part
    row_bytes = call.dims("y_RH")[1] * call.shape("y_RH").dtype.itemsize
    read = sum(facts.rows_per_expert_LE[call.layer]) * row_bytes + call.nbytes("row_of_TJ", "add_TH")
    return Work(read_bytes=read, written_bytes=call.dims("row_of_TJ")[0] * row_bytes)


def inputs(*, generator: torch.Generator, dtype: torch.dtype, tokens: int, choices: int, hidden: int, dead: int = 0, add: bool = False) -> dict[str, Any]:
    """Every row is some token's; the last `dead` ones are NaN and nobody's."""
    rows = tokens * choices
    row_of_R = torch.randperm(rows, generator=generator).to(torch.int32)
    y_RH = torch.randn(rows, hidden, generator=generator).to(dtype)
    y_RH[rows - dead :] = float("nan")
    row_of_R[row_of_R >= rows - dead] = -1
    add_TH = torch.randn(tokens, hidden, generator=generator).to(dtype) if add else None
    return {"y_RH": y_RH, "row_of_TJ": row_of_R.view(tokens, choices), "add_TH": add_TH}


combine = Operation(
    name="combine",
    reference=reference,
    launch=launch,
    fake=fake,
    work=work,
    inputs=inputs,
    cases=(
        {"tokens": 1, "choices": 8, "hidden": 2048},
        {"tokens": 17, "choices": 4, "hidden": 2880, "dead": 31, "add": True},
        {"tokens": 130, "choices": 2, "hidden": 96, "dead": 259},
        {"tokens": 5, "choices": 1, "hidden": 1},
        {"tokens": 3, "choices": 3, "hidden": 131, "dead": 9},
        {"tokens": 7, "choices": 3, "hidden": 131, "add": True},
    ),
)
