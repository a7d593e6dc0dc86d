"""Floors of one input and one output token of a serving point, by which a shared step's GPU-seconds are split between the classes.

Modelled, and only when asked: each model, format, deployment and batch takes a plan, which imports torch and runs the model on meta tensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from profiler.gpus import GPUS
from profiler.modelled.mix import parse_mix
from triton_kernels.errors import TokenmillError
from workloads.catalogue import CATALOGUE
from workloads.recipe import RECIPES


def floor_split(point: Mapping[str, Any]) -> dict[str, Any]:
    """{"input_floor_s", "output_floor_s": GPU-seconds that a fresh input token and an output token cannot take less of, "provenance": "modelled", "why_null"}.

    Input: a prefill of one request's fresh tokens. Output: a decode step of the point's concurrency at the mean context of its requests. Rooflines at the
    datasheet's rates, links not in them; the rank with most rows. Where the model or its deployment has no plan here both are None and `why_null` says why.
    """
    try:
        read, written = _floors(point)
    except (TokenmillError, ImportError) as error:
        return {"input_floor_s": None, "output_floor_s": None, "provenance": "modelled", "why_null": str(error)}
    return {"input_floor_s": read, "output_floor_s": written, "provenance": "modelled", "why_null": None}


def _floors(point: Mapping[str, Any]) -> tuple[float, float]:
    model, gpu, precision = (str(point.get(name)) for name in ("model", "gpu_key", "precision"))
    for what, name, known in (("model", model, CATALOGUE), ("GPU", gpu, GPUS), ("precision", precision, RECIPES)):
        if name not in known:
            raise TokenmillError(f"no floor: its {what} {'is not stated' if name == 'None' else f'{name[:60]!r} is none of the catalogue'}")
    if point.get("mtp"):
        raise TokenmillError("no floor: it drafts tokens, and how many are accepted per step is not stated")
    if not point.get("mix") or not point.get("concurrency"):
        raise TokenmillError(f"no floor: {'its concurrency is' if point.get('mix') else 'its lengths are'} not stated")
    mix = parse_mix(str(point["mix"]))
    cache_format = "fp8" if point.get("kv_cache") == "fp8" else None
    prefill, decode = _worker(point, "prefill"), _worker(point, "decode")
    ranks = max(1, decode[3] // decode[0])  # groups of tp GPUs that serve sequences of their own, over all replicas
    batch = max(1, round(int(point["concurrency"]) / ranks))
    return (
        _per_token(model, gpu, precision, cache_format, *prefill[:3], "prefill", 1, mix.fresh),
        _per_token(model, gpu, precision, cache_format, *decode[:3], "decode", batch, mix.isl + max(1, mix.osl // 2)),
    )


def _worker(point: Mapping[str, Any], role: str) -> tuple[int, int, int, int]:
    """(tp, ep, dp, GPUs of all workers) of a role, or of the deployment where both share its GPUs."""
    sizes = (point.get("workers") or {}).get(role) or {**point, "gpus": point.get("deployment_gpus")}
    gpus, tp = int(sizes.get("gpus") or 0), sizes.get("tp") or (1 if sizes.get("gpus") == 1 else None)
    if not gpus or not tp or (sizes.get("pp") or 1) > 1:
        raise TokenmillError("no floor: its parallel sizes are not stated, or it is pipelined")
    return int(tp), int(sizes.get("ep") or 1), int(sizes.get("dp") or 1), gpus


@cache
def _per_token(model: str, gpu: str, precision: str, kv_cache: str | None, tp: int, ep: int, dp: int, phase: str, batch: int, context: int) -> float:
    """GPU-seconds of floor per new token of one step of one worker. Imports torch."""
    from profiler.modelled.floor import FloorRequest, plan_of
    from profiler.modelled.floor_math import floor_of_plan
    from workloads.deployment import Deployment
    from workloads.read_model import read_model
    from workloads.routing import parse_routing
    from workloads.shape import StepShape

    spec = read_model(model)
    deployment = Deployment(precision=precision, kv_cache=kv_cache, tp=tp, ep=ep, dp=dp, arch=GPUS[gpu].arch)
    deployment.check(spec)
    if context > spec.max_positions:
        raise TokenmillError(f"no floor: its context of {context} tokens is more than the {spec.max_positions} positions of {model}")
    shape = StepShape(phase=phase, batch=batch, context=context)
    plan, _ = plan_of(FloorRequest(spec=spec, deployment=deployment, shape=shape, routing=parse_routing("uniform")))
    floor = floor_of_plan(plan, gpu=GPUS[gpu], ceilings={})
    if not floor.floor_s:
        raise TokenmillError(f"no floor: a rate that {precision} needs is on no datasheet of {gpu}")
    return floor.floor_s * deployment.gpus / (shape.tokens * dp)
