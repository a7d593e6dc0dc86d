"""A run at the book's price: a comparison is of what was measured, not of what each run once declared to pay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from profiler.economics.derive import Derived, derive_run, price_for_run
from profiler.economics.price_book import PriceBook
from profiler.economics.prices import PricePick
from profiler.record.store import Run
from triton_kernels.errors import unknown

Priced = tuple[Run, PricePick, Derived]
BOOK, OWN = "book", "own"


def check_reprice(name: str) -> None:
    """TokenmillError unless `name` is `book` or `own`."""
    if name not in (BOOK, OWN):
        raise unknown("--reprice", name, (BOOK, OWN))


def repriced(run: Run, book: PriceBook, flags: Mapping[str, Any], reprice: str) -> Priced:
    """The run with its price and derived figures: its GPU's in `book`, with `flags` (of price_for_run); `own`: what it declared, where it declared any."""
    asked = run if reprice == OWN else replace(run, header=run.header | {"price": None})
    price = price_for_run(asked, book, **flags)
    return run, price, derive_run(run, price)
