"""A price book file: TOML, read strictly, so that a typo or a price in cents is an error and not a headline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from profiler.economics.owned_book import EMPTY, SECTIONS, OwnedBook, read_owned
from profiler.economics.strict_toml import Document, read_document
from profiler.gpus import gpu_named
from triton_kernels.errors import TokenmillError, unknown

BUILT_IN = Path(__file__).parent / "prices.toml"
INCLUDES = ("capex", "colocation", "energy")


@dataclass(frozen=True, kw_only=True, slots=True)
class PriceKind:
    """One way to pay for a GPU-hour, and what the price holds (of `INCLUDES`)."""

    name: str
    meaning: str
    includes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class PriceEntry:
    """What the book says of one GPU. `usd_per_gpu_hour` by kind of price."""

    gpu_key: str
    usd_per_gpu_hour: Mapping[str, float]
    provisioned_kw_per_gpu: float | None  # planner's all-in utility power: nothing is to be added to it
    pue: float | None  # None: the book's
    source: str
    date: str | None
    placeholder: str | None  # why the figures are stand-ins; None: they are not


@dataclass(frozen=True, kw_only=True, slots=True)
class PriceBook:
    """Prices by GPU key. `usd_per_kwh` is used for kinds of price that do not include energy."""

    default_kind: str
    pue: float | None
    usd_per_kwh: float | None
    kinds: Mapping[str, PriceKind]
    entries: Mapping[str, PriceEntry]
    source: str
    owned: OwnedBook


def load_price_book(path: str | Path | None = None) -> PriceBook:
    """The built-in book, overridden by the one at `path`. Raises TokenmillError naming file, key and line for anything unknown, mistyped or out of range."""
    book = _read_book(BUILT_IN, None)
    return book if path is None else _read_book(Path(path), book)


def _read_book(path: Path, base: PriceBook | None) -> PriceBook:
    return _Reader(file=read_document(path, "price book")).book(base)


_TOP_KEYS = ("schema_version", "default_kind", "currency", "pue", "usd_per_kwh", "kinds", "gpus", *SECTIONS)
_KIND_KEYS = ("meaning", "includes")
_GPU_KEYS = ("usd_per_gpu_hour", "provisioned_kw_per_gpu", "pue", "source", "date", "placeholder")

# (least, most, what a number beyond it usually is): a price in cents or watts for kilowatts must not pass as dear or hungry.
_RANGES = {
    "usd_per_gpu_hour": (0.0, 1000.0, "US dollars per GPU and hour"),
    "provisioned_kw_per_gpu": (0.01, 20.0, "kilowatts per GPU"),
    "pue": (1.0, 5.0, "facility power over IT power"),
    "usd_per_kwh": (0.0, 10.0, "US dollars per kWh"),
}


@dataclass(frozen=True, kw_only=True)
class _Reader:
    file: Document

    def book(self, base: PriceBook | None) -> PriceBook:
        data = self.file.data
        self.file.known(data, _TOP_KEYS, "")
        if data.get("schema_version", 1) != 1:
            raise self.file.error("schema_version", f"{data['schema_version']!r}: this tokenmill reads version 1")
        if data.get("currency", "USD") != "USD":
            raise self.file.error("currency", "every price is in USD: convert them, and say at which rate in `source`")
        kinds = dict(base.kinds) if base else {}
        for name, value in self.file.table(data, "kinds", "").items():
            kinds[name] = self.kind(name, value)
        entries = dict(base.entries) if base else {}
        for name, value in self.file.table(data, "gpus", "").items():
            key = self.gpu_key(name)
            entries[key] = self.entry(key, f"gpus.{name}", value, entries.get(key), kinds)
        default = self.file.string(data, "default_kind", "") or (base.default_kind if base else "")
        if default not in kinds:
            raise self.file.error("default_kind", str(unknown("kind of price", default, kinds)))
        pue, kwh = self._number(data, "pue", ""), self._number(data, "usd_per_kwh", "")
        return PriceBook(
            default_kind=default,
            pue=pue if pue is not None or base is None else base.pue,
            usd_per_kwh=kwh if kwh is not None or base is None else base.usd_per_kwh,
            kinds=kinds,
            entries=entries,
            source=self.file.path.name,
            owned=read_owned(self.file, base.owned if base else EMPTY),
        )

    def kind(self, name: str, value: Any) -> PriceKind:
        where = f"kinds.{name}"
        if not isinstance(value, dict):
            raise self.file.error(where, "should be a table")
        self.file.known(value, _KIND_KEYS, where)
        includes = value.get("includes")
        if not isinstance(includes, list) or any(item not in INCLUDES for item in includes):
            raise self.file.error(f"{where}.includes", f"should be a list of {', '.join(INCLUDES)}")
        return PriceKind(name=name, meaning=self.file.string(value, "meaning", where) or name, includes=tuple(includes))

    def entry(self, key: str, where: str, value: Any, base: PriceEntry | None, kinds: Mapping[str, PriceKind]) -> PriceEntry:
        if not isinstance(value, dict):
            raise self.file.error(where, "should be a table")
        self.file.known(value, _GPU_KEYS, where)
        prices: dict[str, float] = {}
        for kind in self.file.table(value, "usd_per_gpu_hour", where):
            if kind not in kinds:
                raise self.file.error(f"{where}.usd_per_gpu_hour.{kind}", str(unknown("kind of price", kind, kinds)))
            usd = self._number(value["usd_per_gpu_hour"], kind, f"{where}.usd_per_gpu_hour", limits="usd_per_gpu_hour")
            assert usd is not None, kind
            prices[kind] = usd
        kw, pue = self._number(value, "provisioned_kw_per_gpu", where), self._number(value, "pue", where)
        source, date, placeholder = (self.file.string(value, name, where) for name in ("source", "date", "placeholder"))
        if base is not None and not prices:  # only what is named changes
            return replace(
                base,
                provisioned_kw_per_gpu=base.provisioned_kw_per_gpu if kw is None else kw,
                pue=base.pue if pue is None else pue,
                source=source or base.source,
                date=date or base.date,
                placeholder=placeholder or base.placeholder,
            )
        # New prices replace all of the GPU's old ones, with their source: a spread must not mix two books.
        return PriceEntry(
            gpu_key=key,
            usd_per_gpu_hour=prices,
            provisioned_kw_per_gpu=base.provisioned_kw_per_gpu if kw is None and base else kw,
            pue=base.pue if pue is None and base else pue,
            source=source or self.file.path.name,
            date=date,
            placeholder=placeholder,
        )

    def gpu_key(self, name: str) -> str:
        try:
            return gpu_named(name).key
        except TokenmillError as error:
            raise self.file.error(f"gpus.{name}", str(error)) from error

    def _number(self, data: Mapping[str, Any], key: str, where: str, *, limits: str | None = None) -> float | None:
        low, high, unit = _RANGES[limits or key]
        return self.file.number(data, key, where, least=low, most=high, unit=unit)
