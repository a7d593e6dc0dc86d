"""A published table of claims: columns of GPUs, ratios between them, each cell as printed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from profiler.audit.interval import Interval
from profiler.gpus import GpuSpec


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One printed figure. `column` is a column's key, or "of/over" for a ratio; `tolerance` a share, None: the table's."""

    column: str
    row: str
    printed: str
    interval: Interval
    unit: str
    tolerance: float | None
    provenance: str  # "reference" where the table cites its source, else "assumed"

    @property
    def id(self) -> str:
        return f"{self.column}.{self.row}"

    def json(self) -> dict[str, Any]:
        interval = self.interval
        return {
            "id": self.id, "column": self.column, "row": self.row, "printed": self.printed, "value": interval.value, "low": interval.low,
            "high": interval.high, "unit": self.unit, "tolerance": self.tolerance, "provenance": self.provenance,
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Ceiling:
    """The most output tokens/s per GPU of a column's GPU by tokenmill's own floor, and the command that gives it. Modelled."""

    output_tokens_per_s_per_gpu: float
    command: str
    note: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """One GPU of the table. `gpu` and `lane` (bf16, fp8, fp4: what its tokens were made in) are None where the file does not say."""

    key: str
    label: str
    gpu: GpuSpec | None
    lane: str | None
    cells: Mapping[str, Cell]  # by row
    ceiling: Ceiling | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Ratio:
    """Printed ratios of the column `of` over the column `over`; of $ per Mtok the other way round, as "35x lower" is printed."""

    of: Column
    over: Column
    cells: Mapping[str, Cell]

    @property
    def key(self) -> str:
        return f"{self.of.key}/{self.over.key}"


@dataclass(frozen=True, kw_only=True)
class Claims:
    """A whole table. `tolerance` is a share; `token_basis` "output", "total" or None: the table does not say."""

    title: str
    source: str | None
    date: str | None
    model: str | None
    active_params: float | None
    token_basis: str | None
    tolerance: float
    unlike_fails: bool
    columns: Mapping[str, Column]
    ratios: tuple[Ratio, ...]

    @cached_property
    def cells(self) -> dict[str, Cell]:
        """Every cell by its id."""
        parts: list[Column | Ratio] = [*self.columns.values(), *self.ratios]
        return {cell.id: cell for part in parts for cell in part.cells.values()}

    def tolerance_of(self, cell: Cell) -> float:
        return self.tolerance if cell.tolerance is None else cell.tolerance

    def without_cell_tolerances(self, tolerance: float) -> Claims:
        """The same table with one tolerance for every cell."""
        return _mapped(replace(self, tolerance=tolerance), lambda cell: replace(cell, tolerance=None))

    def with_interval(self, cell_id: str, interval: Interval) -> Claims:
        """The same table with another figure in one cell."""
        return _mapped(self, lambda cell: replace(cell, interval=interval) if cell.id == cell_id else cell)


def _mapped(claims: Claims, change: Callable[[Cell], Cell]) -> Claims:
    columns = {key: replace(column, cells={row: change(cell) for row, cell in column.cells.items()}) for key, column in claims.columns.items()}
    ratios = tuple(
        Ratio(of=columns[ratio.of.key], over=columns[ratio.over.key], cells={row: change(cell) for row, cell in ratio.cells.items()}) for ratio in claims.ratios
    )
    return replace(claims, columns=columns, ratios=ratios)
