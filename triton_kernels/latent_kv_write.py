"""From multi-head latent attention's first projection to its second in one pass: both norms, the key's rotary position, latent and key into the paged cache.

Shapes: T tokens, X = U + C + D columns of the projection, U rank of the query, C rank of keys and values, D rotary dims, Q positions of the table, P pages,
B slots per page, W = C + D.
"""

from __future__ import annotations

from typing import Any

import torch

from triton_kernels.formats import FORMATS
from triton_kernels.kv_format import DRAWN_SCALE, check_cache, store_cached
from triton_kernels.launch import launch_kernel
from triton_kernels.operation import OpCall, Operation, StepFacts, Work, wide
from triton_kernels.results import check_result, empty_result, encode_result, result_bytes, unwritten_scale


def normed(x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    """x over its root mean square along the last dim, times weight; rounded before and after the weight, as torch does."""
    x32 = wide(x)
    return (x32 * torch.rsqrt(x32.square().mean(-1, keepdim=True) + eps)).to(x.dtype) * weight


def rotated(x: torch.Tensor, cos_sin: torch.Tensor) -> torch.Tensor:
    """With x = (low, high) along the last dim: (low cos - high sin, high cos + low sin). cos_sin: D/2 cosines, then D/2 sines, broadcast against x."""
    low, high = wide(x).chunk(2, -1)
    cos, sin = cos_sin.to(low.dtype).chunk(2, -1)
    return torch.cat((low * cos - high * sin, high * cos + low * sin), -1).to(x.dtype)


def _query_rank(columns: int, kv_rank: int, rotary_dim: int, q_norm_U: torch.Tensor | None) -> int:
    rank = columns - kv_rank - rotary_dim
    assert rank == (0 if q_norm_U is None else q_norm_U.shape[0]), (columns, kv_rank, rotary_dim, rank)
    return rank


def reference(
    a_TX: torch.Tensor,
    cos_sin_QD: torch.Tensor,
    positions_T: torch.Tensor,
    slots_T: torch.Tensor,
    latent_cache_PBW: torch.Tensor,
    q_norm_U: torch.Tensor | None,
    kv_norm_C: torch.Tensor,
    eps: float,
    cache_scale: torch.Tensor | None = None,
    y_scale: torch.Tensor | None = None,
    out_format: str = "",
) -> torch.Tensor:
    """Returns u_TU: a's first U columns, rms-normed; writes the next C, rms-normed, and the last D, rotated, into slot slots_T[t] = page * B + offset
    (-1: nowhere).

    q_norm_U None: the query has no low rank, U = 0. Rotation in halves as in rope_kv_write. cos_sin_QD: fp32. positions_T, slots_T: int32; slots are distinct.
    cache_scale (fp32 [1]): the cache holds e4m3 codes, of latent and rotated part over the one scale, saturating.
    out_format: u is returned in it, its scales written to y_scale.
    Source: multi-head latent attention, DeepSeek-V2, arXiv 2405.04434, section 2.1; fused as in vLLM and SGLang.
    """
    kv_rank, dim = kv_norm_C.shape[0], cos_sin_QD.shape[1]
    query_rank = _query_rank(a_TX.shape[1], kv_rank, dim, q_norm_U)
    u_TU, latent_TC, key_TD = a_TX.tensor_split((query_rank, query_rank + kv_rank), 1)
    entry_TW = torch.cat((normed(latent_TC, kv_norm_C, eps), rotated(key_TD, cos_sin_QD[positions_T.long()])), 1)
    written = slots_T >= 0
    slots, page_size = slots_T[written].long(), latent_cache_PBW.shape[1]
    store_cached(latent_cache_PBW, (slots // page_size, slots % page_size), entry_TW[written], cache_scale)
    return a_TX.new_empty(a_TX.shape[0], 0) if q_norm_U is None else encode_result(normed(u_TU, q_norm_U, eps), out_format, y_scale)


def fake(
    a_TX: torch.Tensor,
    cos_sin_QD: torch.Tensor,
    positions_T: torch.Tensor,
    slots_T: torch.Tensor,
    latent_cache_PBW: torch.Tensor,
    q_norm_U: torch.Tensor | None,
    kv_norm_C: torch.Tensor,
    eps: float,
    cache_scale: torch.Tensor | None = None,
    y_scale: torch.Tensor | None = None,
    out_format: str = "",
) -> torch.Tensor:
    query_rank = _query_rank(a_TX.shape[1], kv_norm_C.shape[0], cos_sin_QD.shape[1], q_norm_U)
    return empty_result(a_TX, (a_TX.shape[0], query_rank), out_format)


def launch(
    a_TX: torch.Tensor,
    cos_sin_QD: torch.Tensor,
    positions_T: torch.Tensor,
    slots_T: torch.Tensor,
    latent_cache_PBW: torch.Tensor,
    q_norm_U: torch.Tensor | None,
    kv_norm_C: torch.Tensor,
    eps: float,
    cache_scale: torch.Tensor | None = None,
    y_scale: torch.Tensor | None = None,
    out_format: str = "",
) -> torch.Tensor:
    from triton_kernels._jit.latent_kv_write import latent_kv_write_kernel

    (tokens, columns), (_, page_size, width) = a_TX.shape, latent_cache_PBW.shape
    kv_rank, dim = kv_norm_C.shape[0], cos_sin_QD.shape[1]
    query_rank = _query_rank(columns, kv_rank, dim, q_norm_U)
    for x in (a_TX, cos_sin_QD, positions_T, slots_T, latent_cache_PBW, kv_norm_C):
        assert x.is_contiguous(), (x.shape, x.stride())
    assert width == kv_rank + dim, (latent_cache_PBW.shape, kv_rank, dim)
    assert dim % 2 == 0, dim
    assert cos_sin_QD.dtype == torch.float32, cos_sin_QD.dtype
    assert positions_T.shape == slots_T.shape == (tokens,), (positions_T.shape, slots_T.shape, tokens)
    check_cache(a_TX.dtype, latent_cache_PBW, cache_scale)
    assert not out_format or query_rank > 0, (out_format, query_rank)
    check_result((tokens, query_rank), out_format, y_scale)
    u_TU = empty_result(a_TX, (tokens, query_rank), out_format)
    block_u = _block(query_rank)
    if out_format:
        block_u = max(block_u, FORMATS[out_format].group)
    launch_kernel(
        latent_kv_write_kernel, (tokens,),
        a_TX, cos_sin_QD, positions_T, slots_T, latent_cache_PBW, q_norm_U, kv_norm_C, u_TU, cache_scale, y_scale, eps,
        QUERY_RANK=query_rank, KV_RANK=kv_rank, DIM=dim, PAGE=page_size,
        BLOCK_U=block_u, BLOCK_C=_block(kv_rank), HALF=_block(dim // 2),
        OUT_FORMAT=out_format, GROUP=(FORMATS[out_format].group or block_u) if out_format else 1, num_warps=4 if query_rank <= 2048 else 8,
    )  # fmt: skip
    return u_TU


def _block(size: int) -> int:
    return 1 << max(size - 1, 0).bit_length()


def work(call: OpCall, facts: StepFacts) -> Work:
    """Reads a, a table row for each token (each row of the table once at most), places and weights; writes u and entries. Slots of -1 count as written."""
    tokens, columns = call.dims("a_TX")
    positions, dim = call.dims("cos_sin_QD")
    width = call.dims("latent_cache_PBW")[2]
    table = min(tokens, positions) * dim * call.shape("cos_sin_QD").dtype.itemsize
    u_bytes = result_bytes(call, tokens * (columns - width), "a_TX")
    entry_bytes = tokens * width * call.shape("latent_cache_PBW").dtype.itemsize
    read = call.nbytes("a_TX", "positions_T", "slots_T", "q_norm_U", "kv_norm_C", "cache_scale")
    return Work(read_bytes=read + table, written_bytes=u_bytes + entry_bytes)


def inputs(
    *,
    generator: torch.Generator,
    dtype: torch.dtype,
    tokens: int,
    query_rank: int,
    kv_rank: int,
    dim: int,
    page_size: int,
    dead: int = 0,
    cache_format: str = "",
    out_format: str = "",
) -> dict[str, Any]:
    """Random slots of a cache that holds NaN; the first `dead` tokens have none."""

    def draw(*dims: int) -> torch.Tensor:
        return torch.randn(*dims, generator=generator).to(dtype)

    pages, positions = tokens // page_size + 2, 300
    slots_T = torch.randperm(pages * page_size, generator=generator)[:tokens].to(torch.int32)
    slots_T[:dead] = -1
    return {
        "a_TX": draw(tokens, query_rank + kv_rank + dim),
        "cos_sin_QD": rotary_table(positions, dim),
        "positions_T": torch.randint(positions, (tokens,), generator=generator, dtype=torch.int32),
        "slots_T": slots_T,
        "latent_cache_PBW": torch.full((pages, page_size, kv_rank + dim), float("nan"), dtype=torch.float8_e4m3fn if cache_format else dtype),
        "q_norm_U": draw(query_rank) if query_rank else None,
        "kv_norm_C": draw(kv_rank),
        "eps": 1e-6,
        "cache_scale": torch.tensor([DRAWN_SCALE]) if cache_format else None,
        "y_scale": unwritten_scale((tokens, query_rank), out_format),
        "out_format": out_format,
    }


def rotary_table(positions: int, dim: int) -> torch.Tensor:
    """cos_sin_QD of plain RoPE with base 10000, for inputs of operations that rotate."""
    angles = torch.arange(positions)[:, None] * 10000.0 ** (-torch.arange(0, dim, 2) / dim)
    return torch.cat((angles.cos(), angles.sin()), 1).float()


latent_kv_write = Operation(
    name="latent_kv_write",
    reference=reference,
    launch=launch,
    fake=fake,
    work=work,
    inputs=inputs,
    mutates=("latent_cache_PBW", "y_scale"),
    cases=(
        {"tokens": 5, "query_rank": 1536, "kv_rank": 512, "dim": 64, "page_size": 64},  # DeepSeek-V3, Kimi-K2
        {"tokens": 3, "query_rank": 0, "kv_rank": 512, "dim": 64, "page_size": 16},  # DeepSeek-V2-Lite
        {"tokens": 20, "query_rank": 77, "kv_rank": 33, "dim": 6, "page_size": 16, "dead": 3},
        {"tokens": 1, "query_rank": 1, "kv_rank": 1, "dim": 2, "page_size": 16, "dead": 1},
        {"tokens": 2, "query_rank": 3000, "kv_rank": 96, "dim": 32, "page_size": 32},
        {"tokens": 5, "query_rank": 1536, "kv_rank": 512, "dim": 64, "page_size": 64, "cache_format": "fp8", "out_format": "fp8_1x128"},
        {"tokens": 3, "query_rank": 77, "kv_rank": 33, "dim": 6, "page_size": 16, "dead": 1, "cache_format": "fp8", "out_format": "fp8_row"},
        {"tokens": 2, "query_rank": 160, "kv_rank": 32, "dim": 8, "page_size": 16, "out_format": "fp8_1x128"},
        {"tokens": 3, "query_rank": 1504, "kv_rank": 32, "dim": 8, "page_size": 16, "out_format": "mxfp4"},
    ),
)
