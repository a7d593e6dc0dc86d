"""The table of all points: a line each, with what a reader sorts by beside what is shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from profiler.economics.formulas import BOUNDARIES
from profiler.measure.reasons import name_of
from profiler.report import kinds
from profiler.report.html.figures import FIGURES, JOULES, PER_MW, RATE, USD, Shown, figure_of, value_of
from profiler.report.html.items import Item, at_size, what
from profiler.report.html.packing import rounded
from profiler.report.numbers import NONE, count, percent
from profiler.report.rows import Figures, ok


@dataclass(frozen=True, kw_only=True)
class Cell:
    """`sort`: what the column is ordered by, where that is not the text."""

    text: str
    sort: float | None = None
    why: str | None = None
    more: str = ""  # below it, in small print


@dataclass(frozen=True, kw_only=True)
class Column:
    """A heading with its unit, a cell for each line, and the kinds of its figures. `figure`: of FIGURES, which the page computes again and sorts by."""

    heading: str
    unit: str
    number: bool
    cell: Callable[[Item], Cell]
    kind: Callable[[Item], tuple[Figures | None, str]] | None = None
    money: bool = False
    figure: str | None = None

    def kinds(self, items: Sequence[Item]) -> str:
        """`meas`, of money `meas×ref` where all prices are of one kind."""
        found = kinds.kinds_of(self.kind(item) for item in items) if self.kind is not None else ""
        prices = {kinds.price_kind(item.price) for item in items}
        return found + (prices.pop() if found and self.money and len(prices) == 1 else "")


def columns_of(items: Sequence[Item], names: Sequence[str], runs: int) -> list[Column]:
    """What a line is, its price and its rates, then all else; what lines do not differ in, and figures that none has, are left out.

    The first column stays in sight, so that a narrow screen has the price beside it.
    """
    known = [name for name in FIGURES if any(value_of(item, name) is not None for item in items)]
    whole = any(item.whole for item in items)  # then a price that is typed in gives one
    found = [_point(names, runs), *(_figure(name) for name in (USD, RATE) if whole), *_rates(items)]
    found.insert(len(found) - sum(column.heading in _PHASES for column in found), Column(heading="valid", unit="", number=False, cell=_validity))
    found += [_figure(name) for name in (JOULES, *_CLASSES, *(f"{PER_MW}.{b}" for b in BOUNDARIES)) if name in known]
    return [*found, *_rooflines(items)]


_CLASSES = [f"{USD}_by_class.{name}" for name in ("input", "cached", "output")]
_PHASES = ("decode", "prefill")


def _point(names: Sequence[str], runs: int) -> Column:
    """What tells a line from the others; in the order of `tokenmill report`'s tables, by group and size."""

    def cell(item: Item) -> Cell:
        more = [f"run {item.run + 1}"] if runs > 1 else []
        return Cell(text=at_size(item, names), sort=item.place, more=", ".join(part for part in (*more, what(item, names)) if part))

    return Column(heading="point", unit="", number=False, cell=cell)


def _rates(items: Sequence[Item]) -> list[Column]:
    return [_rate(*each) for each in _RATES if any((_of(item, each[0], each[3]) or {}).get(each[3]) for item in items)]


_SPEED = "tokens_per_s_per_user"
# (phase, heading, unit, name among the derived figures)
_RATES = (
    ("decode", "speed", "tokens/s per user", _SPEED),
    ("decode", "decode", "tokens/s per GPU", "output_tokens_per_s_per_gpu"),
    ("prefill", "prefill", "input tokens/s per GPU", "input_tokens_per_s_per_gpu"),
)


def _of(item: Item, phase: str, name: str) -> Figures | None:
    """The point that a rate is of. A server's tokens/s are of whole requests, and no decode's."""
    found = _phase(item, phase)
    return None if found is not None and found.get("kind") == "serving" and name != _SPEED else found


def _phase(item: Item, phase: str) -> Figures | None:
    return item.row.decode if phase == "decode" else item.row.prefill


def _rate(phase: str, heading: str, unit: str, name: str) -> Column:
    def cell(item: Item) -> Cell:
        found = _of(item, phase, name)
        value = (found or {}).get(name)
        if value is None and found is not None and not ok(found):
            return Cell(text=str(found.get("status")), why=str(found.get("error") or found.get("status")))
        return Cell(text=count(value), sort=rounded(value))

    return Column(heading=heading, unit=unit, number=True, cell=cell, kind=lambda item: (_of(item, phase, name), name))


def _figure(name: str) -> Column:
    shown = FIGURES[name]
    heading = {USD: "all-in", RATE: "whole mix", JOULES: "energy"}.get(name, shown.label)

    def cell(item: Item) -> Cell:
        if (shown.money or name == RATE) and not item.whole:  # a decode alone has no request
            return Cell(text=NONE, why=kinds.why_no_price(item.row, item.price) if shown.money else None)
        figure = figure_of(item, name)
        alone = name == JOULES and figure.value is not None and not item.whole
        return Cell(text=figure.text, why="decode alone: no prefill's energy is in it" if alone else figure.why)

    return Column(
        heading=heading, unit=shown.short, number=True, cell=cell, kind=lambda item: (item.figures(), _kind_name(shown)), money=shown.money, figure=name
    )  # fmt: skip


def _kind_name(shown: Shown) -> str:
    """Classes of a price are of the kind of the whole."""
    return shown.derived.partition(".")[0] if shown.money else shown.derived


def _rooflines(items: Sequence[Item]) -> list[Column]:
    def share(phase: str) -> Column:
        def cell(item: Item) -> Cell:
            point = _phase(item, phase)
            value = (point or {}).get("share_of_roofline")
            return Cell(text=percent(value), sort=rounded(value), why=kinds.why_no_floor(point) if point is not None and value is None else None)

        return Column(heading=phase, unit="of roofline", number=True, cell=cell, kind=lambda item: (_phase(item, phase), "share_of_roofline"))

    return [share(phase) for phase in ("decode", "prefill") if any((_phase(item, phase) or {}).get("share_of_roofline") for item in items)]


def _validity(item: Item) -> Cell:
    failed = next((point for point in item.row.points if not ok(point)), None)
    reasons = item.row.invalid_reasons
    if reasons:
        more = f" and {len(reasons) - 1} more" if len(reasons) > 1 else ""
        return Cell(text=f"✗ {name_of(reasons[0])}{more}", sort=1.0, why=", ".join(reasons))
    if failed is not None:
        return Cell(text=f"{failed.get('phase') or failed.get('kind')}: {failed.get('status')}", sort=2.0, why=str(failed.get("error") or ""))
    return Cell(text="valid", sort=0.0)
