"""Dense matmul with bias and activation in its epilogue.

Shapes: T tokens, K inputs, N outputs of the weights (gate and up together for SwiGLU, which leaves N / 2).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from triton_kernels.formats import FORMATS, Format, format_of, product_lane
from triton_kernels.launch import launch_kernel
from triton_kernels.operand import Operand, decode, encode, operand_of, plain, scale_dims
from triton_kernels.operation import OpCall, Operation, StepFacts, Work, wide
from triton_kernels.product import product_of
from triton_kernels.results import check_result, empty_result, empty_scale, encode_result, result_bytes, unwritten_scale
from triton_kernels.target import chip_of
from triton_kernels.tiles import Tile, TileTable, family, one_block, product_on, scaled_tile, tile_for

ACTIVATIONS = ("none", "silu", "swiglu")

# By number of tokens. Up to 256 the weights' traffic is what costs: tiles of few tokens, and K split until the tiles cover the SMs.
_SPLIT_TOKENS = 256
TILES: TileTable = {
    ("sm90", False): (
        (16, Tile(rows=16, outputs=64, inputs=128, warps=4, stages=5, swap=True)),
        (32, Tile(rows=32, outputs=64, inputs=128, warps=4, stages=4, swap=True)),
        (64, Tile(rows=64, outputs=64, inputs=64, warps=4, stages=6, swap=True)),
        (128, Tile(rows=128, outputs=64, inputs=64, warps=4, stages=4, swap=True)),
        (_SPLIT_TOKENS, Tile(rows=128, outputs=128, inputs=64, warps=8, stages=4)),
        (None, Tile(rows=128, outputs=256, inputs=64, warps=8, stages=4)),
    ),
    ("sm90", True): (
        (16, Tile(rows=16, outputs=64, inputs=128, warps=4, stages=3, swap=True)),
        (32, Tile(rows=32, outputs=64, inputs=64, warps=4, stages=5, swap=True)),
        (64, Tile(rows=64, outputs=64, inputs=64, warps=4, stages=4, swap=True)),
        (128, Tile(rows=128, outputs=64, inputs=64, warps=8, stages=3)),
        (None, Tile(rows=128, outputs=128, inputs=64, warps=8, stages=4)),
    ),
    ("sm100", False): (
        (16, Tile(rows=16, outputs=128, inputs=64, warps=4, stages=5, swap=True)),
        (32, Tile(rows=32, outputs=128, inputs=64, warps=4, stages=5, swap=True)),
        (64, Tile(rows=64, outputs=128, inputs=64, warps=4, stages=4, swap=True)),
        (_SPLIT_TOKENS, Tile(rows=128, outputs=128, inputs=64, warps=8, stages=4)),
        (None, Tile(rows=128, outputs=256, inputs=64, warps=8, stages=4)),
    ),
    ("sm100", True): (
        (16, Tile(rows=16, outputs=128, inputs=64, warps=4, stages=3, swap=True)),
        (32, Tile(rows=32, outputs=128, inputs=64, warps=4, stages=3, swap=True)),
        (64, Tile(rows=64, outputs=128, inputs=64, warps=4, stages=3, swap=True)),
        (None, Tile(rows=128, outputs=128, inputs=64, warps=8, stages=4)),
    ),
    ("sm80", False): (
        (16, Tile(rows=16, outputs=64, inputs=128, warps=4, stages=4, swap=True)),
        (64, Tile(rows=64, outputs=64, inputs=64, warps=4, stages=4, swap=True)),
        (None, Tile(rows=128, outputs=128, inputs=64, warps=8, stages=3)),
    ),
    ("sm80", True): (
        (16, Tile(rows=16, outputs=64, inputs=64, warps=4, stages=4, swap=True)),
        (64, Tile(rows=64, outputs=64, inputs=64, warps=4, stages=3, swap=True)),
        (None, Tile(rows=128, outputs=64, inputs=64, warps=8, stages=3)),
    ),
    ("fp32", False): ((16, Tile(rows=16, outputs=64, inputs=32, warps=4, stages=3)), (None, Tile(rows=64, outputs=64, inputs=32, warps=8, stages=3))),
    ("fp32", True): ((16, Tile(rows=16, outputs=32, inputs=32, warps=4, stages=3)), (None, Tile(rows=64, outputs=32, inputs=32, warps=8, stages=3))),
}


def reference(
    x_TK: torch.Tensor, w_NK: torch.Tensor, bias_N: torch.Tensor | None, activation: str,
    x_scale: torch.Tensor | None = None, w_scale: torch.Tensor | None = None, w_global: torch.Tensor | None = None, y_scale: torch.Tensor | None = None,
    x_format: str = "", w_format: str = "", out_format: str = "", w_layout: str = "neighbours",
) -> torch.Tensor:  # fmt: skip
    """activation(x_TK @ w_NK.T + bias_N): "none", "silu", or "swiglu", which takes w's first N / 2 rows as gate, the others as up: silu(gate) * up.

    x_format, w_format: names of the formats of x and w with their scales (triton_kernels.formats), "" where the tensors stand for themselves. The result is in
    out_format, its scales in y_scale, else in x's type, or bf16 where x is codes.
    """
    x = operand_of(x_TK, x_scale, None, x_format)
    w = decode(operand_of(w_NK, w_scale, w_global, w_format, w_layout))
    x_wide = decode(x) if not (x_format or w_format) else wide(decode(x))
    y_TN = wide(torch.nn.functional.linear(x_wide, w.to(x_wide.dtype)))
    if bias_N is not None:
        y_TN = y_TN + bias_N
    y_TN = activate(y_TN, activation)
    return encode_result(y_TN, out_format, y_scale) if out_format else y_TN.to(result_dtype(x_TK, x_format))


def result_dtype(x: torch.Tensor, x_format: str) -> torch.dtype:
    """Of a plain result: x's own, bf16 where x is codes."""
    return torch.bfloat16 if x_format else x.dtype


