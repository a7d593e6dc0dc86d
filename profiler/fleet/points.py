"""Every point of a fleet as one table in a file: the columns of a report's CSV, for as many runs as there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from profiler.economics.derive import DAMAGE, damaged, derive_run, price_for_run
from profiler.economics.price_book import PriceBook
from profiler.fleet.lean import flat_run, runs_at
from profiler.fleet.part import Job, Unreadable, check_flags
from profiler.fleet.processes import done, in_jobs, processes_for
from profiler.record.store import Run
from profiler.report.csv import text_cell
from profiler.report.database import connect
from profiler.report.flat import point_rows
from profiler.report.parquet import PARQUET
from profiler.report.spool import Spool, Spooled, write_table
from triton_kernels.errors import TokenmillError

# By the file's ending: DuckDB's options, and what becomes of texts and headings.
_FORMATS: dict[str, tuple[str, Callable[[str], str] | None]] = {
    ".parquet": (PARQUET, None),
    ".csv": ("FORMAT csv, HEADER true, DELIMITER ',', QUOTE '\"', ESCAPE '\"'", text_cell),
}


def write_points(paths: Sequence[Path], price_book: PriceBook, flags: Mapping[str, Any], out: Path, *, processes: int | None = None) -> tuple[Unreadable, ...]:
    """Writes a row per point of the runs in `paths` to `out` (.csv or .parquet). Returns the runs that could not be read and are not in it.

    `flags` and `processes` as in profiler.fleet.summary.fleet_of. TokenmillError where nothing could be read or `out` cannot be written.
    """
    options, safe = _FORMATS[out.suffix.lower()]
    check_flags(price_book, flags)
    with TemporaryDirectory(prefix="tokenmill-") as name:
        folder = Path(name)
        connect(folder).close()
        jobs = [Job(paths=part, price_book=price_book, flags=flags, rows=folder / f"{n:06d}.jsonl") for n, part in enumerate(in_jobs(paths))]
        parts = list(done(partial(_spool, safe=safe), jobs, processes or processes_for(paths)))
        write_table([spooled for spooled, _ in parts], out, options, safe or str)
    return tuple(entry for _, unreadable in parts for entry in unreadable)


def _spool(job: Job, safe: Callable[[str], str] | None) -> tuple[Spooled, list[Unreadable]]:
    unreadable = []
    with Spool(job.rows, safe) as spool:
        for path in job.paths:
            try:
                rows = [row for run in runs_at(path, flat_run) for row in _flat(run, job)]
            except TokenmillError as error:
                unreadable.append(Unreadable(path=str(path), why=str(error)))
                continue
            for row in rows:
                spool.add(row)
        return spool.spooled(), unreadable


def _flat(run: Run, job: Job) -> list[dict[str, Any]]:
    derived = derive_run(run, price_for_run(run, job.price_book, **job.flags))
    try:
        return list(point_rows(derived))
    except DAMAGE as error:
        raise damaged(run, "a point", error) from error
