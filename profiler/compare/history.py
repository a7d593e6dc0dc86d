"""One row of work over all the runs that measured it, in the order of time: what each version of the software made of it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from profiler.compare.changes import Changes, Since, changes_over_time
from profiler.compare.facts import RunFacts, facts_of
from profiler.compare.gates import Gate, GateOutcome, GateRow, outcome
from profiler.compare.label import differing, label
from profiler.compare.reprice import RUNS_OWN, Priced, unlike
from profiler.compare.subject import Subject, subjects_of
from profiler.compare.warned import Warned, warned
from profiler.economics.derive import DAMAGE, damaged
from profiler.economics.prices import PricePick

SCHEMA_VERSION = 1  # of the document


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A row of one run."""

    facts: RunFacts
    subject: Subject
    price: PricePick


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryRow:
    """An entry with its changes, by figure, against the valid one before it and against the first. None for the first, and for one that is not valid."""

    facts: RunFacts
    subject: Subject
    previous: Changes | None
    first: Changes | None
    best: bool  # of the group: the cheapest, without a price the fastest

    def json(self) -> dict[str, Any]:
        subject = self.subject
        changes = {name: None if c is None else {n: j.json() for n, j in c.items()} for name, c in (("previous", self.previous), ("first", self.first))}
        return {
            **self.facts.json(), "driver": subject.driver, "points": dict(subject.points), "boundary": subject.boundary, "figures": dict(subject.figures),
            "provenance": dict(subject.kinds), "against": changes, "best": self.best, "valid": not subject.reasons, "invalid_reasons": list(subject.reasons),
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """The same work on the same machine in the same formats."""

    label: str
    key: Mapping[str, Any]
    machine: str | None
    rows: Sequence[HistoryRow]

    def json(self) -> dict[str, Any]:
        return {"key": dict(self.key), "machine": self.machine, "rows": [row.json() for row in self.rows]}


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """`runs`: how many were read; `prices`: at which they were, each once; `single`: groups of one row, left out."""

    runs: int
    prices: Sequence[PricePick]
    groups: Sequence[Group]
    single: int
    gates: Sequence[GateOutcome]
    warned: Sequence[Warned]  # by the runs' paths, in the order of time

    def json(self) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA_VERSION, "runs": self.runs, "prices": [price.json() for price in self.prices],
            "groups": [group.json() for group in self.groups], "single_groups_left_out": self.single,
            "gates": [gate.json() for gate in self.gates], "warned": [each.json() for each in self.warned],
        }  # fmt: skip


class Collector:
    """Takes runs one by one and keeps of each only its rows."""

    def __init__(self) -> None:
        self.runs = 0
        self._prices: dict[str, PricePick] = {}
        self._groups: dict[tuple[Any, ...], list[Entry]] = {}
        self._keys: dict[str, Mapping[str, Any]] = {}

    def add(self, priced: Priced) -> None:
        """Takes a run's requests, and its points that are in none. TokenmillError for a record that is damaged."""
        run = priced[0]
        subjects = subjects_of(*priced)
        inside = {point_id for s in subjects if s.is_request for point_id in s.points.values()}
        try:
            facts = facts_of(run, run.run_id)
        except DAMAGE as error:
            raise damaged(run, "its header", error) from error
        price = self._prices.setdefault(repr(priced[1]), priced[1])  # one for all runs
        seen: Counter[tuple[Any, ...]] = Counter()
        for subject in subjects:
            if not subject.is_request and inside.intersection(subject.points.values()):
                continue
            name = (subject.joined_by, subject.machine, subject.recipe)
            key = self._keys.setdefault(subject.joined_by, subject.key)  # one for all runs
            self._groups.setdefault((*name, seen[name]), []).append(Entry(facts=facts, subject=replace(subject, key=key), price=price))
            seen[name] += 1
        self.runs += 1

    def history(self, *, every: bool, gates: Iterable[Gate]) -> History:
        """All that was collected; `every`: groups of one row as well."""
        ordered = _at_one_price([sorted(entries, key=lambda entry: when(entry.facts)) for entries in self._groups.values()])
        prices = {repr(entry.price): entry.price for entries in ordered for entry in entries}
        shown = [entries for entries in ordered if every or len(entries) > 1]
        names = differing(entries[0].subject.key for entries in ordered)
        changes = changes_over_time([[entry.subject for entry in entries] for entries in shown])
        told = ("model", *(name for name in names if name != "model"))
        groups = sorted((_group(entries, since, told) for entries, since in zip(shown, changes, strict=True)), key=_order)
        newest = max((entries[-1].facts for entries in ordered), key=when, default=None)
        return History(
            runs=self.runs, prices=list(prices.values()), groups=groups, single=len(ordered) - len(shown),
            gates=[_gated(gate, groups, newest) for gate in gates], warned=_warned(shown),
        )  # fmt: skip


