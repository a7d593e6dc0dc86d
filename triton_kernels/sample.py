"""Choosing the next token from logits: greedy, or drawn at a temperature from the top k and the top p.

Shapes: T rows, V vocabulary.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from triton_kernels.launch import launch_kernel
from triton_kernels.operation import OpCall, Operation, StepFacts, Work, wide

BLOCK_V = 8192  # logits a program looks at together: 16 a thread

# Leading bits of a value, widened to fp32, that tell all values of its type apart; even, since the search takes two at a time (fp16: 1 + 8 + 10 = 19).
KEY_BITS = {torch.bfloat16: 16, torch.float16: 20, torch.float32: 32}


def kept_mass(logits_TV: torch.Tensor, temperature: float, top_k: int, top_p: float) -> torch.Tensor:
    """Softmax mass of each token before division (the maximum's is 1), 0 for those that top-k and then top-p drop. temperature > 0."""
    x_TV = wide(logits_TV)
    vocab = x_TV.shape[1]
    mass_TV = ((x_TV - x_TV.amax(1, keepdim=True)) / temperature).exp()
    sorted_TV, order_TV = x_TV.sort(1, descending=True)
    if 0 < top_k < vocab:
        mass_TV = mass_TV.masked_fill(x_TV < sorted_TV[:, top_k - 1 : top_k], 0.0)
    if top_p < 1:
        cumulative_TV = mass_TV.gather(1, order_TV).cumsum(1)
        least_T1 = (cumulative_TV < top_p * cumulative_TV[:, -1:]).sum(1, keepdim=True).clamp(max=vocab - 1)
        mass_TV = mass_TV.masked_fill(x_TV < sorted_TV.gather(1, least_T1), 0.0)
    return mass_TV


def reference(logits_TV: torch.Tensor, uniform_T: torch.Tensor, temperature: float, top_k: int, top_p: float) -> torch.Tensor:
    """ids_T, int32. temperature 0: the lowest id of the maximum. Otherwise, in this order:

    - divide by the temperature;
    - top_k (0: all): keep the k highest logits, and every other that equals the k-th;
    - softmax over what is kept;
    - top_p (1: all): keep the fewest highest whose mass reaches top_p, one at least, and every other that equals the lowest of them;
    - draw by inverse CDF in the order of ids: the lowest id where the kept mass up to and including it exceeds uniform_T (fp32, in [0, 1)) x all kept mass.

    -inf logits are never drawn; each row needs a finite one. Source: nucleus sampling, arXiv 1904.09751; thresholds instead of a sort as in FlashInfer.
    """
    if temperature == 0:
        return logits_TV.argmax(1).to(torch.int32)
    mass_TV = kept_mass(logits_TV, temperature, top_k, top_p)
    cumulative_TV = mass_TV.cumsum(1)
    ids_T = (cumulative_TV <= uniform_T[:, None] * cumulative_TV[:, -1:]).sum(1)
    last_T = (mass_TV > 0).to(torch.int32).cumsum(1).argmax(1)  # the last that is kept: rounding may leave none above a uniform near 1
    return torch.minimum(ids_T, last_T).to(torch.int32)


def fake(logits_TV: torch.Tensor, uniform_T: torch.Tensor, temperature: float, top_k: int, top_p: float) -> torch.Tensor:
    return logits_TV.new_empty(logits_TV.shape[0], dtype=torch.int32)


def launch(logits_TV: torch.Tensor, uniform_T: torch.Tensor, temperature: float, top_k: int, top_p: float) -> torch.Tensor:
    from triton_kernels._jit.sample import greedy_kernel, sample_kernel

    rows, vocab = logits_TV.shape
    for x in (logits_TV, uniform_T):
        assert x.is_contiguous(), (x.shape, x.stride())
    assert vocab > 0, logits_TV.shape
    assert uniform_T.shape == (rows,), (uniform_T.shape, rows)
    assert uniform_T.dtype == torch.float32, uniform_T.dtype
    assert temperature >= 0, temperature
    assert top_k >= 0, top_k
    assert 0 <= top_p <= 1, top_p
    ids_T = logits_TV.new_empty(rows, dtype=torch.int32)
    block = min(1 << (vocab - 1).bit_length(), BLOCK_V)
    num_warps = 16 if block == BLOCK_V else 4
    if temperature == 0:
        launch_kernel(greedy_kernel, (rows,), logits_TV, ids_T, vocab, BLOCK_V=block, num_warps=num_warps)
        return ids_T
    launch_kernel(
        sample_kernel, (rows,), logits_TV, uniform_T, ids_T, vocab, float(top_k), float(top_p), math.log2(math.e) / temperature,
        TOP_K=0 < top_k < vocab, TOP_P=top_p < 1, BITS=KEY_BITS[logits_TV.dtype], BLOCK_V=block, num_warps=num_warps,
    )  # fmt: skip
    return ids_T


def work(call: OpCall, facts: StepFacts) -> Work:
    """Reads each logit once (further passes are L2's) and the uniforms unless greedy; writes the ids."""
    uniform = call.nbytes("uniform_T") if call.attr("temperature") > 0 else 0
    return Work(read_bytes=call.nbytes("logits_TV") + uniform, written_bytes=4 * call.dims("logits_TV")[0])


def inputs(*, generator: torch.Generator, dtype: torch.dtype, rows: int, vocab: int, temperature: float, top_k: int = 0, top_p: float = 1.0) -> dict[str, Any]:
    """Some logits -inf, some equal; the uniforms lie in the middle of one of the likeliest tokens' share, so that rounding cannot change the choice."""
    logits_TV = (torch.randn(rows, vocab, generator=generator) * 3).mul(8).round().div(8).to(dtype)
    logits_TV[:, 1::7] = float("-inf")
    uniform_T = torch.rand(rows, generator=generator)
    if temperature > 0:
        mass_TV = kept_mass(logits_TV.double(), temperature, top_k, top_p)
        middle_TV = (mass_TV.cumsum(1) - mass_TV / 2) / mass_TV.sum(1, keepdim=True)
        likely = mass_TV.topk(min(5, vocab), 1).indices[:, torch.randint(min(5, vocab), (1,), generator=generator)]
        likely = torch.where(mass_TV.gather(1, likely) > 0, likely, mass_TV.argmax(1, keepdim=True))
        uniform_T = middle_TV.gather(1, likely)[:, 0].float()
    return {"logits_TV": logits_TV, "uniform_T": uniform_T, "temperature": temperature, "top_k": top_k, "top_p": top_p}


sample = Operation(
    name="sample",
    reference=reference,
    launch=launch,
    fake=fake,
    work=work,
    inputs=inputs,
    cases=(
        {"rows": 3, "vocab": 5003, "temperature": 0.7, "top_k": 50, "top_p": 0.9},
        {"rows": 2, "vocab": 20011, "temperature": 1.0, "top_p": 0.95},
        {"rows": 4, "vocab": 131, "temperature": 1.3, "top_k": 7},
        {"rows": 2, "vocab": 20011, "temperature": 1.0},
        {"rows": 5, "vocab": 131, "temperature": 0.0},
        {"rows": 2, "vocab": 20011, "temperature": 0.0},
        {"rows": 2, "vocab": 1, "temperature": 0.8, "top_k": 1, "top_p": 0.5},
        {"rows": 3, "vocab": 131, "temperature": 0.01, "top_k": 1, "top_p": 0.0},
    ),
)
