"""Which one cell, printed otherwise, would make a table agree with itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

from profiler.audit.claims import Cell, Claims
from profiler.audit.interval import Interval
from profiler.audit.relations import Equation, equations
from profiler.audit.verdicts import DISAGREES, judge, value_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Mend:
    """The range of one cell in which every equation of the table holds."""

    cell: Cell
    interval: Interval

    def json(self) -> dict[str, Any]:
        return {"cell": self.cell.id, "printed": self.cell.printed, **self.interval.json()}


def mends_of(claims: Claims) -> list[Mend]:
    """Every cell that alone can settle all equations that disagree; [] where none can, or where nothing disagrees."""
    cells = claims.cells
    known = [equation for equation in equations(claims) if all(name in cells for name in equation.cells)]
    wrong = [equation for equation in known if judge(equation, claims).verdict == DISAGREES]
    if not wrong:
        return []
    shared = [name for name in wrong[0].cells if all(name in equation.cells for equation in wrong)]
    found = [(cells[name], _settled(name, [e for e in known if name in e.cells], claims)) for name in shared]
    return [Mend(cell=cell, interval=interval) for cell, interval in found if interval is not None]


def _settled(name: str, tied: Sequence[Equation], claims: Claims) -> Interval | None:
    """What all equations that hold this cell allow it to be, the others being as printed within their tolerance."""
    allowed = [_allowed(name, equation, claims) for equation in tied]
    return reduce(lambda a, b: None if a is None or b is None else a.common(b), allowed)


def _allowed(name: str, equation: Equation, claims: Claims) -> Interval | None:
    target = claims.cells[equation.target]
    if name == equation.target:
        return value_of(equation, claims.cells).widened(claims.tolerance_of(target))
    tolerant = claims.with_interval(equation.target, target.interval.widened(claims.tolerance_of(target)))
    return value_of(equation.solved_for(name), tolerant.cells)
