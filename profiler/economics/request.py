"""One request of a mix, composed from a prefill and a decode that were measured apart: its GPU-seconds and joules, each with its interval."""

from __future__ import annotations

import math
from dataclasses import dataclass

from profiler.economics.equations import solve_all
from profiler.modelled.mix import Mix


@dataclass(frozen=True, kw_only=True, slots=True)
class PhaseRate:
    """What one phase was measured at, per GPU of the deployment. Prefill: input tokens; decode: output tokens."""

    tokens_per_s: float
    step_low: float | None  # the step time's ci95 as a fraction of the mean step behind the rate, e.g. 0.99
    step_high: float | None
    joules_per_token: float | None = None
    joules_low: float | None = None  # the ci95 of the joules per step as a fraction of their mean
    joules_high: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """What a cached token holds of a GPU's memory."""

    residency_s: float | None  # how long it is held for each time that it is used; None: nobody said
    kv_bytes_per_token: float | None  # of the whole model, over all GPUs that share it
    kv_room_bytes: float | None  # memory of one GPU that is left for the cache


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """Per GPU of the deployment. `inputs`: what the equations made it from; a residency that nobody said is 0 in them, and cached tokens have no price."""

    inputs: dict[str, float | None]
    gpu_s: float
    gpu_s_ci95: tuple[float, float] | None
    prefill_gpu_s: float
    decode_gpu_s: float
    energy_j: float | None
    energy_j_ci95: tuple[float, float] | None  # noise alone: the sensor's accuracy is one factor for all
    energy_j_per_output_token: float | None
    output_tokens_per_s: float
    rate_ci95: dict[str, list[float]]  # of the two rates in `inputs`, where their steps have an interval


_WANTED = ("gpu_s", "prefill_gpu_s", "decode_gpu_s", "energy_j", "energy_j_per_output_token")


def compose(mix: Mix, prefill: PhaseRate, decode: PhaseRate, held: Held | None = None) -> Request:
    """A request of `mix` from the two phases measured apart. What its cached tokens hold takes part in its price by class and in nothing else.

    The ci95 of both step times propagates to first order, as independent errors: each side's deviations add in quadrature (GUM, JCGM 100, 5.1). None if a phase
    has no interval.
    """
    inputs: dict[str, float | None] = {
        "fresh": mix.fresh, "cached": mix.cached, "osl": mix.osl, "prefill_tokens_per_s": prefill.tokens_per_s, "decode_tokens_per_s": decode.tokens_per_s,
        "prefill_j_per_token": prefill.joules_per_token, "decode_j_per_token": decode.joules_per_token,
        "cache_residency_s": (held.residency_s if held else None) or 0.0,
    }  # fmt: skip
    inputs |= {} if held is None else {"kv_bytes_per_token": held.kv_bytes_per_token, "kv_room_bytes": held.kv_room_bytes}
    found = solve_all(_WANTED, inputs)
    gpu_s, prefill_s, decode_s = (found[name] for name in _WANTED[:3])
    assert gpu_s is not None, inputs
    assert prefill_s is not None, inputs
    assert decode_s is not None, inputs
    energy_ci95 = None
    if prefill.joules_per_token is not None and decode.joules_per_token is not None:
        read_j, written_j = mix.fresh * prefill.joules_per_token, mix.osl * decode.joules_per_token
        energy_ci95 = quadrature((read_j, prefill.joules_low, prefill.joules_high), (written_j, decode.joules_low, decode.joules_high))
    return Request(
        inputs=inputs,
        gpu_s=gpu_s,
        gpu_s_ci95=quadrature((prefill_s, prefill.step_low, prefill.step_high), (decode_s, decode.step_low, decode.step_high)),
        prefill_gpu_s=prefill_s,
        decode_gpu_s=decode_s,
        energy_j=found["energy_j"],
        energy_j_ci95=energy_ci95,
        energy_j_per_output_token=found["energy_j_per_output_token"],
        output_tokens_per_s=mix.osl / gpu_s,
        rate_ci95={
            name: [phase.tokens_per_s / phase.step_high, phase.tokens_per_s / phase.step_low]
            for name, phase in (("prefill_tokens_per_s", prefill), ("decode_tokens_per_s", decode))
            if phase.step_low and phase.step_high
        },
    )


def quadrature(*terms: tuple[float, float | None, float | None]) -> tuple[float, float] | None:
    """The interval of a sum of independent terms, each (value, low, high as fractions of it); None where a term has no interval."""
    total, below, above = 0.0, 0.0, 0.0
    for value, low, high in terms:
        if low is None or high is None:
            return None
        total += value
        below += (value * max(0.0, 1 - low)) ** 2
        above += (value * max(0.0, high - 1)) ** 2
    return total - math.sqrt(below), total + math.sqrt(above)
