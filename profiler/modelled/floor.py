"""What a model's step cannot run faster than on a GPU, from the model's own plan: no GPU, no weights, nothing allocated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from profiler.gpus import GpuSpec
from profiler.modelled.floor_math import floor_of_plan

if TYPE_CHECKING:
    from workloads.deployment import Deployment
    from workloads.model_spec import ModelSpec
    from workloads.planning import Sizes
    from workloads.shape import StepShape

# Share of a GPU's memory that weights and cache may take; the rest is for activations, graphs and the allocator. Source: vLLM's default gpu_memory_utilization.
USABLE_MEMORY = 0.9


# From so many tokens on every expert of every catalogue model is touched (128 experts, top-8: one is missed once in 10^112 layers), and a floor depends on
# a draw by its touched experts alone: one layer's draw stands for all.
TOKENS_THAT_TOUCH_ALL = 4096


@dataclass(frozen=True, kw_only=True)
class FloorRequest:
    """One step of one model in one deployment, and how its routing is drawn."""

    spec: ModelSpec
    deployment: Deployment
    shape: StepShape
    routing: str = "uniform"
    seed: int = 0


def plan_of(request: FloorRequest) -> tuple[dict[str, Any], Sizes]:
    """The plan as JSON with the work of one drawn step, and the model's sizes. Imports torch."""
    import numpy as np

    from workloads.decoder import Sampling
    from workloads.inputs import step_facts
    from workloads.planning import plan_step

    plan, sizes = plan_step(request.spec, request.deployment, request.shape, sampling=Sampling())
    rng = np.random.default_rng(request.seed)
    layers_drawn = 1 if request.shape.tokens >= TOKENS_THAT_TOUCH_ALL else None
    facts, _ = step_facts(request.spec, request.shape, request.routing, rng, layers_drawn=layers_drawn)
    return plan.json([facts]), sizes


def floor_row(request: FloorRequest, plan: dict[str, Any], sizes: Sizes, gpu: GpuSpec, ceilings: dict[str, float]) -> dict[str, Any]:
    """One row of `floor --json`: sizes, whether it fits, the floor and the rate it allows, by operation.

    `ceilings` {"bandwidth": bytes/s, lane: FLOP/s} replace the datasheet's figures where given.
    """
    shape, deployment = request.shape, request.deployment
    cache_bytes = sizes.kv_bytes_per_token * shape.context * shape.batch
    floor = floor_of_plan(plan, gpu=gpu, ceilings=ceilings)
    fits = sizes.weight_bytes + cache_bytes <= USABLE_MEMORY * gpu.memory_bytes
    decode = shape.phase == "decode"
    rate = None if floor.floor_s is None else shape.tokens / floor.floor_s / deployment.gpus
    return {
        "model": request.spec.name,
        "gpu": gpu.key,
        "phase": shape.phase,
        "precision": deployment.precision,
        "kv_cache": deployment.kv_cache or deployment.precision,
        "batch": shape.batch,
        "context": shape.context,
        "routing": request.routing,
        "tp": deployment.tp,
        "ep": deployment.ep,
        "dp": deployment.dp,
        "total_params": sizes.params.total,
        "active_params": sizes.params.active,
        "active_params_without_embedding": sizes.params.active_without_embedding,
        "weight_bytes": sizes.weight_bytes,
        "kv_bytes_per_token": sizes.kv_bytes_per_token,
        "kv_cache_bytes": cache_bytes,
        "fits": fits,
        "smallest_deployment_that_fits": {"tp": 1, "ep": 1, "dp": 1} if fits else None,  # of the deployments known here, which are of one GPU
        "ceilings": floor.rates,
        "ceilings_source": floor.rates_source,
        "floor_s": floor.floor_s,
        "ceiling_output_tokens_per_s_per_gpu": rate if decode else None,
        "ceiling_input_tokens_per_s_per_gpu": None if decode else rate,
        "collective_s": None,  # one GPU: there is nothing to exchange
        "ops": floor.ops,
        "provenance": {"floor_s": "modelled", "ceilings": "assumed" if ceilings else "reference"},
    }
