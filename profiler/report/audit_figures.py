"""The document of `audit --json` by what a reader of its screen asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from profiler.audit.printed import ROWS
from profiler.report.numbers import count, fixed, usd


class Audited:
    """A document with its cells and checks by id."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document
        self.cells: dict[str, Mapping[str, Any]] = {cell["id"]: cell for cell in document["cells"]}
        self.checks: dict[str, Mapping[str, Any]] = {check["id"]: check for check in document["checks"]}
        self.columns: dict[str, Mapping[str, Any]] = {column["key"]: column for column in document["table"]["columns"]}
        self.ratios = [f"{ratio['of']}/{ratio['over']}" for ratio in document["table"]["ratios"]]

    def of(self, cell_id: str) -> list[Mapping[str, Any]]:
        """The checks of a cell."""
        return [check for check in self.document["checks"] if check["target"] == cell_id]

    def check(self, cell_id: str, relation: str) -> Mapping[str, Any] | None:
        return self.checks.get(f"{cell_id}:{relation}")

    def name(self, part: str) -> str:
        """What a column or a set of ratios is called."""
        return " / ".join(str(self.columns[key]["label"]) for key in part.split("/"))

    def cell_name(self, cell_id: str) -> str:
        part, _, row = cell_id.rpartition(".")
        return f"{self.name(part)} {ROWS[row].label}"


def shown(cell_id: str, value: float) -> str:
    """A figure as its cell would be written: dollars, a count, or a ratio."""
    part, _, row = cell_id.rpartition(".")
    if "/" in part:
        return fixed(value)
    return usd(value) if row.startswith("usd") else count(value)


def exactly(cell_id: str, value: float) -> str:
    """The same with a digit more, where a difference of a few percent is told."""
    return usd(value) if "/" not in cell_id and ".usd" in cell_id else fixed(value, 4)


def between(cell_id: str, interval: Mapping[str, float]) -> str:
    """A figure with its edges: "$4.35 ($4.31 to $4.39)"."""
    return f"{exactly(cell_id, interval['value'])} ({exactly(cell_id, interval['low'])} to {exactly(cell_id, interval['high'])})"
