"""Every rank's rows, one rank's below the other's.

Shapes: T tokens of one rank, H hidden; the result has group_size x T rows.
"""

from __future__ import annotations

from typing import Any

import torch

from triton_kernels.groups import process_group
from triton_kernels.operation import OpCall, Operation, StepFacts, Work


def reference(x_TH: torch.Tensor, group: str, group_size: int) -> torch.Tensor:
    """Rows of rank 0, then of rank 1, and so on, over the group registered under its name. Without one, this rank's rows in every place."""
    return gathered(x_TH, group, group_size)


def gathered(x: torch.Tensor, group: str, group_size: int) -> torch.Tensor:
    """The same for a tensor of any width and type."""
    y = x.new_empty(group_size * x.shape[0], *x.shape[1:])
    ranks = process_group(group, group_size)
    if ranks is None:
        y.view(group_size, *x.shape).copy_(x)
    else:
        torch.distributed.all_gather_into_tensor(sendable(y), sendable(x.contiguous()), group=ranks)
    return y


def sendable(x: torch.Tensor) -> torch.Tensor:
    """The same bytes in a type that NCCL and gloo know: 8-bit floats as integers."""
    return x.view(torch.uint8) if x.is_floating_point() and x.dtype.itemsize == 1 else x


def fake(x_TH: torch.Tensor, group: str, group_size: int) -> torch.Tensor:
    return x_TH.new_empty(group_size * x_TH.shape[0], x_TH.shape[1])


def work(call: OpCall, facts: StepFacts) -> Work:
    """A ring sends every rank's rows n - 1 times. Memory: a rank's own rows read, all rows written."""
    size, ranks = call.nbytes("x_TH"), int(call.attr("group_size"))
    return Work(read_bytes=size, written_bytes=ranks * size, link_bytes=(ranks - 1) * size)


def inputs(*, generator: torch.Generator, dtype: torch.dtype, tokens: int, hidden: int) -> dict[str, Any]:
    return {"x_TH": torch.randn(tokens, hidden, generator=generator).to(dtype), "group": "tp", "group_size": 1}


gather_rows = Operation(
    name="gather_rows",
    reference=reference,
    launch=reference,
    fake=fake,
    work=work,
    inputs=inputs,
    cases=({"tokens": 1, "hidden": 2048}, {"tokens": 17, "hidden": 131}),
    collective=True,
)
