"""The router's choice: softmax over the experts, then the top k of them.

Shapes: T tokens, E experts, J = top_k choices per token.
"""

from __future__ import annotations

from typing import Any

import torch

from triton_kernels.launch import launch_kernel
from triton_kernels.operation import OpCall, Operation, StepFacts, Work, wide


def reference(logits_TE: torch.Tensor, forced_ids_TJ: torch.Tensor | None, top_k: int, renormalize: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """(ids_TJ int32, weights_TJ fp32): the top_k experts by logit, ties to the lower id, with their softmax probabilities over all experts.

    Where forced_ids_TJ (int32) is >= 0 that expert takes the place of the chosen one, with its own probability: a drawn routing costs what the router's own
    costs. renormalize: weights divided by their sum over J. Source: Qwen3-MoE's and Mixtral's gating (norm_topk_prob), arXiv 2401.04088.
    """
    probability_TE = wide(logits_TE).softmax(-1)
    ids_TJ = logits_TE.sort(dim=-1, descending=True, stable=True).indices[:, :top_k]
    if forced_ids_TJ is not None:
        ids_TJ = torch.where(forced_ids_TJ >= 0, forced_ids_TJ.long(), ids_TJ)
    weights_TJ = probability_TE.gather(-1, ids_TJ)
    if renormalize:
        weights_TJ = weights_TJ / weights_TJ.sum(-1, keepdim=True)
    return ids_TJ.to(torch.int32), weights_TJ.float()


def fake(logits_TE: torch.Tensor, forced_ids_TJ: torch.Tensor | None, top_k: int, renormalize: bool) -> tuple[torch.Tensor, torch.Tensor]:
    tokens = logits_TE.shape[0]
    return logits_TE.new_empty(tokens, top_k, dtype=torch.int32), logits_TE.new_empty(tokens, top_k, dtype=torch.float32)


def launch(logits_TE: torch.Tensor, forced_ids_TJ: torch.Tensor | None, top_k: int, renormalize: bool) -> tuple[torch.Tensor, torch.Tensor]:
    from triton_kernels._jit.route import route_kernel

    tokens, experts = logits_TE.shape
    assert 1 <= top_k <= experts, (top_k, experts)
    assert logits_TE.is_contiguous(), logits_TE.stride()
    if forced_ids_TJ is not None:
        assert (forced_ids_TJ.shape, forced_ids_TJ.dtype) == ((tokens, top_k), torch.int32), (forced_ids_TJ.shape, forced_ids_TJ.dtype)
        assert forced_ids_TJ.is_contiguous(), forced_ids_TJ.stride()
    ids_TJ, weights_TJ = fake(logits_TE, forced_ids_TJ, top_k, renormalize)
    launch_kernel(
        route_kernel, (tokens,), logits_TE, forced_ids_TJ, ids_TJ, weights_TJ, experts, top_k,
        RENORMALIZE=renormalize, EXPERTS=_power_of_two(experts), CHOICES=_power_of_two(top_k), num_warps=1,  # one warp: no reduction leaves it
    )  # fmt: skip
    return ids_TJ, weights_TJ


def _power_of_two(n: int) -> int:
    """The power of two that holds n, at least 2: keys need a bit for the id."""
    return 1 << max(n - 1, 1).bit_length()


def work(call: OpCall, facts: StepFacts) -> Work:
    """Reads logits and forced ids once; writes ids and weights, 4 bytes each."""
    pairs = call.dims("logits_TE")[0] * int(call.attr("top_k"))
    return Work(read_bytes=call.nbytes("logits_TE", "forced_ids_TJ"), written_bytes=8 * pairs)


def inputs(
    *, generator: torch.Generator, dtype: torch.dtype, tokens: int, experts: int, top_k: int, forced: bool = False, renormalize: bool = True, levels: int = 0
) -> dict[str, Any]:
    """levels: logits take only so many values (ties), -inf among them."""
    logits_TE = torch.randn(tokens, experts, generator=generator)
    if levels:
        logits_TE = torch.randint(-levels // 2, levels // 2 + 1, (tokens, experts), generator=generator).float()
        logits_TE[:, 1:][logits_TE[:, 1:] == -levels // 2] = float("-inf")
    drawn_TE = torch.rand(tokens, experts, generator=generator).argsort(-1).to(torch.int32)
    forced_ids_TJ = drawn_TE[:, :top_k].clone() if forced else None
    if forced_ids_TJ is not None and tokens > 1:
        forced_ids_TJ[::2] = -1  # these tokens keep the router's choice
    return {"logits_TE": logits_TE.to(dtype), "forced_ids_TJ": forced_ids_TJ, "top_k": top_k, "renormalize": renormalize}


route = Operation(
    name="route",
    reference=reference,
    launch=launch,
    fake=fake,
    work=work,
    inputs=inputs,
    cases=(
        {"tokens": 1, "experts": 128, "top_k": 8, "forced": True},
        {"tokens": 17, "experts": 512, "top_k": 10},
        {"tokens": 5, "experts": 96, "top_k": 6, "forced": True, "renormalize": False},
        {"tokens": 130, "experts": 32, "top_k": 4, "levels": 3},
        {"tokens": 7, "experts": 7, "top_k": 7, "levels": 4, "renormalize": False},
        {"tokens": 2, "experts": 1, "top_k": 1},
    ),
)
