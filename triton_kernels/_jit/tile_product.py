"""What the dense and the grouped matmul share: the order of tiles, the loop over K, the activation."""

import triton
import triton.language as tl

from triton_kernels._jit.dot import dot


@triton.jit
def tile_place(tile, tiles_m, tiles_n, GROUP: tl.constexpr):
    """(m, n) of a tile: GROUP rows of tiles are walked column by column, so that programs running together share weights and rows in L2."""
    first = tile // (GROUP * tiles_n) * GROUP
    height = tl.minimum(tiles_m - first, GROUP)
    inside = tile % (GROUP * tiles_n)
    return first + inside % height, inside // height


@triton.jit
def multiply_tiles(x, w, acc, SWAP: tl.constexpr):
    """acc + x @ w.T, or with SWAP its transpose: weights on the tensor core's M side."""
    if SWAP:
        return dot(w, tl.trans(x), acc)
    else:
        return dot(x, tl.trans(w), acc)


@triton.jit
def tile_product(
    x_rows, w_rows, up_rows, k_first, k_last,
    ROWS: tl.constexpr, OUTPUTS: tl.constexpr, INPUTS: tl.constexpr, SWAP: tl.constexpr, EVEN_K: tl.constexpr,
):  # fmt: skip
    """(x @ w.T, x @ up.T) over columns k_first..k_last in fp32, [ROWS, OUTPUTS] each; the second repeats the first where up_rows is None.

    x_rows, w_rows, up_rows: a pointer to column 0 of every row. EVEN_K: k_last - k_first is a multiple of INPUTS, so that no load needs a mask.
    """
    if SWAP:
        acc = tl.zeros((OUTPUTS, ROWS), tl.float32)
    else:
        acc = tl.zeros((ROWS, OUTPUTS), tl.float32)
    acc_up = acc
    for k0 in tl.range(k_first, k_last, INPUTS):
        ks = k0 + tl.arange(0, INPUTS)[None, :]
        inside = None if EVEN_K else ks < k_last
        zero = None if EVEN_K else 0.0
        x = tl.load(x_rows[:, None] + ks, mask=inside, other=zero)
        acc = multiply_tiles(x, tl.load(w_rows[:, None] + ks, mask=inside, other=zero), acc, SWAP)
        if up_rows is not None:
            acc_up = multiply_tiles(x, tl.load(up_rows[:, None] + ks, mask=inside, other=zero), acc_up, SWAP)
    if up_rows is None:
        acc_up = acc
    if SWAP:
        return tl.trans(acc), tl.trans(acc_up)
    else:
        return acc, acc_up


@triton.jit
def activated(x, up, ACTIVATION: tl.constexpr):
    """x, silu(x), or silu(x) * up, in fp32."""
    if ACTIVATION == "none":
        return x
    elif ACTIVATION == "silu":
        return x * tl.sigmoid(x)
    else:
        tl.static_assert(ACTIVATION == "swiglu")
        return x * tl.sigmoid(x) * up
