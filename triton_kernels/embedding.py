"""Gathering rows of a table: token embeddings, and the last row of each sequence before the head.

Shapes: T tokens, V rows of the table, H hidden.
"""

from __future__ import annotations

from typing import Any

import torch

from triton_kernels.launch import launch_kernel
from triton_kernels.operation import OpCall, Operation, StepFacts, Work

BLOCK_H = 2048  # columns a program copies: 16 values a thread


def reference(ids_T: torch.Tensor, table_VH: torch.Tensor) -> torch.Tensor:
    """x_TH with x[t] = table_VH[ids_T[t]]. ids_T: int32 or int64, each in [0, V)."""
    return torch.nn.functional.embedding(ids_T, table_VH)


def fake(ids_T: torch.Tensor, table_VH: torch.Tensor) -> torch.Tensor:
    return table_VH.new_empty(ids_T.shape[0], table_VH.shape[1])


def launch(ids_T: torch.Tensor, table_VH: torch.Tensor) -> torch.Tensor:
    from triton_kernels._jit.embedding import embedding_kernel

    hidden = table_VH.shape[1]
    assert ids_T.dtype in (torch.int32, torch.int64), ids_T.dtype
    for x in (ids_T, table_VH):
        assert x.is_contiguous(), (x.shape, x.stride())
    x_TH = table_VH.new_empty(ids_T.shape[0], hidden)
    block = min(1 << (hidden - 1).bit_length(), BLOCK_H)
    grid = (ids_T.shape[0], -(-hidden // block))
    launch_kernel(embedding_kernel, grid, ids_T, table_VH, x_TH, hidden, BLOCK_H=block, num_warps=4)
    return x_TH


def work(call: OpCall, facts: StepFacts) -> Work:
    """Reads one row of the table for each token, the rest of the table not at all; a row that two tokens share counts twice."""
    tokens, hidden = call.dims("ids_T")[0], call.dims("table_VH")[1]
    rows = tokens * hidden * call.shape("table_VH").dtype.itemsize
    return Work(read_bytes=call.nbytes("ids_T") + rows, written_bytes=rows)


def inputs(*, generator: torch.Generator, dtype: torch.dtype, tokens: int, vocab: int, hidden: int, ids: str = "int32") -> dict[str, Any]:
    """The last row of the table is always asked for."""
    ids_T = torch.randint(vocab, (tokens,), generator=generator).to(getattr(torch, ids))
    ids_T[-1:] = vocab - 1
    return {"ids_T": ids_T, "table_VH": torch.randn(vocab, hidden, generator=generator).to(dtype)}


embedding = Operation(
    name="embedding",
    reference=reference,
    launch=launch,
    fake=fake,
    work=work,
    inputs=inputs,
    cases=(
        {"tokens": 5, "vocab": 131, "hidden": 2880},
        {"tokens": 1, "vocab": 17, "hidden": 64, "ids": "int64"},
        {"tokens": 9, "vocab": 3, "hidden": 131},
        {"tokens": 2, "vocab": 1, "hidden": 1},
        {"tokens": 0, "vocab": 5, "hidden": 16},
    ),
)
