import triton
import triton.language as tl

from triton_kernels._jit.attention import LOWEST, _find_sequence, _pages, _slots
from triton_kernels._jit.dot import dot


@triton.jit
def _latent_tile(
    q_c, q_d, acc, peak, total, cache_ptr, pages, start, end, limit, scale,
    MASKED: tl.constexpr, C: tl.constexpr, D: tl.constexpr, PAGE: tl.constexpr, KV: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """One online-softmax step over positions start .. start + KV, whose latents are loaded once for scores and values. MASKED as in attention."""
    n = tl.arange(0, KV)
    c = tl.arange(0, BLOCK_C)
    d = tl.arange(0, BLOCK_D)
    place = cache_ptr + _slots(pages, start, PAGE * (C + D), C + D, PAGE, KV)[:, None]
    if MASKED:
        live = (start + n < end)[:, None]
        latent = tl.load(place + c[None, :], mask=live & (c < C)[None, :], other=0.0)
        key = tl.load(place + C + d[None, :], mask=live & (d < D)[None, :], other=0.0)
    elif C < BLOCK_C or D < BLOCK_D:
        latent = tl.load(place + c[None, :], mask=(c < C)[None, :], other=0.0)
        key = tl.load(place + C + d[None, :], mask=(d < D)[None, :], other=0.0)
    else:
        latent = tl.load(place + c[None, :])
        key = tl.load(place + C + d[None, :])
    scores = dot(q_d, tl.trans(key).to(q_d.dtype), tl.zeros((q_d.shape[0], KV), tl.float32))
    scores = dot(q_c, tl.trans(latent).to(q_c.dtype), scores)
    if MASKED:
        scores = tl.where((start + n)[None, :] < limit[:, None], scores, float("-inf"))
    higher = tl.maximum(peak, tl.max(scores, 1) * scale)
    p = tl.exp2(scores * scale - higher[:, None])
    faded = tl.exp2(peak - higher)
    total = total * faded + tl.sum(p, 1)
    acc = dot(p.to(q_c.dtype), latent.to(q_c.dtype), acc * faded[:, None])
    return acc, higher, total


@triton.jit
def latent_attention_kernel(
    q_ptr, cache_ptr, table_ptr, query_start_ptr, context_len_ptr, o_ptr, lse_ptr, cache_scale_ptr, sequences, table_width, tiles, tiles_each, splits, scale,
    HEADS: tl.constexpr, C: tl.constexpr, D: tl.constexpr, PAGE: tl.constexpr, ROWS: tl.constexpr, KV: tl.constexpr,
    BLOCK_C: tl.constexpr, BLOCK_D: tl.constexpr, SEARCH: tl.constexpr,
):  # fmt: skip
    """One tile of one sequence's rows (query token x head) against one segment of its latents.

    With lse_ptr, o_ptr is partial[row, split, C] in fp32, and lse[row, split] the base-2 log of that segment's weight (LOWEST: nothing seen).
    scale: softmax scale x log2(e). cache_scale: of a cache that holds codes; it scales scores and what comes out.
    """
    # Tiles of a sequence vary fastest: they read the same latents, from L2 but for the first.
    place = tl.program_id(0)
    tile = tiles - 1 - place % tiles
    split = place // tiles
    if SEARCH:
        sequence, tile = _find_sequence(tile, query_start_ptr, sequences, HEADS, ROWS)
    else:
        sequence = tile // tiles_each
        tile = tile % tiles_each
    query_first = tl.load(query_start_ptr + sequence)
    query_len = tl.load(query_start_ptr + sequence + 1) - query_first
    rows = query_len * HEADS
    if tile * ROWS >= rows:
        return
    context = tl.load(context_len_ptr + sequence)
    r = tile * ROWS + tl.arange(0, ROWS)
    c = tl.arange(0, BLOCK_C)
    d = tl.arange(0, BLOCK_D)
    row = query_first.to(tl.int64) * HEADS + r  # of q and o, seen as [T x A, .]
    row_live = r < rows

    # Row r sees positions below limit[r]; every row of the tile sees those below limit_first, none sees `last` or beyond.
    before = context - query_len
    limit = before + r // HEADS + 1
    segment = tl.cdiv(tl.cdiv(context, KV), splits) * KV
    first = split * segment
    last = tl.minimum(before + (tl.minimum(tile * ROWS + ROWS, rows) - 1) // HEADS + 1, first + segment)
    if lse_ptr is not None:  # noqa: SIM102  known when compiling, the other only when running
        if first >= last:
            tl.store(lse_ptr + row * splits + split, tl.full((ROWS,), LOWEST, tl.float32), mask=row_live)
            return
    limit_first = before + (tile * ROWS) // HEADS + 1
    diagonal = tl.maximum(first, tl.minimum(limit_first, last) // KV * KV)

    if cache_scale_ptr is not None:
        scale *= tl.load(cache_scale_ptr)
    q_row = q_ptr + row[:, None] * (C + D)
    q_c = tl.load(q_row + c[None, :], mask=row_live[:, None] & (c < C)[None, :], other=0.0)
    q_d = tl.load(q_row + C + d[None, :], mask=row_live[:, None] & (d < D)[None, :], other=0.0)
    table = table_ptr + sequence.to(tl.int64) * table_width
    acc = tl.zeros((ROWS, BLOCK_C), tl.float32)
    peak = tl.full((ROWS,), LOWEST, tl.float32)
    total = tl.zeros((ROWS,), tl.float32)
    # Pages are looked up one step ahead, as in attention.
    pages = _pages(table, first, 0, last, PAGE, KV, 0)
    for start in tl.range(first, diagonal, KV):
        following = _pages(table, start + KV, 0, last, PAGE, KV, 0)
        acc, peak, total = _latent_tile(
            q_c, q_d, acc, peak, total, cache_ptr, pages, start, last, limit, scale, False, C, D, PAGE, KV, BLOCK_C, BLOCK_D
        )  # fmt: skip
        pages = following
    for start in tl.range(diagonal, last, KV):
        following = _pages(table, start + KV, 0, last, PAGE, KV, 0)
        acc, peak, total = _latent_tile(
            q_c, q_d, acc, peak, total, cache_ptr, pages, start, last, limit, scale, True, C, D, PAGE, KV, BLOCK_C, BLOCK_D
        )  # fmt: skip
        pages = following

    seen = tl.where(total > 0, total, 1.0)  # a row may see nothing of its segment
    o = acc / seen[:, None]
    if cache_scale_ptr is not None:
        o *= tl.load(cache_scale_ptr)
    o_live = row_live[:, None] & (c < C)[None, :]
    if lse_ptr is not None:
        tl.store(lse_ptr + row * splits + split, tl.where(total > 0, peak + tl.log2(seen), LOWEST), mask=row_live)
        tl.store(o_ptr + (row * splits + split)[:, None] * C + c[None, :], o, mask=o_live)
    else:
        tl.store(o_ptr + row[:, None] * C + c[None, :], o.to(o_ptr.dtype.element_ty), mask=o_live)
