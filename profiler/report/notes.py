"""Footnotes: why a figure is missing or marked, said once however often it happens."""

from __future__ import annotations

from profiler.report.numbers import NONE
from profiler.report.text import printable

_DIGITS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


class Notes:
    """Numbers each reason in the order of its first use."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def mark(self, reason: str) -> str:
        """The raised number of this reason."""
        return str(self._numbers.setdefault(reason, len(self._numbers) + 1)).translate(_DIGITS)

    def missing(self, reason: str) -> str:
        """A dash for a figure that was not measured, with the number of its reason."""
        return NONE + self.mark(reason)

    def lines(self) -> list[str]:
        """`¹ reason` for every reason so far, fit to be printed."""
        return [f"{str(number).translate(_DIGITS)} {printable(reason)}" for reason, number in self._numbers.items()]
