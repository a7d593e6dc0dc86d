"""Tokens to their experts' ranks: the all-to-all before the experts of an expert-parallel group.

Shapes: T tokens of one rank, Y = group_size x T tokens of the group, H hidden (half of it where values are 4-bit codes), J choices per token.
"""

from __future__ import annotations

from typing import Any

import torch

from triton_kernels.formats import FORMATS, format_of
from triton_kernels.gather_rows import gathered
from triton_kernels.groups import process_group
from triton_kernels.launch import launch_kernel
from triton_kernels.operand import Operand, encode
from triton_kernels.operation import OpCall, Operation, StepFacts, Work
from triton_kernels.results import unwritten_scale

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
    x_scale: torch.Tensor | None = None,
    y_scale: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(x_YH, ids_YJ, weights_YJ): every rank's rows, ids and weights, in order of rank. A row of x_YH none of whose choices is one of this rank's experts
    (first_expert .. first_expert + local_experts) is undefined. Where x_TH is codes, x_scale has their scales, a row for each token, and y_scale, which the
    caller allocated, gets those of x_YH.

    Between the processes of the registered group an all-gather: shapes are static, whoever goes where. Without one, an emulated rank: drawn_ids_YJ (int32) says
    where every rank's tokens go, and row y is this rank's own x_TH[y % T], with its weights. wire: the format rows cross the link in; another than x's own
    is for plans; "" for codes, which cross it as they are.
    """
    if process_group(group, group_size) is None:
        assert drawn_ids_YJ is not None, group_size
        if x_scale is not None:
            assert y_scale is not None, x_scale.shape
            here_Y = _wanted(drawn_ids_YJ, first_expert, local_experts)
            y_scale.view(torch.uint8)[here_Y] = x_scale.view(torch.uint8).repeat(group_size, 1)[here_Y]
        return x_TH.repeat(group_size, 1), drawn_ids_YJ.clone(), weights_TJ.repeat(group_size, 1)
    assert wire == _format(x_TH.dtype), (wire, x_TH.dtype)
    if x_scale is not None:
        assert y_scale is not None, x_scale.shape
        y_scale.copy_(gathered(x_scale, group, group_size))
    return gathered(x_TH, group, group_size), gathered(ids_TJ, group, group_size), gathered(weights_TJ, group, group_size)


def _wanted(drawn_ids_YJ: torch.Tensor, first_expert: int, local_experts: int) -> torch.Tensor:
    """Whether a row has a choice among this rank's experts."""
    return ((drawn_ids_YJ >= first_expert) & (drawn_ids_YJ < first_expert + local_experts)).any(1)


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
    x_scale: torch.Tensor | None = None,
    y_scale: torch.Tensor | None = None,
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
    x_scale: torch.Tensor | None = None,
    y_scale: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    from triton_kernels._jit.ep_dispatch import ep_dispatch_kernel

    arguments = (x_TH, ids_TJ, weights_TJ, drawn_ids_YJ, group, group_size, first_expert, local_experts, wire, x_scale, y_scale)
    if process_group(group, group_size) is not None:
        return reference(*arguments)
    (tokens, hidden), choices = x_TH.shape, ids_TJ.shape[1]
    assert drawn_ids_YJ is not None, group_size
    assert drawn_ids_YJ.shape == (group_size * tokens, choices), (drawn_ids_YJ.shape, group_size, tokens, choices)
    assert wire == _format(x_TH.dtype), (wire, x_TH.dtype)
    for x in (x_TH, weights_TJ, drawn_ids_YJ):
        assert x.is_contiguous(), (x.shape, x.stride())
    groups = _groups(x_TH, group_size, x_scale, y_scale)
    x_YH, ids_YJ, weights_YJ = fake(*arguments)
    power = 1 << max(choices - 1, 1).bit_length()
    block = min(4096, 1 << max(hidden - 1, 1).bit_length())
    launch_kernel(
        ep_dispatch_kernel, (group_size * tokens,), x_TH, x_scale, weights_TJ, drawn_ids_YJ, x_YH, y_scale, ids_YJ, weights_YJ,
        tokens, hidden, groups, choices, first_expert, local_experts,
        CHOICES=power, BLOCK_H=block, BLOCK_G=1 << (groups - 1).bit_length(), num_warps=4,
    )  # fmt: skip
    return x_YH, ids_YJ, weights_YJ


def _groups(x_TH: torch.Tensor, group_size: int, x_scale: torch.Tensor | None, y_scale: torch.Tensor | None) -> int:
    """Scales of a row, 1 where x is plain; asserts that they are where they should be."""
    if x_scale is None:
        assert _format(x_TH.dtype), x_TH.dtype
        assert y_scale is None, x_TH.dtype
        return 1
    assert y_scale is not None, x_scale.shape
    (rows, groups), tokens = x_scale.shape, x_TH.shape[0]
    assert rows == tokens, (x_scale.shape, tokens)
    assert y_scale.shape == (group_size * tokens, groups), (y_scale.shape, x_scale.shape, group_size)
    assert y_scale.dtype == x_scale.dtype, (y_scale.dtype, x_scale.dtype)
    assert x_scale.is_contiguous(), x_scale.stride()
    assert y_scale.is_contiguous(), y_scale.stride()
    return groups


