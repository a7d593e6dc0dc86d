"""Which price a report uses, from a dated, cited price book or a user's flags. No price is None with the reason, never 0."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from profiler.economics.equations import INPUTS, solve
from profiler.economics.owning import Owned, owned_of
from profiler.economics.price_book import PriceBook, PriceEntry, load_price_book
from triton_kernels.errors import TokenmillError, unknown

__all__ = ["PriceBook", "PricePick", "load_price_book", "pick_price", "price_from_json", "price_summary", "spread_of"]


@dataclass(frozen=True, kw_only=True, slots=True)
class PricePick:
    """The price one report uses. None is unknown; `why_null` then says why there is no price."""

    gpu_key: str | None
    kind: str | None
    usd_per_gpu_hour: float | None
    low: float | None  # spread of the book's kinds of price; None for a price given by flag
    high: float | None
    includes: tuple[str, ...] | None  # None: a price given by flag, taken as all-in
    source: str | None
    date: str | None
    placeholder: str | None  # why the book's price and kW are stand-ins; None: they are not
    provenance: str | None  # "reference" from a book, "assumed" from a flag
    provisioned_kw_per_gpu: float | None
    provisioned_provenance: str | None
    pue: float | None
    pue_provenance: str | None  # a figure made with either is "assumed": nobody measures the site here
    usd_per_kwh: float | None
    node_w: float | None  # declared watts of the node, per GPU
    utilisation: float
    why_null: str | None
    owned: Owned | None = None  # what an owned hour is made of; None: rented, or worked out by somebody else
    kinds: tuple[tuple[str, float, tuple[str, ...]], ...] = ()  # the book's prices of this GPU: kind, $ per hour, what it includes; (): given by flag
    cache_residency_s: float | None = None  # how long a cached token is held for each use; None: not said, and cached tokens have no price

    def json(self) -> dict[str, Any]:
        return asdict(self) | {"owned": self.owned.json() if self.owned else None}


def price_from_json(data: Mapping[str, Any]) -> PricePick:
    """The PricePick that `json()` wrote into a record; fields of a later version are dropped, absent ones are None."""
    known: dict[str, Any] = {f.name: data.get(f.name) for f in fields(PricePick)}
    known["includes"] = None if known["includes"] is None else tuple(known["includes"])
    known["utilisation"] = known["utilisation"] or 1.0
    known["kinds"] = tuple((str(name), float(usd), tuple(includes)) for name, usd, includes in known["kinds"] or ())
    known["owned"] = None  # a record holds what was declared when it ran, and that is rented
    return PricePick(**known)


def pick_price(
    book: PriceBook,
    gpu_key: str | None,
    *,
    usd_per_gpu_hour: float | None = None,
    pue: float | None = None,
    watts: float | None = None,
    kw_per_gpu: float | None = None,
    kind: str | None = None,
    utilisation: float = 1.0,
    own: str | None = None,
    owning: Mapping[str, float] | None = None,
    cache_residency_s: float | None = None,
) -> PricePick:
    """The price of `gpu_key` from the book, each part replaced by what is given.

    Units: US dollars per GPU-hour, PUE >= 1, `watts` of the node per GPU, `kw_per_gpu` provisioned. `own`: the hour is worked out from the book's purchase, in
    rented place ("colocation") or at its owner's ("own_site"), `owning` replacing figures of it. Raises TokenmillError for a kind that the book lacks.
    """
    for flag, name, value in (
        ("--usd-per-gpu-hour", "price_usd_per_gpu_hour", usd_per_gpu_hour), ("--watts", "node_w", watts), ("--kw-per-gpu", "provisioned_kw", kw_per_gpu),
        ("--cache-residency", "cache_residency_s", cache_residency_s),
    ):  # fmt: skip
        check_given(flag, name, value)
    check_positive("--utilisation", utilisation)
    if utilisation > 1:
        raise TokenmillError(f"--utilisation {utilisation:g}: should be above 0 and at most 1 (1 = busy all the time)")
    if pue is not None and not 1 <= pue <= 5:
        raise TokenmillError(f"--pue {pue:g}: facility power over IT power, should be from 1 to 5")
    if owning and own is None:
        raise TokenmillError("--set is of figures of owning: give --own colocation or --own own_site as well")
    entry = book.entries.get(gpu_key) if gpu_key is not None else None
    if kind is not None and kind not in book.kinds:
        raise unknown("kind of price", kind, book.kinds)
    pick = _from_book(book, entry, gpu_key, kind)
    if usd_per_gpu_hour is not None:
        pick = replace(
            pick, usd_per_gpu_hour=usd_per_gpu_hour, low=None, high=None, kind=None, includes=None, source="--usd-per-gpu-hour", date=None,
            provenance="assumed", why_null=None, kinds=(),
        )  # fmt: skip
    if kw_per_gpu is not None:
        pick = replace(pick, provisioned_kw_per_gpu=kw_per_gpu, provisioned_provenance="assumed")
    if pue is not None:
        pick = replace(pick, pue=pue, pue_provenance="assumed")
    pick = replace(pick, node_w=watts, utilisation=utilisation, cache_residency_s=cache_residency_s)
    return pick if own is None else _owned(pick, owned_of(book.owned, gpu_key, own, owning or {}))


def _owned(pick: PricePick, owned: Owned) -> PricePick:
    """The pick with the hour of a purchase in the place of its price. Electricity is not in it."""
    site = {"provisioned_kw": pick.provisioned_kw_per_gpu, "pue": pick.pue}
    usd, low, high = (solve("owned_usd_per_gpu_hour", owned.inputs() | ends | site) for ends in ({}, owned.ends(cheap=True), owned.ends(cheap=False)))
    electricity = owned.figures.get("usd_per_kwh")
    missing = "no planned kW, which rented place is paid by: give --kw-per-gpu" if pick.provisioned_kw_per_gpu is None else "a figure of owning is missing"
    colocated = owned.hosting == "colocation"
    return replace(
        pick, usd_per_gpu_hour=usd, low=low, high=high, kinds=(), kind=f"owned, {'in rented place' if colocated else 'at its own site'}",
        includes=("capex", "colocation") if colocated else ("capex",), source=f"{owned.system} of the price book", date=None, placeholder=None,
        provenance=None if usd is None else "assumed" if any(c.assumed for c in owned.figures.values()) else "modelled",
        usd_per_kwh=None if electricity is None else electricity.value, why_null=None if usd is not None else missing, owned=owned,
    )  # fmt: skip


def check_positive(flag: str, value: float | None) -> None:
    """A TokenmillError unless `value` is None or a number above 0 (and of a size that sums and ratios of figures survive)."""
    if value is not None and not 1e-12 <= value <= 1e18:
        raise TokenmillError(f"{flag} {value:g}: should be a number above 0{' and below 1e18' if value > 1e18 else ''}")


def check_given(flag: str, name: str, value: float | None) -> None:
    """A TokenmillError unless `value` is None or above 0 and in the range of the equations' input `name`: kilowatts are no watts, and dollars no cents."""
    check_positive(flag, value)
    given = INPUTS[name]
    if value is not None and not given.least <= value <= given.most:
        raise TokenmillError(f"{flag} {value:g}: {given.meaning}; should be from {given.least:g} to {given.most:g} {given.unit}")


