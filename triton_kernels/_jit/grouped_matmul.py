import triton
import triton.language as tl

from triton_kernels._jit.quantize import store_encoded
from triton_kernels._jit.scaled_product import rows_of_a_block, scaled_product
from triton_kernels._jit.tile_product import activated, tile_place, tile_product

GROUP = tl.constexpr(8)  # tiles of an expert's rows walked together


# offsets_ptr is one layer's slice of a larger tensor: its alignment varies by layer and is not worth a variant.
@triton.jit(do_not_specialize_on_alignment=["offsets_ptr"])
def grouped_matmul_kernel(
    x_ptr, w_ptr, bias_ptr, offsets_ptr, order_ptr, weights_ptr, y_ptr, x_scale_ptr, w_scale_ptr, w_global_ptr, y_scale_ptr,
    experts, n, k, top_k, limit, x_width, w_width, x_groups, w_groups, expert_groups, y_width, y_groups,
    PRODUCT: tl.constexpr, X_FORMAT: tl.constexpr, W_FORMAT: tl.constexpr, OUT_FORMAT: tl.constexpr, OUT_GROUP: tl.constexpr,
    ONE_BLOCK: tl.constexpr, GATHER: tl.constexpr, ACTIVATION: tl.constexpr, EXPERTS: tl.constexpr,
    ROWS: tl.constexpr, OUTPUTS: tl.constexpr, INPUTS: tl.constexpr, SWAP: tl.constexpr, EVEN_K: tl.constexpr,
):  # fmt: skip
    """Persistent over the tiles of all experts, expert by expert. EXPERTS: the power of two that holds them.

    Widths, groups and K as in matmul_kernel; expert_groups: scales of an expert.
    """
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
            x_row = (pair // top_k).to(tl.int64)
        else:
            x_row = source.to(tl.int64)
        x_rows = x_ptr + x_row * x_width
        w_row = tl.minimum(c, outputs - 1)
        w_rows = w_ptr + (expert.to(tl.int64) * n + w_row) * w_width
        up_rows = None if ACTIVATION == "none" else w_rows + outputs.to(tl.int64) * w_width
        if PRODUCT == "plain":
            acc, acc_up = tile_product(x_rows, w_rows, up_rows, 0, k, ROWS, OUTPUTS, INPUTS, SWAP, EVEN_K)
        else:
            BLOCK: tl.constexpr = rows_of_a_block(W_FORMAT)
            x_scales = None if x_scale_ptr is None else x_scale_ptr + x_row * x_groups
            expert_scales = w_scale_ptr + expert.to(tl.int64) * expert_groups
            scale_row = tile_n * OUTPUTS if ONE_BLOCK else w_row
            w_scales = expert_scales + (scale_row // BLOCK).to(tl.int64) * w_groups
            up_scales = None if ACTIVATION == "none" else expert_scales + ((scale_row + outputs) // BLOCK).to(tl.int64) * w_groups
            acc, acc_up = scaled_product(
                x_rows, x_scales, w_rows, w_scales, up_rows, up_scales, 0, k, x_width,
                PRODUCT, X_FORMAT, W_FORMAT, ONE_BLOCK, ROWS, OUTPUTS, INPUTS, SWAP, EVEN_K,
            )  # fmt: skip
            if w_global_ptr is not None:
                acc *= tl.load(w_global_ptr + expert)
                acc_up *= tl.load(w_global_ptr + expert)
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
        if OUT_FORMAT == "":
            tl.store(y_ptr + r[:, None].to(tl.int64) * outputs + c[None, :], y.to(y_ptr.dtype.element_ty), mask=live)
        else:
            row = r.to(tl.int64)
            store_encoded(
                tl.where(live, y, 0.0), y_ptr + row * y_width, y_scale_ptr + row * y_groups, tile_n * OUTPUTS, y_width, y_groups, r < last,
                OUT_FORMAT, OUT_GROUP, ROWS, OUTPUTS,
            )  # fmt: skip
