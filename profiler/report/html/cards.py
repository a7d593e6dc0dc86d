"""The headline: what the cheapest valid mix costs, delivers and draws, each figure with its interval and its kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from profiler.economics.formulas import BOUNDARIES
from profiler.report.html.figures import FIGURES, JOULES, PER_MW, RATE, USD, Figure, figure_of, value_of
from profiler.report.html.items import Item
from profiler.report.rows import cheapest


@dataclass(frozen=True, kw_only=True)
class Line:
    """One figure of a card, with a name where a card has several."""

    label: str
    figure: Figure


@dataclass(frozen=True, kw_only=True)
class Card:
    title: str
    unit: str
    lines: tuple[Line, ...]
    missing: str = ""

    @property
    def main(self) -> bool:
        return self.lines[0].figure.name == USD


def best_of(items: Sequence[Item]) -> Item | None:
    """The line of the cheapest valid mix; without a price the one with most tokens per GPU. None: no mix is valid."""
    best = cheapest([item.row for item in items])
    return next((item for item in items if item.row is best), None)


def cards_of(best: Item | None) -> list[Card]:
    """Four cards: price, throughput, energy, tokens/s per megawatt at every boundary that is known."""
    known = [b for b in BOUNDARIES if best is not None and value_of(best, f"{PER_MW}.{b}") is not None]
    unknown = [b.replace("_", " + ") for b in BOUNDARIES if b not in known]
    single = [Card(title=title, unit=FIGURES[name].unit, lines=(Line(label="", figure=figure_of(best, name)),)) for title, name in _SINGLE]
    lines = tuple(Line(label=b.replace("_", " + "), figure=figure_of(best, f"{PER_MW}.{b}")) for b in known or ("board",))
    missing = f"not known: {', '.join(unknown)}" if unknown and best is not None else ""
    return [*single, Card(title="Output per megawatt", unit="output tokens/s per MW, by power boundary", lines=lines, missing=missing)]


_SINGLE = (("Price of output, all-in", USD), ("Throughput", RATE), ("Energy", JOULES))
