import triton
import triton.language as tl

from triton_kernels._jit.dot import dot
from triton_kernels._jit.quantize import store_encoded

# Where a row that has seen nothing starts: finite, so that differences of maxima are never NaN, and below any score.
LOWEST = tl.constexpr(-1e30)
LOG2_E = tl.constexpr(1.4426950408889634)


@triton.jit
def _find_sequence(tile, query_start_ptr, sequences, GROUP: tl.constexpr, ROWS: tl.constexpr):
    """Sequence of a tile, and which of that sequence's tiles it is.

    Sequence s owns the tiles from query_start[s] * GROUP // ROWS + s on: never fewer than it needs, and known without a prefix sum of tiles.
    """
    low = 0
    high = sequences
    while high - low > 1:
        middle = (low + high) // 2
        if tl.load(query_start_ptr + middle) * GROUP // ROWS + middle <= tile:
            low = middle
        else:
            high = middle
    return low, tile - (tl.load(query_start_ptr + low) * GROUP // ROWS + low)


@triton.jit
def _pages(table, start, begin, end, PAGE: tl.constexpr, KV: tl.constexpr, WINDOW: tl.constexpr):
    """Pages of a tile: those of its first and of its last position where two at most hold it, else that of each of its positions (twice).

    No entry of positions at `end` or beyond is read, nor, with a WINDOW, of positions before `begin`.
    """
    if PAGE >= KV:
        page = tl.load(table + start // PAGE, mask=start < end, other=0)
        return page, page
    elif PAGE * 2 == KV:
        first = start < end
        if WINDOW:
            first = first & (start + PAGE > begin)
        return tl.load(table + start // PAGE, mask=first, other=0), tl.load(table + start // PAGE + 1, mask=start + PAGE < end, other=0)
    else:
        at = start + tl.arange(0, KV)
        inside = at < end
        if WINDOW:
            inside = inside & (at >= begin)
        page = tl.load(table + at // PAGE, mask=inside, other=0)
        return page, page


@triton.jit
def _slots(pages, start, page_stride, DIM: tl.constexpr, PAGE: tl.constexpr, KV: tl.constexpr):
    """Where the key and value of each position of a tile begin, in elements from the head's slot 0 of page 0 (int64)."""
    n = tl.arange(0, KV)
    if PAGE >= KV:
        return pages[0].to(tl.int64) * page_stride + (start % PAGE) * DIM + n * DIM
    elif PAGE * 2 == KV:
        return tl.where(n < PAGE, pages[0], pages[1]).to(tl.int64) * page_stride + (n % PAGE) * DIM
    else:
        return pages[0].to(tl.int64) * page_stride + ((start + n) % PAGE) * DIM


@triton.jit
def _kv_tile(
    q, acc, peak, total, k_head, v_head, pages, page_stride, start, begin, end, limit, scale,
    MASKED: tl.constexpr, DIM: tl.constexpr, PAGE: tl.constexpr, KV: tl.constexpr, BLOCK_D: tl.constexpr, WINDOW: tl.constexpr,
):  # fmt: skip
    """One online-softmax step over positions start .. start + KV. MASKED: slots at `end` and beyond are not read, and row r sees positions below limit[r].

    WINDOW: of those the last so many, and slots before `begin` are not read.
    """
    n = tl.arange(0, KV)
    d = tl.arange(0, BLOCK_D)
    place = _slots(pages, start, page_stride, DIM, PAGE, KV)[:, None] + d[None, :]
    if MASKED:
        inside = start + n < end
        if WINDOW:
            inside = inside & (start + n >= begin)
        live = inside[:, None] & (d < DIM)[None, :]
        k = tl.load(k_head + place, mask=live, other=0.0)
        v = tl.load(v_head + place, mask=live, other=0.0)
    elif DIM < BLOCK_D:
        k = tl.load(k_head + place, mask=(d < DIM)[None, :], other=0.0)
        v = tl.load(v_head + place, mask=(d < DIM)[None, :], other=0.0)
    else:
        k = tl.load(k_head + place)
        v = tl.load(v_head + place)
    k, v = k.to(q.dtype), v.to(q.dtype)
    scores = dot(q, tl.trans(k), tl.zeros((q.shape[0], KV), tl.float32))
    if MASKED:
        visible = (start + n)[None, :] < limit[:, None]
        if WINDOW:
            visible = visible & ((start + n)[None, :] >= (limit - WINDOW)[:, None])
        scores = tl.where(visible, scores, float("-inf"))
    higher = tl.maximum(peak, tl.max(scores, 1) * scale)
    p = tl.exp2(scores * scale - higher[:, None])
    faded = tl.exp2(peak - higher)
    total = total * faded + tl.sum(p, 1)
    acc = dot(p.to(v.dtype), v, acc * faded[:, None])
    return acc, higher, total


@triton.jit
def _store_heads(
    o, o_ptr, y_scale_ptr, row, live,
    OUT_FORMAT: tl.constexpr, OUT_GROUP: tl.constexpr, ROWS: tl.constexpr, DIM: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """Rows of o (token x head), [ROWS, BLOCK_D], encoded; DIM is whole groups, so that scales follow each other as those of [T, A x D] do."""
    OUTPUTS: tl.constexpr = DIM // 2 if OUT_FORMAT == "mxfp4" or OUT_FORMAT == "nvfp4" else DIM
    GROUPS: tl.constexpr = DIM // OUT_GROUP
    store_encoded(o, o_ptr + row * OUTPUTS, y_scale_ptr + row * GROUPS, 0, OUTPUTS, GROUPS, live, OUT_FORMAT, OUT_GROUP, ROWS, BLOCK_D)


@triton.jit
def attention_kernel(
    q_ptr, k_cache_ptr, v_cache_ptr, table_ptr, query_start_ptr, context_len_ptr, sinks_ptr, o_ptr, lse_ptr,
    k_scale_ptr, v_scale_ptr, y_scale_ptr, sequences, table_width, kv_heads, tiles, tiles_each, heads_together, splits, scale,
    GROUP: tl.constexpr, DIM: tl.constexpr, PAGE: tl.constexpr, ROWS: tl.constexpr, KV: tl.constexpr, BLOCK_D: tl.constexpr,
    SEARCH: tl.constexpr, DIAGONAL_APART: tl.constexpr, WINDOW: tl.constexpr,
    OUT_FORMAT: tl.constexpr, OUT_GROUP: tl.constexpr,
):  # fmt: skip
    """One tile of one sequence's rows (query token x head of the group) against one segment of its keys and values.

    With lse_ptr, o_ptr is partial[row, split, D] in fp32, and lse[row, split] the base-2 log of that segment's weight (LOWEST: nothing seen).
    scale: softmax scale x log2(e). k_scale, v_scale: of caches that hold codes; the one scales scores, the other what comes out.
    """
    # Heads that fit L2 together, then segment, then tiles, the longest rows of causal attention first; heads vary fastest and share L2 through the block table.
    place = tl.program_id(0)
    head = place % heads_together
    place = place // heads_together
    tile = tiles - 1 - place % tiles
    place = place // tiles
    split = place % splits
    head += place // splits * heads_together
    if SEARCH:
        sequence, tile = _find_sequence(tile, query_start_ptr, sequences, GROUP, ROWS)
    else:
        sequence = tile // tiles_each
        tile = tile % tiles_each
    query_first = tl.load(query_start_ptr + sequence)
    query_len = tl.load(query_start_ptr + sequence + 1) - query_first
    rows = query_len * GROUP
    if tile * ROWS >= rows:
        return
    context = tl.load(context_len_ptr + sequence)
    r = tile * ROWS + tl.arange(0, ROWS)
    d = tl.arange(0, BLOCK_D)
    token = r // GROUP
    row = (query_first + token).to(tl.int64) * (kv_heads * GROUP) + head * GROUP + r % GROUP  # of q and o, seen as [T x A, D]
    row_live = r < rows

    # Row r sees positions below limit[r]; every row of the tile sees those below limit_first, none sees `last` or beyond.
    before = context - query_len
    limit = before + token + 1
    visible_end = before + (tl.minimum(tile * ROWS + ROWS, rows) - 1) // GROUP + 1
    if WINDOW:  # segments of what the tile's rows see
        begin = tl.maximum(before + (tile * ROWS) // GROUP + 1 - WINDOW, 0)
        window_first = begin // KV * KV
        segment = tl.cdiv(tl.cdiv(visible_end - window_first, KV), splits) * KV
        first = window_first + split * segment
    else:
        begin = 0
        segment = tl.cdiv(tl.cdiv(context, KV), splits) * KV
        first = split * segment
    last = tl.minimum(visible_end, first + segment)
    if lse_ptr is not None:  # noqa: SIM102  known when compiling, the other only when running
        if first >= last:
            tl.store(lse_ptr + row * splits + split, tl.full((ROWS,), LOWEST, tl.float32), mask=row_live)
            return
    if DIAGONAL_APART:
        limit_first = before + (tile * ROWS) // GROUP + 1
        diagonal = tl.maximum(first, tl.minimum(limit_first, last) // KV * KV)
    else:
        diagonal = first

    if k_scale_ptr is not None:
        scale *= tl.load(k_scale_ptr)
    q = tl.load(q_ptr + row[:, None] * DIM + d[None, :], mask=row_live[:, None] & (d < DIM)[None, :], other=0.0)
    page_stride = kv_heads * (PAGE * DIM)
    k_head = k_cache_ptr + head * (PAGE * DIM)
    v_head = v_cache_ptr + head * (PAGE * DIM)
    table = table_ptr + sequence.to(tl.int64) * table_width
    acc = tl.zeros((ROWS, BLOCK_D), tl.float32)
    peak = tl.full((ROWS,), LOWEST, tl.float32)
    total = tl.zeros((ROWS,), tl.float32)
    # Pages are looked up one step ahead: a load that waits for another inside a step would halve what the pipeline keeps in flight.
    pages = _pages(table, first, begin, last, PAGE, KV, WINDOW)
    if DIAGONAL_APART:
        for start in tl.range(first, diagonal, KV):
            following = _pages(table, start + KV, begin, last, PAGE, KV, WINDOW)
            acc, peak, total = _kv_tile(
                q, acc, peak, total, k_head, v_head, pages, page_stride, start, begin, last, limit, scale, False, DIM, PAGE, KV, BLOCK_D, WINDOW
            )
            pages = following
    for start in tl.range(diagonal, last, KV):
        following = _pages(table, start + KV, begin, last, PAGE, KV, WINDOW)
        acc, peak, total = _kv_tile(
            q, acc, peak, total, k_head, v_head, pages, page_stride, start, begin, last, limit, scale, True, DIM, PAGE, KV, BLOCK_D, WINDOW
        )
        pages = following

    if sinks_ptr is not None and lse_ptr is None:  # with segments, where they are combined
        sink = tl.load(sinks_ptr + head * GROUP + r % GROUP).to(tl.float32) * LOG2_E
        higher = tl.maximum(peak, sink)
        faded = tl.exp2(peak - higher)
        acc = acc * faded[:, None]
        total = total * faded + tl.exp2(sink - higher)
    seen = tl.where(total > 0, total, 1.0)  # a row may see nothing of its segment
    o = acc / seen[:, None]
    if v_scale_ptr is not None:
        o *= tl.load(v_scale_ptr)
    o_live = row_live[:, None] & (d < DIM)[None, :]
    if lse_ptr is not None:
        tl.store(lse_ptr + row * splits + split, tl.where(total > 0, peak + tl.log2(seen), LOWEST), mask=row_live)
        tl.store(o_ptr + (row * splits + split)[:, None] * DIM + d[None, :], o, mask=o_live)
    elif OUT_FORMAT == "":
        tl.store(o_ptr + row[:, None] * DIM + d[None, :], o.to(o_ptr.dtype.element_ty), mask=o_live)
    else:
        _store_heads(o, o_ptr, y_scale_ptr, row, row_live, OUT_FORMAT, OUT_GROUP, ROWS, DIM, BLOCK_D)


@triton.jit
def attention_combine_kernel(
    partial_ptr, lse_ptr, sinks_ptr, o_ptr, y_scale_ptr, splits, heads,
    DIM: tl.constexpr, BLOCK_D: tl.constexpr, SPLITS: tl.constexpr, CHUNK: tl.constexpr, OUT_FORMAT: tl.constexpr, OUT_GROUP: tl.constexpr,
):  # fmt: skip
    """One row of o (token x head) from its segments: their weighted mean, in the order of the segments; a sink counts as a segment whose values are 0.

    SPLITS: the power of two that holds the segments.
    """
    row = tl.program_id(0).to(tl.int64) * splits
    d = tl.arange(0, BLOCK_D)
    every = tl.arange(0, SPLITS)
    peak = tl.max(tl.load(lse_ptr + row + every, mask=every < splits, other=LOWEST), 0)
    acc = tl.zeros((BLOCK_D,), tl.float32)
    total = 0.0
    if sinks_ptr is not None:
        sink = tl.load(sinks_ptr + tl.program_id(0) % heads).to(tl.float32) * LOG2_E
        peak = tl.maximum(peak, sink)
        total += tl.exp2(sink - peak)
    for start in tl.range(0, splits, CHUNK):
        s = start + tl.arange(0, CHUNK)
        lse = tl.load(lse_ptr + row + s, mask=s < splits, other=LOWEST)
        weight = tl.where(lse > LOWEST, tl.exp2(lse - peak), 0.0)
        live = (lse > LOWEST)[:, None] & (d < DIM)[None, :]
        o = tl.load(partial_ptr + (row + s)[:, None] * DIM + d[None, :], mask=live, other=0.0)
        acc += tl.sum(o * weight[:, None], 0)
        total += tl.sum(weight, 0)
    if OUT_FORMAT == "":
        tl.store(o_ptr + tl.program_id(0).to(tl.int64) * DIM + d, (acc / total).to(o_ptr.dtype.element_ty), mask=d < DIM)
    else:
        place = tl.program_id(0).to(tl.int64) + tl.arange(0, 1)
        _store_heads(tl.reshape(acc / total, (1, BLOCK_D)), o_ptr, y_scale_ptr, place, place >= 0, OUT_FORMAT, OUT_GROUP, 1, DIM, BLOCK_D)
