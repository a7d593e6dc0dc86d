"""The findings of a run: cheapest points, tokens/s per MW, FLOPS per dollar, where the money goes, the one thing worth doing next. Valid points only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from profiler.economics.equations import SECONDS_PER_HOUR
from profiler.economics.formulas import BOUNDARIES
from profiler.economics.points import floor_of_point
from profiler.economics.prices import PricePick, spread_of
from profiler.explain.vanity import busiest_lane, peak_of
from profiler.gpus import GPUS, GpuSpec
from profiler.modelled.floor_math import Floor
from profiler.modelled.mix import parse_mix
from profiler.report.kinds import kind_of, price_kind, short
from profiler.report.numbers import NONE, count, percent, plus_minus, si, usd
from profiler.report.rows import Figures, Row, cheapest, ok, priced, size_of
from profiler.report.text import printable

Plans = Mapping[str, Mapping[str, Any]]

# Rungs of interactivity, in tokens per second and user: reading speed is about 5 to 10, the published curves are cut at 20, 50 and 100 (InferenceX).
RUNGS = (5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


def levels(rows: Sequence[Row]) -> list[int]:
    """Two rungs: the highest that every valid point reaches, where the cheapest may win, and the highest that any reaches."""
    rates = [float(row.mix["tokens_per_s_per_user"]) for row in priced(rows) if row.mix and row.mix.get("tokens_per_s_per_user")]
    if not rates:
        return []
    found = [max((rung for rung in RUNGS if rung <= rate), default=None) for rate in (min(rates), max(rates))]
    return list(dict.fromkeys(rung for rung in found if rung is not None))


def cheapest_lines(rows: Sequence[Row], price: PricePick | None) -> list[str]:
    """The cheapest valid point at each level of interactivity."""
    lines = []
    for level in levels(rows):
        row = cheapest([r for r in priced(rows) if r.mix and (r.mix.get("tokens_per_s_per_user") or 0) >= level])
        assert row is not None, level
        lines.append(f"at ≥ {level} tok/s/user: {_verdict(row, price)}")
    if lines:
        return lines
    best = cheapest(rows)
    if best is not None:
        return [f"at any speed: {_verdict(best, price)}"]
    return [f"{NONE} no valid point has a mix, and a price of tokens needs one"]


def _verdict(row: Row, price: PricePick | None) -> str:
    """One point's price with its interval, or its rate where there is no price, and what to think of it."""
    mix = row.mix
    assert mix is not None
    name = " ".join(part for part in (printable(mix.get("precision") or ""), printable(size_of(mix))) if part)
    dollars = mix.get("usd_per_mtok")
    untuned = ", untuned_kernels" if "untuned_kernels" in (mix.get("warnings") or ()) else ""
    if dollars is None:
        rate = f"{count(mix.get('output_tokens_per_s_per_gpu'))} output tok/s of the mix"
        return f"[bold]{name}[/], with {rate} the cheapest at any price ({short(kind_of(mix, 'output_tokens_per_s_per_gpu'))}{untuned})"
    kinds = short(kind_of(mix, "usd_per_mtok")) + price_kind(price)
    spread = dollars.get("price_range")
    span = f"; {usd(spread[0])} to {usd(spread[1])} {spread_of(price is not None and price.owned is not None)}" if spread and spread[0] != spread[1] else ""
    return f"[bold]{name}, ${plus_minus(dollars['value'], dollars['ci95'])} per Mtok[/] ({kinds}{untuned}{span})"


def megawatt_line(row: Row | None, rows: Sequence[Row], price: PricePick | None) -> str:
    """Tokens/s per MW at every boundary by name: of the headline's mix where there is one, else of the best valid decode point."""
    figures, of_what = (row.mix, "") if row is not None and row.mix else _best_decode(rows)
    if figures is None:
        return f"{NONE} no valid point"
    per_mw = figures.get("tokens_per_s_per_mw") or {}
    known = [
        f"{boundary} [bold]{count(value)}[/] ({_watts_kind(boundary, kind_of(figures, f'tokens_per_s_per_mw.{boundary}'), price)})"
        for boundary in BOUNDARIES
        if (value := per_mw.get(boundary)) is not None
    ]
    absent = [f"{boundary} {NONE} ({_why_no_watts(boundary, row or rows[0])})" for boundary in BOUNDARIES if per_mw.get(boundary) is None]
    return ", ".join([*known, *absent]) + of_what + _sensor(row.points if row is not None else [figures])


def _sensor(points: Sequence[Figures]) -> str:
    """What no interval of windows says: one factor for all of a board's figures."""
    accuracy = next((point["sensor_accuracy"] for point in points if point.get("sensor_accuracy")), None)
    return "" if accuracy is None else f"; the board's sensor is good to ±{percent(accuracy)}, which cancels in ratios on one board"


def _best_decode(rows: Sequence[Row]) -> tuple[Figures | None, str]:
    valid = [row.decode for row in rows if row.decode is not None and ok(row.decode) and row.decode.get("valid")]
    best = max(valid, key=lambda point: point.get("output_tokens_per_s_per_gpu") or 0.0, default=None)
    return best, "" if best is None else f"; decode alone, {printable(size_of(best))}"


