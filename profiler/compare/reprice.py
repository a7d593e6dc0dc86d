"""A run at the book's price: a comparison is of what was measured, not of what each run once declared to pay.

Where the book has no price for the machine, the price that all runs declared alike serves as well; unlike ones would be told as a difference, so there is none.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from profiler.economics.derive import DAMAGE, Derived, damaged, derive_run, price_for_run
from profiler.economics.price_book import PriceBook
from profiler.economics.prices import PricePick, price_from_json
from profiler.record.store import Run
from triton_kernels.errors import unknown

Priced = tuple[Run, PricePick, Derived]
BOOK, OWN = "book", "own"
RUNS_OWN = "the runs' own, since the book has none"  # the source of such a price


def check_reprice(name: str) -> None:
    """TokenmillError unless `name` is `book` or `own`."""
    if name not in (BOOK, OWN):
        raise unknown("--reprice", name, (BOOK, OWN))


def repriced(run: Run, book: PriceBook, flags: Mapping[str, Any], reprice: str) -> Priced:
    """The run with its price and derived figures: its GPU's in `book`, with `flags` (of price_for_run); `own`: what it declared, where it declared any."""
    price = _at_book(run, book, flags) if reprice == BOOK else price_for_run(run, book, **flags)
    return run, price, derive_run(run, price)


def at_own(run: Run, book: PriceBook, flags: Mapping[str, Any]) -> Priced:
    """As `repriced` by the book; where the book lacks a price, at the one that the run declared (its source is RUNS_OWN)."""
    price = _at_book(run, book, flags)
    usd = _declared(run) if _lacks(price, flags) else None
    if usd is not None:
        price = _own_price(run, book, flags, usd)
    return run, price, derive_run(run, price)


def at_one_price(priced: Sequence[Priced], book: PriceBook, flags: Mapping[str, Any]) -> list[Priced]:
    """Runs at the book's prices; where it has none for the first run's machine, all at the price that all of them declared."""
    if not priced or not _lacks(priced[0][1], flags):
        return list(priced)
    declared = [_declared(run) for run, _, _ in priced]
    usd = declared[0]
    if usd is None or len(set(declared)) > 1:
        prices = [unlike(price, set(declared)) if price.usd_per_gpu_hour is None else price for _, price, _ in priced]
    else:
        prices = [_own_price(run, book, flags, usd) for run, _, _ in priced]
    return [(run, price, derive_run(run, price)) for (run, _, _), price in zip(priced, prices, strict=True)]


def unlike(price: PricePick, declared: Collection[float | None]) -> PricePick:
    """No price, with the reason that runs declared unlike ones (None: a run declared none); as it is where no run declared any."""
    known = sorted(usd for usd in declared if usd is not None)
    if not known:
        return price
    told = ", ".join(f"${usd:.4g}" for usd in known) + (" or none" if None in declared else "")
    machine = price.gpu_key or "this machine"
    why = f"no price for {machine} in the price book, and the runs declared {told}: give --reprice own, --usd-per-gpu-hour or --price-book"
    return replace(price, usd_per_gpu_hour=None, source=None, provenance=None, why_null=why)


def _at_book(run: Run, book: PriceBook, flags: Mapping[str, Any]) -> PricePick:
    return price_for_run(replace(run, header=run.header | {"price": None}), book, **flags)


def _own_price(run: Run, book: PriceBook, flags: Mapping[str, Any], usd: float) -> PricePick:
    return replace(_at_book(run, book, {**flags, "usd_per_gpu_hour": usd}), source=RUNS_OWN)


def _lacks(price: PricePick, flags: Mapping[str, Any]) -> bool:
    """Whether the book has no price; of a kind of price, or a way of owning, that was asked for by name nothing else is the same."""
    return price.usd_per_gpu_hour is None and flags.get("kind") is None and flags.get("own") is None


def _declared(run: Run) -> float | None:
    """US dollars per GPU-hour that were given when it ran; None: none were. TokenmillError for a record that is damaged."""
    try:
        recorded = price_from_json(run.header["price"]) if run.header.get("price") else None
        return float(recorded.usd_per_gpu_hour) if recorded and recorded.provenance == "assumed" and recorded.usd_per_gpu_hour is not None else None
    except DAMAGE as error:
        raise damaged(run, "the recorded price", error) from error
