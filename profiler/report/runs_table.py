"""Several runs in one table: each run's machine and price on a line, then a row per point."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from profiler.economics.derive import Derived
from profiler.economics.prices import PricePick, price_summary
from profiler.record.store import Run
from profiler.report.notes import Notes
from profiler.report.rows import rows_of
from profiler.report.screen import differing, legend
from profiler.report.subject import machine
from profiler.report.table import points_table
from profiler.report.text import printable


def print_runs(reported: Sequence[tuple[Run, PricePick, Derived]], console: Console) -> None:
    """Prints the runs one below the other, each at its own price. Points of unlike machines stand side by side without a verdict."""
    notes = Notes()
    every = [row for run, _, derived in reported for row in rows_of(derived, run.run_id)]
    names = differing(every, ("model", "mix", "context", "kv_cache", "gpu"))
    for run, price, derived in reported:
        console.print(f"[bold]{printable(run.run_id)}[/]  {machine(run.header, derived.points)}; {printable(price_summary(price))}")
        console.print(points_table(rows_of(derived, run.run_id), notes, price, names=names))
        console.print()
    for line in notes.lines():
        console.print(f"[dim]{line}[/]")
    prices = [price for _, price, _ in reported]
    console.print(f"[dim]{legend(every, prices[0])}[/]")
