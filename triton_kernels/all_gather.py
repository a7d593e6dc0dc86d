"""Every rank's columns, one rank's beside the other's: what tensor-parallel shards of an embedding or a head leave.

Shapes: T rows, N columns of one rank; the result has group_size x N columns.
"""

from __future__ import annotations

from typing import Any

import torch

from triton_kernels.gather_rows import gathered
from triton_kernels.operation import OpCall, Operation, StepFacts, Work


def reference(x_TN: torch.Tensor, group: str, group_size: int) -> torch.Tensor:
    """Columns of rank 0, then of rank 1, and so on, over the group registered under its name. Without one, this rank's columns in every place."""
    tokens, columns = x_TN.shape
    y_GTN = gathered(x_TN, group, group_size).view(group_size, tokens, columns)
    return y_GTN.transpose(0, 1).reshape(tokens, group_size * columns).contiguous()


def fake(x_TN: torch.Tensor, group: str, group_size: int) -> torch.Tensor:
    return x_TN.new_empty(x_TN.shape[0], group_size * x_TN.shape[1])


def work(call: OpCall, facts: StepFacts) -> Work:
    """A ring sends every rank's columns n - 1 times. Memory: a rank's own columns read, all columns written."""
    size, ranks = call.nbytes("x_TN"), int(call.attr("group_size"))
    return Work(read_bytes=size, written_bytes=ranks * size, link_bytes=(ranks - 1) * size)


def inputs(*, generator: torch.Generator, dtype: torch.dtype, tokens: int, columns: int) -> dict[str, Any]:
    return {"x_TN": torch.randn(tokens, columns, generator=generator).to(dtype), "group": "tp", "group_size": 1}


all_gather = Operation(
    name="all_gather",
    reference=reference,
    launch=reference,
    fake=fake,
    work=work,
    inputs=inputs,
    cases=({"tokens": 1, "columns": 2048}, {"tokens": 17, "columns": 131}),
    collective=True,
)
