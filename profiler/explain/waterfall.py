"""The iceberg: from the datasheet's peak to the delivered token, for one point or for a whole request of a mix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from profiler.economics.hour import gpu_hour_usd
from profiler.economics.prices import PricePick
from profiler.explain.around import surrounding_bars
from profiler.explain.bar import Bar, scaled, together, total, total_j
from profiler.explain.causes import compute_bars
from profiler.explain.money import Price, joules_only, priced
from profiler.explain.operations import Operations
from profiler.explain.step import Step
from profiler.modelled.mix import parse_mix

Rows = Sequence[Mapping[str, Any]]

# What groups of bars a table of many points shows.
CAUSES = {
    "floor": ("peak", "memory"),
    "ceilings": ("ceilings",),
    "kernels": ("our_kernels",),
    "gaps": ("launch_gaps", "overlap", "slow_steps"),
    "links": ("collectives",),
    "idle": ("idle",),
}
DISTANCE = "distance"  # every other bar that takes time: operations above their floors


@dataclass(frozen=True, kw_only=True)
class Explained:
    """A point with what a waterfall is made of, read and worked out once."""

    run_id: str
    point: Mapping[str, Any]  # with its derived figures
    step: Step
    operations: Operations | None
    bars: tuple[Bar, ...]  # per token, without dollars
    rows: Rows = ()  # of ops/


@dataclass(frozen=True, kw_only=True)
class Waterfall:
    """Bars that add up to the delivered token of `subject`, in the order they are read. Joules are of `boundary` up to the host's bar."""

    run_id: str
    subject: Mapping[str, Any]  # phase or mix, point ids, model, formats, batch
    unit: str
    boundary: str
    bars: tuple[Bar, ...]
    price: Price
    valid: bool
    invalid_reasons: tuple[str, ...]

    @property
    def busy(self) -> dict[str, float | None]:
        """The token while GPUs work, without idle hours, host and site: what rates and joules per token elsewhere are of."""
        return _sums([bar for bar in self.bars if not joules_only(bar) and bar.name != "idle"])

    @property
    def delivered(self) -> dict[str, float | None]:
        """GPU-seconds, joules and dollars of all bars. Joules are as wide as what is known."""
        return _sums(self.bars)

    def shares(self) -> dict[str, float | None]:
        """Each cause's share of the GPU-seconds, and so of the dollars of a price that has energy in it."""
        whole = self.delivered["gpu_s"]
        known = {name: total([bar.gpu_s for bar in self.bars if bar.name in names]) for name, names in CAUSES.items()}
        named = {name for names in CAUSES.values() for name in names}
        known[DISTANCE] = total([bar.gpu_s for bar in self.bars if bar.name not in named and not joules_only(bar)])
        return {name: None if value is None or not whole else value / whole for name, value in known.items()}

    def json(self) -> dict[str, Any]:
        bars = [bar.json() | {"cumulative": _sums(self.bars[:n])} for n, bar in enumerate(self.bars, start=1)]
        return {
            "run_id": self.run_id, **self.subject, "unit": self.unit, "boundary": self.boundary, "bars": bars, "busy": self.busy, "delivered": self.delivered,
            "price": self.price.json(), "shares": self.shares(), "valid": self.valid, "invalid_reasons": list(self.invalid_reasons),
        }  # fmt: skip


_OF_POINT = ("point_id", "phase", "model", "precision", "kv_cache", "batch", "context", "routing", "mix")


def explained(run_id: str, point: Mapping[str, Any], step: Step, operations: Operations | None, price: PricePick | None, rows: Rows = ()) -> Explained:
    """The point's bars per token of the whole deployment."""
    found = [*compute_bars(point, step, operations), *surrounding_bars(point, step, price, gpu_known=bool(point.get("gpu_key")))]
    bars = [scaled(bar, seconds=step.gpu_s_per_s, joules=step.gpus_per_gpu) for bar in found]
    return Explained(run_id=run_id, point=point, step=step, operations=operations, bars=tuple(bars), rows=rows)


def of_point(found: Explained, price: PricePick | None) -> Waterfall:
    """One phase's waterfall, per token of that phase."""
    point, step = found.point, found.step
    hour, note = (None, None) if price is None else gpu_hour_usd(price, step.watts.facility)
    why = "some layers were left out (--layers): the step is no model's" if step.unit == "step" else None
    if step.collective_s is None:
        why = "the links' time is not known"
    bars, money = priced(found.bars, price, hour, note, why)
    return Waterfall(
        run_id=found.run_id, subject={name: point.get(name) for name in _OF_POINT}, unit=step.unit, boundary=step.boundary, bars=tuple(bars), price=money,
        valid=bool(point.get("valid")), invalid_reasons=tuple(str(r) for r in point.get("invalid_reasons") or ()),
    )  # fmt: skip


def of_mix(mix: Mapping[str, Any], prefill: Explained, decode: Explained, price: PricePick | None) -> Waterfall:
    """A whole request's waterfall per output token: prefill's bars for each fresh input token, decode's for each output token."""
    request = parse_mix(str(mix["mix"]))
    share = request.fresh / request.osl
    bars = together([scaled(bar, seconds=share, joules=share) for bar in prefill.bars], decode.bars)
    boundary = decode.step.boundary
    without = next((f"joules: {phase} has none" for phase, found in (("prefill", prefill), ("decode", decode)) if found.step.energy_j is None), None)
    if without is None and prefill.step.boundary != boundary:
        without = f"joules: prefill's are of the {prefill.step.boundary}, decode's of the {boundary}"
    if without is not None:
        bars = [replace(bar, energy_j=None, energy_kind=None, why_null=bar.why_null or without) for bar in bars]
    bars, money = priced(bars, price, mix.get("usd_per_gpu_hour"), mix.get("price_note"), mix.get("why_null"))
    subject = {name: mix.get(name) for name in ("mix", "model", "precision", "kv_cache", "batch", "routing", "points")}
    return Waterfall(
        run_id=decode.run_id, subject={"phase": "request", **subject}, unit="output token", boundary=boundary, bars=tuple(bars), price=money,
        valid=bool(mix.get("valid")), invalid_reasons=tuple(str(r) for r in mix.get("invalid_reasons") or ()),
    )  # fmt: skip


def _sums(bars: Sequence[Bar]) -> dict[str, float | None]:
    return {"gpu_s": total([bar.gpu_s for bar in bars]), "energy_j": total_j(bars), "usd_per_mtok": total([bar.usd_per_mtok for bar in bars])}
