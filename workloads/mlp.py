"""What follows attention in a layer: a dense MLP, or a mixture of experts with or without a shared one.

Shapes: T tokens, H hidden, I intermediate, E experts, J choices per token, R = T x J routed rows, Y tokens of the expert-parallel group.
"""

from __future__ import annotations

import torch

from triton_kernels.all_reduce import all_reduce
from triton_kernels.combine import combine
from triton_kernels.dispatch import dispatch
from triton_kernels.ep_combine import ep_combine
from triton_kernels.ep_dispatch import exchanged
from triton_kernels.formats import Format
from triton_kernels.gather_rows import gather_rows
from triton_kernels.grouped_matmul import multiply_grouped
from triton_kernels.matmul import matmul
from triton_kernels.operand import Operand, plain
from triton_kernels.operation import part
from triton_kernels.quantize import quantized
from triton_kernels.route import route
from workloads.deployment import Rank
from workloads.model_spec import ModelSpec, Moe
from workloads.step_inputs import StepInputs
from workloads.weights import Cut, WeightSource, cut


class Mlp:
    """Gate and up in one matmul with a SwiGLU epilogue, then down: this rank's columns of them."""

    def __init__(self, hidden: int, intermediate: int, name: str, weights: WeightSource, back: float, *, part: int, parts: int) -> None:
        gate_up, down = cut(0, (intermediate, intermediate), part=part, parts=parts), cut(1, (intermediate,), part=part, parts=parts)
        self.gate_up_IH = weights.matrix(f"{name}.gate_up", 2 * intermediate, hidden, std=hidden**-0.5, cuts=gate_up)
        self.down_HI = weights.matrix(f"{name}.down", hidden, intermediate, std=back * intermediate**-0.5, cuts=down)

    def apply(self, x_TH: Operand) -> torch.Tensor:
        """This rank's share of the sum."""
        with part("gate_up"):
            y_TI = self.gate_up_IH(x_TH, None, "swiglu", out=self.down_HI.takes)
        with part("down"):
            return self.down_HI(y_TI).values


class DenseMlp:
    """The MLP of a dense layer."""

    def __init__(self, spec: ModelSpec, rank: Rank, name: str, weights: WeightSource, back: float) -> None:
        assert spec.dense_intermediate is not None, (spec.name, name)
        self.tp = rank.deployment.tp
        self.mlp = Mlp(spec.hidden, spec.dense_intermediate, f"{name}.mlp", weights, back, part=rank.tp, parts=self.tp)

    @property
    def takes(self) -> Format:
        """The format in which `step` wants x."""
        return self.mlp.gate_up_IH.takes

    def step(self, x_TH: Operand, plain_TH: torch.Tensor | None, inputs: StepInputs) -> torch.Tensor:
        with part("mlp"):
            out_TH = self.mlp.apply(x_TH)
            if self.tp > 1:
                with part("all_reduce"):
                    out_TH = all_reduce(out_TH, "tp", self.tp)
        return out_TH


