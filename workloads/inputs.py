"""One step's inputs, drawn on the host: token ids, positions, cache slots, routing, and the facts they imply."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from triton_kernels.operation import StepFacts
from workloads.deployment import Deployment
from workloads.facts import step_facts
from workloads.model_spec import ModelSpec
from workloads.routing import Routing
from workloads.shape import StepShape
from workloads.step_inputs import StepInputs

PAGE_SLOTS = 64  # tokens per cache page: FlashMLA's and FlashAttention-3's page; vLLM's default of 16 costs more look-ups per tile


def pages_per_sequence(shape: StepShape) -> int:
    return -(-shape.context // PAGE_SLOTS)


@dataclass(frozen=True, kw_only=True)
class DrawnInputs:
    """Inputs on the device and what the host knows of them. `facts` is None where the router decides: the first run tells."""

    inputs: StepInputs
    facts: StepFacts | None


def draw_block_table(shape: StepShape, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Pages in random order, as in a cache that has served for a while.

    One table for all input sets of a cache: each step then overwrites the same slots before it reads them, and what a set computes never depends on
    which sets ran before it. Every set reads every page, so rotating tables would keep nothing out of the caches.
    """
    pages = pages_per_sequence(shape)
    return rng.permutation(shape.batch * pages).reshape(shape.batch, pages)


def draw_inputs(
    spec: ModelSpec,
    deployment: Deployment,
    shape: StepShape,
    routing: Routing,
    rng: np.random.Generator,
    device: torch.device,
    *,
    block_table_SM: npt.NDArray[np.int64],
    rank: str = "hottest",
    emulated: bool = True,
) -> DrawnInputs:
    """Random token ids and a routing drawn for every layer, over the sequences' pages. `emulated`: the other ranks' routing comes along."""
    s, q = shape.batch, shape.query_len
    positions_SQ = np.broadcast_to(np.arange(shape.context - q, shape.context), (s, q))
    slots_SQ = np.take_along_axis(block_table_SM, positions_SQ // PAGE_SLOTS, axis=1) * PAGE_SLOTS + positions_SQ % PAGE_SLOTS
    facts, drawn = step_facts(spec, deployment, shape, routing, rank, rng)

    def put(values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(values, dtype=np.int32)).to(device)

    ids_SQ = rng.integers(0, spec.vocab, (s, q + 1))
    inputs = StepInputs(
        ids_T=put(ids_SQ[:, :-1].reshape(-1)),
        positions_T=put(positions_SQ.reshape(-1)),
        slots_T=put(slots_SQ.reshape(-1)),
        block_table_SM=put(block_table_SM),
        query_start_S1=put(np.arange(s + 1) * q),
        context_len_S=put(np.full(s, shape.context)),
        context_start_S1=put(np.arange(s + 1) * shape.context),
        context_tokens=s * shape.context,
        last_row_S=None if q == 1 else put(np.arange(1, s + 1) * q - 1),
        next_ids_T=None if q == 1 or not shape.mtp else put(ids_SQ[:, 1:].reshape(-1)),
        forced_ids_LTJ=None if drawn is None else put(drawn.own_LTJ),
        drawn_ids_LYJ=put(drawn.group_LYJ) if drawn is not None and deployment.exchanges and emulated else None,
        uniform_S=torch.from_numpy(rng.random(s, dtype=np.float32)).to(device),
        offsets_LE1=torch.zeros(offsets_dims(spec, deployment, shape), dtype=torch.int32, device=device),
        max_query_len=q,
    )
    return DrawnInputs(inputs=inputs, facts=facts if routing.drawn or spec.moe is None else None)


def offsets_dims(spec: ModelSpec, deployment: Deployment, shape: StepShape) -> tuple[int, int]:
    """Layers, and one more than this rank's experts."""
    return spec.layers + shape.mtp, (0 if spec.moe is None else spec.moe.experts // deployment.ep) + 1


def meta_inputs(spec: ModelSpec, deployment: Deployment, shape: StepShape, *, forced: bool) -> StepInputs:
    """The same inputs' shapes on meta."""
    s, t = shape.batch, shape.tokens
    layers, _ = offsets = offsets_dims(spec, deployment, shape)
    choices = 0 if spec.moe is None or not forced else spec.moe.top_k

    def empty(*dims: int, dtype: torch.dtype = torch.int32) -> torch.Tensor:
        return torch.empty(dims, dtype=dtype, device="meta")

    own = t // deployment.tp if deployment.exchanges else t
    return StepInputs(
        ids_T=empty(t),
        positions_T=empty(t),
        slots_T=empty(t),
        block_table_SM=empty(s, pages_per_sequence(shape)),
        query_start_S1=empty(s + 1),
        context_len_S=empty(s),
        context_start_S1=empty(s + 1),
        context_tokens=s * shape.context,
        last_row_S=None if shape.query_len == 1 else empty(s),
        next_ids_T=empty(t) if shape.mtp and shape.query_len > 1 else None,
        forced_ids_LTJ=empty(layers, own, choices) if choices else None,
        drawn_ids_LYJ=empty(layers, own * deployment.ep, choices) if choices and deployment.exchanges else None,
        uniform_S=empty(s, dtype=torch.float32),
        offsets_LE1=empty(*offsets),
        max_query_len=shape.query_len,
    )