def with_columns(x: torch.Tensor, x_format: str) -> int:
    """Columns that the rows of an operand stand for."""
    return x.shape[-1] * (FORMATS[x_format].per_byte if x_format else 1)


def activate(y_TN: torch.Tensor, activation: str) -> torch.Tensor:
    """y, silu(y), or silu(first half of y's columns) * second half."""
    assert activation in ACTIVATIONS, activation
    if activation == "swiglu":
        gate, up = y_TN.chunk(2, dim=-1)
        return torch.nn.functional.silu(gate) * up
    return torch.nn.functional.silu(y_TN) if activation == "silu" else y_TN


def outputs_of(n: int, activation: str) -> int:
    """Columns that are left of N."""
    assert activation in ACTIVATIONS, activation
    assert activation != "swiglu" or n % 2 == 0, n
    return n // 2 if activation == "swiglu" else n


def fake(
    x_TK: torch.Tensor, w_NK: torch.Tensor, bias_N: torch.Tensor | None, activation: str,
    x_scale: torch.Tensor | None = None, w_scale: torch.Tensor | None = None, w_global: torch.Tensor | None = None, y_scale: torch.Tensor | None = None,
    x_format: str = "", w_format: str = "", out_format: str = "", w_layout: str = "neighbours",
) -> torch.Tensor:  # fmt: skip
    dims = (x_TK.shape[0], outputs_of(w_NK.shape[0], activation))
    return empty_result(x_TK, dims, out_format) if out_format else x_TK.new_empty(dims, dtype=result_dtype(x_TK, x_format))


