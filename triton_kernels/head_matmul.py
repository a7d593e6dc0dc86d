"""One matmul per head: multi-head latent attention absorbs W_UK into the query with it, and brings the latent it attended to up to values.

Shapes: T tokens, A heads, K inputs, N outputs of each head, D rotary dims, F = K (+ D where the rotated part is carried along), Q positions of the table.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from triton_kernels.attention import fuses
from triton_kernels.formats import FORMATS
from triton_kernels.latent_kv_write import rotary_table, rotated
from triton_kernels.launch import launch_kernel
from triton_kernels.operation import OpCall, Operation, StepFacts, Work
from triton_kernels.results import check_result, empty_result, encode_result, result_bytes, unwritten_scale
from triton_kernels.target import chip_of
from triton_kernels.tiles import Tile, family

# By number of tokens. Few: the weights' traffic is what costs, and heads give enough programs without splitting K.
TILES: dict[str, tuple[tuple[int | None, Tile], ...]] = {
    "sm90": (
        (16, Tile(rows=16, outputs=64, inputs=128, warps=4, stages=3, swap=True)),
        (32, Tile(rows=32, outputs=64, inputs=128, warps=4, stages=3, swap=True)),
        (64, Tile(rows=64, outputs=64, inputs=64, warps=4, stages=4, swap=True)),
        (None, Tile(rows=128, outputs=128, inputs=64, warps=8, stages=3)),
    ),
    "sm100": (
        (16, Tile(rows=16, outputs=128, inputs=64, warps=4, stages=4, swap=True)),
        (32, Tile(rows=32, outputs=128, inputs=64, warps=4, stages=4, swap=True)),
        (64, Tile(rows=64, outputs=128, inputs=64, warps=4, stages=4, swap=True)),
        (None, Tile(rows=128, outputs=128, inputs=64, warps=8, stages=3)),
    ),
    "sm80": (
        (16, Tile(rows=16, outputs=64, inputs=64, warps=4, stages=4, swap=True)),
        (64, Tile(rows=64, outputs=64, inputs=64, warps=4, stages=3, swap=True)),
        (None, Tile(rows=128, outputs=128, inputs=32, warps=8, stages=3)),
    ),
    "fp32": ((16, Tile(rows=16, outputs=64, inputs=32, warps=4, stages=3)), (None, Tile(rows=64, outputs=64, inputs=32, warps=8, stages=3))),
}


def reference(
    x_TAF: torch.Tensor, w_ANK: torch.Tensor, cos_sin_QD: torch.Tensor | None, positions_T: torch.Tensor | None,
    y_scale: torch.Tensor | None = None, out_format: str = "",
) -> torch.Tensor:  # fmt: skip
    """y_TA(N or N + D): y[:, a, :N] = x[:, a, :K] @ w_ANK[a].T; with cos_sin_QD, x's last D columns, rotated by position, follow.

    w_ANK: any view whose inputs or outputs are next to each other in memory. Rotation in halves as in rope_kv_write; cos_sin_QD: fp32; positions_T: int32.
    out_format (without rotation, where attention.fuses(.., N)): y is returned in it, the scales of the matrix [T, A N] written to y_scale.
    Source: matrix absorption of multi-head latent attention, DeepSeek-V2, arXiv 2405.04434, section 2.1.2.
    """
    k = w_ANK.shape[2]
    y_TAN = torch.einsum("tak,ank->tan", x_TAF[..., :k], w_ANK)
    if cos_sin_QD is None or positions_T is None:
        assert not out_format or fuses(FORMATS[out_format], w_ANK.shape[1]), (out_format, w_ANK.shape)
        return encode_result(y_TAN.contiguous(), out_format, y_scale)
    assert not out_format, out_format
    return torch.cat((y_TAN, rotated(x_TAF[..., k:], cos_sin_QD[positions_T.long()][:, None])), -1)


def fake(
    x_TAF: torch.Tensor, w_ANK: torch.Tensor, cos_sin_QD: torch.Tensor | None, positions_T: torch.Tensor | None,
    y_scale: torch.Tensor | None = None, out_format: str = "",
) -> torch.Tensor:  # fmt: skip
    (tokens, heads, columns), (_, n, k) = x_TAF.shape, w_ANK.shape
    dim = 0 if cos_sin_QD is None else cos_sin_QD.shape[1]
    assert columns == k + dim, (x_TAF.shape, w_ANK.shape, dim)
    return empty_result(x_TAF, (tokens, heads, n + dim), out_format)


def launch(
    x_TAF: torch.Tensor, w_ANK: torch.Tensor, cos_sin_QD: torch.Tensor | None, positions_T: torch.Tensor | None,
    y_scale: torch.Tensor | None = None, out_format: str = "",
) -> torch.Tensor:  # fmt: skip
    from triton_kernels._jit.head_matmul import head_matmul_kernel

    (tokens, heads, columns), (_, n, k) = x_TAF.shape, w_ANK.shape
    assert (w_ANK.shape[0], w_ANK.dtype) == (heads, x_TAF.dtype), (w_ANK.shape, w_ANK.dtype, x_TAF.shape, x_TAF.dtype)
    assert x_TAF.is_contiguous(), x_TAF.stride()
    assert (cos_sin_QD is None) == (positions_T is None), (cos_sin_QD is None, positions_T is None)
    dim = 0
    if cos_sin_QD is not None and positions_T is not None:
        dim = cos_sin_QD.shape[1]
        assert dim % 2 == 0, dim
        assert cos_sin_QD.dtype == torch.float32, cos_sin_QD.dtype
        assert cos_sin_QD.is_contiguous(), cos_sin_QD.stride()
        assert positions_T.shape == (tokens,), (positions_T.shape, tokens)
        assert positions_T.is_contiguous(), positions_T.stride()
    assert not out_format or (dim == 0 and fuses(FORMATS[out_format], n)), (out_format, dim, n)
    check_result((tokens, heads, n + dim), out_format, y_scale)
    y = fake(x_TAF, w_ANK, cos_sin_QD, positions_T, y_scale, out_format)
    if y.numel() == 0:
        return y
    w_stride_a, w_stride_n, w_stride_k = w_ANK.stride()
    assert w_stride_k == 1 or w_stride_n == 1, w_ANK.stride()
    tile = next(tile for most, tile in TILES[family(chip_of(x_TAF).arch, x_TAF.dtype)] if most is None or tokens <= most)
    if any(stride % 8 for stride in (columns, w_stride_a, w_stride_n, w_stride_k) if stride != 1):
        tile = replace(tile, inputs=32, outputs=64)  # rows off 16 bytes are loaded value by value, and registers hold fewer of them
    out_group = FORMATS[out_format].group if out_format else 1
    tile = replace(tile, outputs=max(tile.outputs, out_group))
    tiles = -(-tokens // tile.rows) * (-(-n // tile.outputs) + (dim > 0))
    launch_kernel(
        head_matmul_kernel, (heads * tiles,),
        x_TAF, w_ANK, cos_sin_QD, positions_T, y, y_scale, tokens, heads, n, k, w_stride_a, w_stride_n, w_stride_k,
        DIM=dim, HALF=1 << max(dim // 2 - 1, 0).bit_length(),
        ROWS=tile.rows, OUTPUTS=tile.outputs, INPUTS=tile.inputs, SWAP=tile.swap, OUT_FORMAT=out_format, OUT_GROUP=out_group,
        EVEN_N=n % tile.outputs == 0, EVEN_K=k % tile.inputs == 0, **tile.options,
    )  # fmt: skip
    return y


def work(call: OpCall, facts: StepFacts) -> Work:
    """Every operand read once (a row of the table for each token, each once at most), the result written once. The rotation's flops are not a matrix unit's."""
    tokens, heads, columns = call.dims("x_TAF")
    _, n, k = call.dims("w_ANK")
    table = 0
    if call.has("cos_sin_QD"):
        positions, dim = call.dims("cos_sin_QD")
        table = min(tokens, positions) * dim * call.shape("cos_sin_QD").dtype.itemsize
    return Work(
        flops=2 * tokens * heads * n * k,
        lane=call.lane("w_ANK"),
        read_bytes=call.nbytes("x_TAF", "w_ANK", "positions_T") + table,
        written_bytes=result_bytes(call, tokens * heads * (n + columns - k), "x_TAF"),
    )


def inputs(
    *,
    generator: torch.Generator,
    dtype: torch.dtype,
    tokens: int,
    heads: int,
    n: int,
    k: int,
    dim: int = 0,
    transposed: bool = False,
    beside: int = 0,
    out_format: str = "",
) -> dict[str, Any]:
    """Weights that are a view of a larger tensor, as the two halves of one projection are; the `beside` other rows of each head are NaN.

    transposed: outputs lie next to each other in memory, else inputs.
    """
    inner, outer = (n, k) if transposed else (k, n)
    both = torch.full((heads, outer + beside, inner), float("nan"), dtype=dtype)
    both[:, beside:] = (torch.randn(heads, outer, inner, generator=generator) / k**0.5).to(dtype)
    w = both[:, beside:]
    positions = 300
    return {
        "x_TAF": torch.randn(tokens, heads, k + dim, generator=generator).to(dtype),
        "w_ANK": w.transpose(1, 2) if transposed else w,
        "cos_sin_QD": rotary_table(positions, dim) if dim else None,
        "positions_T": torch.randint(positions, (tokens,), generator=generator, dtype=torch.int32) if dim else None,
        "y_scale": unwritten_scale((tokens, heads, n + dim), out_format),
        "out_format": out_format,
    }


head_matmul = Operation(
    name="head_matmul",
    reference=reference,
    launch=launch,
    fake=fake,
    work=work,
    inputs=inputs,
    mutates=("y_scale",),
    cases=(
        # the two sides of absorbed attention as DeepSeek-V3 has them, decode
        {"tokens": 3, "heads": 2, "n": 512, "k": 128, "dim": 64, "transposed": True, "beside": 128},
        {"tokens": 3, "heads": 2, "n": 128, "k": 512, "beside": 128},
        {"tokens": 1, "heads": 3, "n": 131, "k": 97, "dim": 6, "transposed": True, "beside": 5},
        {"tokens": 17, "heads": 3, "n": 70, "k": 33, "dim": 10, "beside": 1},
        {"tokens": 40, "heads": 2, "n": 96, "k": 160, "transposed": True},
        {"tokens": 130, "heads": 2, "n": 130, "k": 64, "dim": 64, "transposed": True, "beside": 64},
        {"tokens": 150, "heads": 3, "n": 64, "k": 130},
        {"tokens": 2, "heads": 1, "n": 1, "k": 1, "dim": 2},
        {"tokens": 3, "heads": 2, "n": 128, "k": 96, "beside": 128, "out_format": "fp8_1x128"},
        {"tokens": 33, "heads": 2, "n": 96, "k": 64, "out_format": "mxfp8"},
        {"tokens": 70, "heads": 3, "n": 48, "k": 33, "out_format": "nvfp4"},
        {"tokens": 0, "heads": 2, "n": 32, "k": 16, "dim": 2},
    ),
)
