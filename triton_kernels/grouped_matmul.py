"""Expert matmul: rows grouped by expert, each multiplied with its own expert's weights.

Shapes: T tokens, J choices per token, R = T x J rows (some dead), X rows of x (T when gathered, else R), E experts on this rank, N outputs, K inputs.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch

from triton_kernels.launch import launch_kernel
from triton_kernels.matmul import activate, outputs_of
from triton_kernels.operation import OpCall, Operation, StepFacts, Work, wide
from triton_kernels.target import chip_of
from triton_kernels.tiles import Tile, TileTable, family, tile_for

# By rows per expert, R / E: what shapes can tell. At or under half a tile few experts need a second one. From 33 on, prefill.
TILES: TileTable = {
    ("sm90", False): (
        (8, Tile(rows=16, outputs=128, inputs=64, warps=4, stages=5, swap=True, per_sm=2)),
        (16, Tile(rows=32, outputs=128, inputs=64, warps=4, stages=5, swap=True, per_sm=2)),
        (32, Tile(rows=64, outputs=128, inputs=64, warps=4, stages=4, swap=True, per_sm=2)),
        (None, Tile(rows=128, outputs=256, inputs=64, warps=8, stages=4)),
    ),
    ("sm90", True): (
        (8, Tile(rows=16, outputs=64, inputs=128, warps=4, stages=3, swap=True, per_sm=2)),
        (16, Tile(rows=32, outputs=64, inputs=64, warps=4, stages=5, swap=True, per_sm=2)),
        (32, Tile(rows=64, outputs=64, inputs=64, warps=4, stages=4, swap=True, per_sm=2)),
        (None, Tile(rows=128, outputs=128, inputs=64, warps=8, stages=4)),
    ),
    ("sm100", False): (
        (8, Tile(rows=16, outputs=128, inputs=64, warps=4, stages=5, swap=True, per_sm=2)),
        (16, Tile(rows=32, outputs=128, inputs=64, warps=4, stages=5, swap=True, per_sm=2)),
        (32, Tile(rows=64, outputs=128, inputs=64, warps=4, stages=4, swap=True, per_sm=2)),
        (None, Tile(rows=128, outputs=256, inputs=64, warps=8, stages=4)),
    ),
    ("sm100", True): (
        (8, Tile(rows=16, outputs=128, inputs=64, warps=4, stages=3, swap=True, per_sm=2)),
        (16, Tile(rows=32, outputs=128, inputs=64, warps=4, stages=3, swap=True, per_sm=2)),
        (32, Tile(rows=64, outputs=128, inputs=64, warps=4, stages=5, swap=True)),
        (None, Tile(rows=128, outputs=128, inputs=64, warps=8, stages=4)),
    ),
    ("sm80", False): (
        (8, Tile(rows=16, outputs=64, inputs=128, warps=4, stages=4, swap=True)),
        (32, Tile(rows=64, outputs=64, inputs=64, warps=4, stages=4, swap=True)),
        (None, Tile(rows=128, outputs=128, inputs=64, warps=8, stages=3)),
    ),
    ("sm80", True): (
        (8, Tile(rows=16, outputs=64, inputs=64, warps=4, stages=4, swap=True)),
        (32, Tile(rows=64, outputs=64, inputs=64, warps=4, stages=3, swap=True)),
        (None, Tile(rows=128, outputs=64, inputs=64, warps=8, stages=3)),
    ),
    ("fp32", False): ((8, Tile(rows=16, outputs=64, inputs=32, warps=4, stages=3)), (None, Tile(rows=64, outputs=64, inputs=32, warps=8, stages=3))),
    ("fp32", True): ((8, Tile(rows=16, outputs=32, inputs=32, warps=4, stages=3)), (None, Tile(rows=64, outputs=32, inputs=32, warps=8, stages=3))),
}  # fmt: skip


def reference(
    x_XK: torch.Tensor,
    w_ENK: torch.Tensor,
    bias_EN: torch.Tensor | None,
    offsets_E1: torch.Tensor,
    order_R: torch.Tensor,
    weights_TJ: torch.Tensor | None,
    top_k: int,
    gather: bool,
    activation: str,
    limit: float,
) -> torch.Tensor:
    """y_R(N or N/2)[r] = weight[r] * activation(w_ENK[e] @ x[r] + bias_EN[e]) for the expert e with offsets_E1[e] <= r < offsets_E1[e + 1].

    gather: row r reads x_XK[order_R[r] // top_k], else x_XK[r]. weights_TJ: weight[r] is its flat element order_R[r], else 1. activation: "none",
    "swiglu", as in matmul, or "clamped_swiglu" with `limit`: see `activated`.
    Rows from offsets_E1[-1] on are dead: zeros here, never touched by the kernel. offsets_E1, order_R: int32.
    """
    y = x_XK.new_zeros(order_R.shape[0], columns_of(w_ENK.shape[1], activation))
    bounds = offsets_E1.tolist()
    for e, (first, last) in enumerate(pairwise(bounds)):
        if first == last:
            continue
        pairs = order_R[first:last].long()
        x = x_XK[pairs // top_k] if gather else x_XK[first:last]
        product = wide(torch.nn.functional.linear(x, w_ENK[e]))
        rows = activated(product if bias_EN is None else product + bias_EN[e], activation, limit)
        if weights_TJ is not None:
            rows = rows * weights_TJ.flatten()[pairs, None]
        y[first:last] = rows.to(y.dtype)
    return y


def activated(y_RN: torch.Tensor, activation: str, limit: float) -> torch.Tensor:
    """As in matmul; "clamped_swiglu": with gate at most limit and up within +-limit, gate sigmoid(1.702 gate) (up + 1).

    Source: gpt-oss, torch/model.py, swiglu.
    """
    if activation != "clamped_swiglu":
        return activate(y_RN, activation)
    gate, up = y_RN.chunk(2, dim=-1)
    gate, up = gate.clamp(max=limit), up.clamp(-limit, limit)
    return gate * torch.sigmoid(1.702 * gate) * (up + 1)


def columns_of(n: int, activation: str) -> int:
    """Columns that are left of N."""
    return outputs_of(n, "swiglu" if activation == "clamped_swiglu" else activation)


def fake(
    x_XK: torch.Tensor,
    w_ENK: torch.Tensor,
    bias_EN: torch.Tensor | None,
    offsets_E1: torch.Tensor,
    order_R: torch.Tensor,
    weights_TJ: torch.Tensor | None,
    top_k: int,
    gather: bool,
    activation: str,
    limit: float,
) -> torch.Tensor:
    return x_XK.new_empty(order_R.shape[0], columns_of(w_ENK.shape[1], activation))


def launch(
    x_XK: torch.Tensor,
    w_ENK: torch.Tensor,
    bias_EN: torch.Tensor | None,
    offsets_E1: torch.Tensor,
    order_R: torch.Tensor,
    weights_TJ: torch.Tensor | None,
    top_k: int,
    gather: bool,
    activation: str,
    limit: float,
) -> torch.Tensor:
    from triton_kernels._jit.grouped_matmul import grouped_matmul_kernel

    experts, n, k = w_ENK.shape
    rows = order_R.shape[0]
    assert activation in ("none", "swiglu", "clamped_swiglu"), activation
    assert bias_EN is None or (bias_EN.shape == (experts, n) and bias_EN.is_contiguous()), (bias_EN.shape, experts, n)
    assert x_XK.shape == (rows // top_k if gather else rows, k), (x_XK.shape, w_ENK.shape, rows, top_k, gather)
    assert x_XK.dtype == w_ENK.dtype, (x_XK.dtype, w_ENK.dtype)
    assert x_XK.is_contiguous(), x_XK.stride()
    assert w_ENK.is_contiguous(), w_ENK.stride()
    assert offsets_E1.shape == (experts + 1,), (offsets_E1.shape, experts)
    assert offsets_E1.dtype == order_R.dtype == torch.int32, (offsets_E1.dtype, order_R.dtype)
    assert weights_TJ is None or (weights_TJ.numel() == rows and weights_TJ.is_contiguous()), (weights_TJ.shape, rows)
    y = fake(x_XK, w_ENK, bias_EN, offsets_E1, order_R, weights_TJ, top_k, gather, activation, limit)
    chip = chip_of(x_XK)
    tile = tile_for(TILES, (family(chip.arch, x_XK.dtype), activation != "none"), rows / experts)
    most_tiles = (rows // tile.rows + min(experts, rows)) * -(-y.shape[1] // tile.outputs)  # every expert may end in a ragged tile
    launch_kernel(
        grouped_matmul_kernel, (min(most_tiles, chip.sm_count * tile.per_sm),),
        x_XK, w_ENK, bias_EN, offsets_E1, order_R, weights_TJ, y, experts, n, k, top_k, float(limit), GATHER=gather, ACTIVATION=activation, EXPERTS=1 <<
        (experts - 1).bit_length(),
        ROWS=tile.rows, OUTPUTS=tile.outputs, INPUTS=tile.inputs, SWAP=tile.swap, EVEN_K=k % tile.inputs == 0, **tile.options,
    )  # fmt: skip
    return y


def live(y: torch.Tensor, *, offsets_E1: torch.Tensor, **_: Any) -> list[torch.Tensor]:
    """The rows that some expert computed."""
    return [y[: int(offsets_E1[-1])]]


def work(call: OpCall, facts: StepFacts) -> Work:
    """Only live rows are computed and moved, only touched experts' weights and biases are read.

    Gathered, a token's row is read once however many of its experts are here.
    """
    assert call.layer is not None, call.part
    live_E = facts.rows_per_expert_LE[call.layer]
    (x_rows, k), (experts, n, _) = call.dims("x_XK"), call.dims("w_ENK")
    assert len(live_E) == experts, (len(live_E), experts)
    rows, touched = sum(live_E), sum(1 for r in live_E if r)
    value, weight_value = call.shape("x_XK").dtype.itemsize, call.shape("w_ENK").dtype.itemsize
    gather, weighted = call.attr("gather"), call.has("weights_TJ")
    tokens = facts.tokens_L[call.layer] if facts.tokens_L else min(rows, x_rows)
    x_bytes = (tokens if gather else rows) * k * value
    bias_bytes = touched * n * call.shape("bias_EN").dtype.itemsize if call.has("bias_EN") else 0
    pair_bytes = (4 * rows if gather or weighted else 0) + (4 * rows if weighted else 0)  # order_R, weights_TJ
    return Work(
        flops=2 * rows * n * k,
        lane=call.lane("w_ENK"),
        read_bytes=x_bytes + touched * n * k * weight_value + bias_bytes + pair_bytes + call.nbytes("offsets_E1"),
        written_bytes=rows * columns_of(n, call.attr("activation")) * value,
    )


def inputs(
    *, generator: torch.Generator, dtype: torch.dtype, rows_per_expert: tuple[int, ...], dead: int = 0, n: int, k: int, top_k: int = 1,
    gather: bool = False, weighted: bool = False, activation: str = "none", bias: bool = False, limit: float = 0.0,
) -> dict[str, Any]:  # fmt: skip
    """Rows of each expert, then `dead` ones whose values are NaN and whose places in order_R lie far outside."""
    experts, live_rows = len(rows_per_expert), sum(rows_per_expert)
    rows = live_rows + dead
    assert rows % top_k == 0, (rows, top_k)
    order_R = torch.randperm(rows, generator=generator).to(torch.int32)
    weights_TJ = torch.rand(rows // top_k, top_k, generator=generator) + 0.1
    x_XK = torch.randn(rows // top_k if gather else rows, k, generator=generator)
    if gather:
        untouched = torch.ones(rows // top_k, dtype=torch.bool)
        untouched[order_R[:live_rows].long() // top_k] = False
        x_XK[untouched] = float("nan")
    else:
        x_XK[live_rows:] = float("nan")
    weights_TJ.view(-1)[order_R[live_rows:].long()] = float("nan")
    order_R[live_rows:] = 2**31 - 1
    w_ENK = (torch.randn(experts, n, k, generator=generator) / k**0.5).to(dtype)
    for e, count in enumerate(rows_per_expert):
        if count == 0:
            w_ENK[e] = float("nan")
    bias_EN = torch.randn(experts, n, generator=generator).to(dtype) if bias else None
    if bias_EN is not None:
        bias_EN[torch.tensor(rows_per_expert) == 0] = float("nan")
    offsets_E1 = torch.tensor([0, *rows_per_expert]).cumsum(0).to(torch.int32)
    return {
        "x_XK": x_XK.to(dtype), "w_ENK": w_ENK, "bias_EN": bias_EN, "offsets_E1": offsets_E1,
        "order_R": order_R, "weights_TJ": weights_TJ if weighted else None,
        "top_k": top_k, "gather": gather, "activation": activation, "limit": limit,
    }  # fmt: skip


grouped_matmul = Operation(
    name="grouped_matmul",
    reference=reference,
    launch=launch,
    fake=fake,
    work=work,
    inputs=inputs,
    live=live,
    cases=(
        {"rows_per_expert": (1, 0, 3, 0, 4), "n": 96, "k": 160, "top_k": 8, "gather": True, "activation": "swiglu"},
        {"rows_per_expert": (0, 17, 2, 0, 15), "n": 131, "k": 97, "top_k": 2, "weighted": True},
        {"rows_per_expert": (5, 0, 1), "dead": 6, "n": 64, "k": 2880, "top_k": 4, "gather": True, "weighted": True},
        {"rows_per_expert": (0, 0), "dead": 2, "n": 2, "k": 1, "activation": "swiglu"},
        {"rows_per_expert": (0, 130, 0, 0), "dead": 26, "n": 190, "k": 128, "top_k": 4, "gather": True, "activation": "swiglu"},
        {"rows_per_expert": (40, 7, 0, 33, 20, 24), "n": 1, "k": 31, "weighted": True},
        {"rows_per_expert": (260, 3), "dead": 1, "n": 290, "k": 64, "top_k": 2, "gather": True, "activation": "swiglu"},
        {"rows_per_expert": (0, 131, 66), "dead": 3, "n": 300, "k": 80, "top_k": 2, "weighted": True},
        {"rows_per_expert": (3, 0, 18), "dead": 3, "n": 130, "k": 97, "top_k": 4, "gather": True, "activation": "clamped_swiglu", "bias": True, "limit": 0.7},
        {"rows_per_expert": (33, 0, 70), "dead": 1, "n": 95, "k": 64, "top_k": 2, "weighted": True, "bias": True},
    ),
)
