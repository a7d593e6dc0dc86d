"""The figures that a page computes again when its reader changes a price: how each is written, and where a run's own value of it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from profiler.economics.formulas import BOUNDARIES
from profiler.report.html.items import Item
from profiler.report.kinds import why_no_price
from profiler.report.numbers import NONE, count, fixed, plus_minus

# How a figure is written. The page's numbers.js has the same forms; a test compares them.
FORMS: dict[str, Callable[[float | None, Sequence[float] | None], str]] = {
    "dollars": lambda value, interval: NONE if value is None else f"${plus_minus(value, interval)}",
    "interval": plus_minus,
    "count": lambda value, interval: count(value),
    "fixed": lambda value, interval: NONE if value is None else fixed(value),
    "times": lambda value, interval: NONE if value is None else f"{fixed(value)}×",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """A figure of profiler.economics.equations on a page. `derived`: its name among a run's derived figures."""

    derived: str
    label: str
    unit: str
    short: str  # the unit over a column
    form: str
    money: bool = False


HOUR, RATE, USD, JOULES, PER_MW = "usd_per_gpu_hour", "output_tokens_per_s", "usd_per_mtok", "energy_j_per_output_token", "tokens_per_s_per_mw"


def _usd(name: str, label: str, tokens: str, short: str) -> Shown:
    return Shown(derived=name, label=label, unit=f"$ per million {tokens} tokens", short=short, form="dollars", money=True)


FIGURES: dict[str, Shown] = {
    USD: _usd(USD, "price of output, all-in", "output", "$/Mtok out"),
    f"{USD}_by_class.input": _usd(f"{USD}_by_class.input", "input", "input", "$/Mtok in"),
    f"{USD}_by_class.cached": _usd(f"{USD}_by_class.cached", "cached input", "cached", "$/Mtok"),
    f"{USD}_by_class.output": _usd(f"{USD}_by_class.output", "output", "output", "$/Mtok out"),
    HOUR: Shown(derived=HOUR, label="GPU-hour", unit="$ per GPU-hour, electricity in it", short="$/GPU-h", form="dollars", money=True),
    RATE: Shown(derived="output_tokens_per_s_per_gpu", label="throughput", unit="output tokens/s per GPU", short="output tokens/s per GPU", form="count"),
    JOULES: Shown(derived=JOULES, label="energy", unit="J per output token", short="J per output token", form="interval"),
    **{
        f"{PER_MW}.{boundary}": Shown(
            derived=f"{PER_MW}.{boundary}", label=boundary.replace("_", " + "), unit="output tokens/s per MW", short="output tokens/s per MW", form="count"
        )
        for boundary in BOUNDARIES
    },
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """One figure of one line as the page first shows it. `kinds`: of its physical inputs and, for money, of the price. `why`: why it is missing."""

    name: str
    item: int | None
    value: float | None
    text: str
    kinds: tuple[str, ...]
    why: str | None


def figure_of(item: Item | None, name: str) -> Figure:
    """A figure of FIGURES; of no line it is not known."""
    shown = FIGURES[name]
    if item is None:
        return Figure(name=name, item=None, value=None, text=NONE, kinds=(), why="no valid point")
    value, interval = value_of(item, name), interval_of(item, name)
    why = why_no_price(item.row, item.price) if value is None and shown.money else None if value is not None else "not known"
    kinds = kinds_of(item, name) if value is not None else ()
    return Figure(name=name, item=item.place, value=value, text=FORMS[shown.form](value, interval), kinds=kinds, why=why)


def value_of(item: Item, name: str) -> float | None:
    """The run's own value."""
    head, _, tail = FIGURES[name].derived.partition(".")
    found: Any = item.figures().get(head)
    if isinstance(found, dict):
        found = found.get(tail or "value")
    return None if found is None else float(found)


def interval_of(item: Item, name: str) -> tuple[float, float] | None:
    """Its ci95, the noise of the windows."""
    figures = item.figures()
    found = (figures.get(USD) or {}).get("ci95") if name == USD else (figures.get("ci95") or {}).get(FIGURES[name].derived)
    return None if found is None else (float(found[0]), float(found[1]))


def kinds_of(item: Item, name: str) -> tuple[str, ...]:
    """measured, emulated, ...; of money with the price's kind behind it."""
    shown, provenance = FIGURES[name], item.figures().get("provenance") or {}
    kind = provenance.get(shown.derived) or provenance.get(shown.derived.partition(".")[0])
    price = item.price.provenance if shown.money else None
    return tuple(str(found) for found in (kind, price) if found is not None)
