"""What a mix of tokens costs, composed from a prefill and a decode that were measured apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from profiler.economics.formulas import Watts, per_mw, watts_of, weakest
from profiler.economics.hour import money_kind
from profiler.economics.mix_money import intervals_of, money_of
from profiler.economics.points import is_reduced, joule_edges, point_watts
from profiler.economics.prices import PricePick
from profiler.economics.request import Held, PhaseRate, Request, compose
from profiler.economics.serving import is_serving, serving_mix
from profiler.gpus import GPUS
from profiler.modelled.fits import USABLE_MEMORY
from profiler.modelled.mix import Mix, parse_mix

# Two points may be parts of one mix only when these agree: the same model in the same formats and deployment, on the same GPU, with the same kernels.
SAME = ("mix", "model", "weights", "precision", "kv_cache", "tp", "ep", "dp", "span", "routing", "rank", "mtp", "layers_measured", "gpu", "device", "kernels")


def derive_mixes(points: Sequence[Mapping[str, Any]], price: PricePick | None) -> list[dict[str, Any]]:
    """One mix for each decode point that serves one, with the fastest prefill that it agrees with; and for each serving point, which has both in it.

    Takes points that derive_point has been over.
    """
    prefills = best_prefills(points)
    decodes = [p for p in points if p.get("phase") == "decode" and p.get("mix") and p.get("status", "ok") == "ok"]
    served = [p for p in points if is_serving(p) and p.get("mix") and p.get("status", "ok") == "ok"]
    mixes = [_mix(decode, prefills.get(same_as(decode)), price) for decode in decodes]
    return mixes + [{field: p.get(field) for field in SAME} | serving_mix(p, price) for p in served]


def best_prefills(points: Iterable[Mapping[str, Any]]) -> dict[tuple[Any, ...], Mapping[str, Any]]:
    """The prefill that a decode with the same SAME goes with: one that ran, valid ones first, the fastest of them; else one that failed."""
    found: dict[tuple[Any, ...], Mapping[str, Any]] = {}
    for point in points:
        if point.get("phase") == "prefill" and point.get("mix"):
            same = same_as(point)
            if same not in found or _order(point) > _order(found[same]):
                found[same] = point
    return found


def _order(prefill: Mapping[str, Any]) -> tuple[bool, bool, float]:
    return prefill.get("status", "ok") == "ok", bool(prefill.get("valid")), prefill.get("input_tokens_per_s_per_gpu") or 0.0


def same_as(point: Mapping[str, Any]) -> tuple[Any, ...]:
    """What points of one mix agree in, as a key."""
    return (*[point.get(name) for name in SAME if name != "layers_measured"], repr(point.get("layers_measured")))


def _mix(decode: Mapping[str, Any], prefill: Mapping[str, Any] | None, price: PricePick | None) -> dict[str, Any]:
    mix = parse_mix(decode["mix"])
    parts = [("decode", decode)] if prefill is None else [("prefill", prefill), ("decode", decode)]
    cost, why_null = _cost(mix, prefill, decode, price)
    watts = _watts(cost, prefill, decode, price)
    rate = cost.output_tokens_per_s if cost else None
    mw = per_mw(rate, watts)
    money = money_of(mix, cost, why_null, price, watts)
    return {
        **{field: decode.get(field) for field in SAME},
        "mix": mix.name,
        "batch": decode.get("batch"),
        "deployment_gpus": decode.get("deployment_gpus"),
        "gpu_key": decode.get("gpu_key"),
        "points": {phase: point.get("point_id") for phase, point in parts},
        "tokens_per_s_per_user": decode.get("tokens_per_s_per_user"),
        "output_tokens_per_s_per_gpu": rate,
        "decode_output_tokens_per_s_per_gpu": decode.get("output_tokens_per_s_per_gpu"),
        "prefill_input_tokens_per_s_per_gpu": prefill.get("input_tokens_per_s_per_gpu") if prefill else None,
        "energy_j_per_output_token": cost.energy_j_per_output_token if cost else None,
        "tokens_per_s_per_mw": mw,
        "ci95": intervals_of(cost, mw, dict(watts.kinds), money),
        "equation_ci95": cost.rate_ci95 if cost else {},
        **money,
        "valid": len(parts) == 2 and cost is not None and all(bool(point.get("valid")) for _, point in parts),
        "invalid_reasons": [f"{phase}: {reason}" for phase, point in parts for reason in point.get("invalid_reasons") or ()],
        "warnings": sorted({warning for _, point in parts for warning in point.get("warnings") or ()}),
        "provenance": _provenance(parts, cost, watts, mw, money) | ({"usd_per_gpu_hour": price.provenance} if price and price.provenance else {}),
    }


def _cost(mix: Mix, prefill: Mapping[str, Any] | None, decode: Mapping[str, Any], price: PricePick | None) -> tuple[Request | None, str | None]:
    if prefill is None:
        return None, "no prefill was measured with the same model, formats, deployment and mix: run with --phase both"
    if prefill.get("status", "ok") != "ok":
        return None, f"the prefill of this mix did not run ({prefill.get('status')})"
    read, written = (
        _phase(prefill, "input_tokens_per_s_per_gpu", "energy_j_per_total_token"),
        _phase(decode, "output_tokens_per_s_per_gpu", "energy_j_per_output_token"),
    )
    if is_reduced(prefill) or is_reduced(decode):
        return None, "some layers were left out (--layers): the step is no model's, and its tokens have no price"
    if read is None or written is None:
        return None, f"the {'prefill' if read is None else 'decode'} has no rate"
    return compose(mix, read, written, _held(decode, price)), None


def _held(decode: Mapping[str, Any], price: PricePick | None) -> Held:
    """What a cached token holds: of the memory that is left on a GPU when the weights are in it. A rank's cache is one of `tp` that share a sequence."""
    gpu, weights, per_token = GPUS.get(str(decode.get("gpu_key"))), decode.get("weight_bytes"), decode.get("kv_bytes_per_token")
    room = None if gpu is None or weights is None else USABLE_MEMORY * gpu.memory_bytes - weights
    return Held(
        residency_s=price.cache_residency_s if price else None,
        kv_bytes_per_token=None if per_token is None else float(per_token) * (decode.get("tp") or 1),
        kv_room_bytes=room if room is not None and room > 0 else None,
    )


