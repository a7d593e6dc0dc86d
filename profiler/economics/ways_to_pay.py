"""Rent against own: every way to pay for a GPU's hours, at one utilisation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from profiler.economics.equations import SECONDS_PER_HOUR, solve
from profiler.economics.hour import gpu_hour_usd, hour_inputs, hour_range
from profiler.economics.owning import HOSTINGS
from profiler.economics.price_book import PriceBook
from profiler.economics.prices import PricePick, pick_price

Inputs = Mapping[str, float | None]


def ways_to_pay(
    book: PriceBook, gpu_key: str, inputs: Inputs, pick: Mapping[str, Any], owning: Mapping[str, float], usd_per_hour_used: float | None = None
) -> list[dict[str, Any]]:
    """The book's kinds of price and its purchase in both places, the cheapest per Mtok (else per hour) first: $ per hour, per busy hour, per Mtok.

    `pick`: what else pick_price is given (PUE, watts, kW, utilisation). These pay idle hours too. `usd_per_hour_used`: what a GPU-hour costs that is paid only
    while it is used; each way then says from which busy share on it is the cheaper one.
    """
    entry = book.entries.get(gpu_key)
    prices = [(kind, pick_price(book, gpu_key, kind=kind, **pick)) for kind in (entry.usd_per_gpu_hour if entry else ())]
    if book.owned.system_of(gpu_key) is not None:
        prices += [(f"own:{hosting}", pick_price(book, gpu_key, own=hosting, owning=owning, **pick)) for hosting in HOSTINGS]
    rows = [_way(name, price, inputs, usd_per_hour_used) for name, price in prices]
    if usd_per_hour_used is not None:
        used = pick_price(book, gpu_key, **{**pick, "usd_per_gpu_hour": usd_per_hour_used, "utilisation": 1.0})
        rows.append(_way("hours used", used, inputs, None))
    return sorted(rows, key=lambda row: (row["usd_per_busy_gpu_hour"] is None, row["usd_per_busy_gpu_hour"] or 0.0))


def _way(name: str, price: PricePick, inputs: Inputs, usd_per_hour_used: float | None) -> dict[str, Any]:
    at = {**inputs, **hour_inputs(price, node_w=price.node_w if price.node_w is not None else inputs.get("node_w"))}
    hour, busy = solve("usd_per_gpu_hour", at), solve("usd_per_gpu_s", at)
    # Kinds of price are rows beside each other; only a purchase has sources that disagree on one of its own.
    low, high = (hour_range(price, at) if price.owned is not None else None) or (None, None)
    return {
        "way": name,
        "usd_per_gpu_hour": hour,
        "usd_per_busy_gpu_hour": None if busy is None else busy * SECONDS_PER_HOUR,
        "usd_per_mtok": solve("usd_per_mtok", at),
        "low": low,
        "high": high,
        "includes": price.includes,
        "provenance": price.provenance,
        "source": price.source,
        "note": gpu_hour_usd(price, solve("facility_w", at))[1],
        "break_even_utilisation": None if hour is None or usd_per_hour_used is None else hour / usd_per_hour_used,
    }
