import triton
import triton.language as tl

from triton_kernels._jit.kv_format import to_cache


@triton.jit
def _heads(qkv, first, weight_ptr, cos, sin, eps, COUNT: tl.constexpr, DIM: tl.constexpr, BLOCK: tl.constexpr, HALF: tl.constexpr):
    """Heads first .. first + COUNT of one token, normed and rotated: (low, high) halves [BLOCK, HALF] in fp32, and which of them are real."""
    h = tl.arange(0, BLOCK)[:, None]
    d = tl.arange(0, HALF)[None, :]
    live = (h < COUNT) & (d < DIM // 2)
    place = qkv + (first + h) * DIM + d
    low_in = tl.load(place, mask=live, other=0.0)
    high_in = tl.load(place + DIM // 2, mask=live, other=0.0)
    low, high = low_in.to(tl.float32), high_in.to(tl.float32)
    if weight_ptr is not None:  # rounded where torch rounds: after the division and after the weight
        scale = tl.rsqrt((tl.sum(low * low, 1) + tl.sum(high * high, 1)) / DIM + eps)[:, None]
        w_low = tl.load(weight_ptr + d, mask=d < DIM // 2, other=0.0).to(tl.float32)
        w_high = tl.load(weight_ptr + DIM // 2 + d, mask=d < DIM // 2, other=0.0).to(tl.float32)
        low = ((low * scale).to(low_in.dtype).to(tl.float32) * w_low).to(low_in.dtype).to(tl.float32)
        high = ((high * scale).to(low_in.dtype).to(tl.float32) * w_high).to(low_in.dtype).to(tl.float32)
    return low * cos - high * sin, high * cos + low * sin, live


@triton.jit
def rope_kv_write_kernel(
    qkv_ptr, cos_sin_ptr, positions_ptr, slots_ptr, k_cache_ptr, v_cache_ptr, q_weight_ptr, k_weight_ptr, q_ptr, k_scale_ptr, v_scale_ptr, eps,
    HEADS: tl.constexpr, KV_HEADS: tl.constexpr, PAGE: tl.constexpr, DIM: tl.constexpr,
    BLOCK_A: tl.constexpr, BLOCK_G: tl.constexpr, HALF: tl.constexpr,
):  # fmt: skip
    """One program a token, all its heads: position and slot are read once."""
    token = tl.program_id(0)
    slot = tl.load(slots_ptr + token)
    d = tl.arange(0, HALF)[None, :]
    angles = cos_sin_ptr + tl.load(positions_ptr + token).to(tl.int64) * DIM + d
    cos = tl.load(angles, mask=d < DIM // 2, other=0.0)
    sin = tl.load(angles + DIM // 2, mask=d < DIM // 2, other=0.0)
    qkv = qkv_ptr + token.to(tl.int64) * ((HEADS + 2 * KV_HEADS) * DIM)

    low, high, live = _heads(qkv, 0, q_weight_ptr, cos, sin, eps, HEADS, DIM, BLOCK_A, HALF)
    q = q_ptr + token.to(tl.int64) * (HEADS * DIM) + tl.arange(0, BLOCK_A)[:, None] * DIM + d
    tl.store(q, low.to(q_ptr.dtype.element_ty), mask=live)
    tl.store(q + DIM // 2, high.to(q_ptr.dtype.element_ty), mask=live)

    if slot >= 0:
        k_low, k_high, k_live = _heads(qkv, HEADS, k_weight_ptr, cos, sin, eps, KV_HEADS, DIM, BLOCK_G, HALF)
        g = tl.arange(0, BLOCK_G)[:, None]
        place = (slot // PAGE).to(tl.int64) * (KV_HEADS * PAGE * DIM) + (g * PAGE + slot % PAGE) * DIM + d
        tl.store(k_cache_ptr + place, to_cache(k_low, k_cache_ptr, k_scale_ptr), mask=k_live)
        tl.store(k_cache_ptr + place + DIM // 2, to_cache(k_high, k_cache_ptr, k_scale_ptr), mask=k_live)
        v = qkv + (HEADS + KV_HEADS + g) * DIM + d
        tl.store(v_cache_ptr + place, to_cache(tl.load(v, mask=k_live), v_cache_ptr, v_scale_ptr), mask=k_live)
        tl.store(v_cache_ptr + place + DIM // 2, to_cache(tl.load(v + DIM // 2, mask=k_live), v_cache_ptr, v_scale_ptr), mask=k_live)
