"""Sum over the ranks of a group.

Shapes: T tokens, H hidden.
"""

from __future__ import annotations

from typing import Any

import torch

from triton_kernels.groups import process_group
from triton_kernels.operation import OpCall, Operation, StepFacts, Work


def reference(x_TH: torch.Tensor, group: str, group_size: int) -> torch.Tensor:
    """The sum of every rank's x_TH, over the group registered under its name (NCCL on GPUs, gloo on CPUs).

    Without one, a copy of this rank's x_TH: no other rank exists, nothing crosses a link, and no other rank's numbers are made up.
    """
    y_TH = x_TH.clone(memory_format=torch.contiguous_format)
    ranks = process_group(group, group_size)
    if ranks is not None:
        torch.distributed.all_reduce(y_TH, group=ranks)
    return y_TH


def fake(x_TH: torch.Tensor, group: str, group_size: int) -> torch.Tensor:
    return torch.empty_like(x_TH, memory_format=torch.contiguous_format)


def work(call: OpCall, facts: StepFacts) -> Work:
    """A ring sends 2 (n - 1) / n of the tensor from every rank: reduce-scatter, then all-gather (Patarasuk and Yuan, 2009). Memory: read once, written once."""
    size, ranks = call.nbytes("x_TH"), int(call.attr("group_size"))
    return Work(read_bytes=size, written_bytes=size, link_bytes=2 * (ranks - 1) * size // ranks)


def inputs(*, generator: torch.Generator, dtype: torch.dtype, tokens: int, hidden: int) -> dict[str, Any]:
    return {"x_TH": torch.randn(tokens, hidden, generator=generator).to(dtype), "group": "tp", "group_size": 1}


all_reduce = Operation(
    name="all_reduce",
    reference=reference,
    launch=reference,
    fake=fake,
    work=work,
    inputs=inputs,
    cases=({"tokens": 1, "hidden": 2048}, {"tokens": 17, "hidden": 131}),
    collective=True,
)
