"""The kernel variants in use: a model's step planned on meta tensors and its calls launched there, for GPUs that need not be present."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from triton_kernels.errors import TokenmillError
from triton_kernels.launch import Variant, compiling
from triton_kernels.operation import OpCall
from triton_kernels.operations import OPERATIONS
from workloads.deployment import Deployment, deployment_of
from workloads.depth import kind_of_layer, reduced
from workloads.planning import plan_step
from workloads.read_model import read_model
from workloads.recipe import RECIPES
from workloads.shape import StepShape
from workloads.step_inputs import Sampling

# Models whose steps between them launch every kernel, and the expert-parallel size of each: grouped and latent attention, windows and sinks, dense layers,
# and tokens that travel to their experts.
MODELS = {"qwen3-30b-a3b": 1, "deepseek-r1": 8, "gpt-oss-120b": 1, "llama-3.1-8b": 1}
SHAPES = tuple(
    StepShape(phase=phase, batch=batch, context=context)
    for phase, batch, context in (("decode", 1, 4096), ("decode", 32, 4096), ("decode", 128, 4096), ("prefill", 1, 8192))
)
PRECISIONS = tuple(name for name in RECIPES if name not in ("fp16", "fp32"))  # fp16 has bf16's tiles, fp32 no tensor core
_LAYERS = 2  # of each kind: the first has no residual to add to, every further one is as the second


@dataclass(frozen=True, kw_only=True)
class InUse:
    """A variant and the steps that launch it: "qwen3-30b-a3b fp8 decode 32"."""

    variant: Variant
    used_by: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Refused:
    """A call that its own launcher refuses: the plan and the kernel do not agree."""

    op: str
    why: str
    used_by: tuple[str, ...]


def variants_in_use(
    arch: int, *, models: Sequence[str] = tuple(MODELS), precisions: Sequence[str] = PRECISIONS, shapes: Sequence[StepShape] = SHAPES,
    operations: Sequence[str] = tuple(OPERATIONS),
) -> tuple[list[InUse], list[Refused]]:  # fmt: skip
    """What the steps of `models` launch on compute capability `arch` / 10, each variant once and not compiled yet, in an order that never changes."""
    users: dict[tuple[Any, ...], list[str]] = {}
    calls: dict[tuple[Any, ...], OpCall] = {}
    for name, call in _calls(arch, models, precisions, shapes):
        if call.op in operations and not OPERATIONS[call.op].collective:
            key = (call.op, call.tensors, call.attrs)
            calls.setdefault(key, call)
            users.setdefault(key, []).append(name)
    found: dict[Any, Variant] = {}
    used: dict[Any, dict[str, None]] = {}
    refused: list[Refused] = []
    for call_key, call in calls.items():
        with compiling(arch, later=True) as variants:
            try:
                launch_on_meta([call])
            except AssertionError as e:
                refused.append(Refused(op=call.op, why=str(e), used_by=tuple(users[call_key])))
        for key, variant in variants.items():
            found.setdefault(key, variant)
            used.setdefault(key, {}).update(dict.fromkeys(users[call_key]))
    return [InUse(variant=variant, used_by=tuple(used[key])) for key, variant in found.items()], refused


def launch_on_meta(calls: Iterable[OpCall]) -> None:
    """Launches a plan's calls on meta tensors, inside `compiling`. Arguments that a plan does not list have their defaults, or None."""
    for call in calls:
        launch = OPERATIONS[call.op].launch
        parameters = inspect.signature(launch).parameters.values()
        arguments = {p.name: None if p.default is inspect.Parameter.empty else p.default for p in parameters} | dict(call.attrs)
        arguments |= {name: torch.empty(t.dims, dtype=t.dtype, device="meta") for name, t in call.tensors}
        launch(**arguments)


def _calls(arch: int, models: Sequence[str], precisions: Sequence[str], shapes: Sequence[StepShape]) -> Iterator[tuple[str, OpCall]]:
    """(step, call) of every step, at the least depth that has every kind of layer twice."""
    for model in models:
        spec = read_model(model)
        kinds = [kind_of_layer(spec, i) for i in range(spec.layers)]
        spec, _ = reduced(spec, min(_LAYERS, *(kinds.count(kind) for kind in kinds)))
        for precision in precisions:
            for deployment in _deployments(precision, MODELS.get(model, 1), arch):
                for shape in shapes:
                    plan, _ = plan_step(spec, deployment, shape, sampling=Sampling())
                    cache = "" if deployment.kv_cache is None else f" kv {deployment.kv_cache}"
                    name = f"{model} {precision}{cache} {shape.phase} {shape.batch}"
                    yield from ((name, first) for first, *_ in plan.groups.values())


def _deployments(precision: str, ep: int, arch: int) -> list[Deployment]:
    """With the cache as the activations are, and in fp8 where kernels read that."""
    plain = deployment_of(precision=precision, ep=ep, arch=arch)
    try:
        return [plain, deployment_of(precision=precision, kv_cache="fp8", ep=ep, arch=arch)]
    except TokenmillError:
        return [plain]
