"""The GPU-hour as the equations take it: rented or owned, with or without electricity in it."""

from __future__ import annotations

from profiler.economics.equations import solve
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
