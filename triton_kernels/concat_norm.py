"""The input of a multi-token-prediction module: the next token's embedding and the hidden state, each RMS-normed, side by side.

Shapes: T tokens, H hidden.
"""

from __future__ import annotations

from typing import Any

import torch

from triton_kernels.latent_kv_write import normed
from triton_kernels.launch import launch_kernel
from triton_kernels.operation import OpCall, Operation, StepFacts, Work


def reference(embedding_TH: torch.Tensor, hidden_TH: torch.Tensor, embedding_weight_H: torch.Tensor, hidden_weight_H: torch.Tensor, eps: float) -> torch.Tensor:
    """y_T(2H): the normed embedding, then the normed hidden state, as the module's projection expects them.

    Source: DeepSeek-V3, arXiv 2412.19437, equation 21; the embedding first as in its released weights.
    """
    return torch.cat((normed(embedding_TH, embedding_weight_H, eps), normed(hidden_TH, hidden_weight_H, eps)), 1)


def fake(embedding_TH: torch.Tensor, hidden_TH: torch.Tensor, embedding_weight_H: torch.Tensor, hidden_weight_H: torch.Tensor, eps: float) -> torch.Tensor:
    return embedding_TH.new_empty(embedding_TH.shape[0], 2 * embedding_TH.shape[1])


def launch(embedding_TH: torch.Tensor, hidden_TH: torch.Tensor, embedding_weight_H: torch.Tensor, hidden_weight_H: torch.Tensor, eps: float) -> torch.Tensor:
    from triton_kernels._jit.concat_norm import concat_norm_kernel

    tokens, hidden = embedding_TH.shape
    assert (hidden_TH.shape, hidden_TH.dtype) == (embedding_TH.shape, embedding_TH.dtype), (hidden_TH.shape, embedding_TH.shape)
    assert embedding_weight_H.shape == hidden_weight_H.shape == (hidden,), (embedding_weight_H.shape, hidden_weight_H.shape, hidden)
    for x in (embedding_TH, hidden_TH, embedding_weight_H, hidden_weight_H):
        assert x.is_contiguous(), (x.shape, x.stride())
    y = fake(embedding_TH, hidden_TH, embedding_weight_H, hidden_weight_H, eps)
    block = 1 << (hidden - 1).bit_length()  # one program holds a whole row of one of the two
    launch_kernel(
        concat_norm_kernel, (tokens, 2), embedding_TH, hidden_TH, embedding_weight_H, hidden_weight_H, y, hidden, eps,
        BLOCK_H=block, num_warps=4 if block <= 4096 else 8,
    )  # fmt: skip
    return y


def work(call: OpCall, facts: StepFacts) -> Work:
    """Reads both inputs and weights once; writes both side by side."""
    inputs_bytes = call.nbytes("embedding_TH", "hidden_TH")
    return Work(read_bytes=inputs_bytes + call.nbytes("embedding_weight_H", "hidden_weight_H"), written_bytes=inputs_bytes)


def inputs(*, generator: torch.Generator, dtype: torch.dtype, tokens: int, hidden: int) -> dict[str, Any]:
    def draw(*dims: int) -> torch.Tensor:
        return torch.randn(*dims, generator=generator).to(dtype)

    return {
        "embedding_TH": draw(tokens, hidden) * 0.02,  # embeddings are small: the two scales differ
        "hidden_TH": draw(tokens, hidden),
        "embedding_weight_H": draw(hidden),
        "hidden_weight_H": draw(hidden),
        "eps": 1e-6,
    }


concat_norm = Operation(
    name="concat_norm",
    reference=reference,
    launch=launch,
    fake=fake,
    work=work,
    inputs=inputs,
    cases=(
        {"tokens": 3, "hidden": 7168},
        {"tokens": 7, "hidden": 131},
        {"tokens": 1, "hidden": 1},
        {"tokens": 0, "hidden": 96},
    ),
)
