import triton
import triton.language as tl

from triton_kernels._jit.tile_product import activated, tile_place, tile_product

GROUP = tl.constexpr(8)  # tiles of x's rows walked together


@triton.jit
def matmul_kernel(
    x_ptr, w_ptr, bias_ptr, y_ptr, partial_ptr, tokens, n, k, splits, split_k,
    ACTIVATION: tl.constexpr, ROWS: tl.constexpr, OUTPUTS: tl.constexpr, INPUTS: tl.constexpr, SWAP: tl.constexpr, EVEN_K: tl.constexpr,
):  # fmt: skip
    """y_T(N or N/2), or with partial_ptr the sums over each split of K, partial[split, t, n] in fp32, left for reduce_kernel."""
    outputs = n // 2 if ACTIVATION == "swiglu" else n
    tiles_t = tl.cdiv(tokens, ROWS)
    tiles_n = tl.cdiv(outputs, OUTPUTS)
    for tile in tl.range(tl.program_id(0), tiles_t * tiles_n * splits, tl.num_programs(0)):
        split = tile // (tiles_t * tiles_n)
        tile_t, tile_n = tile_place(tile % (tiles_t * tiles_n), tiles_t, tiles_n, GROUP)
        t = tile_t * ROWS + tl.arange(0, ROWS)
        c = tile_n * OUTPUTS + tl.arange(0, OUTPUTS)
        # Rows over the edge repeat the last one: loads need no mask, and what they give is not stored.
        x_rows = x_ptr + tl.minimum(t, tokens - 1).to(tl.int64) * k
        w_rows = w_ptr + tl.minimum(c, outputs - 1).to(tl.int64) * k
        up_rows = w_rows + outputs.to(tl.int64) * k if ACTIVATION == "swiglu" else None
        k_first = split * split_k
        acc, acc_up = tile_product(x_rows, w_rows, up_rows, k_first, tl.minimum(k_first + split_k, k), ROWS, OUTPUTS, INPUTS, SWAP, EVEN_K)
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
            y = activated(acc, acc_up, ACTIVATION).to(y_ptr.dtype.element_ty)
            tl.store(y_ptr + t[:, None].to(tl.int64) * outputs + c[None, :], y, mask=live)


@triton.jit
def reduce_kernel(partial_ptr, bias_ptr, y_ptr, tokens, n, splits, ACTIVATION: tl.constexpr, BLOCK_N: tl.constexpr):
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
    tl.store(y_ptr + t * outputs + c, activated(acc, acc_up, ACTIVATION).to(y_ptr.dtype.element_ty), mask=live)
