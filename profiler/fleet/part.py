"""One part of a fleet: some runs, read one after the other, their figures written as lines of JSON. A part is the work of one process."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from profiler.economics.derive import DAMAGE, damaged, price_for_run
from profiler.economics.price_book import PriceBook
from profiler.economics.prices import PricePick, pick_price, price_summary
from profiler.fleet.figures import figure_rows
from profiler.fleet.lean import figures_run, runs_at
from profiler.fleet.quick import summary_rows
from profiler.record.store import Run
from profiler.report.rows import ok
from triton_kernels.errors import TokenmillError

_dumps = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode


@dataclass(frozen=True, kw_only=True)
class Job:
    """Which runs, at which prices (`flags`: of price_for_run), and the file that their rows go into."""

    paths: Sequence[Path]
    price_book: PriceBook
    flags: Mapping[str, Any]
    rows: Path


@dataclass(frozen=True, kw_only=True)
class Unreadable:
    """A run that was left out: its path, and why in one line."""

    path: str
    why: str


@dataclass(kw_only=True)
class Part:
    """What a job counted on its way. `invalid`: points by reason; `not_run`: by status; `prices`: runs by the price they were read at."""

    rows: Path
    runs: int = 0
    points: int = 0
    valid: int = 0
    invalid: Counter[str] = field(default_factory=Counter)
    not_run: Counter[str] = field(default_factory=Counter)
    prices: Counter[str] = field(default_factory=Counter)
    unreadable: list[Unreadable] = field(default_factory=list)


def check_flags(price_book: PriceBook, flags: Mapping[str, Any]) -> None:
    """A TokenmillError for what is wrong with the flags of every run: said once, and not of each. What it costs to own a GPU is a matter of its run."""
    pick_price(price_book, None, **{**flags, "own": None})


def summarise(job: Job) -> Part:
    """Writes a line for each row of each run of the job. A run that cannot be read is noted with its reason, and the next one is read."""
    part = Part(rows=job.rows)
    with job.rows.open("w", encoding="utf-8", errors="replace") as file:
        for path in job.paths:
            try:
                found = [(run, price := price_for_run(run, job.price_book, **job.flags), _lines(run, price)) for run in _runs(path)]
            except TokenmillError as error:
                part.unreadable.append(Unreadable(path=str(path), why=str(error)))
                continue
            for run, price, lines in found:
                file.writelines(lines)
                part.runs += 1
                part.prices[price_summary(price)[:300]] += 1
                _count(run, part)
    return part


def _runs(path: Path) -> list[Run]:
    try:
        return runs_at(path, figures_run)
    except DAMAGE as error:
        raise TokenmillError(f"{path}: a plan is damaged ({type(error).__name__}: {str(error)[:100]}); measure it again") from error


def _lines(run: Run, price: PricePick) -> list[str]:
    """The run's rows, all of them: a run is in the fleet as a whole or not at all."""
    try:
        return [f"{_dumps(row)}\n" for row in figure_rows(run, price, summary_rows(run, price))]
    except DAMAGE as error:
        raise damaged(run, "a point or plan", error) from error


def _count(run: Run, part: Part) -> None:
    """Points by why they are not valid (a point may have several reasons), and by status where they did not run."""
    part.points += len(run.points)
    for point in run.points:
        if not ok(point):
            part.not_run[str(point.get("status"))[:60]] += 1
        elif point.get("valid"):
            part.valid += 1
        else:
            reasons = point.get("invalid_reasons")
            part.invalid.update(str(reason)[:100] for reason in (reasons if isinstance(reasons, list) and reasons else ["no reason was recorded"]))
