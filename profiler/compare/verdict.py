"""What is said of a figure in two runs: its ratio, the interval, and a verdict that holds for all that is compared together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from profiler.compare.difference import LEAST_WINDOWS, LEVEL, Difference, difference, holm, same
from profiler.compare.figures import FIGURES, Figure
from profiler.compare.subject import Subject
from profiler.report.numbers import percent

NO_DIFFERENCE = "no difference"
NOT_SHOWN = "not shown"  # its own interval leaves out 1, and among all that is compared together that is no proof
FEW = f"unknown: fewer than {LEAST_WINDOWS} windows"


@dataclass(frozen=True, kw_only=True, slots=True)
class Pending:
    """A figure of two rows, before it is known what else is compared. `difference`: None where a row lacks the figure."""

    figure: Figure
    old: float | None
    new: float | None
    kinds: tuple[str | None, str | None]
    difference: Difference | None
    base: Difference | None  # of a figure that follows another's median: it has changed only where that has, too
    why_unknown: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """The same with its verdict. `more_than_noise`: None where nobody can tell. `p` is adjusted for all `among` that were compared together."""

    figure: Figure
    old: float | None
    new: float | None
    kinds: tuple[str | None, str | None]
    ratio: float | None
    ci95: tuple[float, float] | None
    p: float | None
    n: tuple[int, int]
    method: str | None
    more_than_noise: bool | None
    verdict: str
    among: int = 0

    @property
    def change(self) -> float | None:
        """new / old - 1."""
        return None if self.ratio is None else self.ratio - 1

    def json(self) -> dict[str, Any]:
        return {
            "old": self.old, "new": self.new, "ratio": self.ratio, "ci95": None if self.ci95 is None else list(self.ci95), "verdict": self.verdict,
            "more_than_noise": self.more_than_noise, "p_adjusted": self.p, "compared_together": self.among, "n": list(self.n),
            "method": self.method, "unit": self.figure.unit, "provenance": list(self.kinds),
        }  # fmt: skip


def pending(old: Subject, new: Subject) -> list[Pending]:
    """Every figure that either row has. Figures that say the same of the same windows share one difference, so that they count once among the many."""
    known: list[tuple[tuple[Any, Any], Difference]] = []
    found = []
    for name, figure in FIGURES.items():
        a, b = old.figures.get(name), new.figures.get(name)
        if a is None and b is None:
            continue
        made, why = None, FEW
        if a is None or b is None:
            why = f"unknown: not measured in the {'older' if a is None else 'newer'} run"
        else:
            noise = (old.noise[name], new.noise[name])
            made = _shared(figure.worse * math.log(b / a), noise, known)
            if not (noise[0] and noise[1]) and any(min(d.n) >= LEAST_WINDOWS for _, d in known):
                why = "unknown: its joules or watts were not recorded by window"
        found.append(Pending(figure=figure, old=a, new=b, kinds=(old.kinds.get(name), new.kinds.get(name)), difference=made, base=None, why_unknown=why))
    return [_on_base(each, found) for each in found]


def _shared(log_ratio: float, noise: tuple[Any, Any], known: list[tuple[tuple[Any, Any], Difference]]) -> Difference:
    for of, made in known:
        if of == noise and same(made.log_ratio - log_ratio):
            return made
    made = difference(log_ratio, *noise)
    known.append((noise, made))
    return made


def _on_base(each: Pending, found: Sequence[Pending]) -> Pending:
    """What one reader sees is made of the median step; windows tell the noise of the mean."""
    if each.figure.name != "tokens_per_s_per_user":
        return each
    return replace(each, base=next((p.difference for p in found if p.figure.name == "step_s"), None))


def judge(groups: Iterable[Sequence[Pending]]) -> list[list[Judged]]:
    """The verdicts of all that is compared together, in the same order: Holm's method keeps the chance of a single false one at 5 %."""
    rows = [list(group) for group in groups]
    tests = {id(d): d for row in rows for each in row if (d := each.base or each.difference) is not None and d.p is not None}
    adjusted = dict(zip(tests, holm([d.p for d in tests.values() if d.p is not None]), strict=True))
    return [[replace(_judged(each, adjusted), among=len(tests)) for each in row] for row in rows]


def _judged(each: Pending, adjusted: dict[int, float]) -> Judged:
    own, sign = each.difference, each.figure.worse
    if own is None or each.old is None or each.new is None:
        return _told(each, ratio=None, ci95=None, p=None, more=None, verdict=each.why_unknown)
    ratio = each.new / each.old
    ci95 = None
    if own.low is not None and own.high is not None:
        ends = sorted(math.exp(sign * edge) for edge in (own.low, own.high))
        ci95 = (min(ends[0], ratio), max(ends[1], ratio))  # a last digit's rounding must not put the ratio outside
    p = adjusted.get(id(each.base or own))
    if p is not None and each.base is not None and own.p is not None:
        p = max(p, own.p)
    more = False if same(own.log_ratio) else None if p is None else p <= LEVEL
    word = each.figure.more if ratio > 1 else each.figure.less
    alike = same(own.log_ratio) or ci95 is None or ci95[0] <= 1 <= ci95[1]
    verdict = each.why_unknown if more is None else f"{word} by {percent(abs(ratio - 1))}" if more else NO_DIFFERENCE if alike else NOT_SHOWN
    return _told(each, ratio=ratio, ci95=ci95, p=p, more=more, verdict=verdict)


def _told(each: Pending, *, ratio: float | None, ci95: tuple[float, float] | None, p: float | None, more: bool | None, verdict: str) -> Judged:
    own = each.difference
    return Judged(
        figure=each.figure, old=each.old, new=each.new, kinds=each.kinds, ratio=ratio, ci95=ci95, p=p, n=own.n if own else (0, 0),
        method=own.method if own else None, more_than_noise=more, verdict=verdict,
    )  # fmt: skip
