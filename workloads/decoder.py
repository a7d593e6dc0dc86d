"""The one definition of a decoder-only transformer: its parameters, and one step through it.

Run on meta tensors it is the plan, on CPU tensors the reference, on CUDA tensors the measurement.

Shapes: T tokens of the step, S sequences, H hidden, V vocabulary, Q positions of the rotary table, D rotary dims.
"""

from __future__ import annotations

import torch

from triton_kernels.add_norm import add_norm, normed
from triton_kernels.all_gather import all_gather
from triton_kernels.concat_norm import concat_norm
from triton_kernels.embedding import embedding
from triton_kernels.matmul import matmul
from triton_kernels.operation import part
from triton_kernels.sample import sample
from workloads.deployment import Rank
from workloads.gqa import GqaAttention
from workloads.mla import MlaAttention
from workloads.mlp import DenseMlp, Experts
from workloads.model_spec import Gqa, ModelSpec
from workloads.step_inputs import KvCache, Sampling, StepInputs
from workloads.weights import WeightSource, cut


class Decoder:
    """A model with one rank's parameters on one device. `mtp`: with the multi-token-prediction module, where the model has one."""

    notes: tuple[str, ...] = ()  # what a reader should know of how its weights were read

    def __init__(self, spec: ModelSpec, weights: WeightSource, cos_sin_QD: torch.Tensor, rank: Rank, *, mtp: bool = False) -> None:
        self.spec, self.rank, self.tp = spec, rank, rank.deployment.tp
        self.cos_sin_QD = cos_sin_QD
        # Each GPU of a tensor-parallel group has columns of the embedding and rows of the head; a tied table is held whole, since it is both.
        columns = () if spec.tied_embeddings else cut(1, (spec.hidden,), part=rank.tp, parts=self.tp)
        rows = cut(0, (spec.vocab,), part=rank.tp, parts=self.tp)
        self.embedding_VH = weights("embedding", spec.vocab, spec.hidden, std=1.0, cuts=columns)
        self.layers = [DecoderLayer(spec, rank, f"layers.{index}", index, weights) for index in range(spec.layers)]
        self.norm_H = weights("norm", spec.hidden, std=None)
        if spec.tied_embeddings:
            share = spec.vocab // self.tp
            self.head_VH = self.embedding_VH[rank.tp * share : (rank.tp + 1) * share]
        else:
            self.head_VH = weights("head", spec.vocab, spec.hidden, std=spec.hidden**-0.5, cuts=rows)
        self.mtp = MtpModule(spec, rank, weights) if mtp else None

    def step(self, inputs: StepInputs, cache: KvCache, sampling: Sampling) -> tuple[torch.Tensor, torch.Tensor]:
        """One step: writes K and V of its tokens, returns (logits_SV, next ids_S int32)."""
        return self._head(self._hidden(inputs, cache), inputs, sampling)

    def step_and_draft(self, inputs: StepInputs, cache: KvCache, sampling: Sampling) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """A step, then the multi-token-prediction module: (logits_SV, ids_S, draft logits_SV, draft ids_S).

        The module sees, at each position, the model's normed hidden state and the token that follows; its keys lie in the cache behind the last layer's,
        in the same slots. Source: DeepSeek-V3, arXiv 2412.19437, 2.2; served so by vLLM's deepseek_mtp.
        """
        assert self.mtp is not None, self.spec.name
        hidden_TH = self._hidden(inputs, cache)
        logits_SV, ids_S = self._head(hidden_TH, inputs, sampling)
        with part("mtp"):
            next_TH = self._embed(ids_S if inputs.next_ids_T is None else inputs.next_ids_T)
            draft_TH = self.mtp.step(next_TH, hidden_TH, self.cos_sin_QD, inputs, cache)
            draft_logits_SV, draft_ids_S = self._head(draft_TH, inputs, sampling)
        return logits_SV, ids_S, draft_logits_SV, draft_ids_S

    def _embed(self, ids_T: torch.Tensor) -> torch.Tensor:
        with part("embedding"):
            x_TH: torch.Tensor = embedding(ids_T, self.embedding_VH)
            if self.tp > 1 and not self.spec.tied_embeddings:
                with part("all_gather"):
                    x_TH = all_gather(x_TH, "tp", self.tp)
        return x_TH

    def _hidden(self, inputs: StepInputs, cache: KvCache) -> torch.Tensor:
        """The normed output of the last layer."""
        residual_TH = self._embed(inputs.ids_T)
        x_TH: torch.Tensor | None = None
        for layer in self.layers:
            with part("", layer=layer.index):
                x_TH = layer.step(residual_TH, x_TH, self.cos_sin_QD, inputs, cache)
        with part("head.norm"):
            out_TH: torch.Tensor = add_norm(residual_TH, x_TH, self.norm_H, self.spec.rms_norm_eps)
        return out_TH

    def _head(self, x_TH: torch.Tensor, inputs: StepInputs, sampling: Sampling) -> tuple[torch.Tensor, torch.Tensor]:
        with part("head"):
            if inputs.last_row_S is not None:
                with part("last_rows"):
                    x_TH = embedding(inputs.last_row_S, x_TH)
            with part("logits"):
                logits_SV = matmul(x_TH, self.head_VH, None, "none")
            if self.tp > 1:
                with part("all_gather"):
                    logits_SV = all_gather(logits_SV, "tp", self.tp)
            with part("sample"):
                ids_S = sample(logits_SV, inputs.uniform_S, sampling.temperature, sampling.top_k, sampling.top_p)
        return logits_SV, ids_S


