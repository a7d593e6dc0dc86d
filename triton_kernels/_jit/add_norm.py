import triton
import triton.language as tl

from triton_kernels._jit.quantize import store_encoded


@triton.jit
def add_norm_kernel(
    residual_ptr, x_ptr, weight_ptr, y_ptr, scale_ptr, plain_ptr, hidden, outputs, groups, eps,
    OUT_FORMAT: tl.constexpr, GROUP: tl.constexpr, BLOCK_H: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64) * hidden
    h = tl.arange(0, BLOCK_H)
    live = h < hidden
    r = tl.load(residual_ptr + row + h, mask=live, other=0.0)
    if x_ptr is not None:
        r = (r.to(tl.float32) + tl.load(x_ptr + row + h, mask=live, other=0.0).to(tl.float32)).to(r.dtype)
        tl.debug_barrier()  # of a short row every warp holds a copy: all have read before one writes
        tl.store(residual_ptr + row + h, r, mask=live)
    r32 = r.to(tl.float32)
    scale = tl.rsqrt(tl.sum(r32 * r32, 0) / hidden + eps)
    weight = tl.load(weight_ptr + h, mask=live, other=0.0).to(tl.float32)
    y = ((r32 * scale).to(r.dtype).to(tl.float32) * weight).to(r.dtype)
    if OUT_FORMAT == "":
        tl.store(y_ptr + row + h, y, mask=live)
    else:
        if plain_ptr is not None:
            tl.store(plain_ptr + row + h, y, mask=live)
        token = tl.program_id(0).to(tl.int64) + tl.arange(0, 1)
        y_row = tl.reshape(y.to(tl.float32), (1, BLOCK_H))
        store_encoded(y_row, y_ptr + token * outputs, scale_ptr + token * groups, 0, outputs, groups, token >= 0, OUT_FORMAT, GROUP, 1, BLOCK_H)
