"""Causal attention over a paged key/value cache, with or without a window and sinks: prefill, chunks, decode and several tokens per sequence in one kernel.

Shapes: T tokens, S sequences, A query heads, G key/value heads, D head dim, P pages, B slots per page, M pages per sequence.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from triton_kernels.attention_tiles import DECODE_ROWS, L2_BYTES, splits_for, tile_for
from triton_kernels.formats import FORMATS, Format
from triton_kernels.kv_format import DRAWN_SCALE, check_cache, drawn_cache, uncached
from triton_kernels.launch import launch_kernel
from triton_kernels.operation import OpCall, Operation, StepFacts, Work, wide
from triton_kernels.results import check_result, empty_result, encode_result, result_bytes, unwritten_scale
from triton_kernels.target import chip_of


def reference(
    q_TAD: torch.Tensor, k_cache_PGBD: torch.Tensor, v_cache_PGBD: torch.Tensor,
    block_table_SM: torch.Tensor, query_start_S1: torch.Tensor, context_len_S: torch.Tensor,
    sinks_A: torch.Tensor | None, scale: float, max_query_len: int, window: int,
    k_scale: torch.Tensor | None = None, v_scale: torch.Tensor | None = None, y_scale: torch.Tensor | None = None, out_format: str = "",
) -> torch.Tensor:  # fmt: skip
    """o_TAD = softmax(scale q k^T) v, per sequence and head; query head a reads key/value head a // (A / G).

    Sequence s owns tokens query_start_S1[s] .. query_start_S1[s + 1] (int32; q of them, 0 allowed; the last entry is T) and context_len_S[s] positions
    (int32; c >= q of them, this step's tokens included); its query i sees positions 0 .. c - q + i, the last `window` of them where that is above 0.
    sinks_A: a logit of each query head (unscaled) that joins the softmax's denominator and has no value. Position j lies in page block_table_SM[s, j // B],
    slot j % B (B: a power of two from 16); entries and slots that no query sees are never read. scale > 0; max_query_len: the largest q or more.
    k_scale, v_scale (fp32 [1]): the caches hold e4m3 codes, k / k_scale and v / v_scale. They are widened to q's type and multiplied there: what bounds decode
    is then the widening as much as memory; products of fp8 would need p and q in fp8 too. out_format: o is returned in it, D / per_byte wide, the scales of
    the matrix [T, A D] written to y_scale. The kernel does so where `fuses` says; else the operation `quantize` comes after it.
    Source: FlashAttention-2, arXiv 2307.08691; pages as in vLLM, arXiv 2309.06180; sinks as in gpt-oss, arXiv 2508.10925.
    """
    _, kv_heads, page_size, dim = k_cache_PGBD.shape
    group = q_TAD.shape[1] // kv_heads
    starts, contexts = query_start_S1.tolist(), context_len_S.tolist()
    assert not out_format or fuses(FORMATS[out_format], dim), (out_format, dim)
    o_TAD = torch.empty_like(q_TAD, memory_format=torch.contiguous_format)
    for s, context in enumerate(contexts):
        first, last = starts[s], starts[s + 1]
        tokens = last - first
        if tokens == 0:
            continue
        low = max(0, context - tokens + 1 - window) if window else 0  # the first position that any query sees
        skipped = low // page_size * page_size
        pages = block_table_SM[s, low // page_size : -(-context // page_size)].long()
        q = q_TAD[first:last].view(tokens, kv_heads, group, dim).permute(1, 2, 0, 3)
        k, v = (
            uncached(cache[pages].transpose(0, 1).reshape(kv_heads, 1, -1, dim)[:, :, low - skipped : context - skipped], code_scale, q.dtype)
            for cache, code_scale in ((k_cache_PGBD, k_scale), (v_cache_PGBD, v_scale))
        )
        k, v = k.expand(-1, group, -1, -1), v.expand(-1, group, -1, -1)
        seen = None if tokens == 1 else _seen(tokens, context, window, q.device)[:, low:]
        if sinks_A is None:
            o = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=seen, scale=scale)
        else:
            o = _attend_with_sinks(q, k, v, seen, wide(sinks_A).view(kv_heads, group, 1, 1), scale)
        o_TAD[first:last] = o.permute(2, 0, 1, 3).reshape(tokens, -1, dim)
    return encode_result(o_TAD, out_format, y_scale)


def fuses(fmt: Format, dim: int) -> bool:
    """Whether attention encodes its result itself: groups that share a scale lie in one head."""
    return fmt.group > 0 and fmt.block is not None and fmt.block[0] == 1 and dim % fmt.group == 0


def _seen(tokens: int, context: int, window: int, device: torch.device) -> torch.Tensor:
    """Which of `context` positions each of the last `tokens` sees."""
    seen = torch.ones(tokens, context, dtype=torch.bool, device=device).tril(context - tokens)
    return seen.triu(context - tokens + 1 - window) if window else seen


def _attend_with_sinks(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, seen: torch.Tensor | None, sinks: torch.Tensor, scale: float) -> torch.Tensor:
    scores = wide(q) @ wide(k).transpose(-1, -2) * scale
    if seen is not None:
        scores = scores.masked_fill(~seen, float("-inf"))
    weights = torch.cat((scores, sinks.expand(*scores.shape[:-1], 1)), -1).softmax(-1)[..., :-1]
    return (weights @ wide(v)).to(q.dtype)


def fake(
    q_TAD: torch.Tensor, k_cache_PGBD: torch.Tensor, v_cache_PGBD: torch.Tensor,
    block_table_SM: torch.Tensor, query_start_S1: torch.Tensor, context_len_S: torch.Tensor,
    sinks_A: torch.Tensor | None, scale: float, max_query_len: int, window: int,
    k_scale: torch.Tensor | None = None, v_scale: torch.Tensor | None = None, y_scale: torch.Tensor | None = None, out_format: str = "",
) -> torch.Tensor:  # fmt: skip
    return empty_result(q_TAD, tuple(q_TAD.shape), out_format)


def launch(
    q_TAD: torch.Tensor, k_cache_PGBD: torch.Tensor, v_cache_PGBD: torch.Tensor,
    block_table_SM: torch.Tensor, query_start_S1: torch.Tensor, context_len_S: torch.Tensor,
    sinks_A: torch.Tensor | None, scale: float, max_query_len: int, window: int,
    k_scale: torch.Tensor | None = None, v_scale: torch.Tensor | None = None, y_scale: torch.Tensor | None = None, out_format: str = "",
) -> torch.Tensor:  # fmt: skip
    from triton_kernels._jit.attention import attention_combine_kernel, attention_kernel

    tokens, heads, dim = q_TAD.shape
    _, kv_heads, page_size, _ = k_cache_PGBD.shape
    sequences, table_width = block_table_SM.shape
    _check(q_TAD, k_cache_PGBD, v_cache_PGBD, block_table_SM, query_start_S1, context_len_S)
    check_cache(q_TAD.dtype, k_cache_PGBD, k_scale)
    check_cache(q_TAD.dtype, v_cache_PGBD, v_scale)
    assert not out_format or fuses(FORMATS[out_format], dim), (out_format, dim)
    check_result((tokens, heads, dim), out_format, y_scale)
    assert scale > 0, scale
    assert window >= 0, window
    assert sinks_A is None or (sinks_A.shape == (heads,) and sinks_A.is_contiguous()), (sinks_A.shape, heads)
    o_TAD = empty_result(q_TAD, (tokens, heads, dim), out_format)
    if tokens == 0:
        return o_TAD
    chip, group, block_d = chip_of(q_TAD), heads // kv_heads, 1 << (dim - 1).bit_length()
    rows = max_query_len * group
    out_group = FORMATS[out_format].group if out_format else 1
    crowded = k_scale is not None or 1 < out_group < 128
    tile = tile_for(q_TAD.dtype, chip.arch, rows, dim, page_size, crowded=crowded)
    # Tiles for the longest sequence in every one, or, where lengths differ so much that most would be empty, packed and found by search.
    tiles_each, packed = -(-rows // tile.rows), tokens * group // tile.rows + sequences
    tiles = min(sequences * tiles_each, packed)
    longest = table_width * page_size
    if window:  # what a tile's rows see, and the rest of its first step
        longest = min(longest, window + min(max_query_len, -(-tile.rows // group)) + tile.kv)
    splits = splits_for(rows <= DECODE_ROWS, tile.kv, chip, tiles * kv_heads, longest)
    out, lse = o_TAD, None
    if splits > 1:
        out = q_TAD.new_empty(tokens * heads, splits, dim, dtype=torch.float32)
        lse = q_TAD.new_empty(tokens * heads, splits, dtype=torch.float32)
    head_bytes = table_width * page_size * dim * 2 * k_cache_PGBD.dtype.itemsize
    heads_together = next(h for h in range(kv_heads, 0, -1) if kv_heads % h == 0 and (h == 1 or h * head_bytes <= L2_BYTES))
    launch_kernel(
        attention_kernel, (tiles * kv_heads * splits,),
        q_TAD, k_cache_PGBD, v_cache_PGBD, block_table_SM, query_start_S1, context_len_S, sinks_A, out, lse, k_scale, v_scale, None if splits > 1 else y_scale,
        sequences, table_width, kv_heads, tiles, tiles_each, heads_together, splits, scale * math.log2(math.e),
        GROUP=group, DIM=dim, PAGE=page_size, ROWS=tile.rows, KV=tile.kv, BLOCK_D=block_d,
        SEARCH=tiles < sequences * tiles_each, DIAGONAL_APART=rows > DECODE_ROWS and not window, WINDOW=window,
        OUT_FORMAT="" if splits > 1 else out_format, OUT_GROUP=out_group,
        num_warps=tile.warps, num_stages=tile.stages,
    )  # fmt: skip
    if splits > 1:
        padded = 1 << (splits - 1).bit_length()
        chunk = min(padded, 16)
        launch_kernel(
            attention_combine_kernel, (tokens * heads,), out, lse, sinks_A, o_TAD, y_scale, splits, heads,
            DIM=dim, BLOCK_D=block_d, SPLITS=padded, CHUNK=chunk, OUT_FORMAT=out_format, OUT_GROUP=out_group,
            num_warps=4 if chunk * block_d > 1024 else 1,
        )  # fmt: skip
    return o_TAD


def _check(
    q_TAD: torch.Tensor, k_cache_PGBD: torch.Tensor, v_cache_PGBD: torch.Tensor,
    block_table_SM: torch.Tensor, query_start_S1: torch.Tensor, context_len_S: torch.Tensor,
) -> None:  # fmt: skip
    _, heads, dim = q_TAD.shape
    _, kv_heads, page_size, _ = k_cache_PGBD.shape
    sequences = block_table_SM.shape[0]
    for x in (q_TAD, k_cache_PGBD, v_cache_PGBD, block_table_SM, query_start_S1, context_len_S):
        assert x.is_contiguous(), (x.shape, x.stride())
    assert k_cache_PGBD.shape == v_cache_PGBD.shape, (k_cache_PGBD.shape, v_cache_PGBD.shape)
    assert k_cache_PGBD.shape[3] == dim <= 256, (k_cache_PGBD.shape, dim)
    assert k_cache_PGBD.dtype == v_cache_PGBD.dtype, (k_cache_PGBD.dtype, v_cache_PGBD.dtype)
    assert heads % kv_heads == 0, (heads, kv_heads)
    assert page_size >= 16, page_size
    assert page_size.bit_count() == 1, page_size
    assert query_start_S1.shape == (sequences + 1,), (query_start_S1.shape, sequences)
    assert context_len_S.shape == (sequences,), (context_len_S.shape, sequences)
    for x in (block_table_SM, query_start_S1, context_len_S):
        assert x.dtype == torch.int32, x.dtype


def work(call: OpCall, facts: StepFacts) -> Work:
    """4 D flops for each query head and position it sees;
    reads q, sinks, scales, and once each the keys, values and table entries that a sequence's queries see; writes o."""
    tokens, heads, dim = call.dims("q_TAD")
    kv_heads, page_size = call.dims("k_cache_PGBD")[1:3]
    live = [(q, c) for q, c in zip(facts.query_len_S, facts.context_len_S, strict=True) if q > 0]
    window = int(call.attr("window"))
    pairs = sum(_pairs(q, c, window) for q, c in live)
    seen = [min(c, q + window - 1) if window else c for q, c in live]
    kv_bytes = call.shape("k_cache_PGBD").dtype.itemsize + call.shape("v_cache_PGBD").dtype.itemsize
    read = call.nbytes("q_TAD", "sinks_A", "query_start_S1", "context_len_S", "k_scale", "v_scale") + sum(seen) * kv_heads * dim * kv_bytes
    entries = sum(-(-c // page_size) - (c - n) // page_size for (_, c), n in zip(live, seen, strict=True))
    return Work(
        flops=4 * dim * heads * pairs,
        lane=call.lane("q_TAD"),
        read_bytes=read + entries * call.shape("block_table_SM").dtype.itemsize,
        written_bytes=result_bytes(call, tokens * heads * dim, "q_TAD"),
    )


def _pairs(queries: int, context: int, window: int) -> int:
    """Positions that the last `queries` of a context see, added up."""
    if not window:
        return queries * (context - queries) + queries * (queries + 1) // 2
    full = max(0, min(queries, context - window + 1))  # queries that see a whole window; the others all that is before them
    short = queries - full
    return full * window + short * (context - queries) + short * (short + 1) // 2


def inputs(
    *,
    generator: torch.Generator,
    dtype: torch.dtype,
    queries: list[int],
    contexts: list[int],
    heads: int,
    kv_heads: int,
    dim: int,
    page_size: int,
    table_width: int | None = None,
    window: int = 0,
    sinks: bool = False,
    cache_format: str = "",
    out_format: str = "",
) -> dict[str, Any]:
    """Sequences with their pages shuffled over a cache that holds NaN elsewhere; block-table entries that nothing uses name pages that do not exist."""
    needed = [-(-c // page_size) for c in contexts]
    width = table_width or max(needed) + 1
    order = torch.randperm(sum(needed) + 1, generator=generator).to(torch.int32)
    k_cache_PGBD, v_cache_PGBD = (torch.full((len(order), kv_heads, page_size, dim), float("nan")) for _ in range(2))
    block_table_SM = torch.full((len(queries), width), -1, dtype=torch.int32)
    block_table_SM[:, 1::2] = 2**30
    used = 0
    for s, context in enumerate(contexts):
        pages = order[used : used + needed[s]]
        used += needed[s]
        low = max(0, context - queries[s] + 1 - window) if window else 0
        for place, page in enumerate(pages.tolist()):
            start, stop = max(low - place * page_size, 0), min(page_size, context - place * page_size)
            if start >= stop:
                continue  # all of it before the window
            block_table_SM[s, place] = page
            for cache in (k_cache_PGBD, v_cache_PGBD):
                cache[page, :, start:stop] = torch.randn(kv_heads, stop - start, dim, generator=generator)
    q_TAD = torch.randn(sum(queries), heads, dim, generator=generator).to(dtype)
    k_cache_PGBD, k_scale = drawn_cache(k_cache_PGBD, cache_format, dtype)
    v_cache_PGBD, v_scale = drawn_cache(v_cache_PGBD, cache_format, dtype, 2 * DRAWN_SCALE)
    return {
        "q_TAD": q_TAD,
        "k_cache_PGBD": k_cache_PGBD,
        "v_cache_PGBD": v_cache_PGBD,
        "block_table_SM": block_table_SM,
        "query_start_S1": torch.tensor([sum(queries[:s]) for s in range(len(queries) + 1)], dtype=torch.int32),
        "context_len_S": torch.tensor(contexts, dtype=torch.int32),
        "sinks_A": torch.randn(heads, generator=generator).to(dtype) if sinks else None,
        "scale": dim**-0.5,
        "max_query_len": max(queries),
        "window": window,
        "k_scale": k_scale,
        "v_scale": v_scale,
        "y_scale": unwritten_scale((sum(queries), heads, dim), out_format),
        "out_format": out_format,
    }


attention = Operation(
    name="attention",
    reference=reference,
    launch=launch,
    fake=fake,
    work=work,
    inputs=inputs,
    mutates=("y_scale",),
    cases=(
        # decode: contexts of one slot, a page, off a page; a sequence that is not part of the step; segments that are empty
        {"queries": [1, 1, 0, 1], "contexts": [1, 64, 77, 301], "heads": 8, "kv_heads": 2, "dim": 128, "page_size": 64},
        {"queries": [1, 1], "contexts": [130, 33], "heads": 7, "kv_heads": 1, "dim": 64, "page_size": 16},
        {"queries": [1], "contexts": [70], "heads": 2, "kv_heads": 2, "dim": 96, "page_size": 128},
        # prefill: from nothing, a chunk over an existing context, more heads of K and V than fit L2 together
        {"queries": [150], "contexts": [150], "heads": 4, "kv_heads": 1, "dim": 64, "page_size": 64},
        {"queries": [40], "contexts": [197], "heads": 8, "kv_heads": 2, "dim": 32, "page_size": 16, "table_width": 8192},
        {"queries": [20], "contexts": [700], "heads": 4, "kv_heads": 1, "dim": 32, "page_size": 16, "table_width": 100},
        {"queries": [70, 70], "contexts": [70, 300], "heads": 2, "kv_heads": 1, "dim": 256, "page_size": 128},
        # several tokens per sequence, as speculative decoding verifies them
        {"queries": [4, 2, 3], "contexts": [100, 2, 257], "heads": 8, "kv_heads": 1, "dim": 128, "page_size": 32},
        # one step of everything: tiles are found by search
        {"queries": [1, 90, 0, 3, 1, 1, 1], "contexts": [200, 90, 0, 130, 1, 17, 64], "heads": 7, "kv_heads": 1, "dim": 64, "page_size": 64},
        # windows off pages and tiles, longer and shorter than what is there; sinks, split and not
        {"queries": [1, 1, 1], "contexts": [400, 100, 128], "heads": 16, "kv_heads": 2, "dim": 64, "page_size": 64, "window": 128, "sinks": True},
        {"queries": [1, 0, 1], "contexts": [301, 0, 9], "heads": 8, "kv_heads": 1, "dim": 64, "page_size": 16, "sinks": True},
        {"queries": [150, 60], "contexts": [150, 333], "heads": 4, "kv_heads": 1, "dim": 64, "page_size": 16, "window": 37, "sinks": True},
        {"queries": [90, 1, 5], "contexts": [170, 70, 66], "heads": 4, "kv_heads": 2, "dim": 64, "page_size": 32, "window": 1},
        {"queries": [4, 3], "contexts": [260, 3], "heads": 8, "kv_heads": 1, "dim": 32, "page_size": 128, "window": 200},
        # e4m3 caches: decode, its segments combined, window and sinks over small pages, prefill; results encoded by either kernel, head dims off powers of two
        {"queries": [1, 0, 1], "contexts": [1, 77, 150], "heads": 8, "kv_heads": 2, "dim": 128, "page_size": 64, "cache_format": "fp8", "out_format": "mxfp8"},
        {"queries": [1, 2], "contexts": [90, 33], "heads": 6, "kv_heads": 1, "dim": 96, "page_size": 16, "window": 37, "sinks": True, "cache_format": "fp8"},
        {"queries": [70, 5], "contexts": [150, 70], "heads": 2, "kv_heads": 1, "dim": 64, "page_size": 128, "cache_format": "fp8", "out_format": "nvfp4"},
        {"queries": [80], "contexts": [80], "heads": 2, "kv_heads": 1, "dim": 128, "page_size": 64, "out_format": "fp8_1x128"},
        {"queries": [1], "contexts": [70], "heads": 4, "kv_heads": 2, "dim": 96, "page_size": 128, "out_format": "mxfp4"},
    ),
)
