import triton
import triton.language as tl

from triton_kernels._jit.attention import LOWEST, _find_sequence, _store_heads
from triton_kernels._jit.dot import dot


@triton.jit
def _rotated(q_row, angles, live_row, DIM: tl.constexpr, BLOCK_D: tl.constexpr):
    """The rotary columns of each row, turned. A column and its partner in the other half are both loaded: cheaper than exchanging them between threads."""
    d = tl.arange(0, BLOCK_D)
    low = d < DIM // 2
    partner = tl.where(low, d + DIM // 2, d - DIM // 2)
    live = live_row[:, None] & (d < DIM)[None, :]
    x = tl.load(q_row[:, None] + d[None, :], mask=live, other=0.0)
    other = tl.load(q_row[:, None] + partner[None, :], mask=live, other=0.0).to(tl.float32)
    cos = tl.load(angles[:, None] + tl.where(low, d, partner)[None, :], mask=live, other=0.0)
    sin = tl.load(angles[:, None] + tl.where(low, partner, d)[None, :], mask=live, other=0.0)
    return (x.to(tl.float32) * cos + tl.where(low[None, :], -other, other) * sin).to(x.dtype)


@triton.jit
def _tile(base, row_stride, live_n, MASKED: tl.constexpr, KV: tl.constexpr, SIZE: tl.constexpr, BLOCK: tl.constexpr):
    """KV rows of a tensor from `base`, [KV, BLOCK]; zeros beyond SIZE columns and, MASKED, in rows that are not live.

    Offsets of 32 bits from one pointer are the same in every step: pointers of their own would spill.
    """
    c = tl.arange(0, BLOCK)
    place = base + ((tl.arange(0, KV) * row_stride)[:, None] + c[None, :])
    if MASKED:
        return tl.load(place, mask=live_n[:, None] & (c < SIZE)[None, :], other=0.0)
    elif SIZE < BLOCK:
        return tl.load(place, mask=(c < SIZE)[None, :], other=0.0)
    else:
        return tl.load(place)


@triton.jit
def _step(
    q, q_rotary, acc, peak, total, kv_ptr, key_ptr, heads, head, context_first, start, end, limit, scale,
    MASKED: tl.constexpr, K: tl.constexpr, DIM: tl.constexpr, V: tl.constexpr,
    KV: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_V: tl.constexpr,
):  # fmt: skip
    """One online-softmax step over positions start .. start + KV. MASKED: rows at `end` and beyond are not read, and row r sees positions below limit[r]."""
    n = start + tl.arange(0, KV)
    live_n = n < end
    first = context_first.to(tl.int64) + start
    kv_first = kv_ptr + (first * heads + head) * (K + V)
    row_stride = heads * (K + V)
    k = _tile(kv_first, row_stride, live_n, MASKED, KV, K, BLOCK_K)
    k_rotary = _tile(key_ptr + first * DIM, DIM, live_n, MASKED, KV, DIM, BLOCK_D)
    v = _tile(kv_first + K, row_stride, live_n, MASKED, KV, V, BLOCK_V)
    scores = dot(q, tl.trans(k), tl.zeros((q.shape[0], KV), tl.float32))
    scores = dot(q_rotary, tl.trans(k_rotary), scores)
    if MASKED:
        scores = tl.where(n[None, :] < limit[:, None], scores, float("-inf"))
    higher = tl.maximum(peak, tl.max(scores, 1) * scale)
    p = tl.exp2(scores * scale - higher[:, None])
    faded = tl.exp2(peak - higher)
    total = total * faded + tl.sum(p, 1)
    acc = dot(p.to(v.dtype), v, acc * faded[:, None])
    return acc, higher, total


@triton.jit
def expanded_attention_kernel(
    q_ptr, kv_ptr, key_ptr, cos_sin_ptr, positions_ptr, query_start_ptr, context_start_ptr, o_ptr, y_scale_ptr,
    sequences, heads, tiles, tiles_each, heads_together, scale,
    K: tl.constexpr, DIM: tl.constexpr, V: tl.constexpr, ROWS: tl.constexpr, KV: tl.constexpr,
    BLOCK_K: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_V: tl.constexpr, SEARCH: tl.constexpr,
    OUT_FORMAT: tl.constexpr, OUT_GROUP: tl.constexpr,
):  # fmt: skip
    """One tile of one sequence's queries, one head. scale: softmax scale x log2(e)."""
    # Heads that fit L2 together, then tiles, the longest rows of causal attention first.
    place = tl.program_id(0)
    head = place % heads_together
    place = place // heads_together
    tile = tiles - 1 - place % tiles
    head += place // tiles * heads_together
    if SEARCH:
        sequence, tile = _find_sequence(tile, query_start_ptr, sequences, 1, ROWS)
    else:
        sequence = tile // tiles_each
        tile = tile % tiles_each
    query_first = tl.load(query_start_ptr + sequence)
    query_len = tl.load(query_start_ptr + sequence + 1) - query_first
    if tile * ROWS >= query_len:
        return
    context_first = tl.load(context_start_ptr + sequence)
    before = tl.load(context_start_ptr + sequence + 1) - context_first - query_len
    token = tile * ROWS + tl.arange(0, ROWS)
    live_row = token < query_len
    row = (query_first + token).to(tl.int64)
    q_row = q_ptr + (row * heads + head) * (K + DIM)
    position = tl.load(positions_ptr + row, mask=live_row, other=0)
    q_rotary = _rotated(q_row + K, cos_sin_ptr + position.to(tl.int64) * DIM, live_row, DIM, BLOCK_D)
    c = tl.arange(0, BLOCK_K)
    q = tl.load(q_row[:, None] + c[None, :], mask=live_row[:, None] & (c < K)[None, :], other=0.0)

    # Row r sees positions below limit[r]; every row of the tile sees those below `diagonal`, none sees `last` or beyond.
    limit = before + token + 1
    last = before + tl.minimum(tile * ROWS + ROWS, query_len)
    diagonal = (before + tile * ROWS + 1) // KV * KV
    acc = tl.zeros((ROWS, BLOCK_V), tl.float32)
    peak = tl.full((ROWS,), LOWEST, tl.float32)
    total = tl.zeros((ROWS,), tl.float32)
    for start in tl.range(0, diagonal, KV):
        acc, peak, total = _step(
            q, q_rotary, acc, peak, total, kv_ptr, key_ptr, heads, head, context_first, start, last, limit, scale,
            False, K, DIM, V, KV, BLOCK_K, BLOCK_D, BLOCK_V,
        )  # fmt: skip
    for start in tl.range(diagonal, last, KV):
        acc, peak, total = _step(
            q, q_rotary, acc, peak, total, kv_ptr, key_ptr, heads, head, context_first, start, last, limit, scale,
            True, K, DIM, V, KV, BLOCK_K, BLOCK_D, BLOCK_V,
        )  # fmt: skip
    o = acc / total[:, None]  # every row sees at least its own position; rows over the edge see what the last one sees
    if OUT_FORMAT == "":
        e = tl.arange(0, BLOCK_V)
        tl.store(o_ptr + ((row * heads + head) * V)[:, None] + e[None, :], o.to(o_ptr.dtype.element_ty), mask=live_row[:, None] & (e < V)[None, :])
    else:
        _store_heads(o, o_ptr, y_scale_ptr, row * heads + head, live_row, OUT_FORMAT, OUT_GROUP, ROWS, V, BLOCK_V)
