import triton
import triton.language as tl


@triton.jit
def _normed(x_ptr, weight_ptr, eps, SIZE: tl.constexpr, BLOCK: tl.constexpr):
    """The row's rms-normed values, rounded where torch rounds: after the division and after the weight."""
    i = tl.arange(0, BLOCK)
    x_in = tl.load(x_ptr + i, mask=i < SIZE, other=0.0)
    x = x_in.to(tl.float32)
    weight = tl.load(weight_ptr + i, mask=i < SIZE, other=0.0).to(tl.float32)
    scale = tl.rsqrt(tl.sum(x * x, 0) / SIZE + eps)
    return ((x * scale).to(x_in.dtype).to(tl.float32) * weight).to(x_in.dtype)


@triton.jit
def latent_kv_write_kernel(
    a_ptr, cos_sin_ptr, positions_ptr, slots_ptr, cache_ptr, q_norm_ptr, kv_norm_ptr, u_ptr, eps,
    QUERY_RANK: tl.constexpr, KV_RANK: tl.constexpr, DIM: tl.constexpr, PAGE: tl.constexpr,
    BLOCK_U: tl.constexpr, BLOCK_C: tl.constexpr, HALF: tl.constexpr,
):  # fmt: skip
    """One program a token."""
    token = tl.program_id(0).to(tl.int64)
    slot = tl.load(slots_ptr + token)
    position = tl.load(positions_ptr + token).to(tl.int64)
    a = a_ptr + token * (QUERY_RANK + KV_RANK + DIM)
    if q_norm_ptr is not None:
        u = tl.arange(0, BLOCK_U)
        tl.store(u_ptr + token * QUERY_RANK + u, _normed(a, q_norm_ptr, eps, QUERY_RANK, BLOCK_U), mask=u < QUERY_RANK)
    if slot >= 0:
        entry = cache_ptr + slot.to(tl.int64) * (KV_RANK + DIM)  # pages follow each other without a gap
        c = tl.arange(0, BLOCK_C)
        latent = _normed(a + QUERY_RANK, kv_norm_ptr, eps, KV_RANK, BLOCK_C)
        tl.store(entry + c, latent.to(cache_ptr.dtype.element_ty), mask=c < KV_RANK)
        d = tl.arange(0, HALF)
        half = d < DIM // 2
        angles = cos_sin_ptr + position * DIM + d
        cos = tl.load(angles, mask=half, other=0.0)
        sin = tl.load(angles + DIM // 2, mask=half, other=0.0)
        key = a + (QUERY_RANK + KV_RANK) + d
        low = tl.load(key, mask=half, other=0.0).to(tl.float32)
        high = tl.load(key + DIM // 2, mask=half, other=0.0).to(tl.float32)
        tl.store(entry + KV_RANK + d, (low * cos - high * sin).to(cache_ptr.dtype.element_ty), mask=half)
        tl.store(entry + KV_RANK + DIM // 2 + d, (high * cos + low * sin).to(cache_ptr.dtype.element_ty), mask=half)
