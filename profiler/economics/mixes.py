"""What a mix of tokens costs, composed from a prefill and a decode that were measured apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from profiler.economics.equations import solve_all
from profiler.economics.formulas import Watts, per_mw, watts_of, weakest
from profiler.economics.hour import gpu_hour_usd, hour_inputs
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
        "ci95": _intervals(cost, mw),
        "equation_ci95": cost.rate_ci95 if cost else {},
        **_money(mix, cost, why_null, price, watts),
        "valid": len(parts) == 2 and cost is not None and all(bool(point.get("valid")) for _, point in parts),
        "invalid_reasons": [f"{phase}: {reason}" for phase, point in parts for reason in point.get("invalid_reasons") or ()],
        "warnings": sorted({warning for _, point in parts for warning in point.get("warnings") or ()}),
        "provenance": _provenance(parts, cost, watts, mw) | ({"usd_per_gpu_hour": price.provenance} if price and price.provenance else {}),
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
    cost = compose(mix, read, written, _held(decode, price))
    return cost, None if cost is not None else "what a cached token holds of this machine's memory is not known: leave out --cache-residency"


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


def _intervals(cost: Request | None, mw: Mapping[str, float | None]) -> dict[str, list[float]]:
    """What the noise of both phases' joules makes of a request's, and of its tokens per megajoule."""
    if cost is None or cost.energy_j is None or cost.energy_j_ci95 is None or cost.energy_j_per_output_token is None or cost.energy_j_ci95[0] <= 0:
        return {}
    low, high = (edge / cost.energy_j for edge in cost.energy_j_ci95)
    found = {"energy_j_per_output_token": [cost.energy_j_per_output_token * low, cost.energy_j_per_output_token * high]}
    board = mw.get("board")
    return found | ({} if board is None else {"tokens_per_s_per_mw.board": [board / high, board / low]})


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


_CLASSES = ("input", "cached", "output")
_MONEY = (
    "usd_per_gpu_hour", "energy_in_usd_per_gpu_hour", "usd_per_mtok",
    *(f"usd_per_mtok_by_class.{name}" for name in _CLASSES), "whole_hour_usd_per_mtok.input", "whole_hour_usd_per_mtok.output",
)  # fmt: skip


def _money(mix: Mix, cost: Request | None, why_null: str | None, price: PricePick | None, watts: Watts) -> dict[str, Any]:
    """`usd_per_mtok` and its classes, or None and why; with `equation_inputs`, from which profiler.economics.equations gives the same at another price."""
    usd, note = (None, None) if price is None else gpu_hour_usd(price, watts.facility)
    if cost is None or usd is None or price is None:
        return {
            "usd_per_mtok": None,
            "usd_per_mtok_by_class": None,
            "whole_hour_usd_per_mtok": None,
            "usd_per_gpu_hour": usd,
            "why_null": why_null or (price.why_null if price else "no price was asked for"),
            "price_note": note,
            "equation_inputs": None if cost is None else _inputs(cost, price, watts),
        }
    inputs = _inputs(cost, price, watts)
    found = solve_all(_MONEY, inputs)
    value = found["usd_per_mtok"]
    assert value is not None, inputs
    added = found["energy_in_usd_per_gpu_hour"] or 0.0  # electricity, where the price leaves it out
    spread = None if price.low is None or price.high is None else [value * (edge + added) / usd for edge in (price.low, price.high)]
    if mix.cached and price.cache_residency_s is None:
        note = "; ".join(part for part in (note, "cached tokens are not priced: how long they are held is not known (--cache-residency)") if part)
    return {
        "usd_per_mtok": {
            "value": value,
            "ci95": None if cost.gpu_s_ci95 is None else [value * edge / cost.gpu_s for edge in cost.gpu_s_ci95],
            "price_range": spread,
            "basis": "output",
            "mix": mix.name,
        },
        "usd_per_mtok_by_class": {name: found[f"usd_per_mtok_by_class.{name}"] for name in _CLASSES},
        "whole_hour_usd_per_mtok": {name: found[f"whole_hour_usd_per_mtok.{name}"] for name in ("input", "output")},
        "usd_per_gpu_hour": usd,
        "why_null": None,
        "price_note": note,
        "equation_inputs": inputs,
    }


def _inputs(cost: Request, price: PricePick | None, watts: Watts) -> dict[str, float]:
    """What the equations need for all figures of the mix."""
    hour = hour_inputs(price, node_w=watts.node)
    by_joules = cost.energy_j is not None and hour.get("energy_apart") == 1
    found = {**hour, **cost.inputs, "board_w": watts.board, "board_cpu_w": watts.board_cpu, "by_joules": float(by_joules)}
    return {name: value for name, value in found.items() if value is not None}


def _provenance(parts: Sequence[tuple[str, Mapping[str, Any]]], cost: Request | None, watts: Watts, mw: Mapping[str, float | None]) -> dict[str, str]:
    """The weakest kind of the two points' times and energies. A price rides beside: its kind is the price's own `provenance`."""
    if cost is None:
        return {}
    points = [point for _, point in parts]
    time = weakest(*(_of(point, "output_tokens_per_s_per_gpu") for point in points))
    kinds = {"usd_per_mtok": time, "usd_per_mtok_by_class": time, "output_tokens_per_s_per_gpu": time, "tokens_per_s_per_user": time}
    if cost.energy_j is not None:
        kinds["energy_j_per_output_token"] = _kind("energy_j_per_total_token", *points)
    return kinds | {f"tokens_per_s_per_mw.{boundary}": weakest(time, kind) for boundary, kind in watts.kinds if mw[boundary] is not None}


def _of(point: Mapping[str, Any], figure: str) -> str | None:
    return (point.get("provenance") or {}).get(figure)


def _kind(figure: str, *points: Mapping[str, Any]) -> str:
    return weakest(*(_of(point, figure) for point in points))
