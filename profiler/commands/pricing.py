"""The price options of a command that sets runs against each other, written once: all its runs are read at one price book."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any

import typer

from profiler.commands.price_options import (
    PRICE_PANEL,
    CacheResidency,
    KwPerGpu,
    NodeWatts,
    Own,
    PriceBookFile,
    PriceKind,
    Pue,
    Settings,
    UsdPerGpuHour,
    Utilisation,
    price_flags,
)
from triton_kernels.errors import TokenmillError

if TYPE_CHECKING:
    from profiler.compare.reprice import Priced
    from profiler.economics.price_book import PriceBook
    from profiler.record.store import Run

Reprice = Annotated[str, typer.Option(metavar="book|own", help="One price book for all, or what each run declared.", rich_help_panel=PRICE_PANEL)]


@dataclass(frozen=True, kw_only=True)
class Pricing:
    """At which prices runs are read."""

    book: PriceBook
    flags: Mapping[str, Any]
    reprice: str  # "book" or "own"

    def priced(self, run: Run) -> Priced:
        """The run with its price and derived figures. TokenmillError for a record that is damaged."""
        from profiler.compare.reprice import repriced

        return repriced(run, self.book, self.flags, self.reprice)


def _pricing(
    price_book: PriceBookFile = None,
    reprice: Reprice = "book",
    usd_per_gpu_hour: UsdPerGpuHour = None,
    price_kind: PriceKind = None,
    own: Own = None,
    settings: Settings = None,
    utilisation: Utilisation = 1.0,
    kw_per_gpu: KwPerGpu = None,
    watts: NodeWatts = None,
    pue: Pue = None,
    cache_residency: CacheResidency = None,
) -> Pricing:
    """What the options say. TokenmillError for those that contradict each other, and for a book that cannot be read."""
    from profiler.compare.reprice import check_reprice
    from profiler.economics.owning import parse_settings
    from profiler.economics.price_book import load_price_book

    check_reprice(reprice)
    if settings and own is None:
        raise TokenmillError("--set is of figures of owning: give --own colocation or --own own_site as well")
    flags = price_flags(
        usd_per_gpu_hour=usd_per_gpu_hour, price_kind=price_kind, own=own, owning=parse_settings(settings or []), utilisation=utilisation,
        kw_per_gpu=kw_per_gpu, watts=watts, pue=pue, cache_residency=cache_residency,
    )  # fmt: skip
    return Pricing(book=load_price_book(price_book), flags=flags, reprice=reprice)


def with_prices(command: Callable[..., int]) -> Callable[..., int]:
    """The command with the price options behind its own; it is given what they say as `pricing`."""
    options = list(inspect.signature(_pricing, eval_str=True).parameters.values())
    own = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.name != "pricing"]

    @wraps(command)
    def asked(**given: Any) -> int:
        return command(pricing=_pricing(**{option.name: given.pop(option.name) for option in options}), **given)

    both = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in (*own, *options)]
    vars(asked)["__signature__"] = inspect.Signature(both, return_annotation=int)  # what typer makes options of
    asked.__annotations__ = {p.name: p.annotation for p in both} | {"return": int}
    return asked
