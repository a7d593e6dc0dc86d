import triton
import triton.language as tl


@triton.jit
def _norm(x_ptr, weight_ptr, y_ptr, hidden, eps, BLOCK_H: tl.constexpr):
    h = tl.arange(0, BLOCK_H)
    live = h < hidden
    x_in = tl.load(x_ptr + h, mask=live, other=0.0)
    weight = tl.load(weight_ptr + h, mask=live, other=0.0).to(tl.float32)
    x = x_in.to(tl.float32)
    scale = tl.rsqrt(tl.sum(x * x, 0) / hidden + eps)
    # rounded where torch rounds: after the division and after the weight
    tl.store(y_ptr + h, ((x * scale).to(x_in.dtype).to(tl.float32) * weight).to(y_ptr.dtype.element_ty), mask=live)


@triton.jit
def concat_norm_kernel(embedding_ptr, hidden_ptr, embedding_weight_ptr, hidden_weight_ptr, y_ptr, hidden, eps, BLOCK_H: tl.constexpr):
    """One program for each half of a row."""
    token = tl.program_id(0).to(tl.int64)
    if tl.program_id(1) == 0:
        _norm(embedding_ptr + token * hidden, embedding_weight_ptr, y_ptr + token * 2 * hidden, hidden, eps, BLOCK_H)
    else:
        _norm(hidden_ptr + token * hidden, hidden_weight_ptr, y_ptr + (token * 2 + 1) * hidden, hidden, eps, BLOCK_H)
