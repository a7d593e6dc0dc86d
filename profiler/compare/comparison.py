"""Two or more runs against the first of them: everything that `tokenmill compare` says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from profiler.compare.facts import RunFacts, facts_of, names_of
from profiler.compare.gates import Gate, GateOutcome, GateRow, outcome
from profiler.compare.join import Joined, join, unlike
from profiler.compare.label import differing, label
from profiler.compare.operations import OperationDifference, operation_differences
from profiler.compare.precisions import PrecisionTable, precision_tables
from profiler.compare.reprice import Priced
from profiler.compare.subject import REQUEST, Subject, subjects_of
from profiler.compare.verdict import Judged, judge, pending
from profiler.compare.warned import Warned, warned
from profiler.economics.derive import DAMAGE, damaged
from profiler.economics.prices import PricePick
from profiler.record.rows import read_rows

SCHEMA_VERSION = 1  # of the document

Key = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One row of a run beside the baseline's. `unlike`: what was allowed to differ, name -> (baseline, run)."""

    run: str
    label: str
    key: Key
    figures: Mapping[str, Judged]
    unlike: Mapping[str, tuple[str, str]]
    points: tuple[Mapping[str, str], Mapping[str, str]]

    def json(self) -> dict[str, Any]:
        return {
            "run": self.run, "key": dict(self.key), "points": {"old": dict(self.points[0]), "new": dict(self.points[1])},
            "unlike": {name: list(what) for name, what in self.unlike.items()}, "figures": {name: found.json() for name, found in self.figures.items()},
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Aside:
    """A row that takes part in no verdict: `absent_from` has none like it, or it is not valid (`reasons`)."""

    run: str
    label: str
    key: Key
    absent_from: str | None
    reasons: tuple[str, ...]

    def json(self) -> dict[str, Any]:
        told = {"absent_from": self.absent_from} if self.absent_from is not None else {"reasons": list(self.reasons)}
        return {"run": self.run, "key": dict(self.key), **told}


@dataclass(frozen=True, kw_only=True)
class PairOperations:
    """Operations measured alone of one point in both runs."""

    run: str
    label: str
    key: Key
    rows: Sequence[OperationDifference]

    def json(self) -> dict[str, Any]:
        return {"run": self.run, "key": dict(self.key), "rows": [row.json() for row in self.rows]}


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The first run is the baseline; every other one is held against it."""

    facts: Sequence[RunFacts]
    prices: Sequence[PricePick]
    reprice: str  # "book" or "own"
    pairs: Sequence[Pair]
    unmatched: Sequence[Aside]
    invalid: Sequence[Aside]
    operations: Sequence[PairOperations]
    precisions: Sequence[PrecisionTable]
    gates: Sequence[GateOutcome]
    warned: Sequence[Warned]

    def json(self) -> dict[str, Any]:
        lists = ("pairs", "unmatched", "invalid", "operations", "precisions", "gates", "warned")
        return {
            "schema_version": SCHEMA_VERSION,
            "runs": [facts.json() for facts in self.facts],
            "price": {"reprice": self.reprice, "by_run": [price.json() for price in self.prices]},
            **{name: [each.json() for each in getattr(self, name)] for name in lists},
        }


def compare(reported: Sequence[Priced], *, reprice: str, allowed: frozenset[str] = frozenset(), gates: Sequence[Gate] = ()) -> Comparison:
    """Compares priced runs. TokenmillError where they are unlike in what is not `allowed`, and for a record that is damaged."""
    called = names_of([run for run, _, _ in reported])
    rows = [subjects_of(*each, name) for each, name in zip(reported, called, strict=True)]
    names = differing(subject.key for subjects in rows for subject in subjects)
    joined = [join(rows[0], other, allowed) for other in rows[1:]]
    try:
        valid = _valid(joined)
        pairs = _pairs(valid, names)
        return Comparison(
            facts=[facts_of(run, name) for (run, _, _), name in zip(reported, called, strict=True)], prices=[price for _, price, _ in reported],
            reprice=reprice, pairs=pairs, unmatched=_unmatched(joined, called, names), invalid=_invalid(joined, names),
            operations=_operations(dict(zip(called, reported, strict=True)), pairs), precisions=_precisions(dict(zip(called, reported, strict=True)), rows),
            gates=_gates(gates, [pair for pair in pairs if pair.run == called[-1]], joined), warned=_warned(valid),
        )  # fmt: skip
    except DAMAGE as error:
        raise damaged(reported[-1][0], "a figure of it or of a run beside it", error) from error


def _gates(gates: Sequence[Gate], pairs: Sequence[Pair], joined: Sequence[Joined]) -> list[GateOutcome]:
    """The last run against the first."""
    rows = [GateRow(label=pair.label, run=pair.run, key=pair.key, figures=pair.figures) for pair in pairs]
    aside = len(joined[-1].pairs) - len(pairs) + sum(map(len, joined[-1].left)) if joined else 0
    return [outcome(gate, rows, aside=aside) for gate in gates]


def _valid(joined: Sequence[Joined]) -> list[tuple[Subject, Subject]]:
    """Rows that are valid on both sides."""
    return [(old, new) for each in joined for old, new in each.pairs if not old.reasons and not new.reasons]


def _warned(valid: Sequence[tuple[Subject, Subject]]) -> list[Warned]:
    """The baseline first; a row of it that several runs are held against counts once."""
    once = {id(subject): subject for side in zip(*valid, strict=True) for subject in side}
    return warned((subject.run, subject.warnings) for subject in once.values())


def _pairs(valid: Sequence[tuple[Subject, Subject]], names: Sequence[str]) -> list[Pair]:
    """Each with verdicts that hold for all of them together."""
    return [
        Pair(
            run=new.run, label=label(new.key, names), key=new.key, figures={j.figure.name: j for j in judged}, unlike=unlike(old, new),
            points=(old.points, new.points),
        )
        for (old, new), judged in zip(valid, judge(pending(*pair) for pair in valid), strict=True)
    ]  # fmt: skip


def _invalid(joined: Sequence[Joined], names: Sequence[str]) -> list[Aside]:
    every = [s for each in joined for s in (*(s for pair in each.pairs for s in pair), *each.left[0], *each.left[1]) if s.reasons]
    once = {id(subject): subject for subject in every}.values()
    return [Aside(run=s.run, label=label(s.key, names), key=s.key, absent_from=None, reasons=s.reasons) for s in once]


def _unmatched(joined: Sequence[Joined], called: Sequence[str], names: Sequence[str]) -> list[Aside]:
    return [
        Aside(run=s.run, label=label(s.key, names), key=s.key, absent_from=other, reasons=())
        for each, run in zip(joined, called[1:], strict=True)
        for side, other in zip(each.left, (run, called[0]), strict=True)
        for s in side
        if not s.reasons
    ]


def _operations(reported: Mapping[str, Priced], pairs: Sequence[Pair]) -> list[PairOperations]:
    """Of the points whose operations both runs have measured alone."""
    baseline, found = next(iter(reported)), []
    points = {name: {str(point["point_id"]): point for point in derived.points} for name, (_, _, derived) in reported.items()}
    for pair in pairs:
        if pair.key.get("phase") == REQUEST:
            continue
        old, new = (
            read_rows(reported[name][0], points[name][next(iter(ids.values()))], "ops") for name, ids in zip((baseline, pair.run), pair.points, strict=True)
        )
        if old and new:
            found.append(PairOperations(run=pair.run, label=pair.label, key=pair.key, rows=operation_differences(old, new)))
    return found


def _precisions(reported: Mapping[str, Priced], rows: Sequence[Sequence[Subject]]) -> list[PrecisionTable]:
    numerics = {
        (name, str(point["point_id"])): point["numerics"] for name, (_, _, derived) in reported.items() for point in derived.points if point.get("numerics")
    }  # fmt: skip
    every = [subject for subjects in rows for subject in subjects]
    return precision_tables(every, numerics, {name: price.why_null for name, (_, price, _) in reported.items()})
