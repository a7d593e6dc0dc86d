"""Dollars on the bars: GPU-seconds at the price of a GPU-hour; where that leaves energy out, joules at the price of a kWh beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from profiler.economics.equations import JOULES_PER_KWH, SECONDS_PER_HOUR
from profiler.economics.prices import PricePick, price_summary
from profiler.explain.around import SITE, facility_known
from profiler.explain.bar import Bar


@dataclass(frozen=True, kw_only=True, slots=True)
class Price:
    """What the total was priced at. `usd_per_mtok` is the sum of all bars; `energy_usd_per_mtok` the part of it that a price without energy leaves out."""

    usd_per_mtok: float | None
    usd_per_gpu_hour: float | None  # with energy where that had to be added
    energy_usd_per_mtok: float | None
    provenance: str | None
    summary: str
    note: str | None
    why_null: str | None

    def json(self) -> dict[str, Any]:
        return asdict(self)


def priced(bars: Sequence[Bar], price: PricePick | None, hour_usd: float | None, note: str | None, why_null: str | None) -> tuple[list[Bar], Price]:
    """The bars with dollars per million tokens. `hour_usd`: the GPU-hour with energy as profiler.economics adds it, so that the total is its total."""
    base = price.usd_per_gpu_hour if price is not None else None
    if price is None or base is None or hour_usd is None or why_null is not None:
        why = why_null or (price.why_null if price is not None else "no price was asked for")
        summary = price_summary(price) if price is not None else "no price"
        return list(bars), Price(
            usd_per_mtok=None, usd_per_gpu_hour=hour_usd, energy_usd_per_mtok=None, provenance=price.provenance if price else None, summary=summary,
            note=note, why_null=why,
        )  # fmt: skip
    added = hour_usd - base
    # Collectives and idle hours are charged the node's watts like every other hour: the price knows no others.
    rides = facility_known(bars) and added > 0 and price.usd_per_kwh is not None
    per_joule = (price.usd_per_kwh or 0.0) / JOULES_PER_KWH * 1e6

    def dollars(bar: Bar) -> float | None:
        if bar.gpu_s is None:
            return None
        if not rides or bar.name in ("collectives", "idle"):
            return bar.gpu_s * hour_usd / SECONDS_PER_HOUR * 1e6
        return bar.gpu_s * base / SECONDS_PER_HOUR * 1e6 + (bar.energy_j or 0.0) * per_joule

    found = [replace(bar, usd_per_mtok=dollars(bar)) for bar in bars]
    gpu_s = sum(bar.gpu_s or 0.0 for bar in found)
    return found, Price(
        usd_per_mtok=sum(bar.usd_per_mtok or 0.0 for bar in found), usd_per_gpu_hour=hour_usd,
        energy_usd_per_mtok=gpu_s * added / SECONDS_PER_HOUR * 1e6 if added else None, provenance=price.provenance, summary=price_summary(price), note=note,
        why_null=None,
    )  # fmt: skip


def joules_only(bar: Bar) -> bool:
    """Whether a bar takes no GPU time, and costs only where energy is charged apart."""
    return bar.name in SITE
