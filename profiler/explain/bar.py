"""One bar of a waterfall: a cause, with what it adds to a token in GPU-seconds, joules and dollars. Bars scale and add like the phases of a request."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from profiler.economics.formulas import weakest


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """A cause. `gpu_s`: GPU-seconds of the deployment per token; `energy_j` per token at the boundary that the waterfall names; None: not known, and why.

    Negative where something took less than its floor.
    """

    name: str
    label: str
    gpu_s: float | None = None
    energy_j: float | None = None
    usd_per_mtok: float | None = None
    kind: str | None = None  # of the time: the weakest of its inputs
    energy_kind: str | None = None
    note: str | None = None
    why_null: str | None = None  # why a figure is None; where all have one, None

    def json(self) -> dict[str, Any]:
        return asdict(self)


def scaled(bar: Bar, *, seconds: float, joules: float) -> Bar:
    """The bar with its time and its joules each times a factor."""
    return replace(bar, gpu_s=_times(bar.gpu_s, seconds), energy_j=_times(bar.energy_j, joules))


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def total(values: Sequence[float | None]) -> float | None:
    """The sum of what is known; None where nothing is."""
    known = [value for value in values if value is not None]
    return math.fsum(known) if known else None


def total_j(bars: Sequence[Bar]) -> float | None:
    """The joules of all bars; None where one that took GPU time has none known: a part is not the whole. Links alone may lack theirs, which nobody measures."""
    if any(bar.gpu_s and bar.energy_j is None and bar.name != "collectives" for bar in bars):
        return None
    return total([bar.energy_j for bar in bars])


def together(prefill: Sequence[Bar], decode: Sequence[Bar]) -> list[Bar]:
    """Two phases' bars as one request's, in the order of both. A cause that one phase lacks is the other's alone."""
    first, second = {bar.name: bar for bar in prefill}, {bar.name: bar for bar in decode}
    return [_sum(first.get(name), second.get(name)) for name in _merged(list(first), list(second))]


def _merged(first: list[str], second: list[str]) -> list[str]:
    """Both sequences' names, each once, in an order that agrees with both (ties: the first's before the second's)."""
    order: list[str] = []
    rest = list(first)
    for name in second:
        if name in rest:
            at = rest.index(name)
            order += rest[: at + 1]
            rest = rest[at + 1 :]
        elif name not in order:
            order.append(name)
    return order + rest


def _sum(prefill: Bar | None, decode: Bar | None) -> Bar:
    if prefill is None or decode is None:
        found = prefill or decode
        assert found is not None
        return found
    notes = _said((prefill.note, decode.note))
    whys = _said((prefill.why_null, decode.why_null))
    return Bar(
        name=decode.name,
        label=decode.label,
        gpu_s=total((prefill.gpu_s, decode.gpu_s)),
        energy_j=total_j((prefill, decode)),
        kind=_weakest(prefill.kind, decode.kind),
        energy_kind=_weakest(prefill.energy_kind, decode.energy_kind),
        note=notes,
        why_null=whys,
    )


def _weakest(*kinds: str | None) -> str | None:
    known = [kind for kind in kinds if kind is not None]
    return weakest(*known) if known else None


def _said(texts: tuple[str | None, str | None]) -> str | None:
    """What both phases say once, what one says with its name."""
    prefill, decode = texts
    if prefill == decode:
        return decode
    return "; ".join(f"{phase}: {text}" for phase, text in (("prefill", prefill), ("decode", decode)) if text)