def live(
    outputs: tuple[torch.Tensor, torch.Tensor, torch.Tensor], *, drawn_ids_YJ: torch.Tensor, first_expert: int, local_experts: int, **_: Any
) -> list[torch.Tensor]:
    """The rows that a local expert takes, all ids and weights."""
    x_YH, ids_YJ, weights_YJ = outputs
    return [x_YH[_wanted(drawn_ids_YJ, first_expert, local_experts)], ids_YJ, weights_YJ]


def wire_bytes(width: int, wire: str) -> int:
    """Bytes of a row of `width` values on the wire."""
    from triton_kernels.formats import format_named

    scales = 4 * -(-width // FP8_GROUP) if wire == "fp8" else 0
    return width * format_named(wire).bits // 8 + scales


def work(call: OpCall, facts: StepFacts) -> Work:
    """Memory: this rank's rows read and the rows that its experts take written, with ids and weights. Link: a row, an id and a weight for each pair that
    leaves, as DeepEP's low-latency kernels send them. The scales of codes are part of their row."""
    assert call.layer is not None, call.part
    width, choices = call.dims("x_TH")[1], call.dims("ids_TJ")[1]
    tokens, sent = facts.tokens_L[call.layer], facts.sent_rows_L[call.layer]
    row, wire = width * call.shape("x_TH").dtype.itemsize, str(call.attr("wire"))
    if call.has("x_scale"):
        row += call.dims("x_scale")[1] * call.shape("x_scale").dtype.itemsize
    return Work(
        read_bytes=call.nbytes("x_TH", "x_scale", "ids_TJ", "weights_TJ"),
        written_bytes=tokens * (row + choices * PAIR_BYTES),
        link_bytes=sent * ((wire_bytes(width, wire) if wire else row) + PAIR_BYTES),
    )


def inputs(
    *, generator: torch.Generator, dtype: torch.dtype,
    tokens: int, ranks: int, choices: int, experts: int, first: int, local: int, hidden: int, x_format: str = "",
) -> dict[str, Any]:  # fmt: skip
    drawn_ids_YJ = torch.randint(0, experts, (ranks * tokens, choices), generator=generator, dtype=torch.int32)
    x_TH = torch.randn(tokens, hidden, generator=generator).to(dtype)
    x = encode(x_TH, FORMATS[x_format], scale_whole=False) if x_format else Operand(format=FORMATS[_format(dtype)], values=x_TH)
    return {
        "x_TH": x.values, "ids_TJ": drawn_ids_YJ[:tokens].clone(),
        "weights_TJ": torch.rand(tokens, choices, generator=generator), "drawn_ids_YJ": drawn_ids_YJ, "group": "ep", "group_size": ranks,
        "first_expert": first, "local_experts": local, "wire": _format(x.values.dtype),
        "x_scale": x.scale, "y_scale": unwritten_scale((ranks * tokens, hidden), x_format),
    }  # fmt: skip


ep_dispatch = Operation(
    name="ep_dispatch",
    reference=reference,
    launch=launch,
    fake=fake,
    work=work,
    inputs=inputs,
    live=live,
    mutates=("y_scale",),
    cases=(
        {"tokens": 3, "ranks": 4, "choices": 2, "experts": 32, "first": 8, "local": 8, "hidden": 2880},
        {"tokens": 1, "ranks": 2, "choices": 8, "experts": 16, "first": 0, "local": 8, "hidden": 131},
        {"tokens": 5, "ranks": 3, "choices": 3, "experts": 90, "first": 60, "local": 1, "hidden": 4100},
        {"tokens": 3, "ranks": 4, "choices": 2, "experts": 32, "first": 8, "local": 8, "hidden": 2880, "x_format": "fp8_1x128"},
        {"tokens": 2, "ranks": 4, "choices": 2, "experts": 8, "first": 2, "local": 2, "hidden": 96, "x_format": "nvfp4"},
    ),
)


def exchanged(
    x_TH: Operand, ids_TJ: torch.Tensor, weights_TJ: torch.Tensor, drawn_ids_YJ: torch.Tensor | None,
    group: str, group_size: int, first_expert: int, local_experts: int, wire: str,
) -> tuple[Operand, torch.Tensor, torch.Tensor]:  # fmt: skip
    """ep_dispatch of rows in any format whose scales belong to one row each. wire: as there, for plain rows."""
    fmt, x_scale = x_TH.format, x_TH.scale
    assert fmt.plain or (fmt.block is not None and fmt.block[0] == 1), fmt.name
    y_scale = None if x_scale is None else x_scale.new_empty(group_size * x_scale.shape[0], x_scale.shape[1])
    values, ids_YJ, weights_YJ = ep_dispatch(
        x_TH.values, ids_TJ, weights_TJ, drawn_ids_YJ, group, group_size, first_expert, local_experts, wire if fmt.plain else "", x_scale, y_scale
    )
    return Operand(format=fmt, values=values, scale=y_scale), ids_YJ, weights_YJ
