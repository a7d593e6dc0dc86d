"""Running whole steps of a model: build once, then one step per `iteration`, replayed from CUDA graphs on a GPU."""

from __future__ import annotations

import numpy as np
import torch

from triton_kernels.errors import TokenmillError
from triton_kernels.operation import StepFacts
from workloads.checkpoint import CheckpointWeights
from workloads.decoder import Decoder, Sampling, rotary_table
from workloads.deployment import Deployment
from workloads.inputs import DrawnInputs, draw_block_table, draw_inputs
from workloads.model_spec import ModelSpec
from workloads.planning import make_cache, plan_step
from workloads.shape import ROUTINGS, StepShape, unknown_routing
from workloads.weights import RandomWeights, WeightSource

INPUT_SETS = 8  # drawings that replays rotate through, so that no step finds its own experts and rows in the L2 cache


def build_decoder(spec: ModelSpec, deployment: Deployment, device: torch.device, *, seed: int, positions: int) -> Decoder:
    """The model with its weights on `device`: from its folder's safetensors when it has them, else random."""
    dtype = deployment.weight_format.dtype
    weights: WeightSource
    if spec.weights == "files":
        assert spec.folder is not None
        weights = CheckpointWeights(spec, spec.folder, dtype=dtype, device=device)
    else:
        weights = RandomWeights(dtype=dtype, device=device, seed=seed)
    decoder = Decoder(spec, weights, rotary_table(spec, positions, device))
    if isinstance(weights, CheckpointWeights):
        weights.refuse_leftovers()
    return decoder


class StepRunner:
    """Steps of one shape. Raises torch.OutOfMemoryError when weights, cache or step do not fit; TokenmillError for what the user can fix."""

    def __init__(
        self,
        spec: ModelSpec,
        deployment: Deployment,
        shape: StepShape,
        device: torch.device,
        *,
        routing: str = "uniform",
        seed: int = 0,
        decoder: Decoder | None = None,
    ) -> None:
        if routing not in ROUTINGS:
            raise unknown_routing(routing)
        if shape.context > spec.max_positions:
            raise TokenmillError(f"context {shape.context} is longer than the {spec.max_positions} positions of {spec.name}")
        self.spec, self.deployment, self.shape, self.device, self.routing = spec, deployment, shape, device, routing
        self.sampling = Sampling()
        self.plan, self.sizes = plan_step(spec, deployment, shape, sampling=self.sampling, forced=routing != "model")
        self.decoder = decoder or build_decoder(spec, deployment, device, seed=seed, positions=spec.max_positions)
        self.cache = make_cache(spec, shape, deployment.kv_format.dtype, device)
        generator = torch.Generator(device=device).manual_seed(seed + 1)
        for pages in self.cache.k_LPGBD + self.cache.v_LPGBD:
            pages.normal_(generator=generator)  # a context of random keys and values, never zeros
        rng = np.random.default_rng(seed)
        table_SM = draw_block_table(shape, rng)
        self._drawn: list[DrawnInputs] = [draw_inputs(spec, shape, routing, rng, device, block_table_SM=table_SM) for _ in range(INPUT_SETS)]
        self._graphs: list[torch.cuda.CUDAGraph] = []
        self._outputs: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._facts = [drawn.facts or self._observe(i) for i, drawn in enumerate(self._drawn)]

    @property
    def sets(self) -> int:
        """Number of input sets that iterations rotate through."""
        return len(self._drawn)

    def facts(self, i: int) -> StepFacts:
        """What the host knew of step `i` before it ran."""
        return self._facts[i % self.sets]

    def all_facts(self) -> list[StepFacts]:
        return list(self._facts)

    @torch.inference_mode()
    def step(self, i: int) -> tuple[torch.Tensor, torch.Tensor]:
        """One eager step with input set i: (logits_SV, ids_S)."""
        return self.decoder.step(self._drawn[i % self.sets].inputs, self.cache, self.sampling)

    def capture(self) -> None:
        """Captures one CUDA graph per input set, all in one memory pool. On the CPU there is nothing to capture."""
        if self.device.type != "cuda" or self._graphs:
            return
        self.step(0)  # compiles every kernel variant outside the capture
        torch.cuda.synchronize(self.device)
        pool = torch.cuda.graph_pool_handle()
        for i in range(self.sets):
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=pool):
                self._outputs.append(self.step(i))
            self._graphs.append(graph)

    def iteration(self, i: int) -> None:
        """Enqueues step i: a graph replay where captured (asynchronous), an eager step otherwise."""
        if self._graphs:
            self._graphs[i % self.sets].replay()
        else:
            self.step(i)

    def facts_mismatch(self) -> str | None:
        """Compares the device's own lengths and expert histograms, as the last replays left them, with the facts. None when all agree.

        Call after at least `sets` iterations: a set that never ran has no histogram.
        """
        for i in range(self.sets):
            observed, expected = self._read_back(i), self.facts(i)
            for field in StepFacts.__dataclass_fields__:
                if getattr(observed, field) != getattr(expected, field):
                    return f"facts_mismatch: {field} of input set {i} differs on the device from what was drawn"
        return None

    def _observe(self, i: int) -> StepFacts:
        """Where the router decides, one step tells the facts of its input set."""
        self.step(i)
        return self._read_back(i)

    def _read_back(self, i: int) -> StepFacts:
        inputs = self._drawn[i].inputs
        rows: tuple[tuple[int, ...], ...] = ()
        if self.spec.moe_layers:
            # A dense layer's drawn rows are never dispatched; its facts are kept as drawn.
            counts = inputs.offsets_LE1.diff(dim=1).tolist()
            drawn = self._drawn[i].facts
            rows = tuple(
                tuple(counts[layer]) if layer in self.spec.moe_layers or drawn is None else drawn.rows_per_expert_LE[layer]
                for layer in range(self.spec.layers)
            )
        return StepFacts(
            query_len_S=tuple(inputs.query_start_S1.diff().tolist()), context_len_S=tuple(inputs.context_len_S.tolist()), rows_per_expert_LE=rows
        )
