"""A GPU-hour worked out from a purchase: annuity of the capital, maintenance, staff, a place. Electricity is paid beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from profiler.economics.equations import INPUTS
from profiler.economics.owned_book import OWNING, PER_SYSTEM, Cited, OwnedBook, System
from triton_kernels.errors import TokenmillError, unknown

HOSTINGS = ("colocation", "own_site")


@dataclass(frozen=True, kw_only=True, slots=True)
class Owned:
    """What an owned GPU-hour is made of. `figures` by the names of profiler.economics.equations, each with its source."""

    system: str
    gpus: int
    meaning: str
    hosting: str
    figures: Mapping[str, Cited]

    def inputs(self) -> dict[str, float | None]:
        """The figures as inputs of the equations."""
        found: dict[str, float | None] = {name: cited.value for name, cited in self.figures.items()}
        return found | {"owned": 1.0, "colocated": 1.0 if self.hosting == "colocation" else 0.0}

    def ends(self, cheap: bool) -> dict[str, float | None]:
        """Every figure at its own cheap or dear end; where sources agree, as it is."""
        return {name: _end(cited, (name in _CHEAPER_WHEN_HIGH) == cheap) for name, cited in self.figures.items()}

    def json(self) -> dict[str, Any]:
        return {
            "system": self.system, "gpus": self.gpus, "meaning": self.meaning, "hosting": self.hosting,
            "figures": {name: cited.json() for name, cited in self.figures.items()},
        }  # fmt: skip


# A longer life and a better sale at its end make an hour cheaper: the cheap end of the spread takes their high ends.
_CHEAPER_WHEN_HIGH = ("life_years", "residual_share")


def _end(cited: Cited, high: bool) -> float:
    end = cited.high if high else cited.low
    return cited.value if end is None else end


def owned_of(book: OwnedBook, gpu_key: str | None, hosting: str, given: Mapping[str, float]) -> Owned:
    """The owned hour of a GPU from the book, `given` figures in the place of the book's. TokenmillError where no purchase price is known."""
    if hosting not in HOSTINGS:
        raise unknown("hosting", hosting, HOSTINGS)
    system = book.system_of(gpu_key)
    if system is None and not all(name in given for name in PER_SYSTEM):
        known = sorted(s.gpu_key for s in book.systems.values())
        fix = f"give --set {','.join(f'{name}=...' for name in PER_SYSTEM)}, or a price book with a [systems.NAME] of it"
        raise TokenmillError(f"no purchase price of {gpu_key or 'this machine'} in the price book (it has {', '.join(known)}): {fix}")
    system = system or System(name="as given", gpu_key=gpu_key or "", gpus=1, meaning="a GPU, as given", figures={})
    figures = dict(book.ownership) | dict(system.figures)
    figures |= {name: Cited(value=value, source="--set", assumed=True) for name, value in given.items() if name in OWNING}
    return Owned(system=system.name, gpus=system.gpus, meaning=system.meaning, hosting=hosting, figures=figures)


def parse_settings(texts: tuple[str, ...] | list[str]) -> dict[str, float]:
    """`--set life_years=4,usd_per_kwh=0.06`: inputs of the equations by name. TokenmillError for an unknown name, no number, or one out of range."""
    found: dict[str, float] = {}
    for part in (part for text in texts for part in text.split(",") if part.strip()):
        name, equals, number = (piece.strip() for piece in part.partition("="))
        if name not in OWNING:
            raise unknown("figure of owning", name, OWNING)
        given = INPUTS[name]
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if not equals or not given.least <= value <= given.most:
            allowed = f"a number from {given.least:g} to {given.most:g} {given.unit}".rstrip()
            raise TokenmillError(f"--set {part[:60]!r}: {name} is {given.meaning}; should be {allowed}")
        found[name] = value
    return found
