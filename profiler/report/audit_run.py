"""An audit's claims beside a run, on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table

from profiler.report.audit_figures import Audited, shown
from profiler.report.kinds import short
from profiler.report.labelled import labelled
from profiler.report.text import printable

_ROWS = {"tokens_per_s_per_gpu": "tokens/s per GPU", "usd_per_mtok": "$ per Mtok at its $/h", "tokens_per_s_per_mw": "tokens/s per planned MW"}
_MARKS = {"agrees": "[green]✓[/]", "unlike": "[yellow]≠[/]"}


def print_run(found: Audited, console: Console, width: int) -> None:
    """The run, then each claim of its GPU beside what was measured."""
    console.print(Group(*_parts(found)), width=width)


def _parts(found: Audited) -> Iterator[RenderableType]:
    run = found.document["run"]
    left_out = f", {run['invalid_mixes']} not valid and not used" if run["invalid_mixes"] else ""
    lines = [("run", f"{printable(run['run_id'])} on {printable(', '.join(run['gpu_keys']) or 'no GPU of the catalogue')}{left_out}")]
    yield labelled([*lines, *(("", _head(found, column)) for column in run["columns"])])
    comparisons = [comparison for column in run["columns"] for comparison in column["comparisons"]]
    if comparisons:
        yield _table(comparisons)


def _head(found: Audited, column: Mapping[str, Any]) -> str:
    label, measured = f"[bold]{printable(found.columns[column['column']]['label'])}[/]", column["measured"]
    if measured is None:
        return f"{label}: {column['verdict']}, {printable(column['note'])}"
    batch = "" if measured["batch"] is None else f" batch {printable(measured['batch'])}"
    what = f"{printable(measured['model'])} {printable(measured['precision'])}{batch}, mix {printable(measured['mix'])}"
    return f"{label}: {what}" + (f"; [yellow]unlike[/]: {printable(column['note'])}" if column["note"] else "")


def _table(comparisons: list[Mapping[str, Any]]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    for heading in ("", "tokens", "claimed", "measured", "the run beside it"):
        table.add_column(heading, overflow="fold")
    for c in comparisons:
        measured = f"{shown(c['cell'], c['measured']['value'])} ({short(c['provenance'])})"
        mark = _MARKS.get(c["verdict"], "[red]✗[/]" if c["falls_short"] else "[yellow]✗[/]")
        table.add_row(_ROWS[c["row"]], c["basis"], printable(c["claimed"]["printed"]), measured, f"{mark} {printable(c['note'])}")
    return table
