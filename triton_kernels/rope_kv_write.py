"""From the qkv projection to attention in one pass: optional per-head norm, rotary positions, keys and values into the paged cache.

Shapes: T tokens, W = (A + 2G) x D columns of qkv (query, key, value heads), Q positions of the table, P pages, G key/value heads, B slots per page, D head dim.
"""

from __future__ import annotations

from typing import Any

import torch

from triton_kernels.kv_format import DRAWN_SCALE, check_cache, store_cached
from triton_kernels.launch import launch_kernel
from triton_kernels.operation import OpCall, Operation, StepFacts, Work, wide


def _query_heads(width: int, k_cache_dims: tuple[int, ...]) -> int:
    kv_heads, dim = k_cache_dims[1], k_cache_dims[3]
    assert width % dim == 0, (width, k_cache_dims)
    heads = width // dim - 2 * kv_heads
    assert heads > 0, (width, k_cache_dims)
    return heads


def _normed(x_THD: torch.Tensor, weight_D: torch.Tensor | None, eps: float) -> torch.Tensor:
    if weight_D is None:
        return x_THD
    x = wide(x_THD)
    return (x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)).to(x_THD.dtype) * weight_D


def _rotated(x_THD: torch.Tensor, cos_sin_TD: torch.Tensor) -> torch.Tensor:
    low, high = wide(x_THD).chunk(2, -1)
    cos, sin = cos_sin_TD[:, None].to(low.dtype).chunk(2, -1)
    return torch.cat((low * cos - high * sin, high * cos + low * sin), -1).to(x_THD.dtype)


