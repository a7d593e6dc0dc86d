"""Several runs in one table: each run's machine, price and what its points have in common on a line, then a row per point."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from profiler.economics.derive import Derived
from profiler.economics.prices import PricePick, price_summary
from profiler.record.store import Run
from profiler.report.notes import Notes
from profiler.report.rows import Row, rows_of
from profiler.report.screen import differing, legend
from profiler.report.subject import machine
from profiler.report.table import NAMES, named, points_table
from profiler.report.text import printable

_ALWAYS = ("model", "mix")  # said of every run, whether or not others differ in it
_OF_MANY = ("deployment_gpus", "tp", "ep", "dp", "span", "rank")  # say nothing of a deployment of one


def print_runs(reported: Sequence[tuple[Run, PricePick, Derived]], console: Console) -> None:
    """Prints the runs one below the other, each at its own price. Points of unlike machines stand side by side without a verdict."""
    notes = Notes()
    by_run = [rows_of(derived, run.run_id) for run, _, derived in reported]
    every = [row for rows in by_run for row in rows]
    among = list(dict.fromkeys((*_ALWAYS, *differing(every))))
    for (run, price, derived), rows in zip(reported, by_run, strict=True):
        console.print(f"[bold]{printable(run.run_id)}[/]  {machine(run.header, derived.points)}; {printable(price_summary(price))}")
        if (common := _in_common(rows, among)) is not None:
            console.print(common)
        if rows:
            names = [name for name in among if len({named(row, name) for row in rows}) > 1]
            console.print(points_table(rows, notes, price, names=names, width=console.width))
        console.print()
    for line in notes.lines():
        console.print(f"[dim]{line}[/]")
    prices = [price for _, price, _ in reported]
    console.print(f"[dim]{legend(every, prices[0])}[/]")


def _in_common(rows: Sequence[Row], among: Sequence[str]) -> str | None:
    """`model qwen3-30b-a3b, mix 8k/1k`: the fields that all rows share, which need no column; the line above says the machine. None: there are none."""
    alone = all(row.subject.get("deployment_gpus") in (None, 1) for row in rows)
    shared = [
        (name, found.pop())
        for name in among
        if name != "gpu" and not (alone and name in _OF_MANY)
        for found in [{named(row, name) for row in rows}]
        if len(found) == 1
    ]
    said = [f"{NAMES.get(name, name)} {value}" for name, value in shared if any(row.subject.get(name) is not None for row in rows)]
    return ", ".join(said) or None