def launch(
    x_TK: torch.Tensor, w_NK: torch.Tensor, bias_N: torch.Tensor | None, activation: str,
    x_scale: torch.Tensor | None = None, w_scale: torch.Tensor | None = None, w_global: torch.Tensor | None = None, y_scale: torch.Tensor | None = None,
    x_format: str = "", w_format: str = "", out_format: str = "", w_layout: str = "neighbours",
) -> torch.Tensor:  # fmt: skip
    from triton_kernels._jit.matmul import matmul_kernel

    tokens, n, k = x_TK.shape[0], w_NK.shape[0], with_columns(x_TK, x_format)
    x, w = operand_of(x_TK, x_scale, None, x_format), operand_of(w_NK, w_scale, w_global, w_format, w_layout)
    chip = chip_of(x_TK)
    product = product_on(chip, x, w)
    check_operands(x, w, k)
    assert bias_N is None or bias_N.shape == (n,), (bias_N.shape, n)
    y = fake(x_TK, w_NK, bias_N, activation, x_scale, w_scale, w_global, y_scale, x_format, w_format, out_format, w_layout)
    if y.numel() == 0:
        return y
    outputs = outputs_of(n, activation)
    check_result((tokens, outputs), out_format, y_scale)
    out_group = FORMATS[out_format].group if out_format else 0
    steps_k = w_NK.shape[1] if product.layout == "halves" and w.format.per_byte == 2 else k  # bytes of a row where both nibbles are one step
    dtype = result_dtype(x_TK, x_format)
    tile, splits, split_k = plan(
        tokens, n, steps_k, activation, arch=chip.arch, sm_count=chip.sm_count, dtype=dtype,
        adapt=lambda tile: scaled_tile(tile, product, x.format, w.format, gated=activation == "swiglu", out_group=out_group),
    )  # fmt: skip
    tiles = -(-tokens // tile.rows) * -(-outputs // tile.outputs)
    # Few tokens: one program per tile, several to an SM, so that one's start hides behind another's loads. Many: persistent.
    grid = tiles * splits if tokens <= _SPLIT_TOKENS else min(tiles, chip.sm_count * tile.per_sm)
    partial = x_TK.new_empty(splits, tokens, n, dtype=torch.float32) if splits > 1 else None
    launch_kernel(
        matmul_kernel, (grid,), x_TK, w_NK, bias_N, y, partial, x_scale, w_scale, w_global, y_scale, tokens, n, steps_k, splits, split_k,
        x_TK.shape[1], w_NK.shape[1], groups_of(x_scale), groups_of(w_scale), y.shape[1], 1 if y_scale is None else y_scale.shape[1],
        PRODUCT=product.name, X_FORMAT=x.format.name, W_FORMAT=w.format.name, OUT_FORMAT=out_format, OUT_GROUP=out_group,
        ONE_BLOCK=one_block(tile, product, outputs, gated=activation == "swiglu"), ACTIVATION=activation,
        ROWS=tile.rows, OUTPUTS=tile.outputs, INPUTS=tile.inputs, SWAP=tile.swap, EVEN_K=steps_k % tile.inputs == 0, **tile.options,
    )  # fmt: skip
    if partial is not None:
        _reduce(partial, bias_N, y, y_scale, activation, outputs, out_format, out_group)
    return y


def groups_of(scale: torch.Tensor | None) -> int:
    """From one row's scales to the next row's: 0 where all rows share one."""
    return 0 if scale is None or scale.shape[-2] == 1 else scale.shape[-1]


def check_operands(x: Operand, w: Operand, k: int) -> None:
    """Asserts shapes and types of both sides, and that rows divide into the groups that share a scale."""
    assert w.dims[-1] == k, (w.dims, k)
    assert not (x.format.plain and w.format.plain) or x.values.dtype == w.values.dtype, (x.values.dtype, w.values.dtype)
    for side in (x, w):
        assert side.values.dtype == side.format.dtype, (side.values.dtype, side.format.name)
        assert side.values.is_contiguous(), side.values.stride()
        if side.format.plain:
            continue
        halves = 2 if side.layout == "halves" else 1
        assert side.format.scale == "fp32" or k % (side.format.group * halves) == 0, (k, side.format.name, side.layout)
        assert side.scale is not None, side.format.name
        assert side.scale.shape == scale_dims(side.dims, side.format), (side.scale.shape, side.dims, side.format.name)
        assert side.scale.is_contiguous(), side.scale.stride()


def plan(
    tokens: int, n: int, k: int, activation: str, *, arch: int, sm_count: int, dtype: torch.dtype, adapt: Callable[[Tile], Tile] = lambda tile: tile
) -> tuple[Tile, int, int]:  # fmt: skip
    """(tile, splits of K, inputs of each split). K is split only as far as the tiles leave SMs idle, and into parts of at least 4 steps."""
    key = family(arch, dtype), activation == "swiglu"
    outputs = outputs_of(n, activation)

    def tiles_of(tile: Tile) -> int:
        return -(-tokens // tile.rows) * -(-outputs // tile.outputs)

    tile = adapt(tile_for(TILES, key, tokens))
    steps = -(-k // tile.inputs)
    if tokens > _SPLIT_TOKENS:
        if tiles_of(tile) < sm_count:  # too few of the largest tiles for the SMs
            tile = adapt(tile_for(TILES, key, _SPLIT_TOKENS))
        return tile, 1, k
    splits = max(1, min(sm_count // tiles_of(tile), steps // 4))
    steps_each = -(-steps // splits)
    return tile, -(-steps // steps_each), steps_each * tile.inputs


def _reduce(
    partial_STN: torch.Tensor, bias_N: torch.Tensor | None, y: torch.Tensor, y_scale: torch.Tensor | None, activation: str, outputs: int, out_format: str,
    out_group: int,
) -> None:  # fmt: skip
    """Adds the splits up and finishes them."""
    from triton_kernels._jit.matmul import reduce_kernel

    splits, tokens, n = partial_STN.shape
    block = max(out_group, min(1024, 1 << max(outputs - 1, 1).bit_length()))
    launch_kernel(
        reduce_kernel, (tokens, -(-outputs // block)), partial_STN, bias_N, y, y_scale, tokens, n, splits, y.shape[1],
        1 if y_scale is None else y_scale.shape[1],
        OUT_FORMAT=out_format, OUT_GROUP=out_group, ACTIVATION=activation, BLOCK_N=block, num_warps=4,
    )  # fmt: skip


def work(call: OpCall, facts: StepFacts) -> Work:
    """Every operand read once, the result written once; split sums are this kernel's own affair."""
    x, w = format_of_argument(call, "x_TK", "x_format"), format_of_argument(call, "w_NK", "w_format")
    tokens, n, k = call.dims("x_TK")[0], call.dims("w_NK")[0], call.dims("x_TK")[1] * x.per_byte
    outputs = outputs_of(n, call.attr("activation"))
    return Work(
        flops=2 * tokens * n * k,
        lane=product_lane(x, w),
        read_bytes=call.nbytes("x_TK", "x_scale", "w_NK", "w_scale", "w_global", "bias_N"),
        written_bytes=written_bytes(call, tokens * outputs, x),
    )


def format_of_argument(call: OpCall, tensor: str, attr: str) -> Format:
    """The format of an argument: as named, or its type's own."""
    named = str(dict(call.attrs).get(attr, ""))
    found = FORMATS[named] if named else format_of(call.shape(tensor).dtype)
    assert found is not None, (call.op, tensor)
    return found


def written_bytes(call: OpCall, count: int, x: Format) -> int:
    """Of a result of `count` values: encoded, in x's type, or in bf16 where x is codes."""
    if dict(call.attrs).get("out_format"):
        return result_bytes(call, count, "")
    return count * (x.bits // 8 if x.plain else 2)


def inputs(
    *, generator: torch.Generator, dtype: torch.dtype, tokens: int, n: int, k: int, bias: bool = False, activation: str = "none",
    x_format: str = "", w_format: str = "", out_format: str = "",
) -> dict[str, Any]:  # fmt: skip
    def draw(*dims: int) -> torch.Tensor:
        return torch.randn(*dims, generator=generator)

    w_NK = draw(n, k) / k**0.5
    x, w = drawn_operands(draw(tokens, k), w_NK, dtype, x_format, w_format)
    return {
        "x_TK": x.values, "w_NK": w.values, "bias_N": draw(n).to(dtype) if bias else None, "activation": activation,
        "x_scale": x.scale, "w_scale": w.scale, "w_global": w.global_scale,
        "y_scale": unwritten_scale((tokens, outputs_of(n, activation)), out_format),
        "x_format": x_format, "w_format": w_format, "out_format": out_format, "w_layout": w.layout,
    }  # fmt: skip


def drawn_operands(x: torch.Tensor, w: torch.Tensor, dtype: torch.dtype, x_format: str, w_format: str) -> tuple[Operand, Operand]:
    """Both sides of a product in the given formats ("": `dtype`), the weights' codes lying as the product wants them."""
    x_side = encode(x, FORMATS[x_format], scale_whole=False) if x_format else plain(x.to(dtype))
    if not w_format:
        return x_side, plain(w.to(dtype))
    product = product_of(x_side.format, FORMATS[w_format], 100) or product_of(x_side.format, FORMATS[w_format], 90)
    assert product is not None, (x_format, w_format)
    return x_side, encode(w, FORMATS[w_format], layout=product.layout)


def multiply(x: Operand, w: Operand, bias_N: torch.Tensor | None, activation: str, *, out: Format | None = None) -> Operand:
    """matmul of two operands, the result in the format `out`; None or a plain one: in x's type."""
    if x.format.plain and w.format.plain and (out is None or out.plain):
        return plain(matmul(x.values, w.values, bias_N, activation))
    encoded = out if out is not None and not out.plain else None
    y_scale = None if encoded is None else empty_scale(x.values, (x.dims[0], outputs_of(w.dims[0], activation)), encoded.name)
    values = matmul(
        x.values, w.values, bias_N, activation, x.scale, w.scale, w.global_scale, y_scale,
        "" if x.format.plain else x.format.name, "" if w.format.plain else w.format.name, "" if encoded is None else encoded.name, w.layout,
    )  # fmt: skip
    return plain(values) if encoded is None else Operand(format=encoded, values=values, scale=y_scale)


matmul = Operation(
    name="matmul",
    reference=reference,
    launch=launch,
    fake=fake,
    work=work,
    inputs=inputs,
    mutates=("y_scale",),
    cases=(
        {"tokens": 1, "n": 96, "k": 2880},
        {"tokens": 17, "n": 131, "k": 257, "bias": True},
        {"tokens": 1, "n": 1, "k": 1, "bias": True, "activation": "silu"},
        {"tokens": 1, "n": 40, "k": 2000, "activation": "silu"},
        {"tokens": 5, "n": 96, "k": 1024, "bias": True, "activation": "swiglu"},
        {"tokens": 40, "n": 74, "k": 96, "activation": "swiglu"},
        {"tokens": 130, "n": 200, "k": 512, "activation": "silu"},
        {"tokens": 130, "n": 94, "k": 130, "activation": "swiglu"},
        {"tokens": 257, "n": 640, "k": 96, "bias": True},
        {"tokens": 300, "n": 1058, "k": 64, "activation": "swiglu"},
        # fp8 with scales per 128, ragged in N and K, split and not; the result encoded
        {"tokens": 3, "n": 200, "k": 320, "x_format": "fp8_1x128", "w_format": "fp8_128x128", "bias": True},
        {"tokens": 2, "n": 96, "k": 2048, "x_format": "fp8_1x128", "w_format": "fp8_128x128"},
        {"tokens": 17, "n": 512, "k": 256, "x_format": "fp8_1x128", "w_format": "fp8_128x128", "activation": "swiglu", "out_format": "fp8_1x128"},
        {"tokens": 130, "n": 130, "k": 128, "x_format": "fp8_1x128", "w_format": "fp8_128x128"},
        # fp8 with a scale for a tensor or a row
        {"tokens": 3, "n": 70, "k": 300, "x_format": "fp8", "w_format": "fp8", "activation": "swiglu"},
        {"tokens": 40, "n": 70, "k": 300, "x_format": "fp8_row", "w_format": "fp8_row"},
        # weights widened as they are read
        {"tokens": 2, "n": 70, "k": 96, "w_format": "fp8_row"},
        {"tokens": 3, "n": 130, "k": 320, "w_format": "fp8_128x128"},
        {"tokens": 3, "n": 70, "k": 192, "w_format": "mxfp8"},
        {"tokens": 3, "n": 64, "k": 2048, "w_format": "mxfp4", "activation": "swiglu", "out_format": "mxfp8"},
        {"tokens": 130, "n": 70, "k": 192, "w_format": "mxfp4"},
        {"tokens": 5, "n": 70, "k": 96, "w_format": "nvfp4", "bias": True},
        # 4-bit weights as e4m3
        {"tokens": 3, "n": 70, "k": 320, "x_format": "fp8_1x128", "w_format": "mxfp4", "activation": "swiglu"},
        {"tokens": 70, "n": 70, "k": 128, "x_format": "fp8_row", "w_format": "mxfp4"},
        # block scaling in the tensor core
        {"tokens": 3, "n": 70, "k": 320, "x_format": "mxfp8", "w_format": "mxfp8"},
        {"tokens": 20, "n": 140, "k": 160, "x_format": "mxfp8", "w_format": "mxfp4", "activation": "swiglu", "out_format": "mxfp8"},
        {"tokens": 3, "n": 70, "k": 288, "x_format": "mxfp4", "w_format": "mxfp4"},
        {"tokens": 130, "n": 64, "k": 272, "x_format": "nvfp4", "w_format": "nvfp4", "activation": "swiglu", "out_format": "nvfp4"},
    ),
)
