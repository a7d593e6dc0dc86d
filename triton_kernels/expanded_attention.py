"""Causal attention of multi-head latent attention's prefill: keys and values expanded per head, a rotary key that all heads share, the query rotated inside.

Shapes: T tokens, S sequences, A heads, K dims of a head without position, D rotary dims, F = K + D, V value dims, O = K + V, N context positions of all
sequences, Q positions of the table.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from triton_kernels.attention import fuses
from triton_kernels.attention_tiles import L2_BYTES, AttentionTile
from triton_kernels.formats import FORMATS
from triton_kernels.latent_kv_write import rotary_table, rotated
from triton_kernels.launch import launch_kernel
from triton_kernels.operation import OpCall, Operation, StepFacts, Work
from triton_kernels.results import check_result, empty_result, encode_result, result_bytes, unwritten_scale
from triton_kernels.target import chip_of
from triton_kernels.tiles import family


def _tile(rows: int, kv: int, warps: int, stages: int) -> AttentionTile:
    return AttentionTile(rows=rows, kv=kv, warps=warps, stages=stages)


# By family of chips: the tile for up to so many query tokens of the longest sequence, ascending; None: any number.
TILES: dict[str, tuple[tuple[int | None, AttentionTile], ...]] = {
    "sm90": ((64, _tile(64, 64, 4, 2)), (None, _tile(128, 128, 8, 2))),
    "sm100": ((64, _tile(64, 32, 4, 3)), (None, _tile(128, 64, 8, 3))),
    "sm80": ((64, _tile(64, 32, 4, 2)), (None, _tile(128, 32, 8, 2))),
    "fp32": ((16, _tile(16, 32, 8, 1)), (None, _tile(32, 16, 8, 1))),
}


def _dims(q_TAF: torch.Tensor, kv_NAO: torch.Tensor, key_ND: torch.Tensor) -> tuple[int, int, int]:
    """K, D and V."""
    dim = key_ND.shape[1]
    k = q_TAF.shape[2] - dim
    return k, dim, kv_NAO.shape[2] - k


def reference(
    q_TAF: torch.Tensor,
    kv_NAO: torch.Tensor,
    key_ND: torch.Tensor,
    cos_sin_QD: torch.Tensor,
    positions_T: torch.Tensor,
    query_start_S1: torch.Tensor,
    context_start_S1: torch.Tensor,
    scale: float,
    max_query_len: int,
    y_scale: torch.Tensor | None = None,
    out_format: str = "",
) -> torch.Tensor:
    """o_TAV = softmax(scale q k^T) v, per sequence and head. Keys of head a: kv[:, a, :K] beside key_ND, already rotated; values: kv[:, a, K:].

    q's last D columns are rotated by position here. Sequence s owns tokens query_start_S1[s] .. query_start_S1[s + 1] (int32; q of them, 0 allowed; the last
    entry is T) and rows context_start_S1[s] .. context_start_S1[s + 1] of kv and key (int32; c >= q of them, this step's tokens included); its query i sees
    rows 0 .. c - q + i of them. Rows of no sequence are never read. scale > 0; max_query_len: the largest q or more.
    out_format: o is returned in it where attention.fuses(.., V), the scales of the matrix [T, A V] written to y_scale.
    Source: multi-head latent attention, arXiv 2405.04434, section 2.1; FlashAttention-2, arXiv 2307.08691.
    """
    k, _, v = _dims(q_TAF, kv_NAO, key_ND)
    assert not out_format or fuses(FORMATS[out_format], v), (out_format, v)
    heads = q_TAF.shape[1]
    starts, contexts = query_start_S1.tolist(), context_start_S1.tolist()
    q_TAF = torch.cat((q_TAF[..., :k], rotated(q_TAF[..., k:], cos_sin_QD[positions_T.long()][:, None])), -1)
    o_TAV = q_TAF.new_empty(q_TAF.shape[0], heads, v)
    for s in range(len(starts) - 1):
        first, last = starts[s], starts[s + 1]
        tokens, context = last - first, contexts[s + 1] - contexts[s]
        if tokens == 0:
            continue
        kv = kv_NAO[contexts[s] : contexts[s + 1]].transpose(0, 1)
        shared = key_ND[contexts[s] : contexts[s + 1]].expand(heads, -1, -1)
        keys = torch.cat((kv[..., :k], shared), -1)
        seen = torch.ones(tokens, context, dtype=torch.bool, device=kv.device).tril(context - tokens)
        q = q_TAF[first:last].transpose(0, 1)
        o_TAV[first:last] = torch.nn.functional.scaled_dot_product_attention(q, keys, kv[..., k:], attn_mask=seen, scale=scale).transpose(0, 1)
    return encode_result(o_TAV, out_format, y_scale)


def fake(
    q_TAF: torch.Tensor,
    kv_NAO: torch.Tensor,
    key_ND: torch.Tensor,
    cos_sin_QD: torch.Tensor,
    positions_T: torch.Tensor,
    query_start_S1: torch.Tensor,
    context_start_S1: torch.Tensor,
    scale: float,
    max_query_len: int,
    y_scale: torch.Tensor | None = None,
    out_format: str = "",
) -> torch.Tensor:
    return empty_result(q_TAF, (*q_TAF.shape[:2], _dims(q_TAF, kv_NAO, key_ND)[2]), out_format)


def tile_for(dtype: torch.dtype, arch: int, rows: int) -> AttentionTile:
    """The tile for sequences of at most `rows` query tokens of `dtype` on a chip."""
    return next(tile for most, tile in TILES[family(arch, dtype)] if most is None or rows <= most)


def launch(
    q_TAF: torch.Tensor,
    kv_NAO: torch.Tensor,
    key_ND: torch.Tensor,
    cos_sin_QD: torch.Tensor,
    positions_T: torch.Tensor,
    query_start_S1: torch.Tensor,
    context_start_S1: torch.Tensor,
    scale: float,
    max_query_len: int,
    y_scale: torch.Tensor | None = None,
    out_format: str = "",
) -> torch.Tensor:
    from triton_kernels._jit.expanded_attention import expanded_attention_kernel

    tokens, heads, _ = q_TAF.shape
    k, dim, v = _dims(q_TAF, kv_NAO, key_ND)
    _check(q_TAF, kv_NAO, key_ND, cos_sin_QD, positions_T, query_start_S1, context_start_S1)
    assert scale > 0, scale
    assert not out_format or fuses(FORMATS[out_format], v), (out_format, v)
    check_result((tokens, heads, v), out_format, y_scale)
    o_TAV = empty_result(q_TAF, (tokens, heads, v), out_format)
    if tokens == 0:
        return o_TAV
    sequences = query_start_S1.shape[0] - 1
    tile = tile_for(q_TAF.dtype, chip_of(q_TAF).arch, max_query_len)
    # As in attention: tiles for the longest sequence in every one, or, where lengths differ much, packed and found by search.
    tiles_each, packed = -(-max_query_len // tile.rows), tokens // tile.rows + sequences
    tiles = min(sequences * tiles_each, packed)
    head_bytes = kv_NAO.shape[0] * (k + v) * kv_NAO.dtype.itemsize // sequences
    heads_together = next(h for h in range(heads, 0, -1) if heads % h == 0 and (h == 1 or h * head_bytes <= L2_BYTES))
    block_k, block_d, block_v = (1 << max(n - 1, 15).bit_length() for n in (k, dim, v))
    launch_kernel(
        expanded_attention_kernel, (tiles * heads,),
        q_TAF, kv_NAO, key_ND, cos_sin_QD, positions_T, query_start_S1, context_start_S1, o_TAV, y_scale,
        sequences, heads, tiles, tiles_each, heads_together, scale * math.log2(math.e),
        K=k, DIM=dim, V=v, ROWS=tile.rows, KV=tile.kv, BLOCK_K=block_k, BLOCK_D=block_d, BLOCK_V=block_v, SEARCH=tiles < sequences * tiles_each,
        OUT_FORMAT=out_format, OUT_GROUP=FORMATS[out_format].group if out_format else 1, num_warps=tile.warps, num_stages=tile.stages,
    )  # fmt: skip
    return o_TAV


def _check(
    q_TAF: torch.Tensor,
    kv_NAO: torch.Tensor,
    key_ND: torch.Tensor,
    cos_sin_QD: torch.Tensor,
    positions_T: torch.Tensor,
    query_start_S1: torch.Tensor,
    context_start_S1: torch.Tensor,
) -> None:
    k, dim, v = _dims(q_TAF, kv_NAO, key_ND)
    assert min(k, v) > 0, (q_TAF.shape, kv_NAO.shape, key_ND.shape)
    assert max(k, v) <= 128, (k, v)
    assert dim <= 64, dim
    assert dim % 2 == 0, dim
    assert kv_NAO.shape[:2] == (key_ND.shape[0], q_TAF.shape[1]), (kv_NAO.shape, key_ND.shape, q_TAF.shape)
    assert kv_NAO.dtype == key_ND.dtype == q_TAF.dtype, (q_TAF.dtype, kv_NAO.dtype, key_ND.dtype)
    assert cos_sin_QD.dtype == torch.float32, cos_sin_QD.dtype
    assert cos_sin_QD.shape[1] == dim, (cos_sin_QD.shape, dim)
    assert positions_T.shape == q_TAF.shape[:1], (positions_T.shape, q_TAF.shape)
    assert query_start_S1.shape == context_start_S1.shape, (query_start_S1.shape, context_start_S1.shape)
    for x in (q_TAF, kv_NAO, key_ND, cos_sin_QD, positions_T, query_start_S1, context_start_S1):
        assert x.is_contiguous(), (x.shape, x.stride())
    for x in (positions_T, query_start_S1, context_start_S1):
        assert x.dtype == torch.int32, x.dtype


def work(call: OpCall, facts: StepFacts) -> Work:
    """2 (F + V) flops for each head and position that a query sees; reads q, each table row, and keys and values of sequences in the step once; writes o."""
    tokens, heads, f = call.dims("q_TAF")
    positions, dim = call.dims("cos_sin_QD")
    o = call.dims("kv_NAO")[2]
    v = o - (f - dim)
    live = [(q, c) for q, c in zip(facts.query_len_S, facts.context_len_S, strict=True) if q > 0]
    pairs = sum(q * (c - q) + q * (q + 1) // 2 for q, c in live)
    rows = sum(c for _, c in live)
    row_bytes = heads * o * call.shape("kv_NAO").dtype.itemsize + dim * call.shape("key_ND").dtype.itemsize
    table = min(tokens, positions) * dim * call.shape("cos_sin_QD").dtype.itemsize
    return Work(
        flops=2 * (f + v) * heads * pairs,
        lane=call.lane("q_TAF"),
        read_bytes=call.nbytes("q_TAF", "positions_T", "query_start_S1", "context_start_S1") + rows * row_bytes + table,
        written_bytes=result_bytes(call, tokens * heads * v, "q_TAF"),
    )


def inputs(
    *,
    generator: torch.Generator,
    dtype: torch.dtype,
    queries: list[int],
    contexts: list[int],
    heads: int,
    k: int,
    dim: int,
    v: int,
    spare_rows: int = 0,
    out_format: str = "",
) -> dict[str, Any]:
    """Sequences one after the other; `spare_rows` rows of keys and values that belong to none are NaN, and so are those of sequences without a query."""
    tokens, live, positions = sum(queries), sum(contexts), 2 * max(contexts)
    kv_NAO = torch.full((live + spare_rows, heads, k + v), float("nan"))
    key_ND = torch.full((live + spare_rows, dim), float("nan"))
    first = 0
    for q, c in zip(queries, contexts, strict=True):
        if q > 0:
            kv_NAO[first : first + c] = torch.randn(c, heads, k + v, generator=generator)
            key_ND[first : first + c] = torch.randn(c, dim, generator=generator)
        first += c
    return {
        "q_TAF": torch.randn(tokens, heads, k + dim, generator=generator).to(dtype),
        "kv_NAO": kv_NAO.to(dtype),
        "key_ND": key_ND.to(dtype),
        "cos_sin_QD": rotary_table(positions, dim),
        "positions_T": torch.randint(positions, (tokens,), generator=generator, dtype=torch.int32),
        "query_start_S1": torch.tensor([0, *queries]).cumsum(0).to(torch.int32),
        "context_start_S1": torch.tensor([0, *contexts]).cumsum(0).to(torch.int32),
        "scale": (k + dim) ** -0.5,
        "max_query_len": max(queries),
        "y_scale": unwritten_scale((tokens, heads, v), out_format),
        "out_format": out_format,
    }


expanded_attention = Operation(
    name="expanded_attention",
    reference=reference,
    launch=launch,
    fake=fake,
    work=work,
    inputs=inputs,
    mutates=("y_scale",),
    cases=(
        # DeepSeek-V3's dims: from nothing over the edge of a tile, and a chunk over an existing context
        {"queries": [150], "contexts": [150], "heads": 2, "k": 128, "dim": 64, "v": 128, "spare_rows": 3},
        {"queries": [40, 70], "contexts": [197, 70], "heads": 2, "k": 128, "dim": 64, "v": 128},
        {"queries": [5, 0, 1, 20], "contexts": [37, 20, 1, 20], "heads": 3, "k": 33, "dim": 6, "v": 17, "spare_rows": 9},
        {"queries": [3], "contexts": [3], "heads": 1, "k": 1, "dim": 2, "v": 1},
        # lengths so different that tiles are found by search
        {"queries": [1, 200, 0, 3, 1, 1], "contexts": [130, 200, 0, 64, 1, 17], "heads": 3, "k": 32, "dim": 16, "v": 64},
        {"queries": [40, 3], "contexts": [57, 3], "heads": 2, "k": 128, "dim": 64, "v": 128, "out_format": "fp8_1x128"},
        {"queries": [20, 3], "contexts": [37, 3], "heads": 3, "k": 32, "dim": 16, "v": 48, "out_format": "nvfp4"},
    ),
)