def reference(
    qkv_TW: torch.Tensor,
    cos_sin_QD: torch.Tensor,
    positions_T: torch.Tensor,
    slots_T: torch.Tensor,
    k_cache_PGBD: torch.Tensor,
    v_cache_PGBD: torch.Tensor,
    q_weight_D: torch.Tensor | None,
    k_weight_D: torch.Tensor | None,
    eps: float,
    k_scale: torch.Tensor | None = None,
    v_scale: torch.Tensor | None = None,
) -> torch.Tensor:
    """Returns q_TAD, contiguous; writes this step's k and v into slot slots_T[t] = page * B + offset of the caches (-1: nowhere). Slots are distinct.

    q and k heads are first divided by their root mean square and multiplied with the weights (when given), then rotated by position: with x = (low, high),
    (low cos - high sin, high cos + low sin). cos_sin_QD is fp32: a position's D/2 cosines, then its D/2 sines.
    k_scale, v_scale (fp32 [1]): the caches hold e4m3 codes, of k / k_scale and v / v_scale, saturating.
    Source: RoPE, arXiv 2104.09864, in GPT-NeoX's halves; the norm as in Qwen3; fused as in vLLM and TensorRT-LLM.
    """
    _, kv_heads, page_size, dim = k_cache_PGBD.shape
    heads = _query_heads(qkv_TW.shape[1], tuple(k_cache_PGBD.shape))
    q, k, v = qkv_TW.view(-1, heads + 2 * kv_heads, dim).tensor_split((heads, heads + kv_heads), 1)
    cos_sin_TD = cos_sin_QD[positions_T.long()]
    written = slots_T >= 0
    slots = slots_T[written].long()
    place = (slots // page_size, slice(None), slots % page_size)
    store_cached(k_cache_PGBD, place, _rotated(_normed(k, k_weight_D, eps), cos_sin_TD)[written], k_scale)
    store_cached(v_cache_PGBD, place, v[written], v_scale)
    return _rotated(_normed(q, q_weight_D, eps), cos_sin_TD).contiguous()


def fake(
    qkv_TW: torch.Tensor,
    cos_sin_QD: torch.Tensor,
    positions_T: torch.Tensor,
    slots_T: torch.Tensor,
    k_cache_PGBD: torch.Tensor,
    v_cache_PGBD: torch.Tensor,
    q_weight_D: torch.Tensor | None,
    k_weight_D: torch.Tensor | None,
    eps: float,
    k_scale: torch.Tensor | None = None,
    v_scale: torch.Tensor | None = None,
) -> torch.Tensor:
    dim = k_cache_PGBD.shape[3]
    return qkv_TW.new_empty(qkv_TW.shape[0], qkv_TW.shape[1] // dim - 2 * k_cache_PGBD.shape[1], dim)


def launch(
    qkv_TW: torch.Tensor,
    cos_sin_QD: torch.Tensor,
    positions_T: torch.Tensor,
    slots_T: torch.Tensor,
    k_cache_PGBD: torch.Tensor,
    v_cache_PGBD: torch.Tensor,
    q_weight_D: torch.Tensor | None,
    k_weight_D: torch.Tensor | None,
    eps: float,
    k_scale: torch.Tensor | None = None,
    v_scale: torch.Tensor | None = None,
) -> torch.Tensor:
    from triton_kernels._jit.rope_kv_write import rope_kv_write_kernel

    tokens, width = qkv_TW.shape
    _, kv_heads, page_size, dim = k_cache_PGBD.shape
    heads = _query_heads(width, tuple(k_cache_PGBD.shape))
    for x in (qkv_TW, cos_sin_QD, positions_T, slots_T, k_cache_PGBD, v_cache_PGBD):
        assert x.is_contiguous(), (x.shape, x.stride())
    assert v_cache_PGBD.shape == k_cache_PGBD.shape, (v_cache_PGBD.shape, k_cache_PGBD.shape)
    check_cache(qkv_TW.dtype, k_cache_PGBD, k_scale)
    check_cache(qkv_TW.dtype, v_cache_PGBD, v_scale)
    assert cos_sin_QD.dtype == torch.float32, cos_sin_QD.dtype
    assert cos_sin_QD.shape[1] == dim, (cos_sin_QD.shape, dim)
    assert dim % 2 == 0, dim
    assert positions_T.shape == slots_T.shape == (tokens,), (positions_T.shape, slots_T.shape, tokens)
    q_TAD = qkv_TW.new_empty(tokens, heads, dim)
    launch_kernel(
        rope_kv_write_kernel, (tokens,),
        qkv_TW, cos_sin_QD, positions_T, slots_T, k_cache_PGBD, v_cache_PGBD, q_weight_D, k_weight_D, q_TAD, k_scale, v_scale, eps,
        HEADS=heads, KV_HEADS=kv_heads, PAGE=page_size, DIM=dim,
        BLOCK_A=1 << (heads - 1).bit_length(), BLOCK_G=1 << (kv_heads - 1).bit_length(), HALF=1 << (dim // 2 - 1).bit_length(),
        num_warps=4 if heads * dim <= 4096 else 8,
    )  # fmt: skip
    return q_TAD


def work(call: OpCall, facts: StepFacts) -> Work:
    """Reads qkv, a table row for each token (each of the table once at most), places, weights, scales; writes q, k and v. Slots of -1 count as written."""
    tokens, width = call.dims("qkv_TW")
    positions, dim = call.dims("cos_sin_QD")
    kv_heads = call.dims("k_cache_PGBD")[1]
    table = min(tokens, positions) * dim * call.shape("cos_sin_QD").dtype.itemsize
    kv_values = tokens * kv_heads * dim
    q_bytes = (tokens * width - 2 * kv_values) * call.shape("qkv_TW").dtype.itemsize
    kv_bytes = kv_values * (call.shape("k_cache_PGBD").dtype.itemsize + call.shape("v_cache_PGBD").dtype.itemsize)
    read = call.nbytes("qkv_TW", "positions_T", "slots_T", "q_weight_D", "k_weight_D", "k_scale", "v_scale") + table
    return Work(read_bytes=read, written_bytes=q_bytes + kv_bytes)


def inputs(
    *,
    generator: torch.Generator,
    dtype: torch.dtype,
    tokens: int,
    heads: int,
    kv_heads: int,
    dim: int,
    page_size: int,
    norm: bool = True,
    dead: int = 0,
    cache_format: str = "",
) -> dict[str, Any]:
    """Random slots of a cache that holds NaN; the first `dead` tokens have none."""

    def draw(*dims: int) -> torch.Tensor:
        return torch.randn(*dims, generator=generator).to(dtype)

    pages, positions = tokens // page_size + 2, 300
    cache_dtype = torch.float8_e4m3fn if cache_format else dtype
    angles = torch.arange(positions)[:, None] * 10000.0 ** (-torch.arange(0, dim, 2) / dim)
    slots_T = torch.randperm(pages * page_size, generator=generator)[:tokens].to(torch.int32)
    slots_T[:dead] = -1
    return {
        "qkv_TW": draw(tokens, (heads + 2 * kv_heads) * dim),
        "cos_sin_QD": torch.cat((angles.cos(), angles.sin()), 1).float(),
        "positions_T": torch.randint(positions, (tokens,), generator=generator, dtype=torch.int32),
        "slots_T": slots_T,
        "k_cache_PGBD": torch.full((pages, kv_heads, page_size, dim), float("nan"), dtype=cache_dtype),
        "v_cache_PGBD": torch.full((pages, kv_heads, page_size, dim), float("nan"), dtype=cache_dtype),
        "q_weight_D": draw(dim) if norm else None,
        "k_weight_D": draw(dim) if norm else None,
        "eps": 1e-6,
        "k_scale": torch.tensor([DRAWN_SCALE]) if cache_format else None,
        "v_scale": torch.tensor([2 * DRAWN_SCALE]) if cache_format else None,
    }


rope_kv_write = Operation(
    name="rope_kv_write",
    reference=reference,
    launch=launch,
    fake=fake,
    work=work,
    inputs=inputs,
    mutates=("k_cache_PGBD", "v_cache_PGBD"),
    cases=(
        {"tokens": 5, "heads": 8, "kv_heads": 2, "dim": 128, "page_size": 64},
        {"tokens": 3, "heads": 64, "kv_heads": 8, "dim": 64, "page_size": 16, "norm": False},
        {"tokens": 7, "heads": 7, "kv_heads": 1, "dim": 96, "page_size": 16, "dead": 2},
        {"tokens": 1, "heads": 3, "kv_heads": 3, "dim": 128, "page_size": 32, "norm": False, "dead": 1},
        {"tokens": 5, "heads": 8, "kv_heads": 2, "dim": 128, "page_size": 64, "cache_format": "fp8"},
        {"tokens": 3, "heads": 5, "kv_heads": 1, "dim": 96, "page_size": 16, "norm": False, "dead": 1, "cache_format": "fp8"},
    ),
)
