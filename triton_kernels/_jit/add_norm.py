import triton
import triton.language as tl


@triton.jit
def add_norm_kernel(residual_ptr, x_ptr, weight_ptr, y_ptr, hidden, eps, BLOCK_H: tl.constexpr):
    row = tl.program_id(0).to(tl.int64) * hidden
    h = tl.arange(0, BLOCK_H)
    live = h < hidden
    r = tl.load(residual_ptr + row + h, mask=live, other=0.0)
    if x_ptr is not None:
        r = (r.to(tl.float32) + tl.load(x_ptr + row + h, mask=live, other=0.0).to(tl.float32)).to(r.dtype)
        tl.store(residual_ptr + row + h, r, mask=live)
    r32 = r.to(tl.float32)
    scale = tl.rsqrt(tl.sum(r32 * r32, 0) / hidden + eps)
    weight = tl.load(weight_ptr + h, mask=live, other=0.0).to(tl.float32)
    tl.store(y_ptr + row + h, ((r32 * scale).to(y_ptr.dtype.element_ty).to(tl.float32) * weight).to(y_ptr.dtype.element_ty), mask=live)
