"""The tables of `tokenmill list` that come from the price book: GPU-hours, owning, what tokens are sold for, grids."""

from __future__ import annotations

from collections.abc import Callable

from profiler.economics.equations import INPUTS
from profiler.economics.owned_book import Cited
from profiler.economics.price_book import PriceKind, load_price_book
from profiler.report.listing import Listing, Row


def prices(book_path: str | None) -> Listing:
    book = load_price_book(book_path)
    rows: list[Row] = [
        {
            "gpu": entry.gpu_key,
            "usd_per_gpu_hour": dict(entry.usd_per_gpu_hour),
            "default_kind": book.default_kind if book.default_kind in entry.usd_per_gpu_hour else next(iter(entry.usd_per_gpu_hour), None),
            "includes": {kind: list(book.kinds[kind].includes) for kind in entry.usd_per_gpu_hour},
            "provisioned_kw_per_gpu": entry.provisioned_kw_per_gpu,
            "pue": entry.pue if entry.pue is not None else book.pue,
            "source": entry.source,
            "date": entry.date,
            "placeholder": entry.placeholder,
            "provenance": "reference",
        }
        for entry in book.entries.values()
    ]
    used = [kind for kind in book.kinds.values() if any(kind.name in row["usd_per_gpu_hour"] for row in rows)]
    return Listing(
        rows=rows,
        columns={
            "GPU": lambda r: r["gpu"],
            **{kind.name: _price_of(kind.name) for kind in used},
            "kW/GPU": lambda r: "-" if r["provisioned_kw_per_gpu"] is None else f"{r['provisioned_kw_per_gpu']:.4g}",
            "PUE": lambda r: "-" if r["pue"] is None else f"{r['pue']:g}",
        },
        notes=(
            "US dollars per GPU-hour by kind of price; kW/GPU is all-in utility power as planned. Third-party estimates (reference).",
            *(f"{kind.name}{' (default)' if kind.name == book.default_kind else ''}: {kind.meaning}; {_includes(kind)}." for kind in used),
            *(f"{row['gpu']} is a placeholder: {row['placeholder']}." for row in rows if row["placeholder"]),
            *sorted({f"Source: {row['source']}{', ' + row['date'] if row['date'] else ''}." for row in rows}),
            "Override with --price-book FILE or --usd-per-gpu-hour.",
        ),
    )


def _price_of(kind: str) -> Callable[[Row], str]:
    return lambda row: f"{row['usd_per_gpu_hour'][kind]:.4g}" if kind in row["usd_per_gpu_hour"] else "-"


def _includes(kind: PriceKind) -> str:
    return f"includes {', '.join(kind.includes) or 'nothing'}"


def owning(book_path: str | None) -> Listing:
    book = load_price_book(book_path).owned
    rows: list[Row] = [_owning_row("every system", name, cited) for name, cited in book.ownership.items()]
    rows += [_owning_row(system.name, name, cited) for system in book.systems.values() for name, cited in system.figures.items()]
    return Listing(
        rows=rows,
        columns={
            "of": lambda r: r["system"],
            "figure": lambda r: r["name"],
            "value": lambda r: f"{r['value']:,g}",
            "low": lambda r: "-" if r["low"] is None else f"{r['low']:,g}",
            "high": lambda r: "-" if r["high"] is None else f"{r['high']:,g}",
            "unit": lambda r: r["unit"] or "-",
            "kind": lambda r: r["provenance"],
        },
        notes=(
            "Per GPU. `cost --own colocation|own_site` works a GPU-hour out of these; --set NAME=VALUE or --price-book FILE replaces them. --json: sources.",
            *(f"{s.name}: {s.meaning}, {s.gpu_key}." for s in book.systems.values()),
            "assumed: no source was found.",
        ),
    )


def _owning_row(system: str, name: str, cited: Cited) -> Row:
    kind = "assumed" if cited.assumed else "reference"
    return {"system": system, "name": name, "unit": INPUTS[name].unit, "meaning": INPUTS[name].meaning, **cited.json(), "provenance": kind}


def price_lists(book_path: str | None) -> Listing:
    book = load_price_book(book_path).owned
    columns = ("name", "input", "cached", "output", "source", "date")
    rows: list[Row] = [{name: getattr(sold, name) for name in columns} | {"provenance": "reference"} for sold in book.price_lists.values()]
    shown: dict[str, Callable[[Row], str]] = {name: _cell(name) for name in columns}
    return Listing(rows=rows, columns=shown, notes=("US dollars per million tokens. `cost --price-list NAME` or IN/OUT[/CACHED] in place of a name.",))


def grids(book_path: str | None) -> Listing:
    book = load_price_book(book_path).owned
    rows: list[Row] = [
        {"name": name, "gco2_per_kwh": cited.value, "source": cited.source, "date": cited.date, "provenance": "reference"} for name, cited in book.grids.items()
    ]
    shown: dict[str, Callable[[Row], str]] = {name: _cell(name) for name in ("name", "gco2_per_kwh", "source", "date")}
    return Listing(rows=rows, columns=shown, notes=("Grams of CO2 per kWh, averages by place. `cost --grid NAME`, or the grams themselves.",))


def _cell(name: str) -> Callable[[Row], str]:
    return lambda row: "-" if row[name] is None else f"{row[name]:g}" if isinstance(row[name], float) else str(row[name])
