"""`tokenmill floor`: sizes, what fits, and the time that no kernel can beat."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from triton_kernels.errors import TokenmillError

if TYPE_CHECKING:
    from workloads.model_spec import ModelSpec


def floor(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A name of `tokenmill list models`, a config.json, or its folder.")],
    gpu: Annotated[str, typer.Option("--gpu", help="GPU or comma list of `tokenmill list gpus`.")] = "h200",
    phase: Annotated[str, typer.Option(help="decode, prefill or both.")] = "decode",
    precision: Annotated[
        str | None, typer.Option(help="bf16, fp8, mxfp8, mxfp4, nvfp4, or a comma list; as the model is published when not given, else bf16.")
    ] = None,
    kv_cache: Annotated[str | None, typer.Option("--kv-cache", help="bf16 or fp8; as the activations when not given.")] = None,
    batch: Annotated[str, typer.Option(help="Sequences in the step of each data-parallel rank, or a comma list.")] = "1,32,128",
    context: Annotated[str, typer.Option(help="KV length at decode, prompt length at prefill, or a comma list.")] = "4096",
    routing: Annotated[str, typer.Option(help="uniform (each token draws alone), balanced, zipf:S, or a histogram's JSON file.")] = "uniform",
    ceilings: Annotated[str | None, typer.Option(help="Measured rates instead of the datasheet's: bandwidth=4.3e12,bf16=788e12 (bytes/s, FLOP/s).")] = None,
    tp: Annotated[int, typer.Option("--tp", help="Tensor-parallel size.")] = 1,
    ep: Annotated[int, typer.Option("--ep", help="Expert-parallel size.")] = 1,
    dp: Annotated[int | None, typer.Option("--dp", help="Data-parallel size; EP / TP when not given.", show_default=False)] = None,
    span: Annotated[
        str | None, typer.Option(help="nvl8, nvl72 or nodes: how far the GPUs are apart; the GPU's NVLink domain where it is enough.", show_default=False)
    ] = None,
    rank: Annotated[str, typer.Option(help="hottest (most rows in each layer), mean, or the number of a GPU.")] = "hottest",
    mtp: Annotated[bool, typer.Option("--mtp", help="With the multi-token-prediction module's draft.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of the drawn routing.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Sizes, what fits, and the roofline floor of a model's step. Needs no GPU."""
    from profiler.gpus import gpu_named
    from profiler.modelled.floor_math import parse_ceilings
    from profiler.modelled.link import span_of
    from profiler.sweep.comma_lists import names, whole_numbers
    from workloads.deployment import deployment_of
    from workloads.read_model import read_model
    from workloads.recipe import published_recipe, recipe_named
    from workloads.routing import parse_routing
    from workloads.shape import StepShape

    gpus = [gpu_named(key) for key in names("--gpu", gpu)]
    rates = parse_ceilings(ceilings) if ceilings else {}
    if not 0 <= seed < 1 << 32:
        raise TokenmillError(f"--seed {seed}: should be from 0 to {(1 << 32) - 1}")
    if phase not in ("decode", "prefill", "both"):
        raise TokenmillError(f"--phase {phase[:60]!r}: should be decode, prefill or both")
    phases = ["decode", "prefill"] if phase == "both" else [phase]
    drawn = parse_routing(routing)
    if not drawn.drawn:
        raise TokenmillError(f"--routing {routing[:60]}: a floor needs drawn experts, such as uniform")
    spec = read_model(model)
    contexts = whole_numbers("--context", context)
    if max(contexts) > spec.max_positions:
        raise TokenmillError(f"--context {max(contexts)}: more than the {spec.max_positions} positions of {spec.name}")
    deployments = []
    for fmt in [published_recipe(spec)] if precision is None else names("--precision", precision):
        recipe_named(fmt)
        deployments.append(deployment_of(precision=fmt, kv_cache=kv_cache, tp=tp, ep=ep, dp=dp))
        deployments[-1].check(spec)
    for g in gpus:
        span_of(g, deployments[0].gpus, span)
    shapes = [StepShape(phase=one, batch=size, context=length, mtp=mtp) for one in phases for size in whole_numbers("--batch", batch) for length in contexts]

    from profiler.modelled.floor import FloorRequest, floor_rows

    requests = [
        FloorRequest(spec=spec, deployment=deployment, shape=shape, routing=drawn, rank=rank, span=span, seed=seed)
        for deployment in deployments
        for shape in shapes
    ]
    rows = floor_rows(requests, gpus, rates)
    if as_json:
        print(json.dumps({"schema_version": 1, "rows": rows}, allow_nan=False))
        return
    from profiler.report.floor import print_floor

    print_floor(spec, rows, planned_in=planned_in(spec, deployments[0].precision) if precision is None else None)


def planned_in(spec: ModelSpec, recipe: str) -> str | None:
    """What to say where a checkpoint is published in other formats than it is planned in."""
    if spec.quantization is None:
        return None
    published = spec.quantization.recipe or spec.quantization.method
    return f"published in {published}; planned in {recipe}"
