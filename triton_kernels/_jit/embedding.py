import triton
import triton.language as tl


@triton.jit
def embedding_kernel(ids_ptr, table_ptr, x_ptr, hidden, BLOCK_H: tl.constexpr):
    t = tl.program_id(0)
    h = tl.program_id(1) * BLOCK_H + tl.arange(0, BLOCK_H)
    live = h < hidden
    row = tl.load(ids_ptr + t).to(tl.int64) * hidden
    tl.store(x_ptr + t.to(tl.int64) * hidden + h, tl.load(table_ptr + row + h, mask=live), mask=live)
