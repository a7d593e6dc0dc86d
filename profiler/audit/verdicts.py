"""A check: what one cell should be by the others, what is printed, and whether one number can be both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from profiler.audit.claims import Cell, Claims
from profiler.audit.interval import Interval, product
from profiler.audit.relations import Equation
from profiler.economics.formulas import weakest

AGREES, DISAGREES, UNLIKE, NOT_CHECKABLE = "agrees", "disagrees", "unlike", "not checkable"

# What a check is for. Only the first two can fail a table.
FAILING = ("check", "limit")


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """`claimed` is what `derived` is held against: the printed cell, or a `reference` from elsewhere. Both are None where nothing could be computed."""

    relation: str
    words: str
    role: str
    target: str  # a cell's id, printed or not
    inputs: tuple[str, ...]  # every cell that the verdict depends on, the target apart
    derived: Interval | None
    claimed: Interval | None
    printed: str | None
    tolerance: float = 0.0
    verdict: str
    note: str
    provenance: str
    detail: Mapping[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return f"{self.target}:{self.relation}"

    @property
    def fails(self) -> bool:
        """Whether this alone is reason to say that the table is wrong."""
        return self.role in FAILING and self.verdict == DISAGREES

    def json(self) -> dict[str, Any]:
        claimed = None if self.claimed is None else {**self.claimed.json(), "printed": self.printed, "tolerance": self.tolerance}
        return {
            "id": self.id, "relation": self.relation, "words": self.words, "role": self.role, "target": self.target, "inputs": list(self.inputs),
            "derived": None if self.derived is None else self.derived.json(), "claimed": claimed, "verdict": self.verdict, "fails": self.fails,
            "note": self.note, "provenance": self.provenance, "detail": dict(self.detail),
        }  # fmt: skip


def judge(equation: Equation, claims: Claims, role: str = "check") -> Check:
    """The equation's left side computed, against the printed cell within its digits and tolerance."""
    cells = claims.cells
    target, missing = cells.get(equation.target), [name for name in equation.powers if name not in cells]
    derived = None if missing else value_of(equation, cells)
    verdict, note = NOT_CHECKABLE, f"the table has no {', '.join(missing)}" if missing else "not printed"
    if derived is not None and target is not None:
        tolerance = claims.tolerance_of(target)
        verdict, note = compared(derived, target.interval.widened(tolerance)), apart(derived, target.interval)
    return Check(
        relation=equation.relation,
        words=equation.words,
        role=role,
        target=equation.target,
        inputs=tuple(equation.powers),
        derived=derived,
        claimed=None if target is None else target.interval,
        printed=None if target is None else target.printed,
        tolerance=0.0 if target is None else claims.tolerance_of(target),
        verdict=verdict,
        note=note,
        provenance=weakest(*(cells[name].provenance for name in equation.cells if name in cells)),
    )


def value_of(equation: Equation, cells: Mapping[str, Cell]) -> Interval:
    return product(equation.factor, [(cells[name].interval, power) for name, power in equation.powers.items()])


def compared(derived: Interval, claimed: Interval) -> str:
    return AGREES if derived.overlaps(claimed) else DISAGREES


def apart(derived: Interval, claimed: Interval) -> str:
    """How far the printed figure lies from the derived one: "printed 3.5% below"."""
    share = claimed.value / derived.value - 1
    if derived.overlaps(claimed):
        return "within the printed digits"
    size = f"{abs(share):.1%}" if abs(share) < 1 else f"{max(claimed.value / derived.value, derived.value / claimed.value):.3g} times"
    return f"printed {size} {'above' if share > 0 else 'below'} what follows"
