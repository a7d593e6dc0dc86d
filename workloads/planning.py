"""What a step of a model will do, before a byte is allocated: its plan, its sizes, its cache."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from triton_kernels.errors import TokenmillError
from triton_kernels.formats import FORMATS
from triton_kernels.operation import Ledger
from workloads.checkpoint_names import modules_of, within_layer
from workloads.decoder import Decoder
from workloads.deployment import Deployment, Rank
from workloads.gqa import kv_heads_of_a_rank
from workloads.inputs import PAGE_SLOTS, meta_inputs, pages_per_sequence
from workloads.model_spec import Gqa, Mla, ModelSpec
from workloads.plan import Plan
from workloads.quantization import stays
from workloads.recipe import PART_OF, Use
from workloads.rope import rotary_table
from workloads.shape import StepShape
from workloads.step_inputs import KvCache, Sampling
from workloads.weights import MetaWeights, ParameterCount, UseOf, count_parameters

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


def use_of(spec: ModelSpec, deployment: Deployment) -> UseOf:
    """How each parameter is kept under the deployment's recipe, with what the checkpoint's quantization_config leaves out of it."""
    recipe, latent = deployment.recipe, isinstance(spec.attention, Mla)
    left_out = spec.quantization.not_converted if spec.quantization is not None else ()
    quantised, plain = recipe.use(deployment.arch), recipe.use_plain(deployment.arch)
    exact = replace(plain, weight=FORMATS["fp32"])

    def use(name: str, dims: tuple[int, ...]) -> Use:
        if name.endswith("router_correction"):  # added to fp32 scores, as published
            return exact
        if recipe.part_of(within_layer(name), latent=latent) is None or (left_out and all(stays(module, left_out) for module in modules_of(spec, name))):
            return plain
        return quantised

    return use


def formats_of(spec: ModelSpec, deployment: Deployment) -> dict[str, dict[str, str | None]]:
    """The resolved recipe, from the matrices that the model itself asks for: of each part, and of everything else (`plain`), the formats of weights and
    activations and the tensor-core instruction. Where a checkpoint left some layers of a part out, both, joined by " | "."""
    uses: dict[str, dict[Use, None]] = {}
    for name, use in _meta_weights(spec, deployment).matrices.items():
        uses.setdefault(PART_OF[within_layer(name)], {})[use] = None
    uses["plain"] = {deployment.recipe.use_plain(deployment.arch): None}
    return {part: _joined(list(found)) for part, found in uses.items()}


def _joined(uses: list[Use]) -> dict[str, str | None]:
    kinds = [use.kind for use in uses if use.kind is not None]
    return {"weight": " | ".join(u.weight.name for u in uses), "takes": " | ".join(u.takes.name for u in uses), "kind": " | ".join(kinds) or None}


def _meta_weights(spec: ModelSpec, deployment: Deployment) -> MetaWeights:
    """What a model asks for, without running a step: milliseconds."""
    weights = MetaWeights(use_of=use_of(spec, deployment))
    Decoder(spec, weights, rotary_table(spec.rope, 1, META), Rank(deployment=deployment))
    return weights


def rank_sizes(spec: ModelSpec, deployment: Deployment) -> Sizes:
    """Sizes alone, without running a step: milliseconds."""
    deployment.check(spec)
    return _sizes(spec, deployment, _meta_weights(spec, deployment))


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
    weights = MetaWeights(use_of=use_of(spec, deployment))
    decoder = Decoder(spec, weights, rotary_table(spec.rope, spec.max_positions, META), rank or Rank(deployment=deployment), mtp=shape.mtp)
    cache = make_cache(spec, deployment, shape, META)
    inputs = meta_inputs(spec, deployment, shape, forced=forced)
    with torch.inference_mode(), Ledger() as ledger:
        if shape.mtp:
            decoder.step_and_draft(inputs, cache, sampling)
        else:
            decoder.step(inputs, cache, sampling)
    return Plan(calls=tuple(ledger.calls)), _sizes(spec, deployment, weights)
