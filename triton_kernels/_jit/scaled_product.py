"""The loop over K of products whose operands have scales: blocks of 128, weights widened as they are read, and the tensor core's own block scaling."""

import triton
import triton.language as tl

from triton_kernels._jit.codec import e2m1_values, scale_values
from triton_kernels._jit.dot import INTERPRETED
from triton_kernels._jit.tile_product import multiply_tiles


@triton.constexpr_function
def _group(form):
    """Values along K that share a scale; more than any K has where all of a row do."""
    return {"nvfp4": 16, "mxfp4": 32, "mxfp8": 32}.get(form, 128 if form.endswith("x128") else 1 << 30)


@triton.constexpr_function
def rows_of_a_block(form):
    """Rows that share a scale."""
    return 128 if form.endswith("128x128") else 1


@triton.jit
def _scale_tile(rows, k0, k_last, FORMAT: tl.constexpr, GROUP: tl.constexpr, INPUTS: tl.constexpr, EVEN_K: tl.constexpr):
    """Scales of INPUTS values from k0 on, as stored: [rows, INPUTS / GROUP], or one column where a group is longer than that. 0 beyond k_last."""
    STEP: tl.constexpr = GROUP if GROUP < INPUTS else INPUTS
    at = k0 + tl.arange(0, INPUTS // STEP)[None, :] * STEP
    if EVEN_K:
        return tl.load(rows[:, None] + at // GROUP)
    else:
        return tl.load(rows[:, None] + at // GROUP, mask=at < k_last, other=0.0)


@triton.jit
def _scaled(values, scale, FORMAT: tl.constexpr):
    """fp32 values [N, K] times stored scales [N, groups]."""
    SCALE: tl.constexpr = "e4m3" if FORMAT == "nvfp4" else "e8m0" if FORMAT == "mxfp4" or FORMAT == "mxfp8" else "fp32"
    N: tl.constexpr = values.shape[0]
    K: tl.constexpr = values.shape[1]
    GROUPS: tl.constexpr = scale.shape[1]
    grouped = tl.reshape(values, (N, GROUPS, K // GROUPS)) * scale_values(scale, SCALE)[:, :, None]
    return tl.reshape(grouped, (N, K))


@triton.jit
def _tile(rows, k0, k_last, INPUTS: tl.constexpr, EVEN_K: tl.constexpr):
    """INPUTS stored elements of each row from k0 on; 0 beyond k_last."""
    ks = k0 + tl.arange(0, INPUTS)[None, :]
    if EVEN_K:
        return tl.load(rows[:, None] + ks)
    else:
        return tl.load(rows[:, None] + ks, mask=ks < k_last, other=0.0)


@triton.jit
def _outer(x_scale, w_scale, SWAP: tl.constexpr):
    """The scale of every sum of a tile, from those of its rows and of its outputs."""
    if SWAP:
        return w_scale[:, None] * x_scale[None, :]
    else:
        return x_scale[:, None] * w_scale[None, :]


@triton.jit
def _blocks(x, x_scale, w_rows, w_scales, acc, k0, k_last, ONE_BLOCK: tl.constexpr, SWAP: tl.constexpr, INPUTS: tl.constexpr, EVEN_K: tl.constexpr):
    """fp8 x fp8 over one block of 128: a sum of its own, scaled and added in fp32, as DeepSeek promotes it (arXiv 2412.19437, 3.3.2).

    ONE_BLOCK: all outputs of the tile share a scale, so that it is one number; a vector of them, and of their addresses, takes the registers of the sum.
    """
    w = _tile(w_rows, k0, k_last, INPUTS, EVEN_K)
    w_scale = tl.load(w_scales + k0 // 128)
    part = multiply_tiles(x, w, tl.zeros_like(acc), SWAP)
    if ONE_BLOCK and SWAP:
        return acc + part * (x_scale * w_scale)[None, :]
    elif ONE_BLOCK:
        return acc + part * (x_scale * w_scale)[:, None]
    else:
        return acc + part * _outer(x_scale, w_scale, SWAP)


@triton.jit
def _promoted(x, w_rows, acc, k0, k_last, SWAP: tl.constexpr, INPUTS: tl.constexpr, EVEN_K: tl.constexpr):
    """fp8 x fp8 over 128 of K, a sum of its own added in fp32: the tensor core's own keeps 14 bits (arXiv 2412.19437, 3.3.2)."""
    return acc + multiply_tiles(x, _tile(w_rows, k0, k_last, INPUTS, EVEN_K), tl.zeros_like(acc), SWAP)


@triton.jit
def _row_scaled(acc, x_scales, w_scales, SWAP: tl.constexpr):
    """A sum times the scales of its rows and outputs, each loaded once."""
    return acc * _outer(tl.load(x_scales), tl.load(w_scales), SWAP)


@triton.jit
def _decoded(x, x_high, w_rows, w_scales, acc, k0, k_last, half, W_FORMAT: tl.constexpr, SWAP: tl.constexpr, INPUTS: tl.constexpr, EVEN_K: tl.constexpr):
    """w widened to x's type. 4-bit codes lie in halves: a byte's low nibble is of column k, its high one of column half + k, where x_high is from."""
    GROUP: tl.constexpr = _group(W_FORMAT)
    codes = _tile(w_rows, k0, k_last, INPUTS, EVEN_K)
    scale = _scale_tile(w_scales, k0, k_last, W_FORMAT, GROUP, INPUTS, EVEN_K)
    if x_high is None:
        return multiply_tiles(x, _scaled(codes.to(tl.float32), scale, W_FORMAT).to(x.dtype), acc, SWAP)
    else:
        codes = codes.to(tl.int32)
        scale_high = _scale_tile(w_scales + half // GROUP, k0, k_last, W_FORMAT, GROUP, INPUTS, EVEN_K)
        acc = multiply_tiles(x, _scaled(e2m1_values(codes & 15), scale, W_FORMAT).to(x.dtype), acc, SWAP)
        return multiply_tiles(x_high, _scaled(e2m1_values(codes >> 4), scale_high, W_FORMAT).to(x.dtype), acc, SWAP)


@triton.jit
def _groups(x, x_scale, codes, w_scale, acc, SWAP: tl.constexpr):
    """fp8 times 4-bit codes (int32), which e4m3 holds exactly, over the 32 of K that share w's scale: one step of an fp8 wgmma, scaled and added in fp32."""
    part = multiply_tiles(x, e2m1_values(codes).to(tl.float8e4nv), tl.zeros_like(acc), SWAP)
    return acc + part * _outer(x_scale, scale_values(w_scale, "e8m0"), SWAP)


@triton.jit
def _groups_of_both_halves(
    x_rows, x_scales, w_rows, w_scales, acc, k0, k_last, half,
    X_FORMAT: tl.constexpr, SWAP: tl.constexpr, INPUTS: tl.constexpr, EVEN_K: tl.constexpr,
):  # fmt: skip
    """Low nibbles with x's columns from k0 on, high ones with those from half + k0 on."""
    X_GROUP: tl.constexpr = _group(X_FORMAT)
    tl.static_assert(INPUTS == 32)
    codes = _tile(w_rows, k0, k_last, INPUTS, EVEN_K).to(tl.int32)
    x = _tile(x_rows, k0, k_last, INPUTS, EVEN_K)
    acc = _groups(x, tl.load(x_scales + k0 // X_GROUP), codes & 15, tl.load(w_scales + k0 // 32), acc, SWAP)
    x = _tile(x_rows + half, k0, k_last, INPUTS, EVEN_K)
    return _groups(x, tl.load(x_scales + (half + k0) // X_GROUP), codes >> 4, tl.load(w_scales + (half + k0) // 32), acc, SWAP)


@triton.jit
def _widened(codes, scale, FORMAT: tl.constexpr):
    """Stored codes, neighbours packed, as fp32 values: for the interpreter."""
    if FORMAT == "mxfp8":
        return _scaled(codes.to(tl.float32), scale, FORMAT)
    else:
        byte = codes.to(tl.int32)
        pairs = tl.join(e2m1_values(byte & 15), e2m1_values(byte >> 4))
        return _scaled(tl.reshape(pairs, (codes.shape[0], codes.shape[1] * 2)), scale, FORMAT)


@triton.jit
def _native(
    x, x_scale, w_rows, w_scales, acc, k0, k_last,
    X_FORMAT: tl.constexpr, W_FORMAT: tl.constexpr, SWAP: tl.constexpr, INPUTS: tl.constexpr, EVEN_K: tl.constexpr,
):  # fmt: skip
    """Values, codes and scales as they are into the tensor core."""
    PER_BYTE: tl.constexpr = 1 if W_FORMAT == "mxfp8" else 2
    X_TYPE: tl.constexpr = "e4m3" if X_FORMAT == "mxfp8" else "e2m1"
    W_TYPE: tl.constexpr = "e4m3" if W_FORMAT == "mxfp8" else "e2m1"
    w = _tile(w_rows, k0 // PER_BYTE, k_last // PER_BYTE, INPUTS // PER_BYTE, EVEN_K)
    w_scale = _scale_tile(w_scales, k0, k_last, W_FORMAT, _group(W_FORMAT), INPUTS, EVEN_K)
    if INTERPRETED:  # it has no dot_scaled, or a wrong one
        return multiply_tiles(_widened(x, x_scale, X_FORMAT), _widened(w, w_scale, W_FORMAT), acc, SWAP)
    elif SWAP:
        return tl.dot_scaled(w, w_scale, W_TYPE, tl.trans(x), x_scale, X_TYPE, acc)
    else:
        return tl.dot_scaled(x, x_scale, X_TYPE, tl.trans(w), w_scale, W_TYPE, acc)


@triton.jit
def _native_loop(
    x_rows, x_scales, w_rows, w_scales, acc, k_first, k_last,
    X_FORMAT: tl.constexpr, W_FORMAT: tl.constexpr, SWAP: tl.constexpr, INPUTS: tl.constexpr, EVEN_K: tl.constexpr,
):  # fmt: skip
    X_PER_BYTE: tl.constexpr = 2 if X_FORMAT == "mxfp4" or X_FORMAT == "nvfp4" else 1
    for k0 in tl.range(k_first, k_last, INPUTS):
        x = _tile(x_rows, k0 // X_PER_BYTE, k_last // X_PER_BYTE, INPUTS // X_PER_BYTE, EVEN_K)
        x_scale = _scale_tile(x_scales, k0, k_last, X_FORMAT, _group(X_FORMAT), INPUTS, EVEN_K)
        acc = _native(x, x_scale, w_rows, w_scales, acc, k0, k_last, X_FORMAT, W_FORMAT, SWAP, INPUTS, EVEN_K)
    return acc


@triton.jit
def scaled_product(
    x_rows, x_scales, w_rows, w_scales, up_rows, up_scales, k_first, k_last, k,
    PRODUCT: tl.constexpr, X_FORMAT: tl.constexpr, W_FORMAT: tl.constexpr, ONE_BLOCK: tl.constexpr,
    ROWS: tl.constexpr, OUTPUTS: tl.constexpr, INPUTS: tl.constexpr, SWAP: tl.constexpr, EVEN_K: tl.constexpr,
):  # fmt: skip
    """As tile_product, of operands with scales. Rows are pointers to the first stored element and the first scale of each.

    k_first .. k_last: columns; of 4-bit weights that are decoded, bytes of a row.
    """
    if SWAP:
        acc = tl.zeros((OUTPUTS, ROWS), tl.float32)
    else:
        acc = tl.zeros((ROWS, OUTPUTS), tl.float32)
    acc_up = acc
    if PRODUCT == "native":  # Triton 3.6 compiles no loop with two scaled products: gate's and up's have one each
        acc = _native_loop(x_rows, x_scales, w_rows, w_scales, acc, k_first, k_last, X_FORMAT, W_FORMAT, SWAP, INPUTS, EVEN_K)
        if up_rows is not None:
            acc_up = _native_loop(x_rows, x_scales, up_rows, up_scales, acc_up, k_first, k_last, X_FORMAT, W_FORMAT, SWAP, INPUTS, EVEN_K)
    elif PRODUCT == "groups":
        for k0 in tl.range(k_first, k_last, INPUTS):
            acc = _groups_of_both_halves(x_rows, x_scales, w_rows, w_scales, acc, k0, k_last, k // 2, X_FORMAT, SWAP, INPUTS, EVEN_K)
            if up_rows is not None:
                acc_up = _groups_of_both_halves(x_rows, x_scales, up_rows, up_scales, acc_up, k0, k_last, k // 2, X_FORMAT, SWAP, INPUTS, EVEN_K)
    else:
        HALVES: tl.constexpr = PRODUCT == "decoded" and (W_FORMAT == "mxfp4" or W_FORMAT == "nvfp4")
        for k0 in tl.range(k_first, k_last, INPUTS):
            x = _tile(x_rows, k0, k_last, INPUTS, EVEN_K)
            if PRODUCT == "blocks":
                x_scale = tl.load(x_scales + k0 // 128)
                acc = _blocks(x, x_scale, w_rows, w_scales, acc, k0, k_last, ONE_BLOCK, SWAP, INPUTS, EVEN_K)
                if up_rows is not None:
                    acc_up = _blocks(x, x_scale, up_rows, up_scales, acc_up, k0, k_last, ONE_BLOCK, SWAP, INPUTS, EVEN_K)
            elif PRODUCT == "promoted":
                acc = _promoted(x, w_rows, acc, k0, k_last, SWAP, INPUTS, EVEN_K)
                if up_rows is not None:
                    acc_up = _promoted(x, up_rows, acc_up, k0, k_last, SWAP, INPUTS, EVEN_K)
            else:
                tl.static_assert(PRODUCT == "decoded")
                half = k // 2 if HALVES else 0
                x_high = _tile(x_rows + half, k0, k_last, INPUTS, EVEN_K) if HALVES else None
                acc = _decoded(x, x_high, w_rows, w_scales, acc, k0, k_last, half, W_FORMAT, SWAP, INPUTS, EVEN_K)
                if up_rows is not None:
                    acc_up = _decoded(x, x_high, up_rows, up_scales, acc_up, k0, k_last, half, W_FORMAT, SWAP, INPUTS, EVEN_K)
    if PRODUCT == "promoted":
        acc = _row_scaled(acc, x_scales, w_scales, SWAP)
        if up_rows is not None:
            acc_up = _row_scaled(acc_up, x_scales, up_scales, SWAP)
    if up_rows is None:
        acc_up = acc
    if SWAP:
        return tl.trans(acc), tl.trans(acc_up)
    else:
        return acc, acc_up
