"""What a reader may change in the page: inputs of the equations, with each run's own value, its source and the range that a typing error leaves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from profiler.economics.equations import INPUTS
from profiler.economics.owned_book import OWNING
from profiler.economics.owning import HOSTINGS, Owned, owned_of
from profiler.economics.price_book import PriceBook
from profiler.economics.prices import PricePick, price_summary
from profiler.report.html.items import Reported
from profiler.report.html.packing import column

PRICE = "price_usd_per_gpu_hour"
_NAMED = {
    PRICE: "Price of a GPU-hour", "utilisation": "Busy share of the hours", "pue": "PUE", "provisioned_kw": "Planned power per GPU",
    "gpu_capex_usd": "GPU", "server_capex_usd": "Server or rack", "network_capex_usd": "Network", "storage_capex_usd": "Storage", "life_years": "Life",
    "cost_of_capital": "Cost of capital", "residual_share": "Residual value", "maintenance_share": "Maintenance", "staff_usd_per_year": "Staff",
    "colocation_usd_per_kw_month": "Colocation", "usd_per_kwh": "Electricity",
}  # fmt: skip
_STEPS = {PRICE: "0.01", "utilisation": "0.01", "pue": "0.01", "provisioned_kw": "0.01", "life_years": "0.5"}


@dataclass(frozen=True, kw_only=True)
class Control:
    """One input. `values`: of each run, None where it has none. `owning`: asked only where the GPU is owned."""

    name: str
    label: str
    unit: str
    meaning: str
    least: float
    most: float
    step: str
    values: tuple[float | None, ...]
    source: str
    owning: bool

    @property
    def value(self) -> float | None:
        """The value of every run where all have the same."""
        return self.values[0] if len(set(self.values)) == 1 else None

    @property
    def placeholder(self) -> str:
        known = sorted({value for value in self.values if value is not None})
        return f"{known[0]:g} to {known[-1]:g}, by run" if len(known) > 1 else "not known"


def controls_of(reported: Reported, owned: Sequence[Owned | None]) -> list[Control]:
    """The inputs that these runs' figures are made of."""
    prices = [price for _, price, _ in reported]
    values: dict[str, list[float | None]] = {
        PRICE: [price.usd_per_gpu_hour for price in prices], "utilisation": [price.utilisation for price in prices],
        "pue": [price.pue for price in prices], "provisioned_kw": [price.provisioned_kw_per_gpu for price in prices],
    }  # fmt: skip
    sources = {name: _source(name, prices) for name in values}
    for name in OWNING if any(owned) else ():
        values[name] = [each.figures[name].value if each is not None and name in each.figures else None for each in owned]
        sources[name] = next((_cited(each, name) for each in owned if each is not None and name in each.figures), "")
    return [_control(name, found, sources[name]) for name, found in values.items()]


def _control(name: str, values: Sequence[float | None], source: str) -> Control:
    given = INPUTS[name]
    return Control(
        name=name, label=_NAMED[name], unit=given.unit, meaning=given.meaning, least=given.least, most=given.most, step=_STEPS.get(name, "any"),
        values=tuple(values), source=source, owning=name in OWNING,
    )  # fmt: skip


def _source(name: str, prices: Sequence[PricePick]) -> str:
    if name == "utilisation":
        return "assumed; 1 is busy all the time"
    said = dict.fromkeys(_source_of(name, price) for price in prices)
    return "; ".join(found for found in said if found) or "not known for this machine"


def _source_of(name: str, price: PricePick) -> str:
    if name == PRICE:
        return ", ".join(part for part in (price.provenance, price.kind, price.source, price.date) if part)
    if name == "pue":
        return price.pue_provenance or ""
    return price.provisioned_provenance or ""


def _cited(owned: Owned, name: str) -> str:
    cited = owned.figures[name]
    return ", ".join(part for part in ("assumed" if cited.assumed else "reference", cited.source, cited.date) if part)


def owned_hours(reported: Reported, book: PriceBook | None) -> list[Owned | None]:
    """What each run's GPU would cost to own: as it was priced, else by the book where that has a machine of it."""
    found: list[Owned | None] = []
    for _, price, _ in reported:
        known = book is not None and book.owned.system_of(price.gpu_key) is not None
        found.append(price.owned or (owned_of(book.owned, price.gpu_key, HOSTINGS[0], {}) if book is not None and known else None))
    return found


def runs_json(reported: Reported, owned: Sequence[Owned | None]) -> dict[str, Any]:
    """Columns of the runs. `apart`: whether the price leaves electricity out; `own`: the inputs of an owned hour; `hosting`: how it was priced.

    `ways`: what it would pay by each kind of price that some run has in the book; `way`: the place of the one that it pays by.
    """
    prices, kinds = [price for _, price, _ in reported], list(_kinds(reported))
    return {
        "id": [run.run_id for run, _, _ in reported],
        "apart": column([price.includes is not None and "energy" not in price.includes for price in prices]),
        "hosting": column([price.owned.hosting if price.owned else None for price in prices]),
        "own": [each.inputs() if each is not None else None for each in owned],
        "way": column([kinds.index(price.kind) if price.kind in kinds and price.kinds else None for price in prices]),
        "ways": [[_way(price, kind) for kind in kinds] for price in prices],
    }


def _way(price: PricePick, kind: str) -> dict[str, Any] | None:
    """A kind of price as the page's model reads it; None: the book has none of this kind for this GPU."""
    return next(({"usd": usd, "apart": "energy" not in includes} for name, usd, includes in price.kinds if name == kind), None)


def price_lines(reported: Reported) -> list[tuple[str, str]]:
    """(runs, what their price is) for each price once."""
    said: dict[str, list[str]] = {}
    for run, price, _ in reported:
        said.setdefault(price_summary(price), []).append(run.run_id)
    return [(", ".join(runs), summary) for summary, runs in said.items()]


def way_names(reported: Reported) -> list[str]:
    """The book's kinds of price as buttons say them, in the order of `runs_json`; [] where there is no choice."""
    kinds = _kinds(reported)
    return [_way_name(kind, found) for kind, found in kinds.items()] if len(kinds) > 1 else []


def _kinds(reported: Reported) -> dict[str, list[tuple[float, bool]]]:
    """Of each kind of price what each run that the book has it for pays, and whether electricity is apart from it."""
    found: dict[str, list[tuple[float, bool]]] = {}
    for _, price, _ in reported:
        for kind, usd, includes in price.kinds:
            found.setdefault(kind, []).append((usd, "energy" not in includes))
    return found


def _way_name(kind: str, paid: Sequence[tuple[float, bool]]) -> str:
    low, high = min(paid)[0], max(paid)[0]
    return f"{kind}: ${low:.4g}{f' to ${high:.4g}, by run' if high > low else ''}{', electricity apart' if paid[0][1] else ''}"
