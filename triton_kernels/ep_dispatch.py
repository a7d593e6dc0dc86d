"""Tokens to their experts' ranks: the all-to-all before the experts of an expert-parallel group.

Shapes: T tokens of one rank, Y = group_size x T tokens of the group, H hidden, J choices per token.
"""

from __future__ import annotations

from typing import Any

import torch

from triton_kernels.formats import format_of
from triton_kernels.gather_rows import gathered
from triton_kernels.groups import process_group
from triton_kernels.launch import launch_kernel
from triton_kernels.operation import OpCall, Operation, StepFacts, Work

PAIR_BYTES = 8  # a pair's expert id and weight travel with its row
FP8_GROUP = 128  # values that share a 4-byte scale on the wire, as DeepEP sends them


def reference(
    x_TH: torch.Tensor,
    ids_TJ: torch.Tensor,
    weights_TJ: torch.Tensor,
    drawn_ids_YJ: torch.Tensor | None,
    group: str,
    group_size: int,
    first_expert: int,
    local_experts: int,
    wire: str,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(x_YH, ids_YJ, weights_YJ): every rank's rows, ids and weights, in order of rank. A row of x_YH none of whose choices is one of this rank's experts
    (first_expert .. first_expert + local_experts) is undefined.

    Between the processes of the registered group an all-gather: shapes are static, whoever goes where. Without one, an emulated rank: drawn_ids_YJ (int32) says
    where every rank's tokens go, and row y is this rank's own x_TH[y % T], with its weights. wire: the format rows cross the link in; another than x's own
    is for plans.
    """
    if process_group(group, group_size) is None:
        assert drawn_ids_YJ is not None, group_size
        return x_TH.repeat(group_size, 1), drawn_ids_YJ.clone(), weights_TJ.repeat(group_size, 1)
    assert wire == _format(x_TH.dtype), (wire, x_TH.dtype)
    return gathered(x_TH, group, group_size), gathered(ids_TJ, group, group_size), gathered(weights_TJ, group, group_size)


def _format(dtype: torch.dtype) -> str:
    found = format_of(dtype)
    return "" if found is None else found.name


def fake(
    x_TH: torch.Tensor,
    ids_TJ: torch.Tensor,
    weights_TJ: torch.Tensor,
    drawn_ids_YJ: torch.Tensor | None,
    group: str,
    group_size: int,
    first_expert: int,
    local_experts: int,
    wire: str,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rows, choices = group_size * x_TH.shape[0], ids_TJ.shape[1]
    return x_TH.new_empty(rows, x_TH.shape[1]), ids_TJ.new_empty(rows, choices), weights_TJ.new_empty(rows, choices)


def launch(
    x_TH: torch.Tensor,
    ids_TJ: torch.Tensor,
    weights_TJ: torch.Tensor,
    drawn_ids_YJ: torch.Tensor | None,
    group: str,
    group_size: int,
    first_expert: int,
    local_experts: int,
    wire: str,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    from triton_kernels._jit.ep_dispatch import ep_dispatch_kernel

    arguments = (x_TH, ids_TJ, weights_TJ, drawn_ids_YJ, group, group_size, first_expert, local_experts, wire)
    if process_group(group, group_size) is not None:
        return reference(*arguments)
    (tokens, hidden), choices = x_TH.shape, ids_TJ.shape[1]
    assert drawn_ids_YJ is not None, group_size
    assert drawn_ids_YJ.shape == (group_size * tokens, choices), (drawn_ids_YJ.shape, group_size, tokens, choices)
    assert wire == _format(x_TH.dtype), (wire, x_TH.dtype)
    for x in (x_TH, weights_TJ, drawn_ids_YJ):
        assert x.is_contiguous(), (x.shape, x.stride())
    x_YH, ids_YJ, weights_YJ = fake(*arguments)
    power = 1 << max(choices - 1, 1).bit_length()
    block = min(4096, 1 << max(hidden - 1, 1).bit_length())
    launch_kernel(
        ep_dispatch_kernel, (group_size * tokens,), x_TH, weights_TJ, drawn_ids_YJ, x_YH, ids_YJ, weights_YJ,
        tokens, hidden, choices, first_expert, local_experts,
        CHOICES=power, BLOCK_H=block, num_warps=4,
    )  # fmt: skip
    return x_YH, ids_YJ, weights_YJ


def live(
    outputs: tuple[torch.Tensor, torch.Tensor, torch.Tensor], *, drawn_ids_YJ: torch.Tensor, first_expert: int, local_experts: int, **_: Any
) -> list[torch.Tensor]:
    """The rows that a local expert takes, all ids and weights."""
    x_YH, ids_YJ, weights_YJ = outputs
    here_Y = ((drawn_ids_YJ >= first_expert) & (drawn_ids_YJ < first_expert + local_experts)).any(1)
    return [x_YH[here_Y], ids_YJ, weights_YJ]


def wire_bytes(width: int, wire: str) -> int:
    """Bytes of a row of `width` values on the wire."""
    from triton_kernels.formats import format_named

    scales = 4 * -(-width // FP8_GROUP) if wire == "fp8" else 0
    return width * format_named(wire).bits // 8 + scales


def work(call: OpCall, facts: StepFacts) -> Work:
    """Memory: this rank's rows read and the rows that its experts take written, with ids and weights. Link: a row, an id and a weight for each pair that
    leaves,
    as DeepEP's low-latency kernels send them."""
    assert call.layer is not None, call.part
    hidden, choices = call.dims("x_TH")[1], call.dims("ids_TJ")[1]
    tokens, sent = facts.tokens_L[call.layer], facts.sent_rows_L[call.layer]
    row = hidden * call.shape("x_TH").dtype.itemsize
    return Work(
        read_bytes=call.nbytes("x_TH", "ids_TJ", "weights_TJ"),
        written_bytes=tokens * (row + choices * PAIR_BYTES),
        link_bytes=sent * (wire_bytes(hidden, call.attr("wire")) + PAIR_BYTES),
    )


def inputs(
    *, generator: torch.Generator, dtype: torch.dtype, tokens: int, ranks: int, choices: int, experts: int, first: int, local: int, hidden: int
) -> dict[str, Any]:
    drawn_ids_YJ = torch.randint(0, experts, (ranks * tokens, choices), generator=generator, dtype=torch.int32)
    return {
        "x_TH": torch.randn(tokens, hidden, generator=generator).to(dtype), "ids_TJ": drawn_ids_YJ[:tokens].clone(),
        "weights_TJ": torch.rand(tokens, choices, generator=generator), "drawn_ids_YJ": drawn_ids_YJ, "group": "ep", "group_size": ranks,
        "first_expert": first, "local_experts": local, "wire": _format(dtype),
    }  # fmt: skip


ep_dispatch = Operation(
    name="ep_dispatch",
    reference=reference,
    launch=launch,
    fake=fake,
    work=work,
    inputs=inputs,
    live=live,
    cases=(
        {"tokens": 3, "ranks": 4, "choices": 2, "experts": 32, "first": 8, "local": 8, "hidden": 2880},
        {"tokens": 1, "ranks": 2, "choices": 8, "experts": 16, "first": 0, "local": 8, "hidden": 131},
        {"tokens": 5, "ranks": 3, "choices": 3, "experts": 90, "first": 60, "local": 1, "hidden": 4100},
    ),
)