def _at_one_price(groups: Sequence[Sequence[Entry]]) -> list[list[Entry]]:
    """Runs of a machine that the book has no price for have the price that they declared only where all of them declared the same."""
    every = [entry for entries in groups for entry in entries]
    declared: dict[str | None, set[float | None]] = {entry.subject.machine: set() for entry in every if entry.price.source == RUNS_OWN}
    for entry in every:
        if entry.subject.machine in declared:
            declared[entry.subject.machine].add(entry.price.usd_per_gpu_hour)
    return [[_unpriced(entry, declared.get(entry.subject.machine, ())) for entry in entries] for entries in groups]


def _unpriced(entry: Entry, declared: Collection[float | None]) -> Entry:
    """The entry without dollars, where runs of its machine declared unlike prices."""
    if len(declared) < 2:
        return entry
    figures = {name: value for name, value in entry.subject.figures.items() if name != "usd_per_mtok"}
    return replace(entry, subject=replace(entry.subject, figures=figures), price=unlike(entry.price, declared))


def _warned(groups: Sequence[Sequence[Entry]]) -> list[Warned]:
    """Of the valid rows that are shown."""
    entries = sorted((entry for entries in groups for entry in entries if not entry.subject.reasons), key=lambda entry: when(entry.facts))
    return warned((entry.facts.path, entry.subject.warnings) for entry in entries)


def when(facts: RunFacts) -> tuple[float, str]:
    """Orders runs by the time they were begun; one that does not say comes last."""
    try:
        moment = datetime.fromisoformat(facts.created or "")
    except ValueError:
        return math.inf, facts.run_id
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp(), facts.run_id


def _order(group: Group) -> tuple[Any, ...]:
    key = group.key
    return (str(group.machine), *(str(key.get(name)) for name in ("model", "phase", "precision")), key.get("batch") or key.get("concurrency") or 0, group.label)


def _group(entries: Sequence[Entry], changes: Sequence[Since], names: Sequence[str]) -> Group:
    best = min((entry for entry in entries if not entry.subject.reasons), key=_cost, default=None)
    rows = [
        HistoryRow(facts=entry.facts, subject=entry.subject, previous=since.previous, first=since.first, best=entry is best)
        for entry, since in zip(entries, changes, strict=True)
    ]
    subject = entries[0].subject
    return Group(label=label(subject.key, names), key=subject.key, machine=subject.machine, rows=rows)


def _cost(entry: Entry) -> tuple[float, float]:
    """Without a price the one with most tokens per GPU is the cheapest at any."""
    figures = entry.subject.figures
    return figures.get("usd_per_mtok", math.inf), -rate_of(entry.subject)[1]


def rate_of(subject: Subject) -> tuple[str, float]:
    """(name, tokens/s): of output, of a prefill of input; 0 where neither was measured."""
    for name in ("output_tokens_per_s_per_gpu", "input_tokens_per_s_per_gpu"):
        if name in subject.figures:
            return name, subject.figures[name]
    return "output_tokens_per_s_per_gpu", 0.0


def _gated(gate: Gate, groups: Sequence[Group], newest: RunFacts | None) -> GateOutcome:
    """The newest run against the one before it that measured the same."""
    last = [(group, group.rows[-1]) for group in groups if newest is not None and group.rows[-1].facts is newest]
    rows = [GateRow(label=group.label, run=row.facts.run_id, key=group.key, figures=row.previous) for group, row in last if row.previous is not None]
    return outcome(gate, rows, aside=len(last) - len(rows))
