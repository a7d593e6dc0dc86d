"""The one definition of a decoder-only transformer: its parameters, and one step through it.

Run on meta tensors it is the plan, on CPU tensors the reference, on CUDA tensors the measurement.

Shapes: T tokens of the step, S sequences, H hidden, V vocabulary, A query heads, G key/value heads, D head dim, P cache pages, B slots per page, M pages per
sequence, E experts, J choices per token, R = T x J routed rows, L layers, Q positions of the rotary table, I intermediate.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from triton_kernels.add_norm import add_norm
from triton_kernels.attention import attention
from triton_kernels.combine import combine
from triton_kernels.dispatch import dispatch
from triton_kernels.embedding import embedding
from triton_kernels.grouped_matmul import grouped_matmul
from triton_kernels.matmul import matmul
from triton_kernels.operation import part
from triton_kernels.rope_kv_write import rope_kv_write
from triton_kernels.route import route
from triton_kernels.sample import sample
from workloads.model_spec import ModelSpec
from workloads.weights import WeightSource


@dataclass(frozen=True, kw_only=True)
class StepInputs:
    """What changes from step to step. All int32 unless said otherwise."""

    ids_T: torch.Tensor
    positions_T: torch.Tensor
    slots_T: torch.Tensor  # where each token's K and V go: page * B + offset
    block_table_SM: torch.Tensor
    query_start_S1: torch.Tensor
    context_len_S: torch.Tensor
    last_row_S: torch.Tensor | None  # rows whose logits are wanted; None: every row (decode)
    forced_ids_LTJ: torch.Tensor | None  # drawn experts; None: the router decides
    uniform_S: torch.Tensor  # fp32 in [0, 1), one per sampled row
    offsets_LE1: torch.Tensor  # written by the step: where each expert's rows begin
    max_query_len: int


@dataclass(frozen=True, kw_only=True)
class KvCache:
    """The paged cache: per layer, keys and values of every page."""

    k_LPGBD: tuple[torch.Tensor, ...]
    v_LPGBD: tuple[torch.Tensor, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampling:
    """How the next token is chosen. Greedy by default, as vLLM's and SGLang's benchmarks run."""

    temperature: float = 0.0
    top_k: int = 0  # 0: all
    top_p: float = 1.0


class Decoder:
    """A model with its parameters on one device."""

    def __init__(self, spec: ModelSpec, weights: WeightSource, cos_sin_QD: torch.Tensor) -> None:
        self.spec = spec
        self.cos_sin_QD = cos_sin_QD
        self.embedding_VH = weights("embedding", spec.vocab, spec.hidden, std=1.0)
        self.layers = [DecoderLayer(spec, index, weights) for index in range(spec.layers)]
        self.norm_H = weights("norm", spec.hidden, std=None)
        self.head_VH = self.embedding_VH if spec.tied_embeddings else weights("head", spec.vocab, spec.hidden, std=spec.hidden**-0.5)

    def step(self, inputs: StepInputs, cache: KvCache, sampling: Sampling) -> tuple[torch.Tensor, torch.Tensor]:
        """One step: writes K and V of its tokens, returns (logits_SV, next ids_S int32)."""
        with part("embedding"):
            residual_TH = embedding(inputs.ids_T, self.embedding_VH)
        x_TH: torch.Tensor | None = None
        for layer in self.layers:
            with part("", layer=layer.index):
                x_TH = layer.step(residual_TH, x_TH, self.cos_sin_QD, inputs, cache)
        with part("head"):
            with part("norm"):
                y_TH = add_norm(residual_TH, x_TH, self.norm_H, self.spec.rms_norm_eps)
            if inputs.last_row_S is not None:
                with part("last_rows"):
                    y_TH = embedding(inputs.last_row_S, y_TH)
            with part("logits"):
                logits_SV = matmul(y_TH, self.head_VH, None, "none")
            with part("sample"):
                ids_S = sample(logits_SV, inputs.uniform_S, sampling.temperature, sampling.top_k, sampling.top_p)
        return logits_SV, ids_S


class DecoderLayer:
    """Attention, then an MLP or a mixture of experts, each behind a residual add and norm."""

    def __init__(self, spec: ModelSpec, index: int, weights: WeightSource) -> None:
        self.spec = spec
        self.index = index
        name = f"layers.{index}"
        h, d = spec.hidden, spec.head_dim
        qkv, heads_out = (spec.heads + 2 * spec.kv_heads) * d, spec.heads * d
        back = (2 * spec.layers) ** -0.5  # each layer adds twice to the residual stream: GPT-2's scaling keeps its variance near the input's
        self.attention_norm_H = weights(f"{name}.attention_norm", h, std=None)
        self.qkv_WH = weights(f"{name}.qkv", qkv, h, std=h**-0.5)
        self.qkv_bias_W = weights(f"{name}.qkv_bias", qkv, std=0.1) if spec.attention_bias else None
        self.q_norm_D = weights(f"{name}.q_norm", d, std=None)
        self.k_norm_D = weights(f"{name}.k_norm", d, std=None)
        self.o_HW = weights(f"{name}.o", h, heads_out, std=back * heads_out**-0.5)
        self.o_bias_H = weights(f"{name}.o_bias", h, std=0.1) if spec.attention_bias else None
        self.mlp_norm_H = weights(f"{name}.mlp_norm", h, std=None)
        self.mlp = Experts(spec, index, weights, back) if index in spec.moe_layers else Mlp(spec, index, weights, back)

    def step(
        self, residual_TH: torch.Tensor, x_TH: torch.Tensor | None, cos_sin_QD: torch.Tensor, inputs: StepInputs, cache: KvCache
    ) -> torch.Tensor:
        """Adds x to the residual in place and returns what the next block shall add."""
        with part("attention"):
            y_TH = self._attention(residual_TH, x_TH, cos_sin_QD, inputs, cache)
        with part("mlp.norm"):
            z_TH = add_norm(residual_TH, y_TH, self.mlp_norm_H, self.spec.rms_norm_eps)
        return self.mlp.step(z_TH, inputs)

    def _attention(
        self, residual_TH: torch.Tensor, x_TH: torch.Tensor | None, cos_sin_QD: torch.Tensor, inputs: StepInputs, cache: KvCache
    ) -> torch.Tensor:
        spec, i = self.spec, self.index
        k_PGBD, v_PGBD = cache.k_LPGBD[i], cache.v_LPGBD[i]
        with part("norm"):
            y_TH = add_norm(residual_TH, x_TH, self.attention_norm_H, spec.rms_norm_eps)
        with part("qkv"):
            qkv_TW = matmul(y_TH, self.qkv_WH, self.qkv_bias_W, "none")
        with part("rope_kv_write"):
            q_TAD = rope_kv_write(
                qkv_TW, cos_sin_QD, inputs.positions_T, inputs.slots_T, k_PGBD, v_PGBD, self.q_norm_D, self.k_norm_D, spec.rms_norm_eps
            )
        with part("attend"):
            o_TAD = attention(
                q_TAD, k_PGBD, v_PGBD, inputs.block_table_SM, inputs.query_start_S1, inputs.context_len_S, spec.head_dim**-0.5, inputs.max_query_len
            )
        with part("o"):
            out_TH: torch.Tensor = matmul(o_TAD.view(o_TAD.shape[0], -1), self.o_HW, self.o_bias_H, "none")
        return out_TH


class Mlp:
    """Gate and up in one matmul with a SwiGLU epilogue, then down."""

    def __init__(self, spec: ModelSpec, index: int, weights: WeightSource, back: float) -> None:
        assert spec.dense_intermediate is not None, (spec.name, index)
        h, i = spec.hidden, spec.dense_intermediate
        self.gate_up_IH = weights(f"layers.{index}.mlp.gate_up", 2 * i, h, std=h**-0.5)
        self.down_HI = weights(f"layers.{index}.mlp.down", h, i, std=back * i**-0.5)

    def step(self, x_TH: torch.Tensor, inputs: StepInputs) -> torch.Tensor:
        with part("mlp.gate_up"):
            y_TI = matmul(x_TH, self.gate_up_IH, None, "swiglu")
        with part("mlp.down"):
            out_TH: torch.Tensor = matmul(y_TI, self.down_HI, None, "none")
        return out_TH


class Experts:
    """Router, dispatch, the experts' gate and up with SwiGLU, their down weighted by the router, and combine."""

    def __init__(self, spec: ModelSpec, index: int, weights: WeightSource, back: float) -> None:
        self.spec = spec
        self.index = index
        h, i, e = spec.hidden, spec.moe_intermediate, spec.experts
        self.router_EH = weights(f"layers.{index}.router", e, h, std=h**-0.5)
        self.gate_up_EIH = weights(f"layers.{index}.experts.gate_up", e, 2 * i, h, std=h**-0.5)
        self.down_EHI = weights(f"layers.{index}.experts.down", e, h, i, std=back * i**-0.5)

    def step(self, x_TH: torch.Tensor, inputs: StepInputs) -> torch.Tensor:
        top_k = self.spec.top_k
        forced_TJ = None if inputs.forced_ids_LTJ is None else inputs.forced_ids_LTJ[self.index]
        offsets_E1 = inputs.offsets_LE1[self.index]
        with part("experts.router"):
            logits_TE = matmul(x_TH, self.router_EH, None, "none")
        with part("experts.route"):
            ids_TJ, weights_TJ = route(logits_TE, forced_TJ, top_k, self.spec.renormalize)
        with part("experts.dispatch"):
            order_R, row_of_TJ = dispatch(ids_TJ, offsets_E1)
        with part("experts.gate_up"):
            y_RI = grouped_matmul(x_TH, self.gate_up_EIH, offsets_E1, order_R, None, top_k, True, "swiglu")
        with part("experts.down"):
            z_RH = grouped_matmul(y_RI, self.down_EHI, offsets_E1, order_R, weights_TJ, top_k, False, "none")
        with part("experts.combine"):
            out_TH: torch.Tensor = combine(z_RH, row_of_TJ)
        return out_TH


def rotary_table(spec: ModelSpec, positions: int, device: torch.device) -> torch.Tensor:
    """cos_sin_QD in fp32: row q holds cos(q / theta^(2i/D)) for i < D/2, then the sines. Source: RoFormer, arXiv 2104.09864."""
    if device.type == "meta":
        return torch.empty(positions, spec.head_dim, device=device)
    half = torch.arange(0, spec.head_dim, 2, dtype=torch.float64) / spec.head_dim
    angles = torch.arange(positions, dtype=torch.float64)[:, None] * spec.rope_theta**-half
    return torch.cat([angles.cos(), angles.sin()], dim=1).float().to(device)
