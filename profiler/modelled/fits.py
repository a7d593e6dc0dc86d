"""The fewest GPUs that hold a model and the cache of a step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from triton_kernels.errors import TokenmillError

if TYPE_CHECKING:
    from workloads.deployment import Deployment
    from workloads.model_spec import ModelSpec
    from workloads.planning import Sizes
    from workloads.shape import StepShape

# Share of a GPU's memory that weights and cache may take; the rest is for activations, graphs and the allocator. Source: vLLM's default gpu_memory_utilization.
USABLE_MEMORY = 0.9

MOST_GPUS = 1024
_TP_OF_EXPERTS = (1, 2, 4, 8)  # attention of a model with experts is sharded within an HGX node at most

SizesOf = Callable[["Deployment"], "Sizes"]


def sizes_of(spec: ModelSpec) -> SizesOf:
    """`rank_sizes` of a model, each deployment looked up once. Imports torch."""
    from workloads.planning import rank_sizes

    return cache(lambda deployment: rank_sizes(spec, deployment))


def smallest_deployment(spec: ModelSpec, formats: Deployment, shape: StepShape, memory_bytes: float, sizes: SizesOf) -> Deployment | None:
    """The fewest GPUs, in powers of two, that hold their part of the weights and the cache of `shape`, `batch` being of each data-parallel rank.

    Experts are spread over all GPUs, with the least tensor parallelism that fits; a dense model is sharded over all of them. `formats`: a deployment whose
    formats count. None when no deployment of up to `MOST_GPUS` GPUs fits, or none that the model's dimensions allow.
    """
    usable = USABLE_MEMORY * memory_bytes
    one = replace(formats, tp=1, ep=1, dp=1)
    whole_bytes = sizes(one).weight_bytes
    for deployment in _candidates(one, experts=spec.moe is not None):
        if whole_bytes / deployment.gpus > usable:
            continue
        try:
            found = sizes(deployment)
        except TokenmillError:  # the model's dimensions cannot be divided so
            continue
        if found.weight_bytes + found.cache_bytes(shape) <= usable:
            return deployment
    return None


def _candidates(one: Deployment, *, experts: bool) -> Iterator[Deployment]:
    gpus = 1
    while gpus <= MOST_GPUS:
        if experts:
            yield from (replace(one, tp=tp, ep=gpus, dp=gpus // tp) for tp in _TP_OF_EXPERTS if tp <= gpus)
        else:
            yield replace(one, tp=gpus)
        gpus *= 2
