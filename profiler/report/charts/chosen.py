"""Which point a chart of one point shows: the headline's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from profiler.economics.derive import Derived
from profiler.economics.prices import PricePick
from profiler.pareto.operating import Reported
from profiler.record.store import Run
from profiler.report.rows import Row, cheapest, ok, rows_of


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """A row and the run that it is of."""

    reported: tuple[Run, PricePick, Derived]
    row: Row


def chosen(reported: Reported) -> Chosen | None:
    """What `pick` picks of all rows."""
    return pick([(each, row) for each in reported for row in rows_of(each[2], each[0].run_id)])


def pick(rows: Sequence[tuple[tuple[Run, PricePick, Derived], Row]]) -> Chosen | None:
    """Of rows whose steps were measured: the cheapest valid mix, else the valid decode with most tokens per GPU, else the first. None: there are none."""
    ran = [(each, row) for each, row in rows if all(ok(point) and point.get("step_s") for point in row.points)]
    best = cheapest([row for _, row in ran])
    if best is None:
        best = max((row for _, row in ran if row.decode is not None and row.decode.get("valid")), key=_rate, default=ran[0][1] if ran else None)
    return None if best is None else next(Chosen(reported=each, row=row) for each, row in ran if row is best)


def _rate(row: Row) -> float:
    assert row.decode is not None
    return float(row.decode.get("output_tokens_per_s_per_gpu") or 0.0)
