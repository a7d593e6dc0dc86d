"""Figures of a serving point: a whole deployment under load, as another tool saw it. Prefill and decode share its GPUs, so one rate holds both.

The all-in price is the GPU-hour over the output rate: the input that belongs to the output is in it. What input and output cost apart needs a split of the
shared GPU-seconds, which the point does not hold: `floor_split` makes one from the model's own floors, and a point that has it under that name is split by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from profiler.economics.equations import solve_all
from profiler.economics.formulas import Watts, per_mw, watts_of, weakest
from profiler.economics.hour import gpu_hour_usd, hour_inputs, money_kind, price_range
from profiler.economics.prices import PricePick
from profiler.economics.serving_floor import floor_split
from profiler.modelled.mix import Mix, parse_mix

__all__ = ["derive_serving", "floor_split", "is_serving", "serving_mix", "split_by_floor"]

SERVING = "serving"
NO_SPLIT = "what input and output cost apart needs floors of the model: `tokenmill cost FILE --split-by-floor`"
CACHED_APART = "cached input tokens take no floor, and what holding them costs is in both classes"

# What only a step has: a plan, its floor, and links that were not measured with it.
_OF_A_STEP = ("collective_s", "floor_s", "floor_source", "share_of_roofline", "step_flops", "step_memory_bytes")
_RATES = ("output_tokens_per_s_per_gpu", "input_tokens_per_s_per_gpu", "total_tokens_per_s_per_gpu", "tokens_per_s_per_user")
_PER_TOKEN = {"energy_j_per_output_token": "output_tokens_per_s_per_gpu", "energy_j_per_total_token": "total_tokens_per_s_per_gpu"}


def is_serving(point: Mapping[str, Any]) -> bool:
    return point.get("kind") == SERVING


def derive_serving(point: Mapping[str, Any], price: PricePick | None) -> dict[str, Any]:
    """The point plus its derived figures: joules per token where only watts are stated, and tokens/s per MW by boundary. What is recorded stays as it is."""
    board_w = _board_w(point)
    watts = _watts(point, board_w, price)
    energy = {name: _joules(point, name, rate, board_w) for name, rate in _PER_TOKEN.items()}
    mw = per_mw(point.get("output_tokens_per_s_per_gpu"), watts)
    kinds = dict(point.get("provenance") or {})
    time = kinds.get("output_tokens_per_s_per_gpu")
    for name, rate in _PER_TOKEN.items():
        if energy[name] is not None and name not in kinds:
            kinds[name] = weakest(kinds.get(rate), kinds.get("board_w"))
    kinds |= {f"tokens_per_s_per_mw.{boundary}": weakest(time, kind) for boundary, kind in watts.kinds if mw[boundary] is not None}
    rates = {name: point.get(name) for name in _RATES}
    return {**dict.fromkeys(_OF_A_STEP), **point, **rates, **energy, "tokens_per_s_per_mw": mw, "ci95": {}, "provenance": kinds}


def _board_w(point: Mapping[str, Any]) -> float | None:
    """Watts per GPU; `board_w` is of all of them."""
    watts, gpus = point.get("board_w"), point.get("deployment_gpus")
    return None if watts is None or not gpus else float(watts) / gpus


def _watts(point: Mapping[str, Any], board_w: float | None, price: PricePick | None) -> Watts:
    return watts_of(price, board_w=board_w, board_kind=(point.get("provenance") or {}).get("board_w"))


def _joules(point: Mapping[str, Any], name: str, rate: str, board_w: float | None) -> float | None:
    """As the file states it; else watts over tokens per second."""
    stated: float | None = point.get(name)
    return stated if stated is not None or board_w is None or not point.get(rate) else board_w / point[rate]


def serving_mix(point: Mapping[str, Any], price: PricePick | None) -> dict[str, Any]:
    """What the tokens of a serving point's mix cost. Takes a point that derive_serving has been over and that has a mix."""
    mix, rate = parse_mix(str(point["mix"])), point.get("output_tokens_per_s_per_gpu")
    kinds = point.get("provenance") or {}
    named = ("energy_j_per_output_token", "output_tokens_per_s_per_gpu", "tokens_per_s_per_user")
    provenance = {name: kind for name, kind in kinds.items() if name in named or name.startswith("tokens_per_s_per_mw.")}
    watts = _watts(point, _board_w(point), price)
    money = _money(point, mix, rate, price, watts)
    if money["usd_per_mtok"] is not None:
        provenance["usd_per_mtok"] = money_kind(kinds.get("output_tokens_per_s_per_gpu"), money["equation_inputs"], watts)
        provenance |= {} if price is None or price.provenance is None else {"usd_per_gpu_hour": price.provenance}
    if money["usd_per_mtok_by_class"] is not None:
        provenance["usd_per_mtok_by_class"] = weakest(provenance["usd_per_mtok"], point["floor_split"]["provenance"])
    same = ("batch", "concurrency", "framework", "deployment_gpus", "gpu_key", "tokens_per_s_per_user", "energy_j_per_output_token", "tokens_per_s_per_mw")
    return {
        "mix": mix.name,
        **{name: point.get(name) for name in same},
        "points": {SERVING: point.get("point_id")},
        "output_tokens_per_s_per_gpu": rate,
        "decode_output_tokens_per_s_per_gpu": None,
        "prefill_input_tokens_per_s_per_gpu": None,
        "ci95": {},
        **money,
        "valid": bool(point.get("valid")) and rate is not None,
        "invalid_reasons": list(point.get("invalid_reasons") or ()),
        "warnings": list(point.get("warnings") or ()),
        "provenance": provenance,
    }


