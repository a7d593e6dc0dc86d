"""Grouped-query attention as a block: projections, rotary positions and cache write, attention, output projection.

Shapes: T tokens, H hidden, A query heads and G key/value heads of this rank, D head dim, W = (A + 2G) D.
"""

from __future__ import annotations

import torch

from triton_kernels.all_reduce import all_reduce
from triton_kernels.attention import attention, fuses
from triton_kernels.formats import Format
from triton_kernels.operand import Operand
from triton_kernels.operation import part
from triton_kernels.results import in_format
from triton_kernels.rope_kv_write import rope_kv_write
from workloads.deployment import Rank
from workloads.model_spec import Gqa, ModelSpec
from workloads.step_inputs import StepInputs
from workloads.weights import Cut, WeightSource, cut


def kv_heads_of_a_rank(attention: Gqa, tp: int) -> int:
    """Key/value heads of one GPU: a share, or one that several GPUs hold copies of."""
    return max(1, attention.kv_heads // tp)


class GqaAttention:
    """One layer's grouped-query attention on one rank."""

    def __init__(self, spec: ModelSpec, block: Gqa, rank: Rank, name: str, index: int, weights: WeightSource, back: float) -> None:
        self.spec, self.block, self.tp = spec, block, rank.deployment.tp
        self.window = block.window if index in block.windowed_layers else 0
        h, d, heads_out = spec.hidden, block.head_dim, block.heads * block.head_dim
        qkv, mine = heads_out + 2 * block.kv_heads * d, _qkv_cut(block, rank)
        inputs = cut(1, (heads_out,), part=rank.tp, parts=self.tp)
        self.qkv_WH = weights.matrix(f"{name}.qkv", qkv, h, std=h**-0.5, cuts=mine)
        self.qkv_bias_W = weights(f"{name}.qkv_bias", qkv, std=0.1, cuts=mine) if block.bias else None
        self.q_norm_D = weights(f"{name}.q_norm", d, std=None) if block.qk_norm else None
        self.k_norm_D = weights(f"{name}.k_norm", d, std=None) if block.qk_norm else None
        self.sinks_A = weights(f"{name}.sinks", block.heads, std=1.0, cuts=cut(0, (block.heads,), part=rank.tp, parts=self.tp)) if block.sinks else None
        self.o_HW = weights.matrix(f"{name}.o", h, heads_out, std=back * heads_out**-0.5, cuts=inputs)
        o_bias_H = weights(f"{name}.o_bias", h, std=0.1) if block.output_bias else None
        self.o_bias_H = o_bias_H if rank.tp == 0 else None  # added once to the sum over the ranks
        scaled = not rank.deployment.kv_format.plain
        self.k_scale = weights.cache_scale(f"{name}.k_scale") if scaled else None
        self.v_scale = weights.cache_scale(f"{name}.v_scale") if scaled else None
        # The format that attention itself writes; where groups that share a scale would span heads, the output projection quantises first.
        self.attended = self.o_HW.takes if fuses(self.o_HW.takes, d) else rank.deployment.activation_format

    @property
    def takes(self) -> Format:
        """The format in which `step` wants x."""
        return self.qkv_WH.takes

    def step(self, x_TH: Operand, cos_sin_QD: torch.Tensor, inputs: StepInputs, pages: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """What attention adds to the residual; x is normed."""
        k_PGBD, v_PGBD = pages
        with part("qkv"):
            qkv_TW = self.qkv_WH(x_TH, self.qkv_bias_W).values
        with part("rope_kv_write"):
            q_TAD = rope_kv_write(
                qkv_TW, cos_sin_QD, inputs.positions_T, inputs.slots_T, k_PGBD, v_PGBD, self.q_norm_D, self.k_norm_D, self.spec.rms_norm_eps,
                self.k_scale, self.v_scale,
            )  # fmt: skip
        with part("attend_window" if self.window else "attend"):
            o_TW = in_format(
                lambda y_scale, out_format: attention(
                    q_TAD, k_PGBD, v_PGBD, inputs.block_table_SM, inputs.query_start_S1, inputs.context_len_S, self.sinks_A, self.spec.softmax_scale,
                    inputs.max_query_len, self.window, self.k_scale, self.v_scale, y_scale, out_format,
                ),
                q_TAD, tuple(q_TAD.shape), self.attended,
            )  # fmt: skip
        with part("o"):
            out_TH = self.o_HW(o_TW, self.o_bias_H).values
        if self.tp > 1:
            with part("all_reduce"):
                out_TH = all_reduce(out_TH, "tp", self.tp)
        return out_TH


def _qkv_cut(block: Gqa, rank: Rank) -> tuple[Cut, ...]:
    """This rank's query heads, and the key/value heads they read: copies where there are fewer of those than GPUs."""
    tp, d = rank.deployment.tp, block.head_dim
    if tp == 1:
        return ()
    heads, kv_heads = block.heads // tp, kv_heads_of_a_rank(block, tp)
    kv_first = rank.tp * block.kv_heads // tp
    keys, values = block.heads, block.heads + block.kv_heads
    firsts_and_counts = ((rank.tp * heads, heads), (keys + kv_first, kv_heads), (values + kv_first, kv_heads))
    return (Cut(dim=0, ranges=tuple((first * d, (first + count) * d) for first, count in firsts_and_counts)),)
