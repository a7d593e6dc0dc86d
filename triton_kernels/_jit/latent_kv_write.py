import triton
import triton.language as tl

from triton_kernels._jit.kv_format import to_cache
from triton_kernels._jit.quantize import store_encoded


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
    a_ptr, cos_sin_ptr, positions_ptr, slots_ptr, cache_ptr, q_norm_ptr, kv_norm_ptr, u_ptr, cache_scale_ptr, y_scale_ptr, eps,
    QUERY_RANK: tl.constexpr, KV_RANK: tl.constexpr, DIM: tl.constexpr, PAGE: tl.constexpr,
    BLOCK_U: tl.constexpr, BLOCK_C: tl.constexpr, HALF: tl.constexpr,
    OUT_FORMAT: tl.constexpr, GROUP: tl.constexpr,
):  # fmt: skip
    """One program a token. OUT_FORMAT: of u ("": as it comes), a scale for each GROUP of its values."""
    token = tl.program_id(0).to(tl.int64)
    slot = tl.load(slots_ptr + token)
    position = tl.load(positions_ptr + token).to(tl.int64)
    a = a_ptr + token * (QUERY_RANK + KV_RANK + DIM)
    if q_norm_ptr is not None:
        u = tl.arange(0, BLOCK_U)
        normed = _normed(a, q_norm_ptr, eps, QUERY_RANK, BLOCK_U)
        if OUT_FORMAT == "":
            tl.store(u_ptr + token * QUERY_RANK + u, normed, mask=u < QUERY_RANK)
        else:
            OUTPUTS: tl.constexpr = QUERY_RANK // 2 if OUT_FORMAT == "mxfp4" or OUT_FORMAT == "nvfp4" else QUERY_RANK
            GROUPS: tl.constexpr = (QUERY_RANK + GROUP - 1) // GROUP
            row = token + tl.arange(0, 1)
            normed = tl.reshape(normed.to(tl.float32), (1, BLOCK_U))
            store_encoded(normed, u_ptr + row * OUTPUTS, y_scale_ptr + row * GROUPS, 0, OUTPUTS, GROUPS, row >= 0, OUT_FORMAT, GROUP, 1, BLOCK_U)
    if slot >= 0:
        entry = cache_ptr + slot.to(tl.int64) * (KV_RANK + DIM)  # pages follow each other without a gap
        c = tl.arange(0, BLOCK_C)
        latent = _normed(a + QUERY_RANK, kv_norm_ptr, eps, KV_RANK, BLOCK_C)
        tl.store(entry + c, to_cache(latent, cache_ptr, cache_scale_ptr), mask=c < KV_RANK)
        d = tl.arange(0, HALF)
        half = d < DIM // 2
        angles = cos_sin_ptr + position * DIM + d
        cos = tl.load(angles, mask=half, other=0.0)
        sin = tl.load(angles + DIM // 2, mask=half, other=0.0)
        key = a + (QUERY_RANK + KV_RANK) + d
        low = tl.load(key, mask=half, other=0.0).to(tl.float32)
        high = tl.load(key + DIM // 2, mask=half, other=0.0).to(tl.float32)
        tl.store(entry + KV_RANK + d, to_cache(low * cos - high * sin, cache_ptr, cache_scale_ptr), mask=half)
        tl.store(entry + KV_RANK + DIM // 2 + d, to_cache(high * cos + low * sin, cache_ptr, cache_scale_ptr), mask=half)
