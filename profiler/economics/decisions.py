"""What a planner decides with: margin at a price list, break-even, the rate that a target price needs, what a site holds, the carbon of a token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from profiler.economics.equations import EQUATIONS, solve, solve_all
from profiler.economics.formulas import weakest
from profiler.economics.owned_book import Cited, OwnedBook, PriceList, System
from triton_kernels.errors import TokenmillError, unknown

Inputs = Mapping[str, float | None]

_SELLING = (
    "revenue_usd_per_mtok", "margin", "profit_over_cost", "revenue_usd_per_gpu_hour", "revenue_usd_per_mw_year", "break_even_utilisation",
    "break_even_usd_per_gpu_hour", "break_even_sell_factor",
)  # fmt: skip
_SITE = ("site_gpus", "site_output_tokens_per_s", "site_usd_per_year", "site_revenue_usd_per_year")


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What the user wants to know beside the price of a token."""

    price_list: PriceList | None = None
    target_usd_per_mtok: float | None = None
    site_mw: float | None = None
    grid: Cited | None = None

    def inputs(self) -> dict[str, float | None]:
        sold = self.price_list
        return {
            "sell_input_usd_per_mtok": None if sold is None else sold.input,
            # A seller without a price of its own for cached tokens takes the fresh ones' for them.
            "sell_cached_usd_per_mtok": None if sold is None else sold.input if sold.cached is None else sold.cached,
            "sell_output_usd_per_mtok": None if sold is None else sold.output,
            "target_usd_per_mtok": self.target_usd_per_mtok,
            "site_mw": self.site_mw,
            "grid_gco2_per_kwh": None if self.grid is None else self.grid.value,
        }


def price_list_named(text: str, book: OwnedBook) -> PriceList:
    """A list of the book, or INPUT/OUTPUT[/CACHED] in US dollars per million tokens. TokenmillError for anything else."""
    if text in book.price_lists:
        return book.price_lists[text]
    try:
        numbers = [float(part) for part in text.split("/")]
    except ValueError:
        raise unknown("price list (or INPUT/OUTPUT[/CACHED] in $ per Mtok)", text, book.price_lists) from None
    if len(numbers) not in (2, 3) or not all(0 <= number <= 1e5 for number in numbers):
        raise TokenmillError(f"--price-list {text[:60]!r}: should be INPUT/OUTPUT[/CACHED] in US dollars per million tokens, such as 0.55/2.19/0.14")
    return PriceList(name=text, input=numbers[0], output=numbers[1], cached=numbers[2] if len(numbers) == 3 else None, source="--price-list")


def grid_named(text: str, book: OwnedBook) -> Cited:
    """A grid of the book, or grams of CO2 per kWh. TokenmillError for anything else."""
    if text in book.grids:
        return book.grids[text]
    try:
        grams = float(text)
    except ValueError:
        raise unknown("grid (or grams of CO2 per kWh)", text, book.grids) from None
    if not 0 <= grams <= 2000:
        raise TokenmillError(f"--grid {text[:60]!r}: should be from 0 to 2000 grams of CO2 per kWh, or one of {', '.join(book.grids)}")
    return Cited(value=grams, source="--grid", assumed=True)


NO_RATE = "no rate of whole requests was given: --tokens-per-s-per-gpu, or both phases' rates and --mix-tokens"