def _watts_kind(boundary: str, kind: str | None, price: PricePick | None) -> str:
    if price is None:
        return short(kind)
    if boundary == "provisioned" and price.provisioned_kw_per_gpu is not None:
        return f"{short(price.provisioned_provenance)} {price.provisioned_kw_per_gpu:g} kW"
    if boundary == "facility" and price.pue is not None:
        return f"{short(kind)}, PUE {price.pue:g}"
    return short(kind)


def _why_no_watts(boundary: str, row: Row) -> str:
    if boundary == "board":
        declared = any(point.get("power_source") == "declared" for point in row.points)
        return "declared watts are the node's" if declared else "no sensor"
    return {
        "board_cpu": "CPU not read",
        "node": "no meter: --watts W declares it",
        "facility": "node × PUE",
        "provisioned": "no planned kW for this machine",
    }[boundary]


def flops_line(row: Row | None, plans: Plans) -> str:
    """What a dollar buys in FLOP at the peak, the tip of the iceberg, and what of it this mix turns into tokens."""
    if row is None or row.mix is None or row.decode is None:
        return f"{NONE} no valid point has a mix"
    lane = busiest_lane(plans.get(str(row.decode.get("plan"))))
    peak, source = peak_of(row.decode, _gpu(row.decode), lane)
    if peak is None:
        return f"{NONE} no peak is known for the {lane or 'matrix'} units of this machine"
    flops, gpu_s = _request_flops(row), sum(phase.gpu_s for phase in phases(row, plans))
    hour = row.mix.get("usd_per_gpu_hour")
    share = None if flops is None or not gpu_s else flops / gpu_s / peak
    if not hour:
        return f"the mix gets {percent(share)} of the FLOP of the {source} {lane} peak ({si(peak, 'FLOP/s')}), at any price"
    at_peak = peak * SECONDS_PER_HOUR / hour
    gets = "an unknown part of it: no plan was recorded" if share is None else f"{si(at_peak * share, 'FLOP')}/$, {percent(share)}"
    return f"tip of the iceberg: {si(at_peak, 'FLOP')}/$ at the {source} {lane} peak; the mix gets {gets}"


def _request_flops(row: Row) -> float | None:
    """FLOP that one request of the row's mix needs, from both plans."""
    assert row.mix is not None
    mix = parse_mix(str(row.mix["mix"]))
    total = 0.0
    for point, tokens in ((row.prefill, mix.fresh), (row.decode, mix.osl)):
        if point is None or point.get("step_flops") is None or not point.get("tokens_per_step"):
            return None
        total += point["step_flops"] / point["tokens_per_step"] * tokens
    return total


@dataclass(frozen=True, kw_only=True, slots=True)
class Phase:
    """One phase's part of a request of a mix, and how far it is from its roofline."""

    name: str
    gpu_s: float  # GPU-seconds of one request
    share: float  # of the request's GPU-seconds, and so of its dollars at any price
    share_of_roofline: float | None
    floor: Floor | None


def phases(row: Row, plans: Plans) -> list[Phase]:
    """Both phases of a row that has a mix; [] for one that has not. Their shares add up to 1."""
    if row.mix is None or row.prefill is None or row.decode is None:
        return []
    mix = parse_mix(str(row.mix["mix"]))
    prefill_rate, decode_rate = row.prefill.get("input_tokens_per_s_per_gpu"), row.decode.get("output_tokens_per_s_per_gpu")
    if not prefill_rate or not decode_rate:
        return []
    split = (("prefill", row.prefill, mix.fresh / prefill_rate), ("decode", row.decode, mix.osl / decode_rate))
    total = sum(gpu_s for _, _, gpu_s in split)
    return [_phase(name, point, gpu_s, total, plans) for name, point, gpu_s in split]


def _phase(name: str, point: Figures, gpu_s: float, total: float, plans: Plans) -> Phase:
    floor = floor_of_point(point, plans.get(str(point.get("plan"))), _gpu(point))
    return Phase(name=name, gpu_s=gpu_s, share=gpu_s / total, share_of_roofline=point.get("share_of_roofline"), floor=floor)


def _gpu(point: Figures) -> GpuSpec | None:
    return GPUS.get(str(point.get("gpu_key")))


def money_line(row: Row | None, plans: Plans) -> str:
    """Prefill's and decode's share of the dollars, and what bounds the floor of each."""
    parts = phases(row, plans) if row is not None else []
    if not parts:
        return f"{NONE} no valid point has a mix"
    said: list[str] = []
    for phase in parts:
        bound = _bound(phase.floor)
        said.append(f"{phase.name} {percent(phase.share)}{'' if said else ' of the dollars'}{f' (floor {bound})' if bound else ''}")
    return ", ".join(said)


def _bound(floor: Floor | None) -> str:
    if floor is None or not floor.floor_s:
        return ""
    memory = sum(op["floor_s"] for op in floor.ops if op["bound"] == "memory") / floor.floor_s
    return f"{percent(memory)} memory-bound" if memory >= 0.5 else f"{percent(1 - memory)} compute-bound"
