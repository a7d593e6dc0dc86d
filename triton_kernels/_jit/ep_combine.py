import triton
import triton.language as tl


# offsets_ptr is one layer's slice of a larger tensor: its alignment varies by layer and is not worth a variant.
@triton.jit(do_not_specialize_on_alignment=["offsets_ptr"])
def ep_combine_kernel(z_ptr, offsets_ptr, add_ptr, y_ptr, hidden, experts, CHOICES: tl.constexpr, BLOCK_H: tl.constexpr):
    """One token and BLOCK_H columns per program: CHOICES of the live rows stand for those that other ranks would send back."""
    token = tl.program_id(0)
    place = token.to(tl.int64) * hidden
    h = tl.program_id(1) * BLOCK_H + tl.arange(0, BLOCK_H)
    rows = tl.load(offsets_ptr + experts)
    width = tl.where(rows > 0, hidden, 0)
    acc = tl.zeros((BLOCK_H,), tl.float32)
    for j in tl.static_range(CHOICES):
        row = (token * CHOICES + j) % tl.maximum(rows, 1)  # in 32 bits: pairs fit, and a 64-bit remainder is a called subroutine
        acc += tl.load(z_ptr + row.to(tl.int64) * hidden + h, mask=h < width, other=0.0).to(tl.float32)
    if add_ptr is not None:
        acc += tl.load(add_ptr + place + h, mask=h < hidden, other=0.0).to(tl.float32)
    tl.store(y_ptr + place + h, acc.to(y_ptr.dtype.element_ty), mask=h < hidden)
