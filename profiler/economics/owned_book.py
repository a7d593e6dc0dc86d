"""The parts of a price book beside GPU-hours: what machines are bought for, what tokens are sold for, what a grid emits. Each figure with its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from profiler.economics.equations import INPUTS
from profiler.economics.strict_toml import Document
from profiler.gpus import gpu_named
from triton_kernels.errors import TokenmillError

PER_SYSTEM = ("gpu_capex_usd", "server_capex_usd")
OWNING = (
    *PER_SYSTEM, "network_capex_usd", "storage_capex_usd", "life_years", "cost_of_capital", "residual_share", "maintenance_share", "staff_usd_per_year",
    "colocation_usd_per_kw_month", "usd_per_kwh",
)  # fmt: skip
_LIST_KEYS = ("input", "cached", "output")


@dataclass(frozen=True, kw_only=True, slots=True)
class Cited:
    """A figure with where it comes from. `low` and `high` where sources disagree. `assumed`: no source was found, or the user gave it."""

    value: float
    low: float | None = None
    high: float | None = None
    source: str
    date: str | None = None
    assumed: bool = False

    def json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class System:
    """A machine that is bought: a node or a rack. Figures are per GPU, by the names of profiler.economics.equations."""

    name: str
    gpu_key: str
    gpus: int
    meaning: str
    figures: Mapping[str, Cited]


@dataclass(frozen=True, kw_only=True, slots=True)
class PriceList:
    """What tokens are sold for, US dollars per million. `cached`: None where the seller has no price of its own for them."""

    name: str
    input: float
    cached: float | None
    output: float
    source: str
    date: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnedBook:
    """`ownership` holds for every system that does not say otherwise."""

    ownership: Mapping[str, Cited]
    systems: Mapping[str, System]
    price_lists: Mapping[str, PriceList]
    grids: Mapping[str, Cited]  # g/kWh

    def system_of(self, gpu_key: str | None) -> System | None:
        """The first system of a GPU."""
        return next((system for system in self.systems.values() if system.gpu_key == gpu_key), None)


EMPTY = OwnedBook(ownership={}, systems={}, price_lists={}, grids={})
SECTIONS = ("ownership", "systems", "price_lists", "grids")


def read_owned(file: Document, base: OwnedBook) -> OwnedBook:
    """The sections of a file over those of `base`: what is named replaces what was there. TokenmillError with key and line for anything wrong."""
    file.known(file.table(file.data, "ownership", ""), OWNING, "ownership")
    ownership = dict(base.ownership) | _cited(file, file.table(file.data, "ownership", ""), "ownership")
    systems, lists, grids = dict(base.systems), dict(base.price_lists), dict(base.grids)
    for name, value in file.table(file.data, "systems", "").items():
        systems[name] = _system(file, name, value, systems.get(name))
    for name, value in file.table(file.data, "price_lists", "").items():
        lists[name] = _price_list(file, name, value)
    for name, value in file.table(file.data, "grids", "").items():
        grids[name] = _grid(file, name, value)
    return OwnedBook(ownership=ownership, systems=systems, price_lists=lists, grids=grids)


def _cited(file: Document, table: Mapping[str, Any], where: str) -> dict[str, Cited]:
    return {name: cited for name in table if name in OWNING and (cited := _figure(file, table, name, where, name)) is not None}


def _figure(file: Document, table: Mapping[str, Any], key: str, where: str, limits: str) -> Cited | None:
    """A number alone, or {value, low, high, source, date, assumed}."""
    found, at, given = table[key], f"{where}.{key}", INPUTS[limits]

    def number(data: Mapping[str, Any], name: str, place: str) -> float | None:
        return file.number(data, name, place, least=given.least, most=given.most, unit=given.unit or given.meaning, zero=True)

    if not isinstance(found, dict):
        value = number(table, key, where)
        return None if value is None else Cited(value=value, source=file.path.name, assumed=True)
    file.known(found, ("value", "low", "high", "source", "date", "assumed"), at)
    value, low, high = (number(found, name, at) for name in ("value", "low", "high"))
    if value is None:
        raise file.error(at, "has no value")
    if not (value if low is None else low) <= value <= (value if high is None else high):
        raise file.error(at, f"value {value:g} should lie between low and high")
    assumed = found.get("assumed", False)
    if not isinstance(assumed, bool):
        raise file.error(f"{at}.assumed", "should be true or false")
    source = file.string(found, "source", at) or file.path.name
    return Cited(value=value, low=low, high=high, source=source, date=file.string(found, "date", at), assumed=assumed)


def _system(file: Document, name: str, value: Any, base: System | None) -> System:
    where = f"systems.{name}"
    if not isinstance(value, dict):
        raise file.error(where, "should be a table")
    file.known(value, ("gpu", "gpus", "meaning", *OWNING), where)
    gpu, gpus = file.string(value, "gpu", where), file.number(value, "gpus", where, least=1, most=4096, unit="GPUs of the system")
    if base is None and (gpu is None or gpus is None):
        raise file.error(where, "a new system needs gpu and gpus")
    try:
        key = gpu_named(gpu).key if gpu is not None else base.gpu_key if base else ""
    except TokenmillError as error:
        raise file.error(f"{where}.gpu", str(error)) from error
    figures = (dict(base.figures) if base else {}) | _cited(file, value, where)
    meaning = file.string(value, "meaning", where) or (base.meaning if base else name)
    return System(name=name, gpu_key=key, gpus=int(gpus) if gpus is not None else base.gpus if base else 1, meaning=meaning, figures=figures)


def _price_list(file: Document, name: str, value: Any) -> PriceList:
    where = f"price_lists.{name}"
    if not isinstance(value, dict):
        raise file.error(where, "should be a table")
    file.known(value, (*_LIST_KEYS, "source", "date"), where)
    read, cached, written = (file.number(value, key, where, least=0, most=1e5, unit="US dollars per million tokens", zero=True) for key in _LIST_KEYS)
    if read is None or written is None:
        raise file.error(where, "needs input and output")
    return PriceList(
        name=name, input=read, cached=cached, output=written, source=file.string(value, "source", where) or file.path.name,
        date=file.string(value, "date", where),
    )  # fmt: skip


def _grid(file: Document, name: str, value: Any) -> Cited:
    where = f"grids.{name}"
    if not isinstance(value, dict):
        raise file.error(where, "should be a table")
    file.known(value, ("gco2_per_kwh", "source", "date"), where)
    grams = file.number(value, "gco2_per_kwh", where, least=0, most=2000, unit="grams per kWh", zero=True)
    if grams is None:
        raise file.error(where, "needs gco2_per_kwh")
    return Cited(value=grams, source=file.string(value, "source", where) or file.path.name, date=file.string(value, "date", where))
