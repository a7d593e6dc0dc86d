"""The experts' rows back to their tokens' ranks and summed: the all-to-all behind the experts of an expert-parallel group.

Shapes: T tokens of one rank, Y = group_size x T tokens of the group, J choices per token, R = Y x J rows, H hidden, E experts on this rank.
"""

from __future__ import annotations

from typing import Any

import torch

from triton_kernels.combine import combine
from triton_kernels.combine import reference as summed
from triton_kernels.ep_dispatch import wire_bytes
from triton_kernels.formats import format_of
from triton_kernels.groups import process_group
from triton_kernels.launch import launch_kernel
from triton_kernels.operation import OpCall, Operation, StepFacts, Work, wide


def reference(
    z_RH: torch.Tensor,
    row_of_YJ: torch.Tensor,
    offsets_E1: torch.Tensor,
    add_TH: torch.Tensor | None,
    group: str,
    group_size: int,
    wire: str,
) -> torch.Tensor:
    """y_TH[t] = add_TH[t] (when given: the shared expert) + the rows of token t's choices from all ranks; row_of_YJ as `dispatch` left it.

    Between the processes of the registered group: this rank's sums of every token, reduced over the ranks. Without one, an emulated rank: as many rows as would
    come back, rows (t J + j) modulo the live ones of z_RH, are summed for each token; zeros where nothing is live.
    """
    tokens, choices = row_of_YJ.shape[0] // group_size, row_of_YJ.shape[1]
    ranks = process_group(group, group_size)
    if ranks is not None:
        return _reduced(summed(z_RH, row_of_YJ, None), add_TH, ranks)
    rows = int(offsets_E1[-1])
    y_TH = wide(z_RH).new_zeros(tokens, z_RH.shape[1])
    if rows:
        pairs = torch.arange(tokens * choices, device=z_RH.device) % rows
        y_TH += wide(z_RH)[pairs].view(tokens, choices, -1).sum(1)
    return (y_TH if add_TH is None else y_TH + add_TH).to(z_RH.dtype)


def _reduced(sums_YH: torch.Tensor, add_TH: torch.Tensor | None, ranks: Any) -> torch.Tensor:
    """This rank's rows of the sum over ranks."""
    distributed = torch.distributed
    tokens = sums_YH.shape[0] // distributed.get_world_size(ranks)
    if distributed.get_backend(ranks) == "nccl":
        y_TH = sums_YH.new_empty(tokens, sums_YH.shape[1])
        distributed.reduce_scatter_tensor(y_TH, sums_YH, group=ranks)
    else:  # gloo reduces whole tensors only
        distributed.all_reduce(sums_YH, group=ranks)
        first = distributed.get_rank(ranks) * tokens
        y_TH = sums_YH[first : first + tokens].clone()
    return y_TH if add_TH is None else y_TH + add_TH


def fake(
    z_RH: torch.Tensor,
    row_of_YJ: torch.Tensor,
    offsets_E1: torch.Tensor,
    add_TH: torch.Tensor | None,
    group: str,
    group_size: int,
    wire: str,
) -> torch.Tensor:
    return z_RH.new_empty(row_of_YJ.shape[0] // group_size, z_RH.shape[1])


def launch(
    z_RH: torch.Tensor,
    row_of_YJ: torch.Tensor,
    offsets_E1: torch.Tensor,
    add_TH: torch.Tensor | None,
    group: str,
    group_size: int,
    wire: str,
) -> torch.Tensor:
    from triton_kernels._jit.ep_combine import ep_combine_kernel

    ranks = process_group(group, group_size)
    if ranks is not None:
        return _reduced(combine.launch(z_RH, row_of_YJ, None), add_TH, ranks)
    choices, hidden = row_of_YJ.shape[1], z_RH.shape[1]
    assert z_RH.is_contiguous(), z_RH.stride()
    y_TH = fake(z_RH, row_of_YJ, offsets_E1, add_TH, group, group_size, wire)
    assert add_TH is None or (add_TH.shape == y_TH.shape and add_TH.is_contiguous()), (add_TH.shape, y_TH.shape)
    block = min(1024, 1 << max(hidden - 1, 1).bit_length())
    grid = (y_TH.shape[0], -(-hidden // block))
    experts = offsets_E1.shape[0] - 1
    launch_kernel(ep_combine_kernel, grid, z_RH, offsets_E1, add_TH, y_TH, hidden, experts, CHOICES=choices, BLOCK_H=block, num_warps=4)
    return y_TH


def work(call: OpCall, facts: StepFacts) -> Work:
    """Memory: the live rows that leave and those of this rank's tokens read once, with what is added; every token written.

    Link: the rows of other ranks' pairs.
    """
    assert call.layer is not None, call.part
    hidden, size = call.dims("z_RH")[1], call.shape("z_RH").dtype.itemsize
    tokens, choices = call.dims("row_of_YJ")[0] // int(call.attr("group_size")), call.dims("row_of_YJ")[1]
    received = facts.received_rows_L[call.layer]
    return Work(
        read_bytes=(received + tokens * choices) * hidden * size + call.nbytes("add_TH"),
        written_bytes=tokens * hidden * size,
        link_bytes=received * wire_bytes(hidden, call.attr("wire")),
    )


def inputs(
    *, generator: torch.Generator, dtype: torch.dtype, tokens: int, ranks: int, choices: int, rows: int, hidden: int, add: bool = False
) -> dict[str, Any]:
    """The first `rows` rows are live, the others NaN."""
    z_RH = torch.randn(ranks * tokens * choices, hidden, generator=generator).to(dtype)
    z_RH[rows:] = float("nan")
    found = format_of(dtype)
    return {
        "z_RH": z_RH, "row_of_YJ": torch.full((ranks * tokens, choices), -1, dtype=torch.int32),
        "offsets_E1": torch.tensor([0, rows // 2, rows], dtype=torch.int32),
        "add_TH": torch.randn(tokens, hidden, generator=generator).to(dtype) if add else None, "group": "ep", "group_size": ranks,
        "wire": "" if found is None else found.name,
    }  # fmt: skip


ep_combine = Operation(
    name="ep_combine",
    reference=reference,
    launch=launch,
    fake=fake,
    work=work,
    inputs=inputs,
    cases=(
        {"tokens": 3, "ranks": 4, "choices": 2, "rows": 7, "hidden": 2880, "add": True},
        {"tokens": 1, "ranks": 2, "choices": 8, "rows": 3, "hidden": 131},
        {"tokens": 5, "ranks": 2, "choices": 3, "rows": 0, "hidden": 40, "add": True},
        {"tokens": 2, "ranks": 3, "choices": 1, "rows": 6, "hidden": 1030},
    ),
)
