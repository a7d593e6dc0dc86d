"""Multi-head latent attention as a block. Source: DeepSeek-V2, arXiv 2405.04434; DeepSeek-V3, arXiv 2412.19437.

A token's keys and values are cached as one latent and one rotated key for all heads. Two ways through, equal in what they compute:

- expanded (prefill): the latents of the context are multiplied out to keys and values of every head, then attended to;
- absorbed (decode): the expansion is multiplied into the query and into the output instead, and attention runs over the latents themselves.

Shapes: T tokens, H hidden, A heads of this rank, U rank of the query's projection, C rank of the latent, K and D query/key dims without and with position,
V value dim, W = C + D, N positions of the context, O = K + V.
"""

from __future__ import annotations

import torch

from triton_kernels.all_reduce import all_reduce
from triton_kernels.attention import fuses
from triton_kernels.expanded_attention import expanded_attention
from triton_kernels.formats import Format
from triton_kernels.head_matmul import head_matmul
from triton_kernels.latent_attention import latent_attention
from triton_kernels.latent_gather import latent_gather
from triton_kernels.latent_kv_write import latent_kv_write
from triton_kernels.matmul import matmul
from triton_kernels.operand import Operand
from triton_kernels.operation import part
from triton_kernels.results import in_format
from workloads.deployment import Rank
from workloads.model_spec import Mla, ModelSpec
from workloads.step_inputs import StepInputs
from workloads.weights import WeightSource, cut

NORM_EPS = 1e-6  # of the norms inside the block, whatever rms_norm_eps says: DeepSeek's published modeling code


class MlaAttention:
    """One layer's latent attention on one rank. Every rank of a tensor-parallel group caches the same latents."""

    def __init__(self, spec: ModelSpec, block: Mla, rank: Rank, name: str, weights: WeightSource, back: float) -> None:
        self.spec, self.block, self.tp = spec, block, rank.deployment.tp
        h, a, u = spec.hidden, block.heads, block.query_rank or 0
        k, d, v, c = block.nope_dim, block.rope_dim, block.value_dim, block.latent_rank

        self.q_a_kv_a_XH = weights.matrix(f"{name}.q_a_kv_a", u + c + d, h, std=h**-0.5)
        self.q_a_norm_U = weights(f"{name}.q_a_norm", u, std=None) if u else None
        self.kv_a_norm_C = weights(f"{name}.kv_a_norm", c, std=None)
        q_inputs = u or h
        by_head = cut(0, (a * (k + d),), part=rank.tp, parts=self.tp)
        self.q_b_FU = weights.matrix(f"{name}.q_b" if u else f"{name}.q", a * (k + d), q_inputs, std=q_inputs**-0.5, cuts=by_head)
        self.kv_b_AOC = weights(f"{name}.kv_b", a, k + v, c, std=c**-0.5, cuts=cut(0, (a,), part=rank.tp, parts=self.tp))
        by_input = cut(1, (a * v,), part=rank.tp, parts=self.tp)
        self.o_HV = weights.matrix(f"{name}.o", h, a * v, std=back * (a * v) ** -0.5, cuts=by_input)
        deployment = rank.deployment
        self.latent_scale = None if deployment.kv_format.plain else weights.cache_scale(f"{name}.latent_scale")
        self._activation = deployment.activation_format
        self._gathered = "" if deployment.kv_format.plain else self._activation.name  # what latents are read back in; "": as they are
        # The format that the last step of attention itself writes: groups that share a scale lie in one head.
        self._attended = self.o_HV.takes if fuses(self.o_HV.takes, v) else self._activation

    @property
    def takes(self) -> Format:
        """The format in which `step` wants x."""
        return self.q_a_kv_a_XH.takes

    def expands(self, query_len: int) -> bool:
        """Whether multiplying the latents out costs less arithmetic:
        once C (K + V) per position of the context, to save 2C - K - V for each query that sees it."""
        both = self.block.nope_dim + self.block.value_dim
        return query_len * (2 * self.block.latent_rank - both) > self.block.latent_rank * both

    def step(self, x_TH: Operand, cos_sin_QD: torch.Tensor, inputs: StepInputs, pages: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """What attention adds to the residual; x is normed."""
        (latent_PBW,) = pages
        with part("qkv_a"):
            a_TX = self.q_a_kv_a_XH(x_TH).values
        with part("latent_kv_write"):
            query_rank = self.block.query_rank or 0
            u_TU = in_format(
                lambda y_scale, out_format: latent_kv_write(
                    a_TX, cos_sin_QD, inputs.positions_T, inputs.slots_T, latent_PBW, self.q_a_norm_U, self.kv_a_norm_C, NORM_EPS, self.latent_scale,
                    y_scale, out_format,
                ),
                a_TX, (a_TX.shape[0], query_rank), self.q_b_FU.takes if query_rank else self._activation,
            )  # fmt: skip
        with part("q_b"):
            q_TF = self.q_b_FU(u_TU if query_rank else x_TH).values
        q_TAF = q_TF.view(q_TF.shape[0], -1, self.block.nope_dim + self.block.rope_dim)
        attend = self._expanded if self.expands(inputs.max_query_len) else self._absorbed
        o_TV = attend(q_TAF, cos_sin_QD, inputs, latent_PBW)
        with part("o"):
            out_TH = self.o_HV(o_TV).values
        if self.tp > 1:
            with part("all_reduce"):
                out_TH = all_reduce(out_TH, "tp", self.tp)
        return out_TH

    def _absorbed(self, q_TAF: torch.Tensor, cos_sin_QD: torch.Tensor, inputs: StepInputs, latent_PBW: torch.Tensor) -> Operand:
        k = self.block.nope_dim
        with part("absorb_q"):
            q_TAW = head_matmul(q_TAF, self.kv_b_AOC[:, :k].transpose(1, 2), cos_sin_QD, inputs.positions_T)
        with part("attend"):
            o_TAC = latent_attention(
                q_TAW, latent_PBW, inputs.block_table_SM, inputs.query_start_S1, inputs.context_len_S, self.spec.softmax_scale,
                inputs.max_query_len, self.block.latent_rank, self.latent_scale,
            )  # fmt: skip
        with part("v_b"):
            v_AVC = self.kv_b_AOC[:, k:]
            return in_format(
                lambda y_scale, out_format: head_matmul(o_TAC, v_AVC, None, None, y_scale, out_format),
                o_TAC, (*o_TAC.shape[:2], v_AVC.shape[1]), self._attended,
            )  # fmt: skip

    def _expanded(self, q_TAF: torch.Tensor, cos_sin_QD: torch.Tensor, inputs: StepInputs, latent_PBW: torch.Tensor) -> Operand:
        heads, both, c = self.kv_b_AOC.shape
        with part("latent_gather"):
            latent_NC, key_ND = latent_gather(
                latent_PBW, inputs.block_table_SM, inputs.context_start_S1, inputs.context_tokens, self.block.rope_dim, self.latent_scale, self._gathered
            )  # fmt: skip
        with part("kv_b"):
            kv_NO = matmul(latent_NC, self.kv_b_AOC.view(heads * both, c), None, "none")
        with part("attend"):
            return in_format(
                lambda y_scale, out_format: expanded_attention(
                    q_TAF, kv_NO.view(-1, heads, both), key_ND, cos_sin_QD, inputs.positions_T, inputs.query_start_S1, inputs.context_start_S1,
                    self.spec.softmax_scale, inputs.max_query_len, y_scale, out_format,
                ),
                q_TAF, (*q_TAF.shape[:2], self.block.value_dim), self._attended,
            )  # fmt: skip
