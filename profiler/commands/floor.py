"""`tokenmill floor`: sizes, what fits, and the time that no kernel can beat."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from triton_kernels.errors import TokenmillError


def floor(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A name of `tokenmill list models`, a config.json, or its folder.")],
    gpu: Annotated[str, typer.Option("--gpu", help="GPU or comma list of `tokenmill list gpus`.")] = "h200",
    phase: Annotated[str, typer.Option(help="decode, prefill or both.")] = "decode",
    precision: Annotated[str, typer.Option(help="Number format of weights and activations, or a comma list.")] = "bf16",
    kv_cache: Annotated[str | None, typer.Option("--kv-cache", help="Number format of the KV cache; as the activations when not given.")] = None,
    batch: Annotated[str, typer.Option(help="Sequences in the step, or a comma list.")] = "1,32,128",
    context: Annotated[str, typer.Option(help="KV length at decode, prompt length at prefill, or a comma list.")] = "4096",
    routing: Annotated[str, typer.Option(help="uniform (each token draws alone) or balanced.")] = "uniform",
    ceilings: Annotated[
        str | None, typer.Option(help="Measured rates instead of the datasheet's: bandwidth=4.3e12,bf16=788e12 (bytes/s, FLOP/s).")
    ] = None,
    tp: Annotated[int, typer.Option("--tp", help="Tensor-parallel size.")] = 1,
    ep: Annotated[int, typer.Option("--ep", help="Expert-parallel size.")] = 1,
    dp: Annotated[int, typer.Option("--dp", help="Data-parallel size.")] = 1,
    seed: Annotated[int, typer.Option(help="Seed of the drawn routing.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Sizes, what fits, and the roofline floor of a model's step. Needs no GPU."""
    from profiler.gpus import gpu_named
    from profiler.modelled.floor import FloorRequest, floor_row, plan_of
    from profiler.modelled.floor_math import parse_ceilings
    from profiler.sweep.comma_lists import names, whole_numbers
    from workloads.deployment import Deployment
    from workloads.model_spec import read_model
    from workloads.shape import StepShape

    gpus = [gpu_named(key) for key in names("--gpu", gpu)]
    rates = parse_ceilings(ceilings) if ceilings else {}
    if not 0 <= seed < 1 << 32:
        raise TokenmillError(f"--seed {seed}: should be from 0 to {(1 << 32) - 1}")
    if phase not in ("decode", "prefill", "both"):
        raise TokenmillError(f"--phase {phase[:60]!r}: should be decode, prefill or both")
    phases = ["decode", "prefill"] if phase == "both" else [phase]
    if routing not in ("uniform", "balanced"):
        raise TokenmillError(f"--routing {routing[:60]!r}: should be uniform or balanced; a floor needs drawn experts")
    spec = read_model(model)
    contexts = whole_numbers("--context", context)
    if max(contexts) > spec.max_positions:
        raise TokenmillError(f"--context {max(contexts)}: more than the {spec.max_positions} positions of {spec.name}")
    rows: list[dict[str, Any]] = []
    for fmt in names("--precision", precision):
        deployment = Deployment(precision=fmt, kv_cache=kv_cache, tp=tp, ep=ep, dp=dp)
        for one_phase in phases:
            for size in whole_numbers("--batch", batch):
                for length in contexts:
                    shape = StepShape(phase=one_phase, batch=size, context=length)
                    request = FloorRequest(spec=spec, deployment=deployment, shape=shape, routing=routing, seed=seed)
                    plan, sizes = plan_of(request)
                    rows += [floor_row(request, plan, sizes, g, rates) for g in gpus]
    if as_json:
        print(json.dumps({"schema_version": 1, "rows": rows}, allow_nan=False))
        return
    from profiler.report.floor import print_floor

    print_floor(spec, rows)
