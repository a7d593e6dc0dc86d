"""Which input moves the price of a token most: each between its ends, all others as they are (a tornado)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from profiler.economics.equations import EQUATIONS, INPUTS, Given, solve
from profiler.economics.prices import PricePick

NUDGE = 0.1  # of an input for which nobody gave a spread


@dataclass(frozen=True, kw_only=True, slots=True)
class Swing:
    """What one input does to the price of a token between its ends, all others as they are."""

    name: str
    unit: str
    meaning: str
    value: float
    low: float
    high: float
    usd_at_low: float
    usd_at_high: float
    why: str  # where the ends come from

    @property
    def swing(self) -> float:
        return abs(self.usd_at_high - self.usd_at_low)

    def json(self) -> dict[str, Any]:
        return asdict(self) | {"swing": self.swing}


def tornado(inputs: Mapping[str, float | None], price: PricePick, measured: Mapping[str, Sequence[float]]) -> list[Swing]:
    """Every input that moves $ per Mtok, the strongest first: between its sources, over its measured interval, else 10 % either way."""
    found = []
    for name, given in {**INPUTS, RATE: _RATE}.items():
        value = inputs.get(name)
        if value is None or name in _FLAGS:
            continue
        *ends, why = _ends(name, value, price, measured)
        low, high = (min(max(end, given.least), given.most) for end in ends)
        usd = [solve("usd_per_mtok", {**inputs, name: end}) for end in (low, high)]
        if usd[0] is None or usd[1] is None or usd[0] == usd[1]:
            continue
        found.append(Swing(name=name, unit=given.unit, meaning=given.meaning, value=value, low=low, high=high, usd_at_low=usd[0], usd_at_high=usd[1], why=why))
    return sorted(found, key=lambda swing: -swing.swing)


# Where a rate is given whole (a server's, or a user's) it is no input of the equations but a figure of theirs.
RATE = "output_tokens_per_s"
_RATE = Given(unit=EQUATIONS[RATE].unit, meaning=EQUATIONS[RATE].meaning, least=0, most=1e12)

# Switches and the request itself are no uncertainties.
_FLAGS = ("owned", "colocated", "energy_apart", "billed_by_plan", "by_joules", "fresh", "cached", "osl")


def _ends(name: str, value: float, price: PricePick, measured: Mapping[str, Sequence[float]]) -> tuple[float, float, str]:
    if name in measured:
        return measured[name][0], measured[name][1], "measured, 95 % interval"
    cited = price.owned.figures.get(name) if price.owned else None
    if cited is not None and cited.low is not None and cited.high is not None:
        return cited.low, cited.high, "assumed spread" if cited.assumed else "sources disagree"
    if name == "price_usd_per_gpu_hour" and price.low is not None and price.high is not None and price.low != price.high:
        return price.low, price.high, "kinds of price"
    return value * (1 - NUDGE), min(value * (1 + NUDGE), 1.0) if name == "utilisation" else value * (1 + NUDGE), "10 % either way"
