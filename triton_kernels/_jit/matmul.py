import triton
import triton.language as tl

from triton_kernels._jit.quantize import store_encoded
from triton_kernels._jit.scaled_product import rows_of_a_block, scaled_product
from triton_kernels._jit.tile_product import activated, tile_place, tile_product

GROUP = tl.constexpr(8)  # tiles of x's rows walked together


@triton.jit
def matmul_kernel(
    x_ptr, w_ptr, bias_ptr, y_ptr, partial_ptr, x_scale_ptr, w_scale_ptr, w_global_ptr, y_scale_ptr,
    tokens, n, k, splits, split_k, x_width, w_width, x_groups, w_groups, y_width, y_groups,
    PRODUCT: tl.constexpr, X_FORMAT: tl.constexpr, W_FORMAT: tl.constexpr, OUT_FORMAT: tl.constexpr, OUT_GROUP: tl.constexpr,
    ONE_BLOCK: tl.constexpr, ACTIVATION: tl.constexpr,
    ROWS: tl.constexpr, OUTPUTS: tl.constexpr, INPUTS: tl.constexpr, SWAP: tl.constexpr, EVEN_K: tl.constexpr,
):  # fmt: skip
    """y_T(N or N/2), or with partial_ptr the sums over each split of K, partial[split, t, n] in fp32, left for reduce_kernel.

    Widths: stored elements of a row; groups: scales of a row. K counts columns, or bytes of a row where 4-bit weights are decoded (split_k likewise).
    """
    outputs = n // 2 if ACTIVATION == "swiglu" else n
    tiles_t = tl.cdiv(tokens, ROWS)
    tiles_n = tl.cdiv(outputs, OUTPUTS)
    for tile in tl.range(tl.program_id(0), tiles_t * tiles_n * splits, tl.num_programs(0)):
        split = tile // (tiles_t * tiles_n)
        tile_t, tile_n = tile_place(tile % (tiles_t * tiles_n), tiles_t, tiles_n, GROUP)
        t = tile_t * ROWS + tl.arange(0, ROWS)
        c = tile_n * OUTPUTS + tl.arange(0, OUTPUTS)
        # Rows over the edge repeat the last one: loads need no mask, and what they give is not stored.
        x_rows = x_ptr + tl.minimum(t, tokens - 1).to(tl.int64) * x_width
        w_row = tl.minimum(c, outputs - 1)
        w_rows = w_ptr + w_row.to(tl.int64) * w_width
        up_rows = w_rows + outputs.to(tl.int64) * w_width if ACTIVATION == "swiglu" else None
        k_first = split * split_k
        k_last = tl.minimum(k_first + split_k, k)
        if PRODUCT == "plain":
            acc, acc_up = tile_product(x_rows, w_rows, up_rows, k_first, k_last, ROWS, OUTPUTS, INPUTS, SWAP, EVEN_K)
        else:
            BLOCK: tl.constexpr = rows_of_a_block(W_FORMAT)
            x_scales = None if x_scale_ptr is None else x_scale_ptr + tl.minimum(t, tokens - 1).to(tl.int64) * x_groups
            scale_row = tile_n * OUTPUTS if ONE_BLOCK else w_row
            w_scales = w_scale_ptr + (scale_row // BLOCK).to(tl.int64) * w_groups
            up_scales = w_scale_ptr + ((scale_row + outputs) // BLOCK).to(tl.int64) * w_groups if ACTIVATION == "swiglu" else None
            acc, acc_up = scaled_product(
                x_rows, x_scales, w_rows, w_scales, up_rows, up_scales, k_first, k_last, x_width,
                PRODUCT, X_FORMAT, W_FORMAT, ONE_BLOCK, ROWS, OUTPUTS, INPUTS, SWAP, EVEN_K,
            )  # fmt: skip
            if w_global_ptr is not None:
                acc *= tl.load(w_global_ptr)
                acc_up *= tl.load(w_global_ptr)
        live = (t[:, None] < tokens) & (c[None, :] < outputs)
        if partial_ptr is not None:
            place = partial_ptr + (split.to(tl.int64) * tokens + t[:, None]) * n + c[None, :]
            tl.store(place, acc, mask=live)
            if ACTIVATION == "swiglu":
                tl.store(place + outputs, acc_up, mask=live)
        else:
            if bias_ptr is not None:
                acc += tl.load(bias_ptr + c, mask=c < outputs, other=0.0).to(tl.float32)[None, :]
                if ACTIVATION == "swiglu":
                    acc_up += tl.load(bias_ptr + outputs + c, mask=c < outputs, other=0.0).to(tl.float32)[None, :]
            y = activated(acc, acc_up, ACTIVATION)
            if OUT_FORMAT == "":
                tl.store(y_ptr + t[:, None].to(tl.int64) * outputs + c[None, :], y.to(y_ptr.dtype.element_ty), mask=live)
            else:  # columns that are not there repeat the last one, and are no part of a ragged group's largest value
                row = t.to(tl.int64)
                store_encoded(
                    tl.where(live, y, 0.0), y_ptr + row * y_width, y_scale_ptr + row * y_groups, tile_n * OUTPUTS, y_width, y_groups, t < tokens,
                    OUT_FORMAT, OUT_GROUP, ROWS, OUTPUTS,
                )  # fmt: skip


@triton.jit
def reduce_kernel(
    partial_ptr, bias_ptr, y_ptr, y_scale_ptr, tokens, n, splits, y_width, y_groups,
    OUT_FORMAT: tl.constexpr, OUT_GROUP: tl.constexpr, ACTIVATION: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """y[t] = activation(sum of partial[:, t] + bias), summed in the order of the splits: the same bits every time."""
    outputs = n // 2 if ACTIVATION == "swiglu" else n
    t = tl.program_id(0).to(tl.int64)
    c = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    live = c < outputs
    acc = tl.zeros((BLOCK_N,), tl.float32)
    acc_up = acc
    for split in tl.range(splits):
        place = partial_ptr + (split * tokens + t) * n + c
        acc += tl.load(place, mask=live, other=0.0)
        if ACTIVATION == "swiglu":
            acc_up += tl.load(place + outputs, mask=live, other=0.0)
    if bias_ptr is not None:
        acc += tl.load(bias_ptr + c, mask=live, other=0.0).to(tl.float32)
        if ACTIVATION == "swiglu":
            acc_up += tl.load(bias_ptr + outputs + c, mask=live, other=0.0).to(tl.float32)
    y = activated(acc, acc_up, ACTIVATION)
    if OUT_FORMAT == "":
        tl.store(y_ptr + t * outputs + c, y.to(y_ptr.dtype.element_ty), mask=live)
    else:
        row = t + tl.arange(0, 1)
        y = tl.reshape(tl.where(live, y, 0.0), (1, BLOCK_N))
        store_encoded(
            y, y_ptr + row * y_width, y_scale_ptr + row * y_groups, tl.program_id(1) * BLOCK_N, y_width, y_groups, row >= 0,
            OUT_FORMAT, OUT_GROUP, 1, BLOCK_N,
        )  # fmt: skip
