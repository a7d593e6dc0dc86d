"""Running whole steps of a model: build once, then one step per `iteration`, replayed from CUDA graphs on a GPU."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from triton_kernels.codes import encode_element
from triton_kernels.errors import TokenmillError
from triton_kernels.formats import ELEMENTS
from triton_kernels.groups import process_group
from triton_kernels.operation import StepFacts
from workloads.checkpoint import CheckpointWeights
from workloads.decoder import Decoder
from workloads.deployment import Deployment
from workloads.facts import played_rank
from workloads.inputs import DrawnInputs, draw_block_table, draw_inputs
from workloads.model_spec import ModelSpec
from workloads.planning import check_step, make_cache, plan_step, use_of
from workloads.rope import rotary_table
from workloads.routing import Routing, parse_routing
from workloads.shape import StepShape
from workloads.step_inputs import Sampling
from workloads.weights import RandomWeights, WeightSource

INPUT_SETS = 8  # drawings that replays rotate through, so that no step finds its own experts and rows in the L2 cache


def build_decoder(
    spec: ModelSpec, deployment: Deployment, device: torch.device, *, seed: int, positions: int, rank: str = "hottest", mtp: bool = False
) -> Decoder:
    """One rank of the model with its weights on `device`: from its folder's safetensors when it has them, else random."""
    played = played_rank(deployment, rank)
    weights: WeightSource
    if spec.weights == "files":
        assert spec.folder is not None
        weights = CheckpointWeights(spec, spec.folder, use_of=use_of(spec, deployment), device=device)
    else:
        # Ranks that run together hold the same router, norms and replicated parts only if they draw them from one checkpoint; random ranks need not agree.
        weights = RandomWeights(use_of=use_of(spec, deployment), device=device, seed=seed + played.index)
    decoder = Decoder(spec, weights, rotary_table(spec.rope, positions, device), played, mtp=mtp)
    if isinstance(weights, CheckpointWeights) and deployment.gpus == 1:
        weights.refuse_leftovers()
    if isinstance(weights, CheckpointWeights):
        decoder.notes = tuple(weights.notes)
    return decoder


def fill_random(pages: torch.Tensor, generator: torch.Generator) -> None:
    """A context of random keys and values, never zeros; in fp8 the codes, with scale 1, of those that a bf16 cache would hold.

    A part at a time: what is drawn is larger than its codes.
    """
    for some in torch.chunk(pages, 8):
        if pages.dtype.itemsize > 1:
            some.normal_(generator=generator)
        else:
            drawn = torch.empty(some.shape, dtype=torch.bfloat16, device=some.device).normal_(generator=generator)
            some.copy_(encode_element(drawn, ELEMENTS["e4m3"]))


class StepRunner:
    """Steps of one shape on one rank. Raises torch.OutOfMemoryError when weights, cache or step do not fit; TokenmillError for what the user can fix."""

    def __init__(
        self,
        spec: ModelSpec,
        deployment: Deployment,
        shape: StepShape,
        device: torch.device,
        *,
        routing: str | Routing = "uniform",
        rank: str = "hottest",
        seed: int = 0,
        decoder: Decoder | None = None,
    ) -> None:
        self.routing = parse_routing(routing) if isinstance(routing, str) else routing
        check_step(spec, deployment, shape)
        emulated = deployment.exchanges and process_group("ep", deployment.ep) is None
        if deployment.ep > 1 and process_group("ep", deployment.ep) is None and not self.routing.drawn:
            raise TokenmillError("--routing model: the other ranks' routers are not here; use a drawn routing, such as uniform")
        self.spec, self.deployment, self.shape, self.device = spec, deployment, shape, device
        self.sampling = Sampling()
        played = played_rank(deployment, rank)
        self.plan, self.sizes = plan_step(spec, deployment, shape, sampling=self.sampling, forced=self.routing.drawn, rank=played)
        self.decoder = decoder or build_decoder(spec, deployment, device, seed=seed, positions=spec.max_positions, rank=rank, mtp=shape.mtp)
        self.cache = make_cache(spec, deployment, shape, device)
        generator = torch.Generator(device=device).manual_seed(seed + 1)
        for pages in self.cache.tensors:
            fill_random(pages, generator)
        rng = np.random.default_rng(seed)
        table_SM = draw_block_table(shape, rng)
        self._drawn: list[DrawnInputs] = [
            draw_inputs(spec, deployment, shape, self.routing, rng, device, block_table_SM=table_SM, rank=rank, emulated=emulated) for _ in range(INPUT_SETS)
        ]
        self._graphs: list[torch.cuda.CUDAGraph] = []
        self._outputs: list[tuple[torch.Tensor, ...]] = []
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
    def step(self, i: int) -> tuple[torch.Tensor, ...]:
        """One eager step with input set i: (logits_SV, ids_S), with a multi-token-prediction module its draft's too."""
        inputs = self._drawn[i % self.sets].inputs
        if self.shape.mtp:
            return self.decoder.step_and_draft(inputs, self.cache, self.sampling)
        return self.decoder.step(inputs, self.cache, self.sampling)

    @torch.inference_mode()
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
        """The facts as the device has them. What it keeps no count of is taken as drawn."""
        inputs, drawn = self._drawn[i].inputs, self._drawn[i].facts
        observed = StepFacts(query_len_S=tuple(inputs.query_start_S1.diff().tolist()), context_len_S=tuple(inputs.context_len_S.tolist()))
        if self.spec.moe is None:
            return observed
        counts = inputs.offsets_LE1.diff(dim=1).tolist()
        routed = [min(layer, self.spec.layers - 1) in self.spec.moe.layers for layer in range(len(counts))]
        rows = tuple(tuple(row) if is_moe else () for row, is_moe in zip(counts, routed, strict=True))
        if drawn is not None:
            return replace(drawn, query_len_S=observed.query_len_S, context_len_S=observed.context_len_S, rows_per_expert_LE=rows)
        # The router's own choice, every expert here: each token is somebody's row.
        tokens = tuple(self.shape.tokens if is_moe else 0 for is_moe in routed)
        nothing = (0,) * len(rows)
        return replace(observed, rows_per_expert_LE=rows, tokens_L=tokens, sent_rows_L=nothing, received_rows_L=nothing)
