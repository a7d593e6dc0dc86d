"""What a step of a model will do, before a byte is allocated: its plan, its sizes, its cache."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from triton_kernels.errors import TokenmillError
from triton_kernels.operation import Ledger
from workloads.decoder import Decoder
from workloads.deployment import Deployment, Rank
from workloads.gqa import kv_heads_of_a_rank
from workloads.inputs import PAGE_SLOTS, meta_inputs, pages_per_sequence
from workloads.model_spec import Gqa, ModelSpec
from workloads.plan import Plan
from workloads.rope import rotary_table
from workloads.shape import StepShape
from workloads.step_inputs import KvCache, Sampling
from workloads.weights import DtypeOf, MetaWeights, ParameterCount, count_parameters

META = torch.device("meta")


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What a model takes: parameters of the whole model as counts; bytes of one GPU of the deployment."""

    params: ParameterCount
    weight_bytes: int
    kv_bytes_per_token: int

    def cache_bytes(self, shape: StepShape) -> int:
        """Of a data-parallel rank's sequences, on each of its GPUs."""
        return self.kv_bytes_per_token * shape.context * shape.batch


def make_cache(spec: ModelSpec, deployment: Deployment, shape: StepShape, device: torch.device) -> KvCache:
    """Uninitialised pages for every sequence of the step, one layer more with a multi-token-prediction module."""
    pages, dtype = shape.batch * pages_per_sequence(shape), deployment.kv_format.dtype
    block = spec.attention
    dims: tuple[int, ...]
    if isinstance(block, Gqa):
        dims, tensors = (pages, kv_heads_of_a_rank(block, deployment.tp), PAGE_SLOTS, block.head_dim), 2
    else:
        dims, tensors = (pages, PAGE_SLOTS, block.cache_width), 1
    layers = spec.layers + shape.mtp
    return KvCache(layers=tuple(tuple(torch.empty(dims, dtype=dtype, device=device) for _ in range(tensors)) for _ in range(layers)))


def dtype_of(spec: ModelSpec, deployment: Deployment) -> DtypeOf:
    """The type of each parameter under the deployment's recipe, with what the checkpoint's quantization_config leaves out of it."""
    from workloads.checkpoint_names import modules_of
    from workloads.quantization import stays

    recipe = deployment.recipe
    left_out = spec.quantization.not_converted if spec.quantization is not None else ()

    def dtype(name: str, dims: tuple[int, ...]) -> torch.dtype:
        kept = bool(left_out) and recipe.weight is not recipe.activation and all(stays(module, left_out) for module in modules_of(spec, name))
        return recipe.format_of(name, dims, stays=kept).dtype

    return dtype


def rank_sizes(spec: ModelSpec, deployment: Deployment) -> Sizes:
    """Sizes alone, without running a step: milliseconds."""
    deployment.check(spec)
    weights = MetaWeights(dtype_of=dtype_of(spec, deployment))
    Decoder(spec, weights, rotary_table(spec.rope, 1, META), Rank(deployment=deployment))
    return _sizes(spec, deployment, weights)


def _sizes(spec: ModelSpec, deployment: Deployment, weights: MetaWeights) -> Sizes:
    one_page = make_cache(spec, deployment, StepShape(phase="decode", batch=1, context=PAGE_SLOTS), META)
    experts, top_k = (1, 1) if spec.moe is None else (spec.moe.experts, spec.moe.top_k)
    return Sizes(
        params=count_parameters(weights.parameters, experts=experts, top_k=top_k),
        weight_bytes=weights.rank_bytes,
        kv_bytes_per_token=sum(pages.nbytes for pages in one_page.tensors) // PAGE_SLOTS,
    )


def check_step(spec: ModelSpec, deployment: Deployment, shape: StepShape) -> None:
    """TokenmillError where the model cannot be divided so, or has no such step."""
    deployment.check(spec)
    if shape.context > spec.max_positions:
        raise TokenmillError(f"context {shape.context} is longer than the {spec.max_positions} positions of {spec.name}")
    if shape.mtp and not spec.mtp_modules:
        raise TokenmillError(f"--mtp: {spec.name} has no multi-token-prediction module")
    if deployment.exchanges and shape.tokens % deployment.tp:
        raise TokenmillError(f"--tp {deployment.tp} with --ep {deployment.ep}: should divide the {shape.tokens} tokens of the step")


def plan_step(
    spec: ModelSpec, deployment: Deployment, shape: StepShape, *, sampling: Sampling, forced: bool = True, rank: Rank | None = None
) -> tuple[Plan, Sizes]:
    """Runs the model on meta tensors and writes down its calls; counts the parameters it asked for and the cache bytes one token takes."""
    check_step(spec, deployment, shape)
    weights = MetaWeights(dtype_of=dtype_of(spec, deployment))
    decoder = Decoder(spec, weights, rotary_table(spec.rope, spec.max_positions, META), rank or Rank(deployment=deployment), mtp=shape.mtp)
    cache = make_cache(spec, deployment, shape, META)
    inputs = meta_inputs(spec, deployment, shape, forced=forced)
    with torch.inference_mode(), Ledger() as ledger:
        if shape.mtp:
            decoder.step_and_draft(inputs, cache, sampling)
        else:
            decoder.step(inputs, cache, sampling)
    return Plan(calls=tuple(ledger.calls)), _sizes(spec, deployment, weights)
