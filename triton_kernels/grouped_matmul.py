"""Expert matmul: rows grouped by expert, each multiplied with its own expert's weights.

Shapes: T tokens, J choices per token, R = T x J rows (some dead), X rows of x (T when gathered, else R), E experts on this rank, N outputs, K inputs.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch

from triton_kernels.formats import FORMATS, Format, product_lane
from triton_kernels.launch import launch_kernel
from triton_kernels.matmul import activate, check_operands, drawn_operands, format_of_argument, groups_of, outputs_of, result_dtype, with_columns
from triton_kernels.operand import Operand, decode, operand_of, plain
from triton_kernels.operation import OpCall, Operation, StepFacts, Work, wide
from triton_kernels.results import check_result, empty_result, empty_scale, encode_result, unwritten_scale
from triton_kernels.target import chip_of
from triton_kernels.tiles import Tile, TileTable, family, one_block, product_on, scaled_tile, tile_for

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
    x_scale: torch.Tensor | None = None,
    w_scale: torch.Tensor | None = None,
    w_global: torch.Tensor | None = None,
    y_scale: torch.Tensor | None = None,
    x_format: str = "",
    w_format: str = "",
    out_format: str = "",
    w_layout: str = "neighbours",
    share: int = 1,
) -> torch.Tensor:
    """y_R(N or N/2)[r] = weight[r] * activation(w_ENK[e] @ x[r] + bias_EN[e]) for the expert e with offsets_E1[e] <= r < offsets_E1[e + 1].

    gather: row r reads x_XK[order_R[r] // top_k], else x_XK[r]. weights_TJ: weight[r] is its flat element order_R[r], else 1. activation: "none",
    "swiglu", as in matmul, or "clamped_swiglu" with `limit`: see `activated`.
    Rows from offsets_E1[-1] on are dead: zeros here, never touched by the kernel. offsets_E1, order_R: int32.
    x_format .. w_layout: as in matmul. share: how many ranks' experts the R rows are spread over, which tells the kernel how many an expert may expect.
    """
    dtype = result_dtype(x_XK, x_format)
    x_XK = decode(operand_of(x_XK, x_scale, None, x_format))
    w = operand_of(w_ENK, w_scale, w_global, w_format, w_layout)
    if x_format or w_format:
        x_XK = wide(x_XK)
    y = x_XK.new_zeros(order_R.shape[0], columns_of(w.dims[1], activation))
    bounds = offsets_E1.tolist()
    for e, (first, last) in enumerate(pairwise(bounds)):
        if first == last:
            continue
        pairs = order_R[first:last].long()
        x = x_XK[pairs // top_k] if gather else x_XK[first:last]
        product = wide(torch.nn.functional.linear(x, decode(w.matrix(e)).to(x.dtype)))
        rows = activated(product if bias_EN is None else product + bias_EN[e], activation, limit)
        if weights_TJ is not None:
            rows = rows * weights_TJ.flatten()[pairs, None]
        y[first:last] = rows.to(y.dtype)
    return encode_result(y, out_format, y_scale) if out_format else y.to(dtype)


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
    x_scale: torch.Tensor | None = None,
    w_scale: torch.Tensor | None = None,
    w_global: torch.Tensor | None = None,
    y_scale: torch.Tensor | None = None,
    x_format: str = "",
    w_format: str = "",
    out_format: str = "",
    w_layout: str = "neighbours",
    share: int = 1,
) -> torch.Tensor:
    dims = (order_R.shape[0], columns_of(w_ENK.shape[1], activation))
    return empty_result(x_XK, dims, out_format) if out_format else x_XK.new_empty(dims, dtype=result_dtype(x_XK, x_format))


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
    x_scale: torch.Tensor | None = None,
    w_scale: torch.Tensor | None = None,
    w_global: torch.Tensor | None = None,
    y_scale: torch.Tensor | None = None,
    x_format: str = "",
    w_format: str = "",
    out_format: str = "",
    w_layout: str = "neighbours",
    share: int = 1,
) -> torch.Tensor:
    from triton_kernels._jit.grouped_matmul import grouped_matmul_kernel

    experts, n, _ = w_ENK.shape
    rows, k = order_R.shape[0], with_columns(x_XK, x_format)
    x, w = operand_of(x_XK, x_scale, None, x_format), operand_of(w_ENK, w_scale, w_global, w_format, w_layout)
    chip = chip_of(x_XK)
    product = product_on(chip, x, w)
    check_operands(x, w, k)
    assert activation in ("none", "swiglu", "clamped_swiglu"), activation
    assert bias_EN is None or (bias_EN.shape == (experts, n) and bias_EN.is_contiguous()), (bias_EN.shape, experts, n)
    assert x_XK.shape[0] == (rows // top_k if gather else rows), (x_XK.shape, rows, top_k, gather)
    assert offsets_E1.shape == (experts + 1,), (offsets_E1.shape, experts)
    assert offsets_E1.dtype == order_R.dtype == torch.int32, (offsets_E1.dtype, order_R.dtype)
    assert weights_TJ is None or (weights_TJ.numel() == rows and weights_TJ.is_contiguous()), (weights_TJ.shape, rows)
    y = fake(
        x_XK, w_ENK, bias_EN, offsets_E1, order_R, weights_TJ, top_k, gather, activation, limit,
        x_scale, w_scale, w_global, y_scale, x_format, w_format, out_format, w_layout, share,
    )  # fmt: skip
    outputs = columns_of(n, activation)
    check_result((rows, outputs), out_format, y_scale)
    out_group = FORMATS[out_format].group if out_format else 0
    steps_k = w_ENK.shape[2] if product.layout == "halves" and w.format.per_byte == 2 else k  # bytes of a row where both nibbles are one step
    key = family(chip.arch, result_dtype(x_XK, x_format)), activation != "none"
    tile = scaled_tile(tile_for(TILES, key, rows / (experts * share)), product, x.format, w.format, gated=activation != "none", out_group=out_group)
    most_tiles = (rows // tile.rows + min(experts, rows)) * -(-outputs // tile.outputs)  # every expert may end in a ragged tile
    launch_kernel(
        grouped_matmul_kernel, (min(most_tiles, chip.sm_count * tile.per_sm),),
        x_XK, w_ENK, bias_EN, offsets_E1, order_R, weights_TJ, y, x_scale, w_scale, w_global, y_scale, experts, n, steps_k, top_k, float(limit),
        x_XK.shape[1], w_ENK.shape[2], groups_of(x_scale), groups_of(w_scale), 0 if w_scale is None else w_scale.stride(0), y.shape[1],
        1 if y_scale is None else y_scale.shape[1],
        PRODUCT=product.name, X_FORMAT=x.format.name, W_FORMAT=w.format.name, OUT_FORMAT=out_format, OUT_GROUP=out_group,
        ONE_BLOCK=one_block(tile, product, outputs, gated=activation != "none"), GATHER=gather, ACTIVATION=activation, EXPERTS=1 << (experts - 1).bit_length(),
        ROWS=tile.rows, OUTPUTS=tile.outputs, INPUTS=tile.inputs, SWAP=tile.swap, EVEN_K=steps_k % tile.inputs == 0, **tile.options,
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
    x, w = format_of_argument(call, "x_XK", "x_format"), format_of_argument(call, "w_ENK", "w_format")
    (x_rows, width), (experts, n, _) = call.dims("x_XK"), call.dims("w_ENK")
    k = width * x.per_byte
    assert len(live_E) == experts, (len(live_E), experts)
    rows, touched = sum(live_E), sum(1 for r in live_E if r)
    gather, weighted = call.attr("gather"), call.has("weights_TJ")
    tokens = facts.tokens_L[call.layer] if facts.tokens_L else min(rows, x_rows)
    x_bytes = (tokens if gather else rows) * (call.nbytes("x_XK", "x_scale") // x_rows if x_rows else 0)
    expert_bytes = call.nbytes("w_ENK", "w_scale", "w_global", "bias_EN") // experts
    pair_bytes = (4 * rows if gather or weighted else 0) + (4 * rows if weighted else 0)  # order_R, weights_TJ
    return Work(
        flops=2 * rows * n * k,
        lane=product_lane(x, w),
        read_bytes=x_bytes + touched * expert_bytes + pair_bytes + call.nbytes("offsets_E1"),
        written_bytes=_written_bytes(call, rows, columns_of(n, call.attr("activation")), x),
    )


def _written_bytes(call: OpCall, rows: int, columns: int, x: Format) -> int:
    """Of the live rows, with the scales of an encoded result."""
    out_format = dict(call.attrs).get("out_format")
    if not out_format:
        return rows * columns * (x.bits // 8 if x.plain else 2)
    fmt, (_, groups) = FORMATS[out_format], call.dims("y_scale")
    return rows * (columns * fmt.bits // 8 + groups * call.shape("y_scale").dtype.itemsize)


def inputs(
    *, generator: torch.Generator, dtype: torch.dtype, rows_per_expert: tuple[int, ...], dead: int = 0, n: int, k: int, top_k: int = 1,
    gather: bool = False, weighted: bool = False, activation: str = "none", bias: bool = False, limit: float = 0.0,
    x_format: str = "", w_format: str = "", out_format: str = "",
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
    x, w = drawn_operands(x_XK, torch.randn(experts, n, k, generator=generator) / k**0.5, dtype, x_format, w_format)
    for e, count in enumerate(rows_per_expert):
        if count == 0 and w.scale is None:
            w.values[e] = float("nan")
        elif count == 0 and w.scale is not None:
            w.scale[e] = 255 if w.scale.dtype == torch.uint8 else float("nan")
    bias_EN = torch.randn(experts, n, generator=generator).to(dtype) if bias else None
    if bias_EN is not None:
        bias_EN[torch.tensor(rows_per_expert) == 0] = float("nan")
    offsets_E1 = torch.tensor([0, *rows_per_expert]).cumsum(0).to(torch.int32)
    return {
        "x_XK": x.values, "w_ENK": w.values, "bias_EN": bias_EN, "offsets_E1": offsets_E1,
        "order_R": order_R, "weights_TJ": weights_TJ if weighted else None,
        "top_k": top_k, "gather": gather, "activation": activation, "limit": limit,
        "x_scale": x.scale, "w_scale": w.scale, "w_global": w.global_scale,
        "y_scale": unwritten_scale((rows, columns_of(n, activation)), out_format),
        "x_format": x_format, "w_format": w_format, "out_format": out_format, "w_layout": w.layout,
    }  # fmt: skip


grouped_matmul = Operation(
    name="grouped_matmul",
    reference=reference,
    launch=launch,
    fake=fake,
    work=work,
    inputs=inputs,
    live=live,
    mutates=("y_scale",),
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
        {
            "rows_per_expert": (3, 0, 18), "dead": 3, "n": 256, "k": 320, "top_k": 4, "gather": True, "activation": "swiglu", "x_format": "fp8_1x128",
            "w_format": "fp8_128x128", "out_format": "fp8_1x128",
        },
        {"rows_per_expert": (3, 0, 6), "dead": 1, "n": 190, "k": 200, "top_k": 2, "weighted": True, "x_format": "fp8_1x128", "w_format": "fp8_128x128"},
        {
            "rows_per_expert": (2, 0, 5), "dead": 1, "n": 192, "k": 192, "top_k": 4, "gather": True, "activation": "clamped_swiglu", "bias": True, "limit": 0.7,
            "w_format": "mxfp4",
        },
        {"rows_per_expert": (0, 17, 2), "dead": 1, "n": 70, "k": 96, "top_k": 2, "weighted": True, "w_format": "nvfp4"},
        {"rows_per_expert": (1, 0, 3), "n": 70, "k": 64, "top_k": 2, "gather": True, "w_format": "mxfp8"},
        {"rows_per_expert": (2, 0, 3), "dead": 1, "n": 70, "k": 192, "top_k": 2, "weighted": True, "x_format": "fp8_1x128", "w_format": "mxfp4"},
        {
            "rows_per_expert": (2, 0, 5), "dead": 1, "n": 128, "k": 160, "top_k": 4, "gather": True, "activation": "swiglu", "x_format": "mxfp8",
            "w_format": "mxfp4", "out_format": "mxfp8",
        },
        {
            "rows_per_expert": (40, 0, 5), "dead": 3, "n": 64, "k": 272, "top_k": 4, "gather": True, "activation": "swiglu", "x_format": "nvfp4",
            "w_format": "nvfp4", "out_format": "nvfp4",
        },
    ),
)


def multiply_grouped(
    x: Operand, w: Operand, bias_EN: torch.Tensor | None, offsets_E1: torch.Tensor, order_R: torch.Tensor, weights_TJ: torch.Tensor | None, *,
    top_k: int, gather: bool, activation: str, limit: float, share: int = 1, out: Format | None = None,
) -> Operand:  # fmt: skip
    """grouped_matmul of two operands, the result in the format `out`; None or a plain one: in x's type."""
    arguments = (x.values, w.values, bias_EN, offsets_E1, order_R, weights_TJ, top_k, gather, activation, limit)
    encoded = out if out is not None and not out.plain else None
    y_scale = None if encoded is None else empty_scale(x.values, (order_R.shape[0], columns_of(w.dims[1], activation)), encoded.name)
    values = grouped_matmul(
        *arguments, x.scale, w.scale, w.global_scale, y_scale, "" if x.format.plain else x.format.name, "" if w.format.plain else w.format.name,
        "" if encoded is None else encoded.name, w.layout, share,
    )  # fmt: skip
    return plain(values) if encoded is None else Operand(format=encoded, values=values, scale=y_scale)