class DecoderLayer:
    """Attention, then an MLP or a mixture of experts, each behind a residual add and norm."""

    def __init__(self, spec: ModelSpec, rank: Rank, name: str, index: int, weights: WeightSource) -> None:
        self.spec = spec
        self.index = index
        back = (2 * spec.layers) ** -0.5  # each layer adds twice to the residual stream: GPT-2's scaling keeps its variance near the input's
        self.attention_norm_H = weights(f"{name}.attention_norm", spec.hidden, std=None)
        block = spec.attention
        self.attention: GqaAttention | MlaAttention
        if isinstance(block, Gqa):
            self.attention = GqaAttention(spec, block, rank, name, index, weights, back)
        else:
            self.attention = MlaAttention(spec, block, rank, name, weights, back)
        self.mlp_norm_H = weights(f"{name}.mlp_norm", spec.hidden, std=None)
        self.mlp: Experts | DenseMlp
        # A multi-token-prediction module's block, behind the last layer, is like the last layer.
        if spec.moe is not None and min(index, spec.layers - 1) in spec.moe.layers:
            self.mlp = Experts(spec, spec.moe, rank, name, index, weights, back)
        else:
            self.mlp = DenseMlp(spec, rank, name, weights, back)

    def step(self, residual_TH: torch.Tensor, x_TH: torch.Tensor | None, cos_sin_QD: torch.Tensor, inputs: StepInputs, cache: KvCache) -> torch.Tensor:
        """Adds x to the residual in place and returns what the next block shall add."""
        with part("attention"):
            with part("norm"):
                y_TH, _ = normed(residual_TH, x_TH, self.attention_norm_H, self.spec.rms_norm_eps, out=self.attention.takes)
            attended_TH = self.attention.step(y_TH, cos_sin_QD, inputs, cache.layers[self.index])
        with part("mlp.norm"):
            z_TH, plain_TH = normed(
                residual_TH, attended_TH, self.mlp_norm_H, self.spec.rms_norm_eps, out=self.mlp.takes, keep=isinstance(self.mlp, Experts)
            )  # fmt: skip
        return self.mlp.step(z_TH, plain_TH, inputs)


class MtpModule:
    """Multi-token prediction: embedding and hidden state normed, side by side, projected, through one more layer. Embedding table and head are the model's."""

    def __init__(self, spec: ModelSpec, rank: Rank, weights: WeightSource) -> None:
        self.eps, h = spec.rms_norm_eps, spec.hidden
        self.embedding_norm_H = weights("mtp.0.embedding_norm", h, std=None)
        self.hidden_norm_H = weights("mtp.0.hidden_norm", h, std=None)
        self.projection_H2H = weights("mtp.0.projection", h, 2 * h, std=(2 * h) ** -0.5)
        self.block = DecoderLayer(spec, rank, "mtp.0.block", spec.layers, weights)
        self.norm_H = weights("mtp.0.norm", h, std=None)

    def step(self, next_TH: torch.Tensor, hidden_TH: torch.Tensor, cos_sin_QD: torch.Tensor, inputs: StepInputs, cache: KvCache) -> torch.Tensor:
        """The normed hidden state from which the token after the next is predicted."""
        with part("concat_norm"):
            both_T2H = concat_norm(next_TH, hidden_TH, self.embedding_norm_H, self.hidden_norm_H, self.eps)
        with part("projection"):
            residual_TH = matmul(both_T2H, self.projection_H2H, None, "none")
        with part("", layer=self.block.index):
            x_TH = self.block.step(residual_TH, None, cos_sin_QD, inputs, cache)
        with part("norm"):
            out_TH: torch.Tensor = add_norm(residual_TH, x_TH, self.norm_H, self.eps)
        return out_TH
