"""What a step of a model will be, before a byte is allocated: its plan, its sizes, its cache."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from triton_kernels.operation import Ledger
from workloads.decoder import Decoder, KvCache, Sampling, rotary_table
from workloads.deployment import Deployment
from workloads.inputs import PAGE_SLOTS, meta_inputs, pages_per_sequence
from workloads.model_spec import ModelSpec
from workloads.plan import Plan
from workloads.shape import StepShape
from workloads.weights import MetaWeights, ParameterCount, count_parameters


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What a model takes on one GPU: parameters as counts, the rest in bytes."""

    params: ParameterCount
    weight_bytes: int
    kv_bytes_per_token: int


def make_cache(spec: ModelSpec, shape: StepShape, dtype: torch.dtype, device: torch.device) -> KvCache:
    """Uninitialised pages for every sequence of the step."""
    dims = (shape.batch * pages_per_sequence(shape), spec.kv_heads, PAGE_SLOTS, spec.head_dim)

    def pages() -> tuple[torch.Tensor, ...]:
        return tuple(torch.empty(dims, dtype=dtype, device=device) for _ in range(spec.layers))

    return KvCache(k_LPGBD=pages(), v_LPGBD=pages())


def plan_step(spec: ModelSpec, deployment: Deployment, shape: StepShape, *, sampling: Sampling, forced: bool = True) -> tuple[Plan, Sizes]:
    """Runs the model on meta tensors and writes down its calls; counts the parameters it asked for and the cache bytes one token takes."""
    meta = torch.device("meta")
    weights = MetaWeights(dtype=deployment.weight_format.dtype)
    decoder = Decoder(spec, weights, rotary_table(spec, spec.max_positions, meta))
    cache = make_cache(spec, shape, deployment.kv_format.dtype, meta)
    with torch.inference_mode(), Ledger() as ledger:
        decoder.step(meta_inputs(spec, shape, forced=forced), cache, sampling)
    params = count_parameters(weights.parameters, experts=spec.experts, top_k=spec.top_k)
    slots = cache.k_LPGBD[0].shape[0] * PAGE_SLOTS
    cache_bytes = sum(pages.nbytes for pages in cache.k_LPGBD + cache.v_LPGBD)
    sizes = Sizes(params=params, weight_bytes=params.total * deployment.weight_format.dtype.itemsize, kv_bytes_per_token=cache_bytes // slots)
    return Plan(calls=tuple(ledger.calls)), sizes
