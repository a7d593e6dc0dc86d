"""Warnings that bear on a comparison: what windows that agree do not show, such as a steady neighbour on the same CPUs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from sys import intern
from typing import Any

from profiler.measure.reasons import name_of

# Name (of profiler.measure.reasons) -> what it says of a run: {share} is the percentages that were recorded, {rows} the rows that carry it.
_BEARING = {
    "other_load": "other processes took {share} of the CPUs in {rows}: its times are not only its own",
    "noise": "a mean is known to +/- {share} only in {rows}",
    "few_windows": "fewer than five windows in {rows}",
    "clock_changed": "clocks moved between the windows of {rows}",
    "sw_power_cap": "at the board's power limit for {share} of the time in {rows}",
}
_SHARE = re.compile(r"(\d{1,6}(?:\.\d{1,6})?) ?%", re.ASCII)


@dataclass(frozen=True, kw_only=True, slots=True)
class Warned:
    """A run with warnings on rows that are compared. `found`: name of a warning -> the texts of the rows that carry it, one for each row."""

    run: str
    found: Mapping[str, tuple[str, ...]]

    def told(self) -> str:
        """In words, in one line."""
        return "; ".join(
            _BEARING[name].format(share=_range(texts), rows=f"{len(texts)} {'row' if len(texts) == 1 else 'rows'}") for name, texts in self.found.items()
        )

    def json(self) -> dict[str, Any]:
        warnings = [{"name": name, "rows": len(of), "texts": sorted(set(of))} for name, of in self.found.items()]
        return {"run": self.run, "told": self.told(), "warnings": warnings}


def bearing(warnings: Iterable[Any]) -> tuple[str, ...]:
    """Those of a point or a mix that bear on a comparison. Raises TypeError for what is no list."""
    return tuple(intern(text) for text in map(str, warnings) if name_of(text) in _BEARING)


def warned(rows: Iterable[tuple[str, tuple[str, ...]]]) -> list[Warned]:
    """(run, warnings) of each row, told run by run; runs without any are left out."""
    found: dict[str, dict[str, list[str]]] = {}
    for run, texts in rows:
        for name, text in {name_of(text): text for text in texts}.items():
            found.setdefault(run, {}).setdefault(name, []).append(text)
    return [Warned(run=run, found={name: tuple(of[name]) for name in _BEARING if name in of}) for run, of in found.items()]


def _range(texts: Iterable[str]) -> str:
    """`50-58 %` of texts that say 50% and 58%."""
    shares = sorted((float(number), number) for text in texts for number in _SHARE.findall(text)[:1])
    if not shares:
        return "a share that was not recorded"
    return f"{shares[0][1]} %" if shares[0][0] == shares[-1][0] else f"{shares[0][1]}-{shares[-1][1]} %"
