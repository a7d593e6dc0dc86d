"""What PyTorch's own libraries (cuBLAS, CUTLASS, FlashAttention) do for an operation: what our kernels are held against on a GPU.

A counterpart does the operation's arithmetic on the operation's own tensors and nothing of what our kernel does in the same launch beside it: no gather, no
activation, no rounding of the result. It calculates no more than ours, and may move more bytes: gathered rows, both halves of a gate, a result in bf16.
`differs` says what is not the same, including scales that were laid out for it before it is timed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch

from triton_kernels.formats import FORMATS

Arguments = Mapping[str, Any]
Call = Callable[[], torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class Library:
    """One way to do it: `prepare` makes what the timed call needs beyond the operation's tensors, `copied_bytes` of them, and returns that call."""

    name: str
    prepare: Callable[[], Call]
    differs: str = ""
    copied_bytes: int = 0


def libraries_of(op: str, arguments: Arguments) -> tuple[Library, ...]:
    """The counterparts of one call, nearest in meaning first; none where PyTorch has none. Which of them run is the GPU's and PyTorch's version's affair:
    those that do not raise RuntimeError, ValueError, TypeError or NotImplementedError when called."""
    found = _COUNTERPARTS.get(op)
    return () if found is None else found(arguments)


def _matmul(a: Arguments) -> tuple[Library, ...]:
    x_TK, w_NK, bias_N = a["x_TK"], a["w_NK"], a["bias_N"]
    if a["x_format"] or a["w_format"]:
        return tuple(_scaled(a, *way) for way in _SCALED.get((a["x_format"], a["w_format"]), ()))
    name = "torch.mm" if bias_N is None else "torch.addmm"
    call = (lambda: torch.mm(x_TK, w_NK.t())) if bias_N is None else (lambda: torch.addmm(bias_N, x_TK, w_NK.t()))
    return (Library(name=name, prepare=lambda: call, differs=_said(_epilogue(a, bias=True))),)


def _scaled(a: Arguments, scales: str, prepared: Callable[[Arguments], tuple[torch.Tensor, torch.Tensor]]) -> Library:
    """cuBLASLt's or CUTLASS's product of e4m3 operands."""

    def prepare() -> Call:
        x_TK, w_KN = a["x_TK"], a["w_NK"].t()
        x_scale, w_scale = prepared(a)
        return lambda: torch._scaled_mm(x_TK, w_KN, scale_a=x_scale, scale_b=w_scale, out_dtype=torch.bfloat16, use_fast_accum=False)

    return Library(name="torch._scaled_mm", prepare=prepare, differs=_said([scales, *_epilogue(a, bias=False)]))