_CLASSES = {name: f"usd_per_mtok_by_class.{name}" for name in ("input", "cached", "output")}
_WHOLE_HOUR = {name: f"whole_hour_usd_per_mtok.{name}" for name in ("input", "output")}


def _money(point: Mapping[str, Any], mix: Mix, rate: float | None, price: PricePick | None, watts: Watts) -> dict[str, Any]:
    """The all-in price, its classes where a split was asked for, and the public habit beside them: the whole hour charged to each class."""
    usd, note = (None, None) if price is None else gpu_hour_usd(price, watts.facility)
    split, why_no_split = _split(point, mix, rate)
    inputs = None if not rate else _inputs(mix, rate, split, price, watts)
    found: dict[str, Any] = {
        "usd_per_mtok": None, "usd_per_mtok_by_class": None, "by_class_why_null": why_no_split, "whole_hour_usd_per_mtok": None, "usd_per_gpu_hour": usd,
        "why_null": None, "price_note": note, "equation_inputs": inputs,
    }  # fmt: skip
    if inputs is None:
        return found | {"why_null": next(iter(_no_rate(point)), "the point has no output tokens/s per GPU")}
    if price is None or usd is None:
        return found | {"why_null": price.why_null if price else "no price was asked for"}
    solved = solve_all(("usd_per_mtok", *_CLASSES.values(), *_WHOLE_HOUR.values()), inputs)
    value = solved["usd_per_mtok"]
    assert value is not None, inputs
    return found | {
        "usd_per_mtok": {"value": value, "ci95": None, "price_range": price_range(price, inputs, value, usd), "basis": "output", "mix": mix.name},
        "usd_per_mtok_by_class": None if split is None else {name: solved[equation] for name, equation in _CLASSES.items()},
        "whole_hour_usd_per_mtok": {name: solved[equation] for name, equation in _WHOLE_HOUR.items()},
        "price_note": "; ".join(part for part in (note, CACHED_APART if mix.cached and split else None) if part) or None,
    }


def _no_rate(point: Mapping[str, Any]) -> list[str]:
    return [str(said) for said in (*(point.get("warnings") or ()), *(point.get("invalid_reasons") or ())) if str(said).startswith("no ")]


def _inputs(mix: Mix, rate: float, split: Mapping[str, float] | None, price: PricePick | None, watts: Watts) -> dict[str, float | None]:
    """What the equations need. A request takes osl / rate GPU-seconds, whatever its prefill and decode took of them."""
    phases = {} if split is None else {"prefill_gpu_s": split["input"], "decode_gpu_s": split["output"]}
    tokens = {"fresh": float(mix.fresh), "cached": float(mix.cached), "osl": float(mix.osl), "output_tokens_per_s": rate, "gpu_s": mix.osl / rate}
    hour = hour_inputs(price, node_w=watts.node)
    return {**hour, **tokens, **phases, "cache_residency_s": 0.0, "board_w": watts.board, "by_joules": 0.0}


def _split(point: Mapping[str, Any], mix: Mix, rate: float | None) -> tuple[dict[str, float] | None, str | None]:
    """GPU-seconds of a request by class from the point's `floor_split`, or why there are none."""
    floors = point.get("floor_split")
    if floors is None or not rate:
        return None, NO_SPLIT
    if floors["why_null"] is not None:
        return None, str(floors["why_null"])
    return split_by_floor(mix.osl / rate, {"input": mix.fresh * floors["input_floor_s"], "output": mix.osl * floors["output_floor_s"]}), None


def split_by_floor(gpu_s: float, floors: Mapping[str, float]) -> dict[str, float]:
    """GPU-seconds of each class: the whole, shared by what each could not have taken less of. Adds up to `gpu_s`; the sum of floors should be above 0."""
    total = sum(floors.values())
    return {name: gpu_s * floor / total for name, floor in floors.items()}
