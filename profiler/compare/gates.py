"""`--fail-if`: a line that the user draws, such as `usd_per_mtok > +3%`. A gate never passes in silence: where there was nothing to look at, it fails."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from profiler.compare.figures import FIGURES
from profiler.compare.verdict import Judged
from profiler.report.numbers import fixed, percent
from triton_kernels.errors import TokenmillError, unknown

_FAILED = 4  # exit code of a command whose gate failed

_GATE = re.compile(r"\s*([A-Za-z_$/][\w./$]*)\s*(>=|<=|>|<)\s*([+-]?)(\d{1,15}(?:\.\d{0,15})?(?:[eE][+-]?\d{1,2})?)\s*(%?)\s*", re.ASCII)
_BEYOND: dict[str, Callable[[float, float], bool]] = {">": operator.gt, "<": operator.lt, ">=": operator.ge, "<=": operator.le}


@dataclass(frozen=True, kw_only=True, slots=True)
class Gate:
    """Fails where `figure` `beyond` `limit`: a relative change (0.03 is 3 % more), or the last run's figure in its own unit."""

    text: str
    figure: str
    beyond: str
    limit: float
    relative: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class GateRow:
    """One row that gates look at: what it is, in words and as data, and its figures by name."""

    label: str
    run: str
    key: Mapping[str, Any]
    figures: Mapping[str, Judged]


@dataclass(frozen=True, kw_only=True, slots=True)
class GateOutcome:
    """`looked_at`: rows that had the figure; `violations`: those beyond the limit; `why`: one line."""

    gate: str
    figure: str
    passed: bool
    looked_at: int
    violations: tuple[Mapping[str, Any], ...]
    why: str

    def json(self) -> dict[str, Any]:
        return asdict(self) | {"violations": list(self.violations)}


def exit_code(outcomes: Sequence[GateOutcome]) -> int:
    """4 where a gate failed, else 0."""
    return 0 if all(each.passed for each in outcomes) else _FAILED


def parse_gate(text: str) -> Gate:
    """`FIGURE > +3%` or `FIGURE > 0.5` (also <, >=, <=). TokenmillError for anything else, with the nearest figures for one that is unknown."""
    match = _GATE.fullmatch(text)
    if match is None:
        raise TokenmillError(f"--fail-if {text[:60]!r}: should be a figure, one of > < >= <=, and +N% (a change), -N% or a number: 'usd_per_mtok > +3%'")
    name, beyond, sign, number, share = match.groups()
    if name not in FIGURES:
        raise unknown("figure in --fail-if", name, FIGURES)
    if share and not sign:
        raise TokenmillError(f"--fail-if {text[:60]!r}: a change needs its sign: '{name} {beyond} +{number}%'")
    value = float(f"{sign}{number}")
    return Gate(text=text.strip(), figure=name, beyond=beyond, limit=value / 100 if share else value, relative=bool(share))


def outcome(gate: Gate, rows: Sequence[GateRow], *, aside: int) -> GateOutcome:
    """The gate over rows that were joined. `aside`: how many rows take no part, having no partner or not being valid; they are told."""
    known = [(row, judged) for row in rows if (judged := row.figures.get(gate.figure)) is not None and _value(gate, judged) is not None]
    found = [(row, judged) for row, judged in known if _violates(gate, judged)]
    return GateOutcome(
        gate=gate.text, figure=gate.figure, passed=bool(known) and not found, looked_at=len(known),
        violations=tuple({"run": row.run, "key": dict(row.key), **judged.json()} for row, judged in found),
        why=_why(gate, rows, known, found, aside),
    )  # fmt: skip


def _value(gate: Gate, judged: Judged) -> float | None:
    return judged.change if gate.relative else judged.new


def _violates(gate: Gate, judged: Judged) -> bool:
    """A change that is no more than noise violates nothing; one whose noise nobody knows does."""
    value = _value(gate, judged)
    return value is not None and _BEYOND[gate.beyond](value, gate.limit) and not (gate.relative and judged.more_than_noise is False)


def _why(gate: Gate, rows: Sequence[GateRow], known: Sequence[tuple[GateRow, Judged]], found: Sequence[tuple[GateRow, Judged]], aside: int) -> str:
    if not rows:
        return f"nothing to look at: no valid row has a partner ({aside} without one or not valid)"
    if not known:
        return f"nothing to look at: {gate.figure} is in none of {len(rows)} joined rows{', of both runs' if gate.relative else ''}"
    without = len(rows) - len(known)
    left = [f"{without} without the figure" if without else "", f"{aside} not valid or alone" if aside else ""]
    rest = "".join(f"; {part}" for part in left if part)
    worst = _worst(gate, found or known)
    if found:
        more = f" and {len(found) - 1} more of {len(known)} rows" if len(found) > 1 else ""
        return f"{worst[0].label}: {_told(gate, worst[1])}{more}{rest}"
    return f"not violated in {len(known)} {'row' if len(known) == 1 else 'rows'}, nearest {_told(gate, worst[1])}{rest}"


def _worst(gate: Gate, rows: Sequence[tuple[GateRow, Judged]]) -> tuple[GateRow, Judged]:
    sign = 1 if gate.beyond.startswith(">") else -1
    return max(rows, key=lambda each: sign * (_value(gate, each[1]) or 0.0))


def _told(gate: Gate, judged: Judged) -> str:
    value = _value(gate, judged) or 0.0
    if not gate.relative:
        return f"{fixed(value)} {judged.figure.unit}"
    noise = {True: "more than noise", False: "no more than noise", None: f"noise {judged.verdict}"}[judged.more_than_noise]
    return f"{'+' if value >= 0 else '-'}{percent(abs(value))} ({noise})"
