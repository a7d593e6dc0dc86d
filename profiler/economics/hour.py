"""The GPU-hour as the equations take it: rented or owned, with or without electricity in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from profiler.economics.equations import solve
from profiler.economics.formulas import Watts, weakest
from profiler.economics.prices import PricePick


def hour_inputs(price: PricePick | None, *, node_w: float | None = None, facility_w: float | None = None) -> dict[str, float | None]:
    """Inputs of the equations that a price gives. Electricity is added only to a price that says it leaves it out, for what the site draws.

    `facility_w` may be given in the place of `node_w` (whose product with the PUE it is). Where neither is known the planned kW are paid for, an upper bound.
    """
    if price is None:
        return {}
    drawn = facility_w is not None or (node_w is not None and price.pue is not None)
    apart = price.includes is not None and "energy" not in price.includes and price.usd_per_kwh is not None
    apart = apart and (drawn or price.provisioned_kw_per_gpu is not None)
    owned = price.owned.inputs() if price.owned else {"owned": 0.0, "colocated": 0.0, "usd_per_kwh": price.usd_per_kwh}
    return owned | {
        "price_usd_per_gpu_hour": price.usd_per_gpu_hour,
        "energy_apart": float(apart),
        "billed_by_plan": float(not drawn),
        "pue": price.pue,
        "provisioned_kw": price.provisioned_kw_per_gpu,
        "utilisation": price.utilisation,
        "node_w": node_w,
        "facility_w": facility_w,
    }


def hour_range(price: PricePick | None, inputs: Mapping[str, float | None]) -> tuple[float, float] | None:
    """The cheapest and the dearest GPU-hour, electricity in it: over the book's kinds of price, each with what it includes, or over the sources of owning.

    `inputs`: of the equations, at the price itself. None where there is nothing to choose from.
    """
    if price is None:
        return None
    if price.owned is not None:
        found = [solve("usd_per_gpu_hour", {**inputs, **price.owned.ends(cheap)}) for cheap in (True, False)]
    else:
        kinds = [replace(price, usd_per_gpu_hour=usd, includes=includes) for _, usd, includes in price.kinds]
        found = [solve("usd_per_gpu_hour", {**inputs, **hour_inputs(kind, node_w=inputs.get("node_w"))}) for kind in kinds]
    hours = [hour for hour in found if hour is not None]
    return (min(hours), max(hours)) if hours else None


def price_range(price: PricePick | None, inputs: Mapping[str, float | None], usd_per_mtok: float, usd_per_gpu_hour: float) -> list[float] | None:
    """$ per Mtok at both ends of the GPU-hour."""
    ends = hour_range(price, inputs)
    return None if ends is None else [usd_per_mtok * end / usd_per_gpu_hour for end in ends]


def money_kind(time_kind: str | None, inputs: Mapping[str, float | None], watts: Watts) -> str:
    """The kind of a price of a token: of its time, and of the watts as well where electricity is paid for them. The price's own kind rides beside it."""
    if inputs.get("energy_apart") != 1:
        return weakest(time_kind)
    return weakest(time_kind, dict(watts.kinds).get("provisioned" if inputs.get("billed_by_plan") == 1 else "facility"))


def gpu_hour_usd(price: PricePick, facility_w: float | None) -> tuple[float | None, str | None]:
    """The GPU-hour with electricity, and what to know where the price leaves electricity out and what the site draws, or what it pays, is not known."""
    usd = solve("usd_per_gpu_hour", hour_inputs(price, facility_w=facility_w))
    if usd is None or price.includes is None or "energy" in price.includes:
        return usd, None
    if price.usd_per_kwh is None:
        return usd, "price without energy: the price book lacks usd_per_kwh"
    if facility_w is not None:
        return usd, None
    if price.provisioned_kw_per_gpu is None:
        return usd, "price without energy: no facility watts (give --watts)"
    return usd, f"electricity of the planned {price.provisioned_kw_per_gpu:g} kW, an upper bound: what the node draws is not known (give --watts)"
