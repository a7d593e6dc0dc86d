"""One step's inputs, drawn on the host: token ids, positions, cache slots, routing, and the facts they imply."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from triton_kernels.operation import StepFacts
from workloads.decoder import StepInputs
from workloads.model_spec import ModelSpec
from workloads.routing import draw_experts, rows_per_expert
from workloads.shape import ROUTINGS, StepShape, unknown_routing

PAGE_SLOTS = 64  # tokens per cache page: FlashMLA's and FlashAttention-3's page; vLLM's default of 16 costs more look-ups per tile


def pages_per_sequence(shape: StepShape) -> int:
    return -(-shape.context // PAGE_SLOTS)


@dataclass(frozen=True, kw_only=True)
class DrawnInputs:
    """Inputs on the device and what the host knows of them. `facts` is None where the router decides: the first run tells."""

    inputs: StepInputs
    facts: StepFacts | None


def step_facts(
    spec: ModelSpec, shape: StepShape, routing: str, rng: np.random.Generator, *, layers_drawn: int | None = None
) -> tuple[StepFacts, np.ndarray | None]:
    """The facts of one drawn step and its expert ids (L, T, J); no ids and no rows where the router decides or the model has no experts.

    `layers_drawn`: draw so many layers and let the others repeat them; None: every layer draws alone, as a step that runs must.
    """
    if routing not in ROUTINGS:
        raise unknown_routing(routing)
    ids_LTJ = None
    rows: tuple[tuple[int, ...], ...] = ()
    if spec.moe_layers and routing != "model":
        drawn = layers_drawn or spec.layers
        ids_LTJ = draw_experts(routing, layers=drawn, tokens=shape.tokens, experts=spec.experts, top_k=spec.top_k, rng=rng)
        rows = (rows_per_expert(ids_LTJ, spec.experts) * -(-spec.layers // drawn))[: spec.layers]
    facts = StepFacts(query_len_S=(shape.query_len,) * shape.batch, context_len_S=(shape.context,) * shape.batch, rows_per_expert_LE=rows)
    return facts, ids_LTJ


def draw_block_table(shape: StepShape, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Pages in random order, as in a cache that has served for a while.

    One table for all input sets of a cache: each step then overwrites the same slots before it reads them, and what a set computes never depends on
    which sets ran before it. Every set reads every page, so rotating tables would keep nothing out of the caches.
    """
    pages = pages_per_sequence(shape)
    return rng.permutation(shape.batch * pages).reshape(shape.batch, pages)


def draw_inputs(
    spec: ModelSpec, shape: StepShape, routing: str, rng: np.random.Generator, device: torch.device, *, block_table_SM: npt.NDArray[np.int64]
) -> DrawnInputs:
    """Random token ids and a routing drawn for every layer, over the sequences' pages."""
    s, q = shape.batch, shape.query_len
    positions_SQ = np.broadcast_to(np.arange(shape.context - q, shape.context), (s, q))
    slots_SQ = np.take_along_axis(block_table_SM, positions_SQ // PAGE_SLOTS, axis=1) * PAGE_SLOTS + positions_SQ % PAGE_SLOTS
    facts, ids_LTJ = step_facts(spec, shape, routing, rng)

    def put(values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(values, dtype=np.int32)).to(device)

    inputs = StepInputs(
        ids_T=put(rng.integers(0, spec.vocab, s * q)),
        positions_T=put(positions_SQ.reshape(-1)),
        slots_T=put(slots_SQ.reshape(-1)),
        block_table_SM=put(block_table_SM),
        query_start_S1=put(np.arange(s + 1) * q),
        context_len_S=put(np.full(s, shape.context)),
        last_row_S=None if q == 1 else put(np.arange(1, s + 1) * q - 1),
        forced_ids_LTJ=None if ids_LTJ is None else put(ids_LTJ),
        uniform_S=torch.from_numpy(rng.random(s, dtype=np.float32)).to(device),
        offsets_LE1=torch.zeros(spec.layers, spec.experts + 1, dtype=torch.int32, device=device),
        max_query_len=q,
    )
    return DrawnInputs(inputs=inputs, facts=facts if routing != "model" or not spec.moe_layers else None)


def meta_inputs(spec: ModelSpec, shape: StepShape, *, forced: bool) -> StepInputs:
    """The same inputs' shapes on meta."""
    s, t = shape.batch, shape.tokens

    def empty(*dims: int, dtype: torch.dtype = torch.int32) -> torch.Tensor:
        return torch.empty(dims, dtype=dtype, device="meta")

    return StepInputs(
        ids_T=empty(t),
        positions_T=empty(t),
        slots_T=empty(t),
        block_table_SM=empty(s, pages_per_sequence(shape)),
        query_start_S1=empty(s + 1),
        context_len_S=empty(s),
        last_row_S=None if shape.query_len == 1 else empty(s),
        forced_ids_LTJ=empty(spec.layers, t, spec.top_k) if forced and spec.moe_layers else None,
        uniform_S=empty(s, dtype=torch.float32),
        offsets_LE1=empty(spec.layers, spec.experts + 1),
        max_query_len=shape.query_len,
    )
