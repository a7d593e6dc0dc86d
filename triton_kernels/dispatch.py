"""Which row each (token, choice) pair becomes when pairs are sorted by expert.

Shapes: T tokens, J choices per token, R = T x J pairs, E experts on this rank.
"""

from __future__ import annotations

from typing import Any

import torch

from triton_kernels.launch import launch_kernel
from triton_kernels.operation import OpCall, Operation, StepFacts, Work

# Up to here one launch does it all: each expert's program reads every pair (E x R reads out of L2). Above, three launches over blocks of pairs.
_SMALL_ROWS = 2048
_BLOCK_ROWS = 512  # pairs of a block are compared with each other: R x 512 comparisons


def reference(ids_TJ: torch.Tensor, offsets_E1: torch.Tensor, first_expert: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(order_R, row_of_TJ), both int32: a stable counting sort of the pairs by expert; fills offsets_E1 (int32) with its E + 1 prefix sums.

    This rank's experts are first_expert .. first_expert + E. order_R[r] is the flat pair t * J + j of sorted row r; row_of_TJ is its inverse. Pairs of other
    experts
    are not on this rank: their row_of_TJ is -1, and
    order_R from offsets_E1[E] on is undefined.
    """
    experts = offsets_E1.shape[0] - 1
    ids_R = ids_TJ.flatten().long() - first_expert
    key_R = torch.where((ids_R >= 0) & (ids_R < experts), ids_R, experts)
    order_R = key_R.argsort(stable=True)
    row_of_R = torch.empty_like(order_R)
    row_of_R[order_R] = torch.arange(order_R.shape[0], device=order_R.device)
    row_of_R[key_R == experts] = -1
    offsets_E1[0] = 0
    offsets_E1[1:] = torch.bincount(key_R, minlength=experts + 1)[:experts].cumsum(0)
    return order_R.to(torch.int32), row_of_R.view(ids_TJ.shape).to(torch.int32)


def fake(ids_TJ: torch.Tensor, offsets_E1: torch.Tensor, first_expert: int) -> tuple[torch.Tensor, torch.Tensor]:
    return ids_TJ.new_empty(ids_TJ.numel()), torch.empty_like(ids_TJ)


def launch(ids_TJ: torch.Tensor, offsets_E1: torch.Tensor, first_expert: int) -> tuple[torch.Tensor, torch.Tensor]:
    from triton_kernels._jit.dispatch import dispatch_small_kernel

    rows, experts = ids_TJ.numel(), offsets_E1.shape[0] - 1
    assert ids_TJ.dtype == offsets_E1.dtype == torch.int32, (ids_TJ.dtype, offsets_E1.dtype)
    assert ids_TJ.is_contiguous(), ids_TJ.stride()
    assert offsets_E1.is_contiguous(), offsets_E1.stride()
    order_R, row_of_TJ = fake(ids_TJ, offsets_E1, first_expert)
    if rows > _SMALL_ROWS:
        _launch_blocks(ids_TJ, offsets_E1, first_expert, order_R, row_of_TJ)
        return order_R, row_of_TJ
    block = 1 << max(rows - 1, 31).bit_length()
    num_warps = 1 if block <= 128 else 4 if block <= 1024 else 8
    launch_kernel(dispatch_small_kernel, (experts,), ids_TJ, offsets_E1, order_R, row_of_TJ, first_expert, rows, experts, ROWS=block, num_warps=num_warps)
    return order_R, row_of_TJ


def _launch_blocks(ids_TJ: torch.Tensor, offsets_E1: torch.Tensor, first_expert: int, order_R: torch.Tensor, row_of_TJ: torch.Tensor) -> None:
    """Histograms of blocks of pairs, their prefix sums, then every pair to its place."""
    from triton_kernels._jit.dispatch import count_kernel, place_kernel, prefix_kernel

    rows, experts = ids_TJ.numel(), offsets_E1.shape[0] - 1
    blocks = -(-rows // _BLOCK_ROWS)
    counts_EB = ids_TJ.new_empty(experts, blocks)
    starts_EB = ids_TJ.new_empty(experts, blocks)
    power = 1 << max(experts - 1, 1).bit_length()
    launch_kernel(count_kernel, (blocks,), ids_TJ, counts_EB, first_expert, rows, experts, blocks, ROWS=_BLOCK_ROWS, EXPERTS=power, num_warps=4)
    launch_kernel(prefix_kernel, (experts,), counts_EB, offsets_E1, starts_EB, experts, blocks, CHUNK=2048, num_warps=4)
    launch_kernel(place_kernel, (blocks,), ids_TJ, starts_EB, order_R, row_of_TJ, first_expert, rows, experts, blocks, ROWS=_BLOCK_ROWS, STEP=16, num_warps=8)


def live(outputs: tuple[torch.Tensor, torch.Tensor], *, offsets_E1: torch.Tensor, **_: Any) -> list[torch.Tensor]:
    """order_R where a row is live, and all of row_of_TJ."""
    order_R, row_of_TJ = outputs
    return [order_R[: int(offsets_E1[-1])], row_of_TJ]


def work(call: OpCall, facts: StepFacts) -> Work:
    """Reads the ids; writes row_of_TJ, the offsets, and order_R where live."""
    assert call.layer is not None, call.part
    live_rows = sum(facts.rows_per_expert_LE[call.layer])
    return Work(read_bytes=call.nbytes("ids_TJ"), written_bytes=call.nbytes("ids_TJ", "offsets_E1") + 4 * live_rows)


def inputs(
    *, generator: torch.Generator, dtype: torch.dtype, tokens: int, choices: int, experts: int, elsewhere: int = 0, only: int | None = None, first: int = 0
) -> dict[str, Any]:
    """ids among `experts` and `elsewhere` more on either side, which are dead; `only`: all pairs choose this expert."""
    ids_TJ = torch.randint(-elsewhere, experts + elsewhere, (tokens, choices), generator=generator, dtype=torch.int32)
    if only is not None:
        ids_TJ.fill_(only)
    return {"ids_TJ": ids_TJ + first, "offsets_E1": torch.full((experts + 1,), 2**31 - 1, dtype=torch.int32), "first_expert": first}


dispatch = Operation(
    name="dispatch",
    reference=reference,
    launch=launch,
    fake=fake,
    work=work,
    inputs=inputs,
    mutates=("offsets_E1",),
    live=live,
    cases=(
        {"tokens": 1, "choices": 8, "experts": 128},
        {"tokens": 17, "choices": 4, "experts": 32, "elsewhere": 48, "first": 64},
        {"tokens": 130, "choices": 7, "experts": 97},
        {"tokens": 130, "choices": 8, "experts": 16, "only": 3},
        {"tokens": 3, "choices": 1, "experts": 1, "elsewhere": 2},
        {"tokens": 33, "choices": 2, "experts": 5, "only": -1},
        {"tokens": 701, "choices": 8, "experts": 60, "elsewhere": 30, "first": 60},
        {"tokens": 513, "choices": 5, "experts": 512},
        {"tokens": 1031, "choices": 4, "experts": 8, "only": 7},
    ),
)