def _block_scales(a: Arguments) -> tuple[torch.Tensor, torch.Tensor]:
    """As `_scaled_mm` wants them: of tokens column by column, of weights transposed, their rows of blocks as long in memory as fours of them."""
    w_scale = a["w_scale"]
    padded = w_scale.new_zeros(w_scale.shape[0], -(-w_scale.shape[1] // 4) * 4)
    padded[:, : w_scale.shape[1]] = w_scale
    return a["x_scale"].t().contiguous().t(), padded[:, : w_scale.shape[1]].t()


def _row_scales(a: Arguments) -> tuple[torch.Tensor, torch.Tensor]:
    """One for each token and each output: the first column of blocks, as good as any to be multiplied with."""
    n = a["w_NK"].shape[0]
    w_scale = a["w_scale"][:, :1].repeat_interleave(-(-n // a["w_scale"].shape[0]), 0)[:n]
    return a["x_scale"][:, :1].contiguous(), w_scale.t().contiguous()


def _one_scale(a: Arguments) -> tuple[torch.Tensor, torch.Tensor]:
    return a["x_scale"], a["w_scale"]


# Pair of formats -> ways to scale it, and what is to be said of each.
_COARSER = "a scale per row instead of per 128 columns"
_LAID_OUT = "scales laid out before"
_SCALED: dict[tuple[str, str], tuple[tuple[str, Callable[[Arguments], tuple[torch.Tensor, torch.Tensor]]], ...]] = {
    ("fp8_1x128", "fp8_128x128"): ((_LAID_OUT, _block_scales), (_COARSER, _row_scales)),
    ("fp8_row", "fp8_row"): (("", _row_scales),),
    ("fp8", "fp8"): (("", _one_scale),),
}


def _grouped_matmul(a: Arguments) -> tuple[Library, ...]:
    formats = a["x_format"], a["w_format"]
    if formats not in (("", ""), ("fp8_1x128", "fp8_128x128"), ("fp8_row", "fp8_row")):
        return ()
    gather, x_XK, rows = a["gather"], a["x_XK"], a["order_R"].shape[0]
    apart = [*(["rows gathered before"] if gather else []), *(["without the router's weights"] if a["weights_TJ"] is not None else [])]
    ends_E = a["offsets_E1"][1:]

    def gathered(x: torch.Tensor) -> torch.Tensor:
        # Dead rows name no pair: any row is as good for them. Bytes, since not every type of 8 bits can be indexed.
        place_R = (a["order_R"].long() // a["top_k"]).clamp(0, x.shape[0] - 1)
        return x.view(torch.uint8)[place_R].view(x.dtype) if gather else x

    def plain() -> Call:
        x_RK, w_EKN = gathered(x_XK), a["w_ENK"].transpose(1, 2)
        return lambda: torch._grouped_mm(x_RK, w_EKN, offs=ends_E)

    def scaled() -> Call:
        x_RK, w_EKN = gathered(x_XK), a["w_ENK"].transpose(1, 2)
        x_scale_R = gathered(a["x_scale"][:, :1].contiguous()).flatten()
        n = a["w_ENK"].shape[1]
        w_scale_EN = a["w_scale"][:, :, 0].repeat_interleave(-(-n // a["w_scale"].shape[1]), 1)[:, :n].contiguous()
        return lambda: torch._scaled_grouped_mm(x_RK, w_EKN, x_scale_R, w_scale_EN, offs=ends_E, out_dtype=torch.bfloat16, use_fast_accum=False)

    copied_bytes = rows * x_XK.shape[1] * x_XK.dtype.itemsize if gather else 0
    said = _epilogue(a, bias=False) + apart
    if not any(formats):
        return (Library(name="torch._grouped_mm", prepare=plain, differs=_said(said), copied_bytes=copied_bytes),)
    coarser = [] if formats == ("fp8_row", "fp8_row") else [_COARSER]
    return (Library(name="torch._scaled_grouped_mm", prepare=scaled, differs=_said(coarser + said), copied_bytes=copied_bytes),)


def _head_matmul(a: Arguments) -> tuple[Library, ...]:
    w_AKN = a["w_ANK"].transpose(1, 2)
    x_ATK = a["x_TAF"][..., : w_AKN.shape[1]].transpose(0, 1)
    apart = [*(["without the rotated part"] if a["cos_sin_QD"] is not None else []), *_encoded(a)]
    return (Library(name="torch.bmm", prepare=lambda: lambda: torch.bmm(x_ATK, w_AKN), differs=_said(apart)),)


def _attention(a: Arguments) -> tuple[Library, ...]:
    """FlashAttention or cuDNN's over keys and values that lie in one piece. Where sequences are of one length each, all cached or all new, without a window or
    sinks: no library in PyTorch has those."""
    k_PGBD = a["k_cache_PGBD"]
    starts, contexts = a["query_start_S1"].tolist(), a["context_len_S"].tolist()
    queries = {after - before for before, after in pairwise(starts)}
    one_length = len(queries) == len(set(contexts)) == 1
    if a["k_scale"] is not None or a["sinks_A"] is not None or (a["window"] and a["window"] < max(contexts)) or not one_length:
        return ()
    context, new = contexts[0], queries.pop()
    if new not in (1, context):
        return ()
    _, kv_heads, page_size, dim = k_PGBD.shape
    sequences, pages = len(contexts), -(-context // page_size)

    def in_one_piece(cache_PGBD: torch.Tensor) -> torch.Tensor:
        found = cache_PGBD[a["block_table_SM"][:, :pages].long()]
        return found.transpose(1, 2).reshape(sequences, kv_heads, pages * page_size, dim)[:, :, :context].contiguous()

    def prepare() -> Call:
        k_SGCD, v_SGCD = in_one_piece(k_PGBD), in_one_piece(a["v_cache_PGBD"])
        # One new token: its query heads of a key/value head are that many queries, which all see everything.
        q = a["q_TAD"].view(sequences, kv_heads, -1, dim) if new == 1 else a["q_TAD"].view(sequences, new, -1, dim).transpose(1, 2)
        sdpa = torch.nn.functional.scaled_dot_product_attention
        return lambda: sdpa(q, k_SGCD, v_SGCD, scale=a["scale"], is_causal=new > 1, enable_gqa=new > 1 and q.shape[1] != kv_heads)

    copied_bytes = 2 * sequences * kv_heads * context * dim * k_PGBD.dtype.itemsize
    said = _said(["keys and values in one piece instead of pages", *_encoded(a)])
    return (Library(name="scaled_dot_product_attention", prepare=prepare, differs=said, copied_bytes=copied_bytes),)


def _epilogue(a: Arguments, *, bias: bool) -> list[str]:
    """What ours does with a product before it is written, and the library does not; `bias`: it adds that."""
    left = [*(["bias"] if not bias and a.get("bias_N", a.get("bias_EN")) is not None else []), *([a["activation"]] if a["activation"] != "none" else [])]
    return [*([f"without {' and '.join(left)}"] if left else []), *_encoded(a)]


def _encoded(a: Arguments) -> list[str]:
    return [f"result not in {FORMATS[a['out_format']].name}"] if a["out_format"] else []


def _said(parts: list[str]) -> str:
    return ", ".join(part for part in parts if part)


_COUNTERPARTS: dict[str, Callable[[Arguments], tuple[Library, ...]]] = {
    "matmul": _matmul,
    "grouped_matmul": _grouped_matmul,
    "head_matmul": _head_matmul,
    "attention": _attention,
}