def _from_book(book: PriceBook, entry: PriceEntry | None, gpu_key: str | None, kind: str | None) -> PricePick:
    prices = dict(entry.usd_per_gpu_hour) if entry else {}
    chosen = kind or (book.default_kind if book.default_kind in prices else next(iter(prices), None))
    usd = prices.get(chosen) if chosen else None
    pue = entry.pue if entry and entry.pue is not None else book.pue
    return PricePick(
        gpu_key=gpu_key,
        kind=chosen if usd is not None else None,
        usd_per_gpu_hour=usd,
        low=min(prices.values()) if usd is not None else None,
        high=max(prices.values()) if usd is not None else None,
        includes=book.kinds[chosen].includes if chosen and usd is not None else None,
        source=entry.source if entry else None,
        date=entry.date if entry else None,
        placeholder=entry.placeholder if entry else None,
        provenance="reference" if usd is not None else None,
        provisioned_kw_per_gpu=entry.provisioned_kw_per_gpu if entry else None,
        provisioned_provenance="reference" if entry and entry.provisioned_kw_per_gpu is not None else None,
        pue=pue,
        pue_provenance=None if pue is None else "reference",
        usd_per_kwh=book.usd_per_kwh,
        node_w=None,
        utilisation=1.0,
        why_null=None if usd is not None else _why_null(gpu_key, entry, kind),
        kinds=tuple((name, each, book.kinds[name].includes) for name, each in prices.items()) if usd is not None else (),
    )


def _why_null(gpu_key: str | None, entry: PriceEntry | None, kind: str | None) -> str:
    fix = "give --usd-per-gpu-hour or --price-book"
    if gpu_key is None:
        return f"no GPU of the catalogue, so no price: {fix}"
    if entry is None or not entry.usd_per_gpu_hour:
        return f"no price for {gpu_key} in the price book: {fix}"
    return f"no price of kind {kind} for {gpu_key} in the price book: {fix}"


def spread_of(owned: bool) -> str:
    """What a spread of prices comes from."""
    return "as its sources disagree" if owned else "by kind of price"


def price_summary(pick: PricePick) -> str:
    """One line: price, its kind, what it includes, source and date; or why there is none."""
    if pick.usd_per_gpu_hour is None:
        return pick.why_null or "no price"
    holds = "as given, taken as all-in" if pick.includes is None else f"includes {', '.join(pick.includes) or 'nothing'}"
    why_spread = spread_of((pick.kind or "").startswith("owned"))
    spread = f", ${pick.low:.4g} to ${pick.high:.4g} {why_spread}" if pick.low is not None and pick.high != pick.low else ""
    cited = ", ".join(part for part in (pick.kind, pick.source, pick.date) if part)
    beside = ", electricity beside it" if pick.includes is not None and "energy" not in pick.includes and pick.usd_per_kwh is not None else ""
    stand_in = f"; placeholder: {pick.placeholder}" if pick.placeholder and pick.provenance == "reference" else ""
    return f"{pick.provenance} ${pick.usd_per_gpu_hour:.4g}/GPU-h ({cited}; {holds}{beside}{spread}{stand_in}), {pick.utilisation:.0%} busy"