class Experts:
    """Router, dispatch, the experts' gate and up with their activation, their down weighted by the router, and combine; the shared expert beside them.

    Where the experts are spread wider than a tensor-parallel group, tokens travel: each of its GPUs sends its part of the tokens, and has the shared expert
    whole.
    """

    def __init__(self, spec: ModelSpec, moe: Moe, rank: Rank, name: str, index: int, weights: WeightSource, back: float) -> None:
        self.moe, self.rank, self.index = moe, rank, index
        deployment = rank.deployment
        h, i, e = spec.hidden, moe.intermediate, moe.experts
        self.local_experts = e // deployment.ep
        self.first_expert = rank.ep * self.local_experts
        shard, shards = rank.expert_shard, deployment.expert_shards
        here = () if deployment.ep == 1 else (Cut(dim=0, ranges=((self.first_expert, self.first_expert + self.local_experts),)),)
        gate_up, down = cut(1, (i, i), part=shard, parts=shards), cut(2, (i,), part=shard, parts=shards)
        self.router_EH = weights(f"{name}.router", e, h, std=h**-0.5)
        self.router_bias_E = weights(f"{name}.router_bias", e, std=0.1) if moe.router_bias else None
        self.correction_E = weights(f"{name}.router_correction", e, std=0.01) if moe.correction_bias else None
        self.gate_up_EIH = weights.matrix(f"{name}.experts.gate_up", e, 2 * i, h, std=h**-0.5, cuts=here + gate_up)
        self.gate_up_bias_EI = weights(f"{name}.experts.gate_up_bias", e, 2 * i, std=0.1, cuts=here + gate_up) if moe.bias else None
        self.down_EHI = weights.matrix(f"{name}.experts.down", e, h, i, std=back * i**-0.5, cuts=here + down)
        down_bias_EH = weights(f"{name}.experts.down_bias", e, h, std=0.1, cuts=here) if moe.bias else None
        self.down_bias_EH = down_bias_EH if shard == 0 else None  # added once to the sum over the shards
        self.shared = None
        if moe.shared_intermediate:
            part_of, parts = (0, 1) if deployment.exchanges else (rank.tp, deployment.tp)
            self.shared = Mlp(h, moe.shared_intermediate, f"{name}.shared", weights, back, part=part_of, parts=parts)

    @property
    def takes(self) -> Format:
        """The format in which `step` wants x, beside the plain x that the router reads."""
        return self.gate_up_EIH.takes

    def step(self, x_TH: Operand, plain_TH: torch.Tensor | None, inputs: StepInputs) -> torch.Tensor:
        assert plain_TH is not None, self.index
        with part("experts"):
            return self._exchanged(x_TH, plain_TH, inputs) if self.rank.deployment.exchanges else self._reduced(x_TH, plain_TH, inputs)

    def _reduced(self, x_TH: Operand, plain_TH: torch.Tensor, inputs: StepInputs) -> torch.Tensor:
        """Every GPU of the tensor-parallel group has all tokens and adds its experts' share to the sum."""
        ids_TJ, weights_TJ = self._route(plain_TH, inputs)
        shared_TH = self._shared(x_TH, plain_TH)
        z_RH, row_of_TJ = self._experts(x_TH, ids_TJ, weights_TJ, inputs.offsets_LE1[self.index])
        with part("combine"):
            out_TH: torch.Tensor = combine(z_RH, row_of_TJ, shared_TH)
        if self.rank.deployment.tp > 1:
            with part("all_reduce"):
                out_TH = all_reduce(out_TH, "tp", self.rank.deployment.tp)
        return out_TH

    def _exchanged(self, x_TH: Operand, plain_TH: torch.Tensor, inputs: StepInputs) -> torch.Tensor:
        """This GPU's part of the tokens goes to its experts' ranks, in the format that those take, and comes back summed."""
        deployment = self.rank.deployment
        tokens = plain_TH.shape[0] // deployment.tp
        first, last = self.rank.tp * tokens, (self.rank.tp + 1) * tokens
        mine_TH, plain_mine_TH = (x_TH, plain_TH) if deployment.tp == 1 else (x_TH.rows(first, last), plain_TH[first:last])
        drawn_YJ = None if inputs.drawn_ids_LYJ is None else inputs.drawn_ids_LYJ[self.index]
        ids_TJ, weights_TJ = self._route(plain_mine_TH, inputs)
        with part("all_to_all"):
            x_YH, ids_YJ, weights_YJ = exchanged(
                mine_TH, ids_TJ, weights_TJ, drawn_YJ, "ep", deployment.ep, self.first_expert, self.local_experts, deployment.activation_format.name
            )
        shared_TH = self._shared(mine_TH, plain_mine_TH)
        offsets_E1 = inputs.offsets_LE1[self.index]
        z_RH, row_of_YJ = self._experts(x_YH, ids_YJ, weights_YJ, offsets_E1)
        with part("all_to_all_back"):
            out_TH: torch.Tensor = ep_combine(z_RH, row_of_YJ, offsets_E1, shared_TH, "ep", deployment.ep, deployment.activation_format.name)
        if deployment.tp > 1:
            with part("gather_rows"):
                out_TH = gather_rows(out_TH, "tp", deployment.tp)
        return out_TH

    def _route(self, x_TH: torch.Tensor, inputs: StepInputs) -> tuple[torch.Tensor, torch.Tensor]:
        moe = self.moe
        forced_TJ = None if inputs.forced_ids_LTJ is None else inputs.forced_ids_LTJ[self.index]
        with part("router"):
            logits_TE = matmul(x_TH, self.router_EH, self.router_bias_E, "none")
        with part("route"):
            ids_TJ, weights_TJ = route(
                logits_TE, self.correction_E, forced_TJ, moe.top_k, moe.scoring, moe.groups, moe.groups_kept, moe.renormalize, moe.scaling
            )
        return ids_TJ, weights_TJ

    def _shared(self, x_TH: Operand, plain_TH: torch.Tensor) -> torch.Tensor | None:
        if self.shared is None:
            return None
        with part("shared"):
            return self.shared.apply(x_TH if x_TH.format is self.shared.gate_up_IH.takes else plain(plain_TH))

    def _experts(self, x_TH: Operand, ids_TJ: torch.Tensor, weights_TJ: torch.Tensor, offsets_E1: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """This rank's experts over the tokens they were chosen by: weighted rows, and where each (token, choice) pair's row is."""
        moe, spread = self.moe, self.rank.deployment.ep if self.rank.deployment.exchanges else 1
        with part("dispatch"):
            order_R, row_of_TJ = dispatch(ids_TJ, offsets_E1, self.first_expert)
        with part("gate_up"):
            y_RI = multiply_grouped(
                quantized(x_TH, self.gate_up_EIH.takes), self.gate_up_EIH.weight, self.gate_up_bias_EI, offsets_E1, order_R, None,
                top_k=moe.top_k, gather=True, activation=moe.activation, limit=moe.limit, share=spread, out=self.down_EHI.takes,
            )  # fmt: skip
        with part("down"):
            z_RH = multiply_grouped(
                y_RI, self.down_EHI.weight, self.down_bias_EH, offsets_E1, order_R, weights_TJ,
                top_k=moe.top_k, gather=False, activation="none", limit=0.0, share=spread,
            ).values  # fmt: skip
        return z_RH, row_of_TJ
