"""What cannot fit is said before a byte is allocated, with what would."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from profiler.modelled.fits import sizes_of, smallest_deployment
from triton_kernels.errors import TokenmillError
from workloads.recipe import published_recipe, recipe_named

if TYPE_CHECKING:
    from profiler.measure.point_spec import PointSpec
    from workloads.model_spec import ModelSpec


def refuse_what_cannot_fit(model: ModelSpec, spec: PointSpec, memory_bytes: int) -> None:
    """`model`: with as many layers as the point measures. TokenmillError where a GPU's part of the weights alone is more than the device's memory, and no batch
    would fit; MemoryError, which is a finding, where the weights with the cache of this point are."""
    sizes = sizes_of(model)
    found = sizes(spec.deployment)
    cache_bytes = found.cache_bytes(spec.shape)
    if found.weight_bytes + cache_bytes <= memory_bytes:
        return
    smallest = smallest_deployment(model, spec.deployment, spec.shape, memory_bytes, sizes)
    fits = "fewer --layers"
    if smallest is not None:
        fits = f"--tp {smallest.tp} --ep {smallest.ep} --dp {smallest.dp}, of whose {smallest.gpus} GPUs one is measured, or fewer --layers"
    published = published_recipe(model)
    if published != spec.precision and recipe_named(published).plain is recipe_named(spec.precision).plain:  # the same cache goes with both
        as_published = sizes(replace(spec.deployment, precision=published))
        if as_published.weight_bytes + as_published.cache_bytes(spec.shape) <= memory_bytes:
            fits = f"--precision {published}, as it is published ({as_published.weight_bytes / 1e9:.1f} GB of weights), {fits}"
    need, has = f"{found.weight_bytes / 1e9:.1f} GB of weights", f"{memory_bytes / 1e9:.1f} GB of memory"
    if found.weight_bytes > memory_bytes:
        raise TokenmillError(f"{model.name}: {need}, and the device has {has}; what fits: {fits}")
    raise MemoryError(f"{need} and {cache_bytes / 1e9:.1f} GB of KV cache, and the device has {has}; what fits: a smaller --batch, {fits}")


def ran_out(error: BaseException | None) -> bool:
    """Whether memory ran out. Ending the capture of a graph that ran out of it may itself fail; the first error is the cause."""
    import torch

    if not isinstance(error, Exception):
        return False
    text = str(error)
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "out of memory" in text or "can't allocate memory" in text or ran_out(error.__context__)
