"""A price book file: TOML, read strictly, so that a typo or a price in cents is an error and not a headline."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from profiler.gpus import gpu_named
from triton_kernels.errors import TokenmillError, unknown

BUILT_IN = Path(__file__).parent / "prices.toml"
MAX_BOOK_BYTES = 1 << 20
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


def load_price_book(path: str | Path | None = None) -> PriceBook:
    """The built-in book, overridden by the one at `path`. Raises TokenmillError naming file, key and line for anything unknown, mistyped or out of range."""
    book = _read_book(BUILT_IN, None)
    return book if path is None else _read_book(Path(path), book)


def _read_book(path: Path, base: PriceBook | None) -> PriceBook:
    try:
        with path.open("rb") as file:  # read up to the cap: /dev/zero has no size and no end
            content = file.read(MAX_BOOK_BYTES + 1)
        if len(content) > MAX_BOOK_BYTES:
            raise TokenmillError(f"price book {path}: larger than 1 MiB; is it a price book?")
        text = content.decode()
        data = tomllib.loads(text)
    except OSError as error:
        raise TokenmillError(f"price book {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise TokenmillError(f"price book {path}: not UTF-8 text") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise TokenmillError(f"price book {path}: not TOML: {error}") from error
    return _Reader(path=path, text=text).book(data, base)


_TOP_KEYS = ("schema_version", "default_kind", "pue", "usd_per_kwh", "kinds", "gpus")
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
    path: Path
    text: str

    def book(self, data: dict[str, Any], base: PriceBook | None) -> PriceBook:
        self.known(data, _TOP_KEYS, "")
        if data.get("schema_version", 1) != 1:
            raise self.error("schema_version", f"{data['schema_version']!r}: this tokenmill reads version 1")
        kinds = dict(base.kinds) if base else {}
        for name, value in self.table(data, "kinds", "").items():
            kinds[name] = self.kind(name, value)
        entries = dict(base.entries) if base else {}
        for name, value in self.table(data, "gpus", "").items():
            key = self.gpu_key(name)
            entries[key] = self.entry(key, f"gpus.{name}", value, entries.get(key), kinds)
        default = self.string(data, "default_kind", "") or (base.default_kind if base else "")
        if default not in kinds:
            raise self.error("default_kind", str(unknown("kind of price", default, kinds)))
        pue, kwh = self.number(data, "pue", ""), self.number(data, "usd_per_kwh", "")
        return PriceBook(
            default_kind=default,
            pue=pue if pue is not None or base is None else base.pue,
            usd_per_kwh=kwh if kwh is not None or base is None else base.usd_per_kwh,
            kinds=kinds,
            entries=entries,
            source=self.path.name,
        )

    def kind(self, name: str, value: Any) -> PriceKind:
        where = f"kinds.{name}"
        if not isinstance(value, dict):
            raise self.error(where, "should be a table")
        self.known(value, _KIND_KEYS, where)
        includes = value.get("includes")
        if not isinstance(includes, list) or any(item not in INCLUDES for item in includes):
            raise self.error(f"{where}.includes", f"should be a list of {', '.join(INCLUDES)}")
        return PriceKind(name=name, meaning=self.string(value, "meaning", where) or name, includes=tuple(includes))

    def entry(self, key: str, where: str, value: Any, base: PriceEntry | None, kinds: Mapping[str, PriceKind]) -> PriceEntry:
        if not isinstance(value, dict):
            raise self.error(where, "should be a table")
        self.known(value, _GPU_KEYS, where)
        prices: dict[str, float] = {}
        for kind in self.table(value, "usd_per_gpu_hour", where):
            if kind not in kinds:
                raise self.error(f"{where}.usd_per_gpu_hour.{kind}", str(unknown("kind of price", kind, kinds)))
            usd = self.number(value["usd_per_gpu_hour"], kind, f"{where}.usd_per_gpu_hour", limits="usd_per_gpu_hour")
            assert usd is not None, kind
            prices[kind] = usd
        kw, pue = self.number(value, "provisioned_kw_per_gpu", where), self.number(value, "pue", where)
        source, date, placeholder = (self.string(value, name, where) for name in ("source", "date", "placeholder"))
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
            source=source or self.path.name,
            date=date,
            placeholder=placeholder,
        )

    def gpu_key(self, name: str) -> str:
        try:
            return gpu_named(name).key
        except TokenmillError as error:
            raise self.error(f"gpus.{name}", str(error)) from error

    def known(self, table: Mapping[str, Any], keys: tuple[str, ...], where: str) -> None:
        for key in table:
            if key not in keys:
                raise self.error(f"{where}.{key}" if where else key, str(unknown("key", key, keys)))

    def table(self, data: Mapping[str, Any], key: str, where: str) -> dict[str, Any]:
        value = data.get(key, {})
        if not isinstance(value, dict):
            raise self.error(f"{where}.{key}" if where else key, "should be a table")
        return value

    def string(self, data: Mapping[str, Any], key: str, where: str) -> str | None:
        value = data.get(key)
        if value is not None and not isinstance(value, str):
            raise self.error(f"{where}.{key}" if where else key, "should be text in quotes")
        return value

    def number(self, data: Mapping[str, Any], key: str, where: str, *, limits: str | None = None) -> float | None:
        value = data.get(key)
        if value is None:
            return None
        at = f"{where}.{key}" if where else key
        low, high, unit = _RANGES[limits or key]
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error(at, f"should be a number ({unit}), not {value!r}")
        if not math.isfinite(value) or not low <= value <= high or value == 0 == low:
            raise self.error(at, f"{value}: should be {unit}, {f'from {low:g}' if low else 'above 0'} to {high:g}")
        return float(value)

    def error(self, at: str, what: str) -> TokenmillError:
        line = self._line(at)
        return TokenmillError(f"price book {self.path}{f', line {line}' if line else ''}: {at}: {what}")

    def _line(self, at: str) -> int | None:
        """The line that most likely holds the dotted key `at`: the first line naming its last part, after the header that names the one before."""
        lines, start = self.text.splitlines(), 0
        for part in at.split("."):
            found = next((i for i in range(start, len(lines)) if re.search(rf"(?<![\w-])[\"']?{re.escape(part)}(?![\w-])", lines[i].split("#")[0])), None)
            if found is None:
                return None
            start = found
        return start + 1
