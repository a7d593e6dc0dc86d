"""The latents of a step's sequences out of the paged cache, one sequence after the other, for prefill that expands them into keys and values.

Shapes: P pages, B slots per page, W = C + D columns of a cache entry (C latent, D rotated key), S sequences, M pages per sequence, N rows gathered.
"""

from __future__ import annotations

from typing import Any

import torch

from triton_kernels.formats import FORMATS
from triton_kernels.kv_format import check_cache, drawn_cache, uncached
from triton_kernels.launch import launch_kernel
from triton_kernels.operand import plain
from triton_kernels.operation import OpCall, Operation, StepFacts, Work


def reference(
    latent_cache_PBW: torch.Tensor,
    block_table_SM: torch.Tensor,
    context_start_S1: torch.Tensor,
    rows: int,
    rotary_dim: int,
    cache_scale: torch.Tensor | None = None,
    out_format: str = "",
) -> tuple[torch.Tensor, torch.Tensor]:
    """(latent_NC, key_ND), contiguous, N = rows: sequence s owns rows context_start_S1[s] .. context_start_S1[s + 1], its positions in order.

    context_start_S1: int32 prefix sums of the context lengths; its last entry is at most `rows`, and rows from there on mean nothing: zeros here, never touched
    by the kernel. Position j of a sequence lies in page block_table_SM[s, j // B], slot j % B, as in attention.
    cache_scale (fp32 [1]): the cache holds e4m3 codes; they are returned times the scale, in out_format ("bf16", "fp16" or "fp32").
    """
    page_size, width = latent_cache_PBW.shape[1:]
    live = int(context_start_S1[-1])
    assert live <= rows, (live, rows)
    dtype = _dtype(latent_cache_PBW, cache_scale, out_format)
    entries_NW = latent_cache_PBW.new_zeros(rows, width, dtype=dtype)
    row = torch.arange(live, device=latent_cache_PBW.device)
    sequence = torch.searchsorted(context_start_S1.long(), row, right=True) - 1
    position = row - context_start_S1[sequence]
    codes = latent_cache_PBW[block_table_SM[sequence, position // page_size].long(), position % page_size]
    entries_NW[:live] = uncached(codes, cache_scale, dtype)
    return entries_NW[:, : width - rotary_dim].contiguous(), entries_NW[:, width - rotary_dim :].contiguous()


def fake(
    latent_cache_PBW: torch.Tensor,
    block_table_SM: torch.Tensor,
    context_start_S1: torch.Tensor,
    rows: int,
    rotary_dim: int,
    cache_scale: torch.Tensor | None = None,
    out_format: str = "",
) -> tuple[torch.Tensor, torch.Tensor]:
    dtype, width = _dtype(latent_cache_PBW, cache_scale, out_format), latent_cache_PBW.shape[2]
    return latent_cache_PBW.new_empty(rows, width - rotary_dim, dtype=dtype), latent_cache_PBW.new_empty(rows, rotary_dim, dtype=dtype)


def _dtype(cache: torch.Tensor, scale: torch.Tensor | None, out_format: str) -> torch.dtype:
    """Of what is gathered: the cache's, or what its codes are decoded to."""
    assert bool(out_format) == (scale is not None) == (cache.dtype == torch.float8_e4m3fn), (cache.dtype, scale is not None, out_format)
    assert not out_format or FORMATS[out_format].plain, out_format
    return FORMATS[out_format].dtype if out_format else cache.dtype


def launch(
    latent_cache_PBW: torch.Tensor,
    block_table_SM: torch.Tensor,
    context_start_S1: torch.Tensor,
    rows: int,
    rotary_dim: int,
    cache_scale: torch.Tensor | None = None,
    out_format: str = "",
) -> tuple[torch.Tensor, torch.Tensor]:
    from triton_kernels._jit.latent_gather import latent_gather_kernel

    _, page_size, width = latent_cache_PBW.shape
    sequences, table_width = block_table_SM.shape
    assert 0 < rotary_dim < width, (rotary_dim, width)
    for x in (latent_cache_PBW, block_table_SM, context_start_S1):
        assert x.is_contiguous(), (x.shape, x.stride())
    assert block_table_SM.dtype == context_start_S1.dtype == torch.int32, (block_table_SM.dtype, context_start_S1.dtype)
    assert context_start_S1.shape == (sequences + 1,), (context_start_S1.shape, sequences)
    latent_NC, key_ND = fake(latent_cache_PBW, block_table_SM, context_start_S1, rows, rotary_dim, cache_scale, out_format)
    if cache_scale is not None:
        check_cache(latent_NC.dtype, latent_cache_PBW, cache_scale)
    block_c, block_d = (1 << (n - 1).bit_length() for n in (width - rotary_dim, rotary_dim))
    rows_each = max(1, 4096 // block_c)  # 8 values of 2 bytes, one load, for each of 128 threads, four times
    launch_kernel(
        latent_gather_kernel, (-(-rows // rows_each),),
        latent_cache_PBW, block_table_SM, context_start_S1, latent_NC, key_ND, cache_scale, sequences, table_width,
        KV_RANK=width - rotary_dim, DIM=rotary_dim, PAGE=page_size, ROWS=rows_each, STEPS=(sequences - 1).bit_length(), BLOCK_C=block_c, BLOCK_D=block_d,
        num_warps=4,
    )  # fmt: skip
    return latent_NC, key_ND


def live(outputs: tuple[torch.Tensor, torch.Tensor], *, context_start_S1: torch.Tensor, **_: Any) -> list[torch.Tensor]:
    """The rows that some sequence owns."""
    return [x[: int(context_start_S1[-1])] for x in outputs]


def work(call: OpCall, facts: StepFacts) -> Work:
    """Every live entry read once and written once, in the format it is decoded to; the table entries that name their pages. No flops."""
    page_size, width = call.dims("latent_cache_PBW")[1:]
    size, out_format = call.shape("latent_cache_PBW").dtype.itemsize, str(call.attr("out_format"))
    out_size = FORMATS[out_format].dtype.itemsize if out_format else size
    values = sum(facts.context_len_S) * width
    entries = sum(-(-c // page_size) for c in facts.context_len_S)
    read = call.nbytes("context_start_S1", "cache_scale") + entries * call.shape("block_table_SM").dtype.itemsize
    return Work(read_bytes=values * size + read, written_bytes=values * out_size)


def inputs(
    *,
    generator: torch.Generator,
    dtype: torch.dtype,
    contexts: list[int],
    kv_rank: int,
    dim: int,
    page_size: int,
    spare_rows: int = 0,
    cache_format: str = "",
) -> dict[str, Any]:
    """Sequences with their pages shuffled over a cache that holds NaN elsewhere; block-table entries that nothing uses name pages that do not exist."""
    needed = [-(-c // page_size) for c in contexts]
    order = torch.randperm(sum(needed) + 1, generator=generator).to(torch.int32)
    latent_cache_PBW = torch.full((len(order), page_size, kv_rank + dim), float("nan"))
    block_table_SM = torch.full((len(contexts), max(needed) + 1), 2**30, dtype=torch.int32)
    used = 0
    for s, context in enumerate(contexts):
        pages = order[used : used + needed[s]]
        used += needed[s]
        block_table_SM[s, : len(pages)] = pages
        for page, first in zip(pages.tolist(), range(0, context, page_size), strict=True):
            slots = min(page_size, context - first)
            latent_cache_PBW[page, :slots] = torch.randn(slots, kv_rank + dim, generator=generator)
    latent_cache_PBW, cache_scale = drawn_cache(latent_cache_PBW, cache_format, dtype)
    return {
        "latent_cache_PBW": latent_cache_PBW,
        "block_table_SM": block_table_SM,
        "context_start_S1": torch.tensor([0, *contexts]).cumsum(0).to(torch.int32),
        "rows": sum(contexts) + spare_rows,
        "rotary_dim": dim,
        "cache_scale": cache_scale,
        "out_format": plain(torch.empty(0, dtype=dtype)).format.name if cache_format else "",
    }


latent_gather = Operation(
    name="latent_gather",
    reference=reference,
    launch=launch,
    fake=fake,
    work=work,
    inputs=inputs,
    live=live,
    cases=(
        {"contexts": [130, 1, 64], "kv_rank": 512, "dim": 64, "page_size": 64},
        {"contexts": [0, 17, 0, 0, 33, 5, 0], "kv_rank": 33, "dim": 6, "page_size": 16, "spare_rows": 11},
        {"contexts": [100], "kv_rank": 96, "dim": 32, "page_size": 32, "spare_rows": 300},
        {"contexts": [70, 0, 3], "kv_rank": 33, "dim": 6, "page_size": 16, "spare_rows": 5, "cache_format": "fp8"},
        {"contexts": [0, 0], "kv_rank": 1, "dim": 1, "page_size": 16, "spare_rows": 2},
    ),
)
