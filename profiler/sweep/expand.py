"""From a command's options to the list of points: comma lists expanded, defaults filled in, everything checkable checked. Importable without torch."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from profiler.measure.point_spec import PointSpec
from profiler.modelled.link import span_of
from profiler.modelled.mix import parse_mix
from profiler.sweep.comma_lists import names, whole_numbers
from triton_kernels.errors import TokenmillError
from workloads.deployment import deployment_of
from workloads.depth import reduced
from workloads.read_model import read_model
from workloads.recipe import recipe_named


@dataclass(frozen=True, kw_only=True, slots=True)
class Default:
    """What `run` measures when it is told nothing, by how much memory the device has."""

    least_memory_bytes: float
    model: str
    precision: str
    mix: str
    batches: tuple[int, ...]


# Largest first. A board sold as 80 GB shows 79 to 80 GiB, one of 24 GB 23.5 GiB: the limits leave that room.
GPU_DEFAULTS = (
    Default(least_memory_bytes=78e9, model="qwen3-30b-a3b", precision="bf16", mix="1k/1k", batches=(1, 32, 128)),
    Default(least_memory_bytes=23e9, model="qwen3-8b", precision="bf16", mix="1k/1k", batches=(1, 8, 16)),
    Default(least_memory_bytes=0, model="tiny-moe", precision="bf16", mix="512/128", batches=(1, 8)),
)
CPU_DEFAULT = Default(least_memory_bytes=0, model="tiny-moe", precision="fp32", mix="512/128", batches=(1, 8))
# Seconds per window where --window is not given.
WINDOW_S = {"cuda": 2.0, "cpu": 1.0}
PHASES = {"decode": ("decode",), "prefill": ("prefill",), "both": ("prefill", "decode")}


@dataclass(frozen=True, kw_only=True)
class SweepRequest:
    """The options of `run` as the user gave them; None: take the device's default."""

    model: str | None = None
    phase: str = "both"
    precision: str | None = None
    kv_cache: str | None = None
    batch: str | None = None
    context: str | None = None
    mix: str | None = None
    tp: int = 1
    ep: int = 1
    dp: int | None = None
    rank: str = "hottest"
    span: str | None = None
    layers: int | None = None
    mtp: bool = False
    routing: str = "uniform"
    device: str = "auto"
    kernels: str = "triton"
    window_s: float | None = None
    windows: int = 5
    seed: int = 0
    watts: float | None = None
    power_replay: str | None = None
    node_power: str | None = None
    dcgm: str | None = None
    sensor_accuracy: float | None = None
    per_op: bool = False


def default_for(device: str, memory_bytes: float | None) -> Default:
    """The row of the table for this device."""
    if device != "cuda":
        return CPU_DEFAULT
    return next(row for row in GPU_DEFAULTS if (memory_bytes or 0) >= row.least_memory_bytes)


def expand(request: SweepRequest, device: str, default: Default) -> list[PointSpec]:
    """The points to measure on `device` ("cuda" or "cpu"), in the order that gives a priced figure soonest: a mix's prefill, then its decodes.

    TokenmillError names the option that is wrong.
    """
    if request.phase not in PHASES:
        raise TokenmillError(f"--phase {request.phase[:60]!r}: should be decode, prefill or both")
    if request.context is not None and request.mix is not None:
        raise TokenmillError("--context and --mix: give one of them; a mix sets its own context")
    model = request.model or default.model
    spec = read_model(model)
    positions = spec.max_positions
    deployment = deployment_of(precision=default.precision, tp=request.tp, ep=request.ep, dp=request.dp)
    deployment.check(spec)
    if request.layers is not None:
        reduced(spec, request.layers)
    if request.mtp and not spec.mtp_modules:
        raise TokenmillError(f"--mtp: {spec.name} has no multi-token-prediction module")
    if request.span is not None:
        span_of(None, deployment.gpus, request.span)
    blank = PointSpec(
        model=model, phase="decode", precision=default.precision, kv_cache=default.precision, batch=1, context=1, tp=request.tp, ep=request.ep,
        dp=deployment.dp, rank=request.rank, span=request.span, layers=request.layers, mtp=request.mtp, seed=request.seed,
        device=device, kernels=request.kernels, windows=request.windows, window_s=WINDOW_S[device] if request.window_s is None else request.window_s,
        watts=request.watts, power_replay=request.power_replay, node_power=request.node_power, dcgm=request.dcgm, sensor_accuracy=request.sensor_accuracy,
        per_op=request.per_op,
    )  # fmt: skip
    batches = list(default.batches) if request.batch is None else whole_numbers("--batch", request.batch)
    precisions = [default.precision] if request.precision is None else names("--precision", request.precision)
    caches: Sequence[str | None] = [None] if request.kv_cache is None else names("--kv-cache", request.kv_cache)
    precisions = sorted(dict.fromkeys(precisions), key=lambda name: bool(recipe_named(name).parts))  # what others are compared with comes first
    compare = deployment.gpus == 1 and len(precisions) * len(caches) > 1
    points: list[PointSpec] = []
    for precision, cache, routing in product(precisions, caches, names("--routing", request.routing)):
        formats = replace(blank, compare=compare, precision=precision, kv_cache=cache or recipe_named(precision).plain.name, routing=routing)
        for shape in _shapes(request, default, positions, batches):
            points.append(replace(formats, phase=shape.phase, batch=shape.batch, context=shape.context, mix=shape.mix))
    return list(dict.fromkeys(points))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Shape:
    phase: str
    batch: int
    context: int
    mix: str | None


