"""The price options of every command that reads runs, written once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

from profiler.commands.price_options import (
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

if TYPE_CHECKING:
    from profiler.economics.price_book import PriceBook

@dataclass(frozen=True, kw_only=True)
class Pricing:
    """At which prices runs are read: the user's book, if any, and what the options say in `flags` (of price_for_run)."""

    price_book: str | None
    flags: Mapping[str, Any]

    def book(self) -> PriceBook:
        """TokenmillError for a book that cannot be read."""
        from profiler.economics.price_book import load_price_book

        return load_price_book(self.price_book)


def pricing_of(
    usd_per_gpu_hour: UsdPerGpuHour = None,
    price_kind: PriceKind = None,
    own: Own = None,
    settings: Settings = None,
    price_book: PriceBookFile = None,
    kw_per_gpu: KwPerGpu = None,
    watts: NodeWatts = None,
    pue: Pue = None,
    utilisation: Utilisation = 1.0,
    cache_residency: CacheResidency = None,
) -> Pricing:
    """What the options say. TokenmillError for those that contradict each other."""
    from profiler.economics.owning import parse_settings

    flags = price_flags(
        usd_per_gpu_hour=usd_per_gpu_hour, price_kind=price_kind, own=own, owning=parse_settings(settings or []), utilisation=utilisation,
        kw_per_gpu=kw_per_gpu, watts=watts, pue=pue, cache_residency=cache_residency,
    )  # fmt: skip
    return Pricing(price_book=price_book, flags=flags)


def with_prices(command: Callable[..., int | None]) -> Callable[..., int | None]:
    """The command with the price options behind its own; it is given what they say as `pricing`."""
    options = list(inspect.signature(pricing_of, eval_str=True).parameters.values())
    own = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.name != "pricing"]

    @wraps(command)
    def asked(**given: Any) -> int | None:
        return command(pricing=pricing_of(**{option.name: given.pop(option.name, option.default) for option in options}), **given)

    both = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in (*own, *options)]
    vars(asked)["__signature__"] = inspect.Signature(both, return_annotation=None)  # what typer makes options of
    asked.__annotations__ = {p.name: p.annotation for p in both} | {"return": None}
    return asked