def decided(
    inputs: Inputs, asked: Asked, *, noise: tuple[float, float] | None = None, kind: str = "assumed", why_no_rate: str = NO_RATE
) -> dict[str, Any]:
    """The figures that were asked for, each with its unit and meaning; `why_null` says what is missing of those that could not be had.

    `noise`: the 95 % interval of the GPU-seconds of a request as fractions of them, which every figure made of them carries.
    `kind`: of the price of a token, which no figure made of it is stronger than; what a user wants or is told (a plan, a grid, a price list) rides beside it.
    """
    known = {**inputs, **{name: value for name, value in asked.inputs().items() if value is not None}}
    output_alone = known.get("osl") is None and solve("output_tokens_per_s", known) is not None
    if output_alone:  # a rate without its request: what its output sells for, and no input
        known |= {"fresh": 0.0, "cached": 0.0, "osl": 1.0}
    wanted = [
        *(_SELLING if asked.price_list is not None else ()),
        *(("target_output_tokens_per_s", "target_speed_up") if asked.target_usd_per_mtok is not None else ()),
        *(_SITE if asked.site_mw is not None else ()),
        *(("gco2_per_mtok",) if asked.grid is not None else ()),
    ]
    found = solve_all(wanted, known)
    if found.get("gco2_per_mtok") is None and asked.grid is not None:  # the plan's watts are the site's, PUE and all
        found["gco2_per_mtok"] = solve("gco2_per_mtok", {**known, "facility_w": solve("provisioned_w", known)})
    intervals = {} if noise is None else _intervals(tuple(found), known, noise)
    return {
        "figures": {
            name: {
                "value": value, "ci95": intervals.get(name), "provenance": _kind_of(name, kind), "unit": EQUATIONS[name].unit,
                "meaning": EQUATIONS[name].meaning,
            }
            for name, value in found.items()
        },
        "why_null": {name: _missing(name, known, why_no_rate) for name, value in found.items() if value is None},
        "output_alone": output_alone and asked.price_list is not None,
        "carbon_by_plan": asked.grid is not None and solve("facility_w", known) is None,
        "price_list": None if asked.price_list is None else {"name": asked.price_list.name, "source": asked.price_list.source, "date": asked.price_list.date},
        "grid": None if asked.grid is None else asked.grid.json(),
    }


def _kind_of(name: str, kind: str) -> str:
    """A site and carbon are planned, a target is computed from the price alone; the rest is of the kind of the price of a token."""
    return weakest(kind, "modelled") if name.startswith("site") or name in ("gco2_per_mtok", "target_output_tokens_per_s") else kind


def _intervals(names: tuple[str, ...], known: Inputs, noise: tuple[float, float]) -> dict[str, list[float]]:
    """Each figure at both ends of the GPU-seconds; those that do not move with them have no interval."""
    rates = ("prefill_tokens_per_s", "decode_tokens_per_s")

    def at(edge: float) -> dict[str, float | None]:
        return solve_all(names, {**known, **{name: rate / edge for name in rates if (rate := known.get(name)) is not None}})

    low, high = (at(edge) for edge in noise)
    return {name: sorted((a, b)) for name in names if (a := low[name]) is not None and (b := high[name]) is not None and a != b}


def per_system(system: System, inputs: Inputs) -> dict[str, Any]:
    """The node or rack that a GPU is bought in: its hour, its tokens/s over all hours, what it costs to buy; None where not known."""
    found = solve_all(("usd_per_gpu_hour", "output_tokens_per_s", "capex_usd", "provisioned_w"), inputs)
    rate, busy = found["output_tokens_per_s"], inputs.get("utilisation")
    found["output_tokens_per_s"] = None if rate is None or busy is None else rate * busy  # of an hour, as its price is
    whole = {name: None if value is None else value * system.gpus for name, value in found.items()}
    return {
        "system": system.name, "meaning": system.meaning, "gpus": system.gpus, "usd_per_hour": whole["usd_per_gpu_hour"],
        "output_tokens_per_s": whole["output_tokens_per_s"], "capex_usd": whole["capex_usd"], "provisioned_w": whole["provisioned_w"],
    }  # fmt: skip


def _missing(name: str, known: Inputs, why_no_rate: str) -> str:
    """What would make a figure known."""
    if solve("usd_per_gpu_hour", known) is None:
        return "no price of a GPU-hour: give --usd-per-gpu-hour or a --gpu of the price book"
    if solve("output_tokens_per_s", known) is None:
        return why_no_rate
    if (name.startswith("site") or name.endswith("mw_year")) and known.get("provisioned_kw") is None:
        return "no planned kW per GPU: give --kw-per-gpu or a --gpu of the price book"
    if name == "gco2_per_mtok":
        return "neither the node's watts nor planned kW are known: give --watts or --kw-per-gpu"
    return "nothing says what tokens are sold for: give --price-list" if "revenue" in name else "nothing is left over: the price list, or the price, is 0"
