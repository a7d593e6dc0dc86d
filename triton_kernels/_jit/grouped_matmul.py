import triton
import triton.language as tl

from triton_kernels._jit.tile_product import activated, tile_place, tile_product

GROUP = tl.constexpr(8)  # tiles of an expert's rows walked together


# offsets_ptr is one layer's slice of a larger tensor: its alignment varies by layer and is not worth a variant.
@triton.jit(do_not_specialize_on_alignment=["offsets_ptr"])
def grouped_matmul_kernel(
    x_ptr, w_ptr, bias_ptr, offsets_ptr, order_ptr, weights_ptr, y_ptr, experts, n, k, top_k, limit,
    GATHER: tl.constexpr, ACTIVATION: tl.constexpr, EXPERTS: tl.constexpr,
    ROWS: tl.constexpr, OUTPUTS: tl.constexpr, INPUTS: tl.constexpr, SWAP: tl.constexpr, EVEN_K: tl.constexpr,
):  # fmt: skip
    """Persistent over the tiles of all experts, expert by expert. EXPERTS: the power of two that holds them."""
    outputs = n if ACTIVATION == "none" else n // 2
    tiles_n = tl.cdiv(outputs, OUTPUTS)
    # Every program reads all the offsets at once and knows where each expert's tiles end; only tiles of live rows exist.
    e = tl.arange(0, EXPERTS)
    rows_E = tl.load(offsets_ptr + e + 1, mask=e < experts, other=0) - tl.load(offsets_ptr + e, mask=e < experts, other=0)
    tiles_E = tl.cdiv(rows_E, ROWS) * tiles_n
    ends_E = tl.cumsum(tiles_E, 0)
    for tile in tl.range(tl.program_id(0), tl.sum(tiles_E, 0), tl.num_programs(0)):
        passed_E = ends_E <= tile
        expert = tl.sum(passed_E.to(tl.int32), 0)
        inside = tile - tl.sum(tl.where(passed_E, tiles_E, 0), 0)
        first = tl.load(offsets_ptr + expert)
        last = tl.load(offsets_ptr + expert + 1)
        tile_r, tile_n = tile_place(inside, tl.cdiv(last - first, ROWS), tiles_n, GROUP)
        r = first + tile_r * ROWS + tl.arange(0, ROWS)
        c = tile_n * OUTPUTS + tl.arange(0, OUTPUTS)
        # Rows over the edge repeat the expert's last one: loads need no mask, no dead row is read, and what they give is not stored.
        source = tl.minimum(r, last - 1)
        if weights_ptr is not None or GATHER:
            pair = tl.load(order_ptr + source)
        if GATHER:
            x_rows = x_ptr + (pair // top_k).to(tl.int64) * k
        else:
            x_rows = x_ptr + source.to(tl.int64) * k
        w_rows = w_ptr + (expert.to(tl.int64) * n + tl.minimum(c, outputs - 1)) * k
        up_rows = None if ACTIVATION == "none" else w_rows + outputs.to(tl.int64) * k
        acc, acc_up = tile_product(x_rows, w_rows, up_rows, 0, k, ROWS, OUTPUTS, INPUTS, SWAP, EVEN_K)
        if bias_ptr is not None:
            bias = bias_ptr + expert.to(tl.int64) * n + c
            acc += tl.load(bias, mask=c < outputs, other=0.0).to(tl.float32)[None, :]
            if ACTIVATION != "none":
                acc_up += tl.load(bias + outputs, mask=c < outputs, other=0.0).to(tl.float32)[None, :]
        if ACTIVATION == "clamped_swiglu":
            gate = tl.minimum(acc, limit)
            y = gate * tl.sigmoid(1.702 * gate) * (tl.minimum(tl.maximum(acc_up, -limit), limit) + 1.0)
        else:
            y = activated(acc, acc_up, ACTIVATION)
        if weights_ptr is not None:
            y *= tl.load(weights_ptr + pair)[:, None]
        live = (r[:, None] < last) & (c[None, :] < outputs)
        tl.store(y_ptr + r[:, None].to(tl.int64) * outputs + c[None, :], y.to(y_ptr.dtype.element_ty), mask=live)
