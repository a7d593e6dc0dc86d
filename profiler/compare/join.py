"""Like with like: which row of one run stands beside which of another, and what may not be compared unless told."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from profiler.compare.subject import Subject
from triton_kernels.errors import TokenmillError, unknown

# What makes a comparison one of two things at once, and the words for it.
UNLIKE = {"gpu": "GPU", "driver": "driver", "recipe": "formats behind a recipe's name", "boundary": "joules"}


@dataclass(frozen=True, kw_only=True)
class Joined:
    """`pairs`: (row of the baseline, row of the other run), valid or not. `left`: rows of either without a partner in the other."""

    pairs: Sequence[tuple[Subject, Subject]]
    left: tuple[Sequence[Subject], Sequence[Subject]]


def parse_allowed(text: str | None) -> frozenset[str]:
    """`gpu,driver` as names of UNLIKE; TokenmillError for another."""
    names = [name.strip() for name in (text or "").split(",") if name.strip()]
    for name in names:
        if name not in UNLIKE:
            raise unknown("difference to allow", name, UNLIKE)
    return frozenset(names)


def join(old: Sequence[Subject], new: Sequence[Subject], allowed: frozenset[str]) -> Joined:
    """Rows of two runs that are the same work. TokenmillError (one line) where they are unlike in something that is not `allowed`."""
    pairs, left = _matched(old, new, with_machine=True)
    if left[0] and left[1] and (not pairs or "gpu" in allowed):
        more, left_then = _matched(*left, with_machine=False)
        if more and "gpu" not in allowed:
            _refuse(more, allowed)
        pairs, left = [*pairs, *more], left_then
    _refuse(pairs, allowed)
    return Joined(pairs=pairs, left=left)


def _matched(
    old: Sequence[Subject], new: Sequence[Subject], *, with_machine: bool
) -> tuple[list[tuple[Subject, Subject]], tuple[list[Subject], list[Subject]]]:
    """A row that a run holds several times is matched in the order it was measured."""
    theirs = dict(zip(_names(new, with_machine), new, strict=True))
    pairs, alone = [], []
    for name, subject in zip(_names(old, with_machine), old, strict=True):
        partner = theirs.pop(name, None)
        if partner is None:
            alone.append(subject)
        else:
            pairs.append((subject, partner))
    return pairs, (alone, list(theirs.values()))


def _names(subjects: Sequence[Subject], with_machine: bool) -> list[tuple[Any, ...]]:
    seen: Counter[tuple[Any, ...]] = Counter()
    names = []
    for subject in subjects:
        name = (subject.joined_by, subject.machine if with_machine else None)
        names.append((*name, seen[name]))
        seen[name] += 1
    return names


def unlike(old: Subject, new: Subject) -> dict[str, tuple[str, str]]:
    """In what two rows of the same work differ: name of UNLIKE -> what each has. Joules that one of them lacks are no difference."""
    found = {"gpu": (old.machine, new.machine), "driver": (old.driver, new.driver)}
    if old.boundary is not None and new.boundary is not None:
        found["boundary"] = (old.boundary, new.boundary)
    different = {name: (str(a or "not recorded"), str(b or "not recorded")) for name, (a, b) in found.items() if a != b}
    recipes = _recipes(old, new, same_machine="gpu" not in different)
    return different if recipes is None else {**different, "recipe": recipes}


def _recipes(old: Subject, new: Subject, *, same_machine: bool) -> tuple[str, str] | None:
    """The first part of the model whose formats differ. The instruction that multiplies them is the GPU's, and differs with it."""
    if old.recipe == new.recipe:
        return None
    if old.recipe is None or new.recipe is None:
        return ("not recorded" if old.recipe is None else "recorded", "not recorded" if new.recipe is None else "recorded")
    parts: tuple[Mapping[str, Any], Mapping[str, Any]] = (json.loads(old.recipe), json.loads(new.recipe))
    for part in dict.fromkeys([*parts[0], *parts[1]]):
        uses = [_use(each.get(part), kind=same_machine) for each in parts]
        if uses[0] != uses[1]:
            return f"{old.key.get('precision')} {part} {uses[0]}", uses[1]
    return None


def _use(use: Any, *, kind: bool) -> str:
    if not isinstance(use, Mapping):
        return "absent" if use is None else str(use)
    told = f"{use.get('weight')} x {use.get('takes')}"
    return f"{told} ({use['kind']})" if kind and use.get("kind") else told


def _refuse(pairs: Sequence[tuple[Subject, Subject]], allowed: frozenset[str]) -> None:
    found: dict[str, tuple[str, str]] = {}
    for old, new in pairs:
        found |= {name: what for name, what in unlike(old, new).items() if name not in allowed and name not in found}
    if found:
        told = ", ".join(f"{UNLIKE[name]} {old} against {new}" for name, (old, new) in found.items())
        runs = f"{pairs[0][0].run} and {pairs[0][1].run}"
        raise TokenmillError(f"{runs} are unlike: {told}; --allow {','.join(sorted({*found, *allowed}))} compares them all the same")
