import triton
import triton.language as tl


@triton.jit
def combine_kernel(y_ptr, row_of_ptr, add_ptr, x_ptr, hidden, CHOICES: tl.constexpr, BLOCK_H: tl.constexpr):
    """One token and BLOCK_H columns per program; the choices' loads do not wait for each other."""
    token = tl.program_id(0).to(tl.int64)
    h = tl.program_id(1) * BLOCK_H + tl.arange(0, BLOCK_H)
    acc = tl.zeros((BLOCK_H,), tl.float32)
    for j in tl.static_range(CHOICES):
        row = tl.load(row_of_ptr + token * CHOICES + j)
        width = tl.where(row >= 0, hidden, 0)
        acc += tl.load(y_ptr + row.to(tl.int64) * hidden + h, mask=h < width, other=0.0).to(tl.float32)
    if add_ptr is not None:
        acc += tl.load(add_ptr + token * hidden + h, mask=h < hidden, other=0.0).to(tl.float32)
    tl.store(x_ptr + token * hidden + h, acc.to(x_ptr.dtype.element_ty), mask=h < hidden)
