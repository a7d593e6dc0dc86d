import triton
import triton.language as tl


@triton.jit
def latent_gather_kernel(
    cache_ptr, table_ptr, context_start_ptr, latent_ptr, key_ptr, cache_scale_ptr, sequences, table_width,
    KV_RANK: tl.constexpr, DIM: tl.constexpr, PAGE: tl.constexpr, ROWS: tl.constexpr, STEPS: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """ROWS rows a program; each row finds its own sequence, the last one that starts at or before it. STEPS: bits of the last sequence's number."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    live = row < tl.load(context_start_ptr + sequences)
    low = tl.zeros((ROWS,), tl.int32)
    for step in tl.static_range(STEPS):
        later = low + (1 << (STEPS - 1 - step))
        start = tl.load(context_start_ptr + later, mask=later < sequences, other=2**31 - 1)
        low = tl.where(start <= row, later, low)
    position = row - tl.load(context_start_ptr + low)
    page = tl.load(table_ptr + low.to(tl.int64) * table_width + position // PAGE, mask=live, other=0)
    entry = cache_ptr + (page.to(tl.int64) * PAGE + position % PAGE)[:, None] * (KV_RANK + DIM)
    c = tl.arange(0, BLOCK_C)[None, :]
    d = tl.arange(0, BLOCK_D)[None, :]
    c_live = live[:, None] & (c < KV_RANK)
    d_live = live[:, None] & (d < DIM)
    latent = tl.load(entry + c, mask=c_live)
    key = tl.load(entry + KV_RANK + d, mask=d_live)
    if cache_scale_ptr is not None:
        cache_scale = tl.load(cache_scale_ptr)
        latent = (latent.to(tl.float32) * cache_scale).to(latent_ptr.dtype.element_ty)
        key = (key.to(tl.float32) * cache_scale).to(key_ptr.dtype.element_ty)
    out = row.to(tl.int64)[:, None]
    tl.store(latent_ptr + out * KV_RANK + c, latent, mask=c_live)
    tl.store(key_ptr + out * DIM + d, key, mask=d_live)
