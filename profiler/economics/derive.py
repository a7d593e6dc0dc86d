"""Figures computed when reading a record: floors, energy, power and money. Nothing here is stored, and nothing here needs torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from profiler.economics.mixes import derive_mixes
from profiler.economics.points import derive_point
from profiler.economics.price_book import PriceBook
from profiler.economics.prices import PricePick, pick_price, price_from_json
from profiler.gpus import GPUS
from triton_kernels.errors import TokenmillError

__all__ = ["Derived", "RunLike", "derive_point", "derive_run", "price_for_run"]


class RunLike(Protocol):
    """A recorded run, as profiler.record.store reads it."""

    @property
    def path(self) -> Path: ...
    @property
    def header(self) -> Mapping[str, Any]: ...
    @property
    def points(self) -> Sequence[dict[str, Any]]: ...
    @property
    def plans(self) -> Mapping[str, dict[str, Any]]: ...


@dataclass(frozen=True, kw_only=True)
class Derived:
    """Every point with its derived figures, and the mixes composed from them."""

    points: list[dict[str, Any]]
    mixes: list[dict[str, Any]]

    def json(self) -> dict[str, Any]:
        return {"points": self.points, "mixes": self.mixes}


# What reading a field that is not what it should be raises.
DAMAGE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


def damaged(run: RunLike, what: str, error: Exception) -> TokenmillError:
    """A record that cannot be read, said in one line: it may come from anywhere, and its fields may hold anything."""
    return TokenmillError(f"{run.path}: {what} is damaged ({type(error).__name__}: {str(error)[:100]}); measure it again")


def derive_run(run: RunLike, price: PricePick | None) -> Derived:
    """All derived figures of a run at a price; None: at no price, so that every $ is null with the reason.

    Raises TokenmillError when a field of the record is not what it should be: a record may come from anywhere.
    """
    try:
        points = [derive_point(p, run.plans.get(p.get("plan") or ""), GPUS.get(p.get("gpu_key") or ""), price) for p in run.points]
        return Derived(points=points, mixes=derive_mixes(points, price))
    except DAMAGE as error:
        raise damaged(run, "a point or plan", error) from error


def price_for_run(
    run: RunLike,
    book: PriceBook,
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
    """The price to read a run at: what is given now, else what was declared when it ran, else the book's for its GPU. Parameters as pick_price's.

    Raises TokenmillError when the record's own price is not what it should be.
    """
    try:
        recorded = price_from_json(run.header["price"]) if run.header.get("price") else None
        declared = recorded is not None and recorded.provenance == "assumed" and kind is None and own is None
        if recorded is not None:
            usd_per_gpu_hour = recorded.usd_per_gpu_hour if usd_per_gpu_hour is None and declared else usd_per_gpu_hour
            pue = recorded.pue if pue is None and recorded.pue_provenance == "assumed" else pue
            watts = recorded.node_w if watts is None else watts
        gpu_key = next((point["gpu_key"] for point in run.points if point.get("gpu_key")), recorded.gpu_key if recorded else None)
        return pick_price(
            book, gpu_key, usd_per_gpu_hour=usd_per_gpu_hour, pue=pue, watts=watts, kw_per_gpu=kw_per_gpu, kind=kind, utilisation=utilisation, own=own,
            owning=owning, cache_residency_s=cache_residency_s,
        )  # fmt: skip
    except DAMAGE as error:
        raise damaged(run, "the recorded price", error) from error