def _phase(point: Mapping[str, Any], rate: str, joules: str) -> PhaseRate | None:
    if not point.get(rate):
        return None
    step = point.get("step_s") or {}
    interval, mean = step.get("ci95"), _mean_step(point) or step.get("median")
    more = (point.get("collective_s") or {}).get("serial") or 0.0  # of a link table, without an interval of its own
    low, high = ((interval[0] + more) / (mean + more), (interval[1] + more) / (mean + more)) if mean and interval else (None, None)
    joules_low, joules_high = joule_edges(point) or (None, None)
    return PhaseRate(
        tokens_per_s=point[rate], step_low=low, step_high=high, joules_per_token=point.get(joules), joules_low=joules_low, joules_high=joules_high
    )  # fmt: skip


def _mean_step(point: Mapping[str, Any]) -> float | None:
    """Seconds per step over all windows: what the rate is made of and what the interval surrounds. The median lies beside it where noise is one-sided."""
    tokens = (point.get("output_tokens") or 0) + (point.get("input_tokens") or 0)
    window_s, per_step = point.get("window_s"), point.get("tokens_per_step")
    return window_s * per_step / tokens if window_s and per_step and tokens else None


def _watts(cost: Request | None, prefill: Mapping[str, Any] | None, decode: Mapping[str, Any], price: PricePick | None) -> Watts:
    """Mean watts per GPU over the request, at each boundary that both phases have from sources of one kind. Phases of unlike sources have no mean."""
    if cost is None or prefill is None:
        return watts_of(price)
    phases = [(point_watts(prefill, None), cost.prefill_gpu_s), (point_watts(decode, None), cost.decode_gpu_s)]
    kinds = [_of(point, "node_w") for point in (prefill, decode)]

    def mean(boundary: str) -> float | None:
        watts = [(getattr(w, boundary), seconds) for w, seconds in phases]
        return None if any(w is None for w, _ in watts) else sum(w * seconds for w, seconds in watts) / sum(seconds for _, seconds in watts)

    board_w = mean("board")
    return watts_of(
        price,
        board_w=None if board_w is None or cost.energy_j is None else cost.energy_j / cost.gpu_s,  # of the tokens, which collectives stretch
        board_cpu_w=mean("board_cpu"),
        board_kind=_kind("energy_j_per_total_token", prefill, decode),
        board_cpu_kind=_kind("board_cpu_w", prefill, decode) if mean("board_cpu") is not None else None,
        node_w=mean("node") if kinds[0] == kinds[1] else None,
        node_kind=kinds[0] or "assumed",
    )


def _provenance(
    parts: Sequence[tuple[str, Mapping[str, Any]]], cost: Request | None, watts: Watts, mw: Mapping[str, float | None], money: Mapping[str, Any]
) -> dict[str, str]:
    """The weakest kind of the two points' times and energies. A price rides beside: its kind is the price's own `provenance`."""
    if cost is None:
        return {}
    points = [point for _, point in parts]
    time = weakest(*(_of(point, "output_tokens_per_s_per_gpu") for point in points))
    inputs = money["equation_inputs"] or {}
    priced = money_kind(time, inputs, watts)
    held = inputs.get("cached") and inputs.get("cache_residency_s")  # how long a token is held somebody said
    kinds = {"usd_per_mtok": priced, "usd_per_mtok_by_class": weakest(priced, "assumed") if held else priced}
    kinds |= {"output_tokens_per_s_per_gpu": time, "tokens_per_s_per_user": time}
    if cost.energy_j is not None:
        kinds["energy_j_per_output_token"] = _kind("energy_j_per_total_token", *points)
    return kinds | {f"tokens_per_s_per_mw.{boundary}": weakest(time, kind) for boundary, kind in watts.kinds if mw[boundary] is not None}


def _of(point: Mapping[str, Any], figure: str) -> str | None:
    return (point.get("provenance") or {}).get(figure)


def _kind(figure: str, *points: Mapping[str, Any]) -> str:
    return weakest(*(_of(point, figure) for point in points))
