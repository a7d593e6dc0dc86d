"""Attention of every head over one paged latent per position: multi-head latent attention with the expansion absorbed, as it decodes.

Shapes: T tokens, S sequences, A query heads, P pages, B slots per page, M pages per sequence, W = C + D columns of a cached latent: C that are values too,
and D of the rotated key.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from triton_kernels.attention_tiles import DECODE_ROWS, AttentionTile, splits_for
from triton_kernels.kv_format import check_cache, drawn_cache, uncached
from triton_kernels.launch import launch_kernel
from triton_kernels.operation import OpCall, Operation, StepFacts, Work
from triton_kernels.target import chip_of
from triton_kernels.tiles import family


def _tile(rows: int, kv: int, warps: int, stages: int) -> AttentionTile:
    return AttentionTile(rows=rows, kv=kv, warps=warps, stages=stages)


# By family: the tile for up to so many rows (query token x head) of the longest sequence. 64 rows of 512 fp32 sums fill half of an SM's registers; each
# program reads every latent of its segment, so 128 heads take two programs, not eight.
TILES: dict[str, tuple[tuple[int | None, AttentionTile], ...]] = {
    "sm90": ((16, _tile(16, 64, 4, 2)), (32, _tile(32, 64, 8, 2)), (None, _tile(64, 32, 8, 2))),
    "sm100": ((16, _tile(16, 64, 4, 2)), (32, _tile(32, 64, 8, 2)), (None, _tile(64, 32, 8, 2))),
    "sm80": ((16, _tile(16, 32, 4, 2)), (None, _tile(32, 32, 8, 1))),
    "fp32": ((None, _tile(16, 16, 8, 1)),),
}


def reference(
    q_TAW: torch.Tensor,
    latent_cache_PBW: torch.Tensor,
    block_table_SM: torch.Tensor,
    query_start_S1: torch.Tensor,
    context_len_S: torch.Tensor,
    scale: float,
    max_query_len: int,
    value_dim: int,
    cache_scale: torch.Tensor | None = None,
) -> torch.Tensor:
    """o_TAC = softmax(scale q latent^T) latent[:, :C], per sequence and head; all heads share the latents. C = value_dim.

    cache_scale (fp32 [1]): the cache holds e4m3 codes of latent and rotated part, widened to q's type and multiplied there, as in `attention`.
    Sequences, pages and causality as in `attention`. Source: DeepSeek-V2, arXiv 2405.04434; served so by FlashMLA.
    """
    page_size, width = latent_cache_PBW.shape[1:]
    starts, contexts = query_start_S1.tolist(), context_len_S.tolist()
    o_TAC = q_TAW.new_empty(*q_TAW.shape[:2], value_dim)
    for s, context in enumerate(contexts):
        first, last = starts[s], starts[s + 1]
        tokens = last - first
        if tokens == 0:
            continue
        pages = block_table_SM[s, : -(-context // page_size)].long()
        latent_CW = uncached(latent_cache_PBW[pages].reshape(-1, width)[:context], cache_scale, q_TAW.dtype)
        seen = None if tokens == 1 else torch.ones(tokens, context, dtype=torch.bool, device=q_TAW.device).tril(context - tokens)
        q_ATW = q_TAW[first:last].transpose(0, 1)
        keys = latent_CW.expand(q_ATW.shape[0], -1, -1)
        o = torch.nn.functional.scaled_dot_product_attention(q_ATW, keys, keys[..., :value_dim], attn_mask=seen, scale=scale)
        o_TAC[first:last] = o.transpose(0, 1)
    return o_TAC


def fake(
    q_TAW: torch.Tensor,
    latent_cache_PBW: torch.Tensor,
    block_table_SM: torch.Tensor,
    query_start_S1: torch.Tensor,
    context_len_S: torch.Tensor,
    scale: float,
    max_query_len: int,
    value_dim: int,
    cache_scale: torch.Tensor | None = None,
) -> torch.Tensor:
    return q_TAW.new_empty(*q_TAW.shape[:2], value_dim)


def launch(
    q_TAW: torch.Tensor,
    latent_cache_PBW: torch.Tensor,
    block_table_SM: torch.Tensor,
    query_start_S1: torch.Tensor,
    context_len_S: torch.Tensor,
    scale: float,
    max_query_len: int,
    value_dim: int,
    cache_scale: torch.Tensor | None = None,
) -> torch.Tensor:
    from triton_kernels._jit.attention import attention_combine_kernel
    from triton_kernels._jit.latent_attention import latent_attention_kernel

    tokens, heads, width = q_TAW.shape
    page_size = latent_cache_PBW.shape[1]
    sequences, table_width = block_table_SM.shape
    for x in (q_TAW, latent_cache_PBW, block_table_SM, query_start_S1, context_len_S):
        assert x.is_contiguous(), (x.shape, x.stride())
    for x in (block_table_SM, query_start_S1, context_len_S):
        assert x.dtype == torch.int32, x.dtype
    check_cache(q_TAW.dtype, latent_cache_PBW, cache_scale)
    assert latent_cache_PBW.shape[2] == width > value_dim, (latent_cache_PBW.shape, width, value_dim)
    assert page_size >= 16, page_size
    assert page_size.bit_count() == 1, page_size
    assert scale > 0, scale
    o_TAC = fake(q_TAW, latent_cache_PBW, block_table_SM, query_start_S1, context_len_S, scale, max_query_len, value_dim)
    if tokens == 0:
        return o_TAC
    chip, rows = chip_of(q_TAW), max_query_len * heads
    tile = next(tile for most, tile in TILES[family(chip.arch, q_TAW.dtype)] if most is None or rows <= most)
    tiles_each, packed = -(-rows // tile.rows), tokens * heads // tile.rows + sequences
    tiles = min(sequences * tiles_each, packed)
    # Few tokens of many heads are as bound to split as few rows are: what counts is how many programs there are.
    splits = splits_for(max_query_len <= DECODE_ROWS, tile.kv, chip, tiles, table_width * page_size)
    out, lse = o_TAC, None
    if splits > 1:
        out = q_TAW.new_empty(tokens * heads, splits, value_dim, dtype=torch.float32)
        lse = q_TAW.new_empty(tokens * heads, splits, dtype=torch.float32)
    block_c, block_d = 1 << (value_dim - 1).bit_length(), max(16, 1 << (width - value_dim - 1).bit_length())
    launch_kernel(
        latent_attention_kernel, (tiles * splits,),
        q_TAW, latent_cache_PBW, block_table_SM, query_start_S1, context_len_S, out, lse, cache_scale,
        sequences, table_width, tiles, tiles_each, splits, scale * math.log2(math.e),
        HEADS=heads, C=value_dim, D=width - value_dim, PAGE=page_size, ROWS=tile.rows, KV=tile.kv, BLOCK_C=max(16, block_c), BLOCK_D=block_d,
        SEARCH=tiles < sequences * tiles_each, num_warps=tile.warps, num_stages=tile.stages,
    )  # fmt: skip
    if splits > 1:
        padded = 1 << (splits - 1).bit_length()
        chunk = min(padded, 16)
        launch_kernel(
            attention_combine_kernel, (tokens * heads,), out, lse, None, o_TAC, None, splits, heads,
            DIM=value_dim, BLOCK_D=block_c, SPLITS=padded, CHUNK=chunk, OUT_FORMAT="", OUT_GROUP=1, num_warps=4 if chunk * block_c > 1024 else 1,
        )  # fmt: skip
    return o_TAC


def work(call: OpCall, facts: StepFacts) -> Work:
    """2 (W + C) flops for each head and position it sees; reads q, and each sequence's live latents and table entries once; writes o."""
    tokens, heads, width = call.dims("q_TAW")
    value_dim, size = int(call.attr("value_dim")), call.shape("latent_cache_PBW").dtype.itemsize
    page_size = call.dims("latent_cache_PBW")[1]
    live = [(q, c) for q, c in zip(facts.query_len_S, facts.context_len_S, strict=True) if q > 0]
    pairs = sum(q * (c - q) + q * (q + 1) // 2 for q, c in live)
    positions, entries = sum(c for _, c in live), sum(-(-c // page_size) for _, c in live)
    return Work(
        flops=2 * (width + value_dim) * heads * pairs,
        lane=call.lane("q_TAW"),
        read_bytes=call.nbytes("q_TAW", "query_start_S1", "context_len_S", "cache_scale") + positions * width * size + 4 * entries,
        written_bytes=tokens * heads * value_dim * call.shape("q_TAW").dtype.itemsize,
    )


def inputs(
    *,
    generator: torch.Generator,
    dtype: torch.dtype,
    queries: list[int],
    contexts: list[int],
    heads: int,
    latent: int,
    rotary: int,
    page_size: int,
    cache_format: str = "",
) -> dict[str, Any]:
    """Sequences with their pages shuffled over a cache that holds NaN elsewhere; block-table entries that nothing uses name pages that do not exist."""
    needed = [-(-c // page_size) for c in contexts]
    order = torch.randperm(sum(needed) + 1, generator=generator).to(torch.int32)
    latent_cache_PBW = torch.full((len(order), page_size, latent + rotary), float("nan"))
    block_table_SM = torch.full((len(queries), max(needed) + 1), 2**30, dtype=torch.int32)
    used = 0
    for s, context in enumerate(contexts):
        pages = order[used : used + needed[s]]
        used += needed[s]
        block_table_SM[s, : len(pages)] = pages
        for place, page in enumerate(pages.tolist()):
            slots = min(page_size, context - place * page_size)
            latent_cache_PBW[page, :slots] = torch.randn(slots, latent + rotary, generator=generator)
    q_TAW = torch.randn(sum(queries), heads, latent + rotary, generator=generator).to(dtype)
    latent_cache_PBW, cache_scale = drawn_cache(latent_cache_PBW, cache_format, dtype)
    return {
        "q_TAW": q_TAW,
        "latent_cache_PBW": latent_cache_PBW,
        "block_table_SM": block_table_SM,
        "query_start_S1": torch.tensor([sum(queries[:s]) for s in range(len(queries) + 1)], dtype=torch.int32),
        "context_len_S": torch.tensor(contexts, dtype=torch.int32),
        "scale": (latent + rotary) ** -0.5,
        "max_query_len": max(queries),
        "value_dim": latent,
        "cache_scale": cache_scale,
    }


latent_attention = Operation(
    name="latent_attention",
    reference=reference,
    launch=launch,
    fake=fake,
    work=work,
    inputs=inputs,
    cases=(
        # decode at DeepSeek's widths: many heads, a tensor-parallel slice; contexts of one slot, a page, off a page; a sequence that is not part of the step
        {"queries": [1, 1, 0, 1], "contexts": [1, 64, 77, 150], "heads": 128, "latent": 512, "rotary": 64, "page_size": 64},
        {"queries": [1, 1], "contexts": [130, 33], "heads": 16, "latent": 512, "rotary": 64, "page_size": 64},
        {"queries": [1], "contexts": [301], "heads": 20, "latent": 96, "rotary": 8, "page_size": 16},
        # several tokens per sequence, a chunk over an existing context, and everything in one step
        {"queries": [4, 2, 3], "contexts": [100, 2, 257], "heads": 12, "latent": 32, "rotary": 16, "page_size": 32},
        {"queries": [40], "contexts": [97], "heads": 5, "latent": 24, "rotary": 8, "page_size": 128},
        {"queries": [1, 30, 0, 3, 1], "contexts": [90, 30, 0, 70, 1], "heads": 7, "latent": 40, "rotary": 10, "page_size": 64},
        # codes: split and not
        {"queries": [1, 1], "contexts": [130, 33], "heads": 16, "latent": 512, "rotary": 64, "page_size": 64, "cache_format": "fp8"},
        {"queries": [1, 20, 0], "contexts": [90, 30, 5], "heads": 7, "latent": 40, "rotary": 10, "page_size": 16, "cache_format": "fp8"},
    ),
)
