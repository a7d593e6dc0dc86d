"""What a recipe's formats do to a step's numbers: the same weights, tokens, cache and routing in the recipe and in bf16, compared place by place.

Errors are cumulative: a place's output is off by its own rounding and by all that came before it. They say nothing about a model's answers to tasks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from triton_kernels.operation import place
from triton_kernels.results import decode_result
from workloads.decoder import Decoder
from workloads.deployment import Deployment
from workloads.model_spec import ModelSpec
from workloads.shape import StepShape
from workloads.steps import StepRunner

# One decode step of so many sequences of so many tokens: enough rows for top-1 agreement to mean something, little beside the windows of a point.
BATCH, CONTEXT = 32, 256

Key = tuple[str, int | None, int]


class _Outputs(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Keeps what every operation of a step returned, as plain values on the host, by place, layer and turn."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.by_place: dict[Key, torch.Tensor] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        name = func._schema.name
        if name.startswith("tokenmill::") and name != "tokenmill::quantize":  # where it stands apart, the place's own output is recorded already
            named = {a.name: args[i] if i < len(args) else kwargs.get(a.name, a.default_value) for i, a in enumerate(func._schema.arguments)}
            first = out if isinstance(out, torch.Tensor) else next((o for o in out or () if o.is_floating_point()), None)
            if first is not None and (named.get("out_format") or first.is_floating_point()):
                self._keep(first, named)
        return out

    def _keep(self, out: torch.Tensor, named: dict[str, Any]) -> None:
        if named.get("out_format") and named.get("y_scale") is not None:
            out = decode_result(out, named["out_format"], named["y_scale"])
        part, layer = place()
        turn = 0
        while (part, layer, turn) in self.by_place:
            turn += 1
        self.by_place[part, layer, turn] = out.detach().flatten(1).to("cpu", torch.bfloat16, copy=True)  # operations to come write in place


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """One step's logits [S, V] in fp32 and every operation's output."""

    logits_SV: torch.Tensor
    outputs: dict[Key, torch.Tensor]


def numbers_of(spec: ModelSpec, deployment: Deployment, device: torch.device, decoder: Decoder, *, seed: int) -> Numbers:
    """Runs the comparison's step. The same seed gives the same tokens, cache and routing whatever the formats."""
    shape = StepShape(phase="decode", batch=BATCH, context=min(CONTEXT, spec.max_positions))
    runner = StepRunner(spec, deployment, shape, device, seed=seed, decoder=decoder)
    with _Outputs() as recorded:
        logits_SV, *_ = runner.step(0)
    return Numbers(logits_SV=logits_SV.detach().float().cpu(), outputs=recorded.by_place)


def compare(got: Numbers, want: Numbers) -> dict[str, Any]:
    """{"tokens", "logits_relative_error", "kl_nats", "top1_agreement", "parts": {part: relative error}} of `got` against `want`; a figure that is no number
    (a NaN somewhere in a step) is None.

    Relative error: ‖got - want‖ / ‖want‖, over all layers together. kl_nats: mean over tokens of KL(softmax(want) ‖ softmax(got)).
    """
    log_p, log_q = want.logits_SV.double().log_softmax(-1), got.logits_SV.double().log_softmax(-1)
    errors: dict[str, list[float]] = {}
    for key, reference in want.outputs.items():
        ours = got.outputs.get(key)
        if ours is None or ours.shape != reference.shape:
            continue
        sums = errors.setdefault(key[0], [0.0, 0.0])
        sums[0] += (ours.double() - reference.double()).square().sum().item()
        sums[1] += reference.double().square().sum().item()
    return {
        "tokens": want.logits_SV.shape[0],
        "logits_relative_error": _number((got.logits_SV - want.logits_SV).norm() / want.logits_SV.norm()),
        "kl_nats": _number((log_p.exp() * (log_p - log_q)).sum(-1).mean()),
        "top1_agreement": (got.logits_SV.argmax(-1) == want.logits_SV.argmax(-1)).double().mean().item(),
        "parts": {part: math.sqrt(off / whole) for part, (off, whole) in errors.items() if whole > 0 and math.isfinite(off)},
    }


def _number(x: torch.Tensor) -> float | None:
    return x.item() if x.isfinite() else None
