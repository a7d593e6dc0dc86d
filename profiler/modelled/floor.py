"""What a model's step cannot run faster than on a GPU, from the model's own plan: no GPU, no weights, nothing allocated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from profiler.gpus import GpuSpec
from profiler.modelled.fits import USABLE_MEMORY
from profiler.modelled.floor_math import floor_of_plan
from profiler.modelled.link import LinkTime, collective_seconds, span_of
from triton_kernels.errors import TokenmillError

if TYPE_CHECKING:
    from workloads.deployment import Deployment
    from workloads.model_spec import ModelSpec
    from workloads.planning import Sizes
    from workloads.routing import Routing
    from workloads.shape import StepShape

# Tokens whose experts are drawn for one floor, over all layers: half a second and 100 MB at top-8. Where the group has more than this over the number of
# layers, fewer layers are drawn and the others repeat them: with thousands of tokens every expert is touched, and layers differ little.
TOKENS_DRAWN = 1 << 19
# One layer of more tokens in the expert-parallel group would take more memory than a floor may.
MOST_TOKENS_OF_A_GROUP = 1 << 20


@dataclass(frozen=True, kw_only=True)
class FloorRequest:
    """One step of one model in one deployment, whose rank, and how its routing is drawn."""

    spec: ModelSpec
    deployment: Deployment
    shape: StepShape
    routing: Routing
    rank: str = "hottest"
    span: str | None = None
    seed: int = 0


def plan_of(request: FloorRequest) -> tuple[dict[str, Any], Sizes]:
    """The plan as JSON with the work of one drawn step, and the model's sizes. Imports torch."""
    import numpy as np

    from workloads.facts import played_rank, step_facts
    from workloads.planning import plan_step
    from workloads.step_inputs import Sampling

    spec, deployment, shape = request.spec, request.deployment, request.shape
    played = played_rank(deployment, request.rank)
    plan, sizes = plan_step(spec, deployment, shape, sampling=Sampling(), rank=played)
    rng = np.random.default_rng(request.seed)
    facts, _ = step_facts(spec, deployment, shape, request.routing, request.rank, rng, layers_drawn=_layers_drawn(request))
    return plan.json([facts]), sizes


def _layers_drawn(request: FloorRequest) -> int:
    """How many layers' routing to draw; a recorded histogram has its own for each layer, so that none stands for another."""
    deployment, tokens = request.deployment, request.shape.tokens
    if deployment.exchanges:
        tokens = tokens // deployment.tp * deployment.ep
        if tokens > MOST_TOKENS_OF_A_GROUP:
            too_many = f"{tokens} tokens in one step of its GPUs, more than the {MOST_TOKENS_OF_A_GROUP} whose experts can be drawn"
            raise TokenmillError(f"--ep {deployment.ep}: {too_many}; lower --batch or --context")
    layers = len(request.spec.moe_layers) + 1
    return layers if request.routing.kind == "histogram" else min(layers, max(1, TOKENS_DRAWN // tokens))


def floor_rows(requests: Sequence[FloorRequest], gpus: Sequence[GpuSpec], ceilings: dict[str, float]) -> list[dict[str, Any]]:
    """A row for each request, all of one model, on each GPU. GPUs that multiply the same formats share a plan. Imports torch."""
    from profiler.modelled.fits import sizes_of, smallest_deployment

    rows, sizes_by_deployment = [], sizes_of(requests[0].spec)
    for request in requests:
        plans: dict[str, tuple[dict[str, Any], Sizes]] = {}  # by the format that quantised matrices are multiplied with
        for gpu in gpus:
            here = replace(request, deployment=replace(request.deployment, arch=gpu.arch))
            takes = here.deployment.recipe.use(gpu.arch).takes.name
            if takes not in plans:
                plans[takes] = plan_of(here)
            smallest = smallest_deployment(request.spec, request.deployment, request.shape, gpu.memory_bytes, sizes_by_deployment)
            rows.append(floor_row(here, *plans[takes], gpu, ceilings, smallest))
    return rows


def floor_row(
    request: FloorRequest, plan: dict[str, Any], sizes: Sizes, gpu: GpuSpec, ceilings: dict[str, float], smallest: Deployment | None
) -> dict[str, Any]:
    """One row of `floor --json`: sizes, whether it fits, the floor and the rate it allows, by operation; what the links add.

    `ceilings` {"bandwidth": bytes/s, lane: FLOP/s} replace the datasheet's figures where given. `smallest`: the smallest deployment that fits.
    """
    from workloads.planning import formats_of

    shape, deployment = request.shape, request.deployment
    cache_bytes = sizes.cache_bytes(shape)
    floor = floor_of_plan(plan, gpu=gpu, ceilings=ceilings)
    span = span_of(gpu, deployment.gpus, request.span)
    links = [] if span is None else LinkTime(gpu=gpu, span=span).of_plan(plan)
    collective_s = None if span is None or floor.floor_s is None else collective_seconds(links, floor.floor_s)
    step_s = _step_floor(floor.floor_s, collective_s)
    rate = None if step_s is None else shape.tokens * deployment.dp / step_s["serial"] / deployment.gpus
    decode = shape.phase == "decode"
    return {
        "model": request.spec.name,
        "gpu": gpu.key,
        "phase": shape.phase,
        "precision": deployment.precision,
        "formats": formats_of(request.spec, deployment),
        "emulation": deployment.recipe.emulated_on(deployment.arch),
        "kv_cache": deployment.kv_format.name,
        "batch": shape.batch,
        "context": shape.context,
        "mtp": shape.mtp,
        "routing": request.routing.text,
        "tp": deployment.tp,
        "ep": deployment.ep,
        "dp": deployment.dp,
        "gpus": deployment.gpus,
        "rank": request.rank,
        "span": None if span is None else span.name,
        "total_params": sizes.params.total,
        "active_params": sizes.params.active,
        "active_params_without_embedding": sizes.params.active_without_embedding,
        "weight_bytes": sizes.weight_bytes,
        "kv_bytes_per_token": sizes.kv_bytes_per_token,
        "kv_cache_bytes": cache_bytes,
        "fits": sizes.weight_bytes + cache_bytes <= USABLE_MEMORY * gpu.memory_bytes,
        "smallest_deployment_that_fits": None if smallest is None else {"tp": smallest.tp, "ep": smallest.ep, "dp": smallest.dp, "gpus": smallest.gpus},
        "ceilings": floor.rates,
        "ceilings_source": floor.rates_source,
        "floor_s": floor.floor_s,
        "collective_s": collective_s,
        "step_floor_s": step_s,
        "ceiling_output_tokens_per_s_per_gpu": rate if decode else None,
        "ceiling_input_tokens_per_s_per_gpu": None if decode else rate,
        "ops": floor.ops,
        "link": links,
        "provenance": {
            "floor_s": "modelled",
            "collective_s": None if span is None else "modelled",
            "step_floor_s": "modelled",
            "ceiling_tokens_per_s_per_gpu": "modelled" if span is None else "modelled: from step_floor_s.serial",
            "ceilings": "assumed" if ceilings else "reference",
        },
    }


def _step_floor(floor_s: float | None, collective_s: Mapping[str, float] | None) -> dict[str, float] | None:
    """The floor with what the links add, by how they are: beside the compute or behind it."""
    if floor_s is None:
        return None
    return {how: floor_s + ((collective_s or {}).get(how, 0.0)) for how in ("overlapped", "serial")}
