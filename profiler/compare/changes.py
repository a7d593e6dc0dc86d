"""What changed from run to run in like rows, judged so that neither many groups nor a long archive makes changes of noise.

Two families, each with Holm's correction over all groups: the newest valid row of each group against the one before it, which is what somebody asks after a
run and what gates hold; and every other pair. So what is said of the newest does not depend on how many older runs there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from profiler.compare.measured import JOULES
from profiler.compare.subject import Subject
from profiler.compare.verdict import Judged, Pending, judge, pending

Changes = Mapping[str, Judged]  # by figure

_Pair = tuple[int, int, int]  # group, older row, newer row


@dataclass(frozen=True, kw_only=True, slots=True)
class Since:
    """Changes of a row against the valid one before it and against the first valid one. Both None for that first, and for a row that is not valid."""

    previous: Changes | None = None
    first: Changes | None = None


def changes_over_time(groups: Sequence[Sequence[Subject]]) -> list[list[Since]]:
    """Of each row of each group, oldest first; what it returns has the shape of `groups`. A pair that is both previous and first is judged once."""
    pairs: list[dict[int, tuple[_Pair, _Pair]]] = []  # of each group: row -> (against the one before, against the first)
    newest: set[_Pair] = set()
    for group, subjects in enumerate(groups):
        valid = [row for row, subject in enumerate(subjects) if not subject.reasons]
        pairs.append({row: ((group, before, row), (group, valid[0], row)) for before, row in pairwise(valid)})
        if len(valid) > 1:
            newest.add((group, valid[-2], valid[-1]))
    asked = {pair: None for of_group in pairs for both in of_group.values() for pair in both}  # each once, in order
    told: dict[_Pair, Changes] = {}
    for family in ([pair for pair in asked if pair in newest], [pair for pair in asked if pair not in newest]):
        judged = judge(_pending(groups[group][old], groups[group][new]) for group, old, new in family)
        told |= {pair: {each.figure.name: each for each in found} for pair, found in zip(family, judged, strict=True)}
    return [
        [Since(previous=told[both[0]], first=told[both[1]]) if (both := pairs[group].get(row)) else Since() for row in range(len(subjects))]
        for group, subjects in enumerate(groups)
    ]


def _pending(old: Subject, new: Subject) -> list[Pending]:
    """As in a comparison; joules of unlike boundaries are not compared, though the rows are."""
    found = pending(old, new)
    if old.boundary is None or new.boundary is None or old.boundary == new.boundary:
        return found
    why = f"unknown: joules of the {old.boundary}, then of the {new.boundary}"
    return [replace(p, difference=None, why_unknown=why) if p.figure.name in JOULES else p for p in found]
