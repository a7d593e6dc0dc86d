"""The router's choice: scores of the experts, then the top k of them, in as many groups as a token may use.

Shapes: T tokens, E experts, J = top_k choices per token.
"""

from __future__ import annotations

from typing import Any

import torch

from triton_kernels.launch import launch_kernel
from triton_kernels.operation import OpCall, Operation, StepFacts, Work, wide

SCORINGS = ("softmax", "sigmoid")
LEAST_SUM = 1e-20  # keeps the sum of sigmoid scores off zero (DeepSeek-V3's published gate)


def reference(
    logits_TE: torch.Tensor,
    bias_E: torch.Tensor | None,
    forced_ids_TJ: torch.Tensor | None,
    top_k: int,
    scoring: str,
    groups: int,
    groups_kept: int,
    renormalize: bool,
    scaling: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """(ids_TJ int32, weights_TJ fp32): the top_k experts by score + bias_E (fp32), ties to the lower id, with their scores.

    Scores are the softmax over all experts or each logit's sigmoid. With groups > 1 only experts of the groups_kept groups may be chosen whose two best sum
    highest; others count as -inf, as in vLLM, SGLang and transformers 5.
    Where forced_ids_TJ (int32) is >= 0 that expert takes the place of the chosen one, with its own score: a drawn routing costs what the router's own
    costs. renormalize: scores divided by their sum over J. scaling: multiplies them at last.
    Sources: Qwen3-MoE's, Mixtral's and gpt-oss's gating (softmax, renormalised), arXiv 2401.04088; DeepSeek-V3 (sigmoid, bias, groups), arXiv 2412.19437,
    2.1.2.
    """
    assert scoring in SCORINGS, scoring
    score_TE = wide(logits_TE).softmax(-1) if scoring == "softmax" else wide(logits_TE).sigmoid()
    # Softmax does not change the order, but may round two logits to one score: the choice is by logit.
    choice_TE = wide(logits_TE) if scoring == "softmax" and bias_E is None and groups == 1 else score_TE
    if bias_E is not None:
        choice_TE = choice_TE + bias_E
    if groups > 1:
        each = logits_TE.shape[1] // groups
        best_TG = choice_TE.view(-1, groups, each).topk(min(2, each), dim=-1).values.sum(-1)
        kept_TG = best_TG.sort(dim=-1, descending=True, stable=True).indices[:, :groups_kept]
        open_TG = torch.zeros_like(best_TG, dtype=torch.bool).scatter_(1, kept_TG, True)
        choice_TE = choice_TE.masked_fill(~open_TG.repeat_interleave(each, 1), float("-inf"))
    ids_TJ = choice_TE.sort(dim=-1, descending=True, stable=True).indices[:, :top_k]
    if forced_ids_TJ is not None:
        ids_TJ = torch.where(forced_ids_TJ >= 0, forced_ids_TJ.long(), ids_TJ)
    weights_TJ = score_TE.gather(-1, ids_TJ)
    if renormalize:
        weights_TJ = weights_TJ / (weights_TJ.sum(-1, keepdim=True) + (LEAST_SUM if scoring == "sigmoid" else 0.0))
    return ids_TJ.to(torch.int32), (weights_TJ * scaling).float()


def fake(
    logits_TE: torch.Tensor,
    bias_E: torch.Tensor | None,
    forced_ids_TJ: torch.Tensor | None,
    top_k: int,
    scoring: str,
    groups: int,
    groups_kept: int,
    renormalize: bool,
    scaling: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    tokens = logits_TE.shape[0]
    return logits_TE.new_empty(tokens, top_k, dtype=torch.int32), logits_TE.new_empty(tokens, top_k, dtype=torch.float32)


def launch(
    logits_TE: torch.Tensor,
    bias_E: torch.Tensor | None,
    forced_ids_TJ: torch.Tensor | None,
    top_k: int,
    scoring: str,
    groups: int,
    groups_kept: int,
    renormalize: bool,
    scaling: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    from triton_kernels._jit.route import route_kernel

    tokens, experts = logits_TE.shape
    assert scoring in SCORINGS, scoring
    assert experts % groups == 0, (experts, groups)
    assert 1 <= groups_kept <= groups, (groups_kept, groups)
    assert 1 <= top_k <= experts // groups * groups_kept, (top_k, experts, groups, groups_kept)
    assert logits_TE.is_contiguous(), logits_TE.stride()
    assert bias_E is None or (bias_E.shape, bias_E.dtype) == ((experts,), torch.float32), (bias_E.shape, bias_E.dtype)
    if forced_ids_TJ is not None:
        assert (forced_ids_TJ.shape, forced_ids_TJ.dtype) == ((tokens, top_k), torch.int32), (forced_ids_TJ.shape, forced_ids_TJ.dtype)
        assert forced_ids_TJ.is_contiguous(), forced_ids_TJ.stride()
    ids_TJ, weights_TJ = fake(logits_TE, bias_E, forced_ids_TJ, top_k, scoring, groups, groups_kept, renormalize, scaling)
    launch_kernel(
        route_kernel, (tokens,), logits_TE, bias_E, forced_ids_TJ, ids_TJ, weights_TJ, experts, top_k, groups_kept, float(scaling),
        SIGMOID=scoring == "sigmoid", RENORMALIZE=renormalize, LEAST_SUM=LEAST_SUM, GROUPS=groups, GROUPS_POWER=_power_of_two(groups),
        EXPERTS=_power_of_two(experts), CHOICES=_power_of_two(top_k), num_warps=1,  # one warp: no reduction leaves it
    )  # fmt: skip
    return ids_TJ, weights_TJ


def _power_of_two(n: int) -> int:
    """The power of two that holds n, at least 2: keys need a bit for the id."""
    return 1 << max(n - 1, 1).bit_length()


def work(call: OpCall, facts: StepFacts) -> Work:
    """Reads logits, bias and forced ids once; writes ids and weights, 4 bytes each."""
    pairs = call.dims("logits_TE")[0] * int(call.attr("top_k"))
    return Work(read_bytes=call.nbytes("logits_TE", "bias_E", "forced_ids_TJ"), written_bytes=8 * pairs)


def inputs(
    *, generator: torch.Generator, dtype: torch.dtype, tokens: int, experts: int, top_k: int, forced: bool = False, renormalize: bool = True, levels: int = 0,
    scoring: str = "softmax", bias: bool = False, groups: int = 1, groups_kept: int = 1, scaling: float = 1.0,
) -> dict[str, Any]:  # fmt: skip
    """levels: logits take only so many values (ties), -inf among them."""
    logits_TE = torch.randn(tokens, experts, generator=generator)
    if levels:
        logits_TE = torch.randint(-levels // 2, levels // 2 + 1, (tokens, experts), generator=generator).float()
        logits_TE[:, 1:][logits_TE[:, 1:] == -levels // 2] = float("-inf")
    elif scoring == "sigmoid":
        # Values apart: the kernel's sigmoid may differ from torch's in the last place, which must not decide a choice.
        logits_TE = (torch.rand(tokens, experts, generator=generator).argsort(-1).float() - experts / 2) * (6 / experts)
    drawn_TE = torch.rand(tokens, experts, generator=generator).argsort(-1).to(torch.int32)
    forced_ids_TJ = drawn_TE[:, :top_k].clone() if forced else None
    if forced_ids_TJ is not None and tokens > 1:
        forced_ids_TJ[::2] = -1  # these tokens keep the router's choice
    return {
        "logits_TE": logits_TE.to(dtype), "bias_E": torch.randn(experts, generator=generator) * 0.3 if bias else None, "forced_ids_TJ": forced_ids_TJ,
        "top_k": top_k, "scoring": scoring, "groups": groups, "groups_kept": groups_kept, "renormalize": renormalize, "scaling": scaling,
    }  # fmt: skip


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
        {"tokens": 9, "experts": 256, "top_k": 8, "scoring": "sigmoid", "bias": True, "groups": 8, "groups_kept": 4, "scaling": 2.5},
        {"tokens": 4, "experts": 384, "top_k": 8, "scoring": "sigmoid", "bias": True, "scaling": 2.827, "forced": True},
        {"tokens": 5, "experts": 30, "top_k": 3, "scoring": "sigmoid", "groups": 5, "groups_kept": 2, "renormalize": False},
        {"tokens": 6, "experts": 12, "top_k": 4, "scoring": "sigmoid", "groups": 3, "groups_kept": 2, "levels": 2},
    ),
)
