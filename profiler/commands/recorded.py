"""Recorded runs as commands that only read are given them: by reference, each at its price."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from profiler.economics.derive import Derived
    from profiler.economics.prices import PricePick
    from profiler.record.store import Run


def priced_runs(refs: Sequence[str], root: Path, price_book: str | None, flags: Mapping[str, Any]) -> list[tuple[Run, PricePick, Derived]]:
    """Each run (path, id under `root`, or `last`) with its price and derived figures. `flags`: of price_for_run. TokenmillError where one cannot be read."""
    from profiler.economics.derive import derive_run, price_for_run
    from profiler.economics.price_book import load_price_book
    from profiler.record.store import read_run

    book = load_price_book(price_book)
    runs = [read_run(ref, root) for ref in refs]
    prices = [price_for_run(run, book, **flags) for run in runs]
    return [(run, price, derive_run(run, price)) for run, price in zip(runs, prices, strict=True)]