def _shapes(request: SweepRequest, default: Default, positions: int, batches: Sequence[int]) -> list[_Shape]:
    """Prefill of the whole input alone, decode in the middle of the output: the mean context of a request that is being written."""
    lengths: list[tuple[int, int, str | None]] = []  # prefill tokens, decode context, mix
    if request.context is not None:
        lengths = [(n, n, None) for n in whole_numbers("--context", request.context)]
    else:
        for text in names("--mix", request.mix or default.mix):
            mix = parse_mix(text)
            if mix.isl + mix.osl > positions:
                raise TokenmillError(f"--mix {mix.name}: {mix.isl + mix.osl} tokens are more than the model's {positions} positions")
            lengths.append((mix.isl, mix.isl + mix.osl // 2, mix.name))
    shapes: list[_Shape] = []
    for prefill, decode, name in lengths:
        if max(prefill, decode) > positions:
            raise TokenmillError(f"--context {max(prefill, decode)}: more than the model's {positions} positions")
        for phase in PHASES[request.phase]:
            if phase == "prefill":
                shapes.append(_Shape(phase=phase, batch=1, context=prefill, mix=name))
            else:
                shapes += [_Shape(phase=phase, batch=batch, context=decode, mix=name) for batch in batches]
    return shapes


def point_ids(specs: Sequence[PointSpec]) -> list[str]:
    """The points' names inside their run, also the names of their series files; with the routing where several are swept."""
    swept = len({spec.routing for spec in specs}) > 1
    return [
        f"{place:03d}-{spec.phase}-{spec.precision}-b{spec.batch}-c{spec.context}{_slug(spec.routing) if swept else ''}" for place, spec in enumerate(specs)
    ]


def _slug(routing: str) -> str:
    """`zipf:1.2` as "-zipf-1-2"; of a file its name."""
    words = re.findall("[a-z0-9]+", Path(routing).stem.lower() if "/" in routing or routing.endswith(".json") else routing.lower(), re.ASCII)
    return "".join(f"-{word}" for word in words)[:20].rstrip("-")


def cannot_fit(spec: PointSpec, too_large: Sequence[PointSpec]) -> bool:
    """Whether a point of the same model and formats, no larger in batch or context, ran out of memory already."""
    return any(
        (spec.weights_key, spec.kv_cache, spec.phase) == (other.weights_key, other.kv_cache, other.phase)
        and spec.batch >= other.batch
        and spec.context >= other.context
        for other in too_large
    )


def parse_budget(text: str | None) -> float | None:
    """`90s`, `8m`, `1.5h` or plain seconds, in seconds."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?)\s*(s|m|h)?", text.strip().lower(), re.ASCII)
    if match is None or float(match[1]) == 0:
        raise TokenmillError(f"--time-budget {text[:40]!r}: should be a time such as 90s, 8m or 1.5h")
    return float(match[1]) * {"s": 1, None: 1, "m": 60, "h": 3600}[match[2]]
