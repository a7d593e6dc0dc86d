"""Recorded runs as commands that only read are given them: by reference, each at its price."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from profiler.commands.pricing import Pricing
from profiler.foreign.found import found_runs

if TYPE_CHECKING:
    from profiler.economics.derive import Derived
    from profiler.economics.prices import PricePick
    from profiler.record.store import Run


def priced_runs(refs: Sequence[str], root: Path, pricing: Pricing) -> list[tuple[Run, PricePick, Derived]]:
    """Each run that `refs` name (as found_runs has it) with its price and derived figures. TokenmillError where one cannot be read."""
    from profiler.economics.derive import derive_run, price_for_run

    book = pricing.book()
    runs = [run for ref in refs for run in found_runs(ref, root)]
    prices = [price_for_run(run, book, **pricing.flags) for run in runs]
    return [(run, price, derive_run(run, price)) for run, price in zip(runs, prices, strict=True)]
