"""What many runs found, in one answer: how much was measured, what of it is valid and why not, and what each configuration delivers and costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from profiler.economics.price_book import PriceBook
from profiler.fleet.groups import Group, groups_of
from profiler.fleet.part import Job, Part, Unreadable, check_flags, summarise
from profiler.fleet.processes import done, in_jobs, processes_for
from profiler.record.schema import SCHEMA_VERSION
from profiler.report.database import connect


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """Counts and groups of many runs.

    `rows`: a group of points that differ in nothing but the run: its keys (profiler.fleet.figures.KEYS), counts (`n` valid, `invalid`, `not_run`, `runs`),
    figures as {n, p10, median, p90} of the valid points, the `cheapest` run and point, first and last time, and `provenance`.
    """

    runs: int  # that were read
    points: int
    valid: int
    invalid: Mapping[str, int]  # points by the reason they are not valid; one may have several
    not_run: Mapping[str, int]  # points by status: oom, failed
    prices: Mapping[str, int]  # runs by the price they were read at
    unreadable: tuple[Unreadable, ...]
    created: tuple[str, str] | None  # first and last run, ISO 8601
    rows: tuple[Group, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA_VERSION,
            "fleet": {
                "runs": self.runs,
                "points": self.points,
                "valid": self.valid,
                "invalid": dict(self.invalid),
                "not_run": dict(self.not_run),
                "prices": dict(self.prices),
                "unreadable": [asdict(entry) for entry in self.unreadable],
                "created": None if self.created is None else list(self.created),
            },
            "groups": list(self.rows),
        }


def fleet_of(paths: Sequence[Path], price_book: PriceBook, flags: Mapping[str, Any], *, processes: int | None = None) -> Fleet:
    """The runs in the folders `paths`, each at its price (`flags`: of price_for_run), in memory that does not grow with their number.

    A run that cannot be read is listed in `unreadable`. `processes`: None takes as many as pay; they import the program's main module, so a script of your
    own should guard it with `if __name__ == "__main__"` or give 1. TokenmillError for flags that no run can be priced with, and without DuckDB.
    """
    check_flags(price_book, flags)
    with TemporaryDirectory(prefix="tokenmill-") as name:
        folder = Path(name)
        connect(folder).close()  # before the work, not behind it
        jobs = [Job(paths=part, price_book=price_book, flags=flags, rows=folder / f"{number:06d}.jsonl") for number, part in enumerate(in_jobs(paths))]
        parts = list(done(summarise, jobs, processes or processes_for(paths)))
        groups = groups_of([part.rows for part in parts], folder) if any(part.runs for part in parts) else []
    return _fleet(parts, groups)


def _fleet(parts: Sequence[Part], groups: Sequence[Group]) -> Fleet:
    times = [time for group in groups for time in group["created"] or ()]
    return Fleet(
        runs=sum(part.runs for part in parts),
        points=sum(part.points for part in parts),
        valid=sum(part.valid for part in parts),
        invalid=_total(part.invalid for part in parts),
        not_run=_total(part.not_run for part in parts),
        prices=_total(part.prices for part in parts),
        unreadable=tuple(entry for part in parts for entry in part.unreadable),
        created=(min(times), max(times)) if times else None,
        rows=tuple(groups),
    )


def _total(counters: Iterable[Counter[str]]) -> dict[str, int]:
    """The most frequent first."""
    return dict(sum(counters, Counter[str]()).most_common())
