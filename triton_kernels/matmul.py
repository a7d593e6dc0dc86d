"""Dense matmul with bias and activation in its epilogue.

Shapes: T tokens, K inputs, N outputs of the weights (gate and up together for SwiGLU, which leaves N / 2).
"""

from __future__ import annotations

from typing import Any

import torch

from triton_kernels.launch import launch_kernel
from triton_kernels.operation import OpCall, Operation, StepFacts, Work, wide
from triton_kernels.target import chip_of
from triton_kernels.tiles import Tile, TileTable, family, tile_for

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


def reference(x_TK: torch.Tensor, w_NK: torch.Tensor, bias_N: torch.Tensor | None, activation: str) -> torch.Tensor:
    """activation(x_TK @ w_NK.T + bias_N): "none", "silu", or "swiglu", which takes w's first N / 2 rows as gate, the others as up: silu(gate) * up."""
    y_TN = wide(torch.nn.functional.linear(x_TK, w_NK))
    if bias_N is not None:
        y_TN = y_TN + bias_N
    return activate(y_TN, activation).to(x_TK.dtype)


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


def fake(x_TK: torch.Tensor, w_NK: torch.Tensor, bias_N: torch.Tensor | None, activation: str) -> torch.Tensor:
    return x_TK.new_empty(x_TK.shape[0], outputs_of(w_NK.shape[0], activation))


def launch(x_TK: torch.Tensor, w_NK: torch.Tensor, bias_N: torch.Tensor | None, activation: str) -> torch.Tensor:
    from triton_kernels._jit.matmul import matmul_kernel

    (tokens, k), n = x_TK.shape, w_NK.shape[0]
    assert (w_NK.shape, w_NK.dtype) == ((n, k), x_TK.dtype), (w_NK.shape, w_NK.dtype, x_TK.shape, x_TK.dtype)
    assert x_TK.is_contiguous(), x_TK.stride()
    assert w_NK.is_contiguous(), w_NK.stride()
    assert bias_N is None or bias_N.shape == (n,), (bias_N.shape, n)
    y = fake(x_TK, w_NK, bias_N, activation)
    if y.numel() == 0:
        return y
    sm_count = chip_of(x_TK).sm_count
    tile, splits, split_k = plan(tokens, n, k, activation, arch=chip_of(x_TK).arch, sm_count=sm_count, dtype=x_TK.dtype)
    tiles = -(-tokens // tile.rows) * -(-y.shape[1] // tile.outputs)
    # Few tokens: one program per tile, several to an SM, so that one's start hides behind another's loads. Many: persistent.
    grid = tiles * splits if tokens <= _SPLIT_TOKENS else min(tiles, sm_count * tile.per_sm)
    partial = x_TK.new_empty(splits, tokens, n, dtype=torch.float32) if splits > 1 else None
    launch_kernel(
        matmul_kernel, (grid,), x_TK, w_NK, bias_N, y, partial, tokens, n, k, splits, split_k, ACTIVATION=activation,
        ROWS=tile.rows, OUTPUTS=tile.outputs, INPUTS=tile.inputs, SWAP=tile.swap, EVEN_K=k % tile.inputs == 0, **tile.options,
    )  # fmt: skip
    if partial is not None:
        _reduce(partial, bias_N, y, activation)
    return y


def plan(tokens: int, n: int, k: int, activation: str, *, arch: int, sm_count: int, dtype: torch.dtype) -> tuple[Tile, int, int]:
    """(tile, splits of K, inputs of each split). K is split only as far as the tiles leave SMs idle, and into parts of at least 4 steps."""
    key = family(arch, dtype), activation == "swiglu"
    outputs = outputs_of(n, activation)

    def tiles_of(tile: Tile) -> int:
        return -(-tokens // tile.rows) * -(-outputs // tile.outputs)

    tile = tile_for(TILES, key, tokens)
    steps = -(-k // tile.inputs)
    if tokens > _SPLIT_TOKENS:
        if tiles_of(tile) < sm_count:  # too few of the largest tiles for the SMs
            tile = tile_for(TILES, key, _SPLIT_TOKENS)
        return tile, 1, k
    splits = max(1, min(sm_count // tiles_of(tile), steps // 4))
    steps_each = -(-steps // splits)
    return tile, -(-steps // steps_each), steps_each * tile.inputs


def _reduce(partial_STN: torch.Tensor, bias_N: torch.Tensor | None, y: torch.Tensor, activation: str) -> None:
    """Adds the splits up and finishes them."""
    from triton_kernels._jit.matmul import reduce_kernel

    splits, tokens, n = partial_STN.shape
    block = min(1024, 1 << max(y.shape[1] - 1, 1).bit_length())
    grid = (tokens, -(-y.shape[1] // block))
    launch_kernel(reduce_kernel, grid, partial_STN, bias_N, y, tokens, n, splits, ACTIVATION=activation, BLOCK_N=block, num_warps=4)


def work(call: OpCall, facts: StepFacts) -> Work:
    """Every operand read once, the result written once; split sums are this kernel's own affair."""
    tokens, k = call.dims("x_TK")
    n = call.dims("w_NK")[0]
    written = tokens * outputs_of(n, call.attr("activation")) * call.shape("x_TK").dtype.itemsize
    return Work(flops=2 * tokens * n * k, lane=call.lane("w_NK"), read_bytes=call.nbytes("x_TK", "w_NK", "bias_N"), written_bytes=written)


def inputs(*, generator: torch.Generator, dtype: torch.dtype, tokens: int, n: int, k: int, bias: bool = False, activation: str = "none") -> dict[str, Any]:
    def draw(*dims: int) -> torch.Tensor:
        return torch.randn(*dims, generator=generator)

    w_NK = (draw(n, k) / k**0.5).to(dtype)
    return {"x_TK": draw(tokens, k).to(dtype), "w_NK": w_NK, "bias_N": draw(n).to(dtype) if bias else None, "activation": activation}


matmul = Operation(
    name="matmul",
    reference=reference,
    launch=launch,
    fake=fake,
    work=work,
    inputs=inputs,
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
    ),
)
