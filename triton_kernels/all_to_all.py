"""Exchange of rows between the ranks of an expert-parallel group.

Shapes: G ranks of the group, C rows for each of them, H hidden.
"""

from __future__ import annotations

from typing import Any

import torch

from triton_kernels.all_reduce import connected
from triton_kernels.operation import OpCall, Operation, StepFacts, Work


def reference(x_GCH: torch.Tensor, group_size: int) -> torch.Tensor:
    """y_GCH[g] = what rank g holds in its x_GCH for this rank, over torch.distributed's default group (NCCL, gloo) when it has group_size ranks.

    Otherwise a copy of this rank's x_GCH: no other rank exists, nothing crosses a link, and no other rank's numbers are made up.
    """
    assert x_GCH.shape[0] == group_size, (x_GCH.shape, group_size)
    if not connected(group_size):
        return x_GCH.clone(memory_format=torch.contiguous_format)
    y_GCH = torch.empty_like(x_GCH, memory_format=torch.contiguous_format)
    torch.distributed.all_to_all_single(y_GCH, x_GCH.contiguous())
    return y_GCH


def fake(x_GCH: torch.Tensor, group_size: int) -> torch.Tensor:
    return torch.empty_like(x_GCH, memory_format=torch.contiguous_format)


def work(call: OpCall, facts: StepFacts) -> Work:
    """All but a rank's own share leaves it: (n - 1) / n of the tensor. Memory: read once, written once."""
    size, ranks = call.nbytes("x_GCH"), int(call.attr("group_size"))
    return Work(read_bytes=size, written_bytes=size, link_bytes=(ranks - 1) * size // ranks)


def inputs(*, generator: torch.Generator, dtype: torch.dtype, rows: int, hidden: int) -> dict[str, Any]:
    return {"x_GCH": torch.randn(1, rows, hidden, generator=generator).to(dtype), "group_size": 1}


all_to_all = Operation(
    name="all_to_all",
    reference=reference,
    launch=reference,
    fake=fake,
    work=work,
    inputs=inputs,
    cases=({"rows": 1, "hidden": 2048}, {"rows": 17, "hidden": 131}),
    collective=True,
)
