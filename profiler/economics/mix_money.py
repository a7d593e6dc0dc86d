"""Dollars of a mix: all-in, by class, and the inputs from which the equations give the same at another price; and what noise makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from profiler.economics.equations import solve_all
from profiler.economics.formulas import Watts
from profiler.economics.hour import gpu_hour_usd, hour_inputs, price_range
from profiler.economics.prices import PricePick
from profiler.economics.request import Request
from profiler.modelled.mix import Mix

CLASSES = ("input", "cached", "output")
_SOLVED = (
    "usd_per_gpu_hour", "usd_per_mtok", *(f"usd_per_mtok_by_class.{name}" for name in CLASSES), "whole_hour_usd_per_mtok.input",
    "whole_hour_usd_per_mtok.output",
)  # fmt: skip
_UNSAID = "cached tokens are not priced: how long they are held is not known (--cache-residency)"
_NO_ROOM = "tokens are not priced by class: how much memory is left for the cache on this machine is not known"


def money_of(mix: Mix, cost: Request | None, why_null: str | None, price: PricePick | None, watts: Watts) -> dict[str, Any]:
    """`usd_per_mtok` and its classes, or None and why; with `equation_inputs`."""
    usd, note = (None, None) if price is None else gpu_hour_usd(price, watts.facility)
    inputs = None if cost is None else _inputs(cost, price, watts)
    if cost is None or inputs is None or usd is None or price is None:
        return {
            "usd_per_mtok": None,
            "usd_per_mtok_by_class": None,
            "whole_hour_usd_per_mtok": None,
            "usd_per_gpu_hour": usd,
            "why_null": why_null or (price.why_null if price else "no price was asked for"),
            "price_note": note,
            "equation_inputs": inputs,
        }
    found = solve_all(_SOLVED, inputs)
    value = found["usd_per_mtok"]
    assert value is not None, inputs
    if mix.cached:
        unknown = _UNSAID if price.cache_residency_s is None else _NO_ROOM if found["usd_per_mtok_by_class.output"] is None else None
        note = "; ".join(part for part in (note, unknown) if part) or None
    return {
        "usd_per_mtok": {
            "value": value,
            "ci95": None if cost.gpu_s_ci95 is None else [value * edge / cost.gpu_s for edge in cost.gpu_s_ci95],
            "price_range": price_range(price, inputs, value, usd),
            "basis": "output",
            "mix": mix.name,
        },
        "usd_per_mtok_by_class": {name: found[f"usd_per_mtok_by_class.{name}"] for name in CLASSES},
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


def intervals_of(cost: Request | None, mw: Mapping[str, float | None], kinds: Mapping[str, str], money: Mapping[str, Any]) -> dict[str, list[float]]:
    """figure -> [low, high]: what the noise of both phases' times and joules makes of a mix's figures. Noise alone: no price's spread, no sensor's accuracy."""
    if cost is None:
        return {}
    return _of_time(cost, mw, kinds, money) | _of_joules(cost, mw)


def _of_time(cost: Request, mw: Mapping[str, float | None], kinds: Mapping[str, str], money: Mapping[str, Any]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    if cost.gpu_s_ci95 is not None and cost.gpu_s_ci95[0] > 0:
        slow, fast = cost.gpu_s / cost.gpu_s_ci95[1], cost.gpu_s / cost.gpu_s_ci95[0]
        figures = {"output_tokens_per_s_per_gpu": cost.output_tokens_per_s}
        # Watts that nobody measured do not move with the noise: tokens per second do.
        constant = ("provisioned", *(("node", "facility") if kinds.get("node") == "assumed" else ()))
        figures |= {f"tokens_per_s_per_mw.{boundary}": value for boundary in constant if (value := mw.get(boundary)) is not None}
        found |= {name: [value * slow, value * fast] for name, value in figures.items()}
    inputs, by_class = money["equation_inputs"] or {}, money["usd_per_mtok_by_class"] or {}
    if not inputs.get("by_joules") and not inputs.get("cache_residency_s"):  # then a class is its phase's time alone
        for name, rate in (("input", "prefill_tokens_per_s"), ("output", "decode_tokens_per_s")):
            ends, value = cost.rate_ci95.get(rate), by_class.get(name)
            if ends is not None and value is not None:
                found[f"usd_per_mtok_by_class.{name}"] = [value * inputs[rate] / ends[1], value * inputs[rate] / ends[0]]
    return found


def _of_joules(cost: Request, mw: Mapping[str, float | None]) -> dict[str, list[float]]:
    if cost.energy_j is None or cost.energy_j_ci95 is None or cost.energy_j_per_output_token is None or cost.energy_j_ci95[0] <= 0:
        return {}
    low, high = (edge / cost.energy_j for edge in cost.energy_j_ci95)
    found = {"energy_j_per_output_token": [cost.energy_j_per_output_token * low, cost.energy_j_per_output_token * high]}
    board = mw.get("board")
    return found | ({} if board is None else {"tokens_per_s_per_mw.board": [board / high, board / low]})
