"""`tokenmill audit` on a terminal: the table as printed with a mark at each checked cell, what was found, and one sentence that sums it up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from profiler.audit.printed import ROWS
from profiler.report.audit_figures import Audited, shown
from profiler.report.audit_findings import findings
from profiler.report.audit_run import print_run
from profiler.report.labelled import labelled
from profiler.report.numbers import percent
from profiler.report.text import printable

WIDTH = 100
_PARTS_OF_A_TABLE = 4  # columns of GPUs and ratios that stand beside each other
MARKS = {"agrees": "[green]✓[/]", "disagrees": "[red]✗[/]", "unlike": "[yellow]≠[/]"}


def print_audit(document: Mapping[str, Any], console: Console | None = None) -> None:
    """Prints the document of `audit --json`."""
    console = console or Console(highlight=False)
    width, found = min(console.width, WIDTH), Audited(document)
    table = document["table"]
    cited = ", ".join(printable(table[name]) for name in ("source", "date") if table[name])
    console.print(f"[bold]{printable(table['title'])}[/]  [dim]{cited or 'no source: every figure is assumed'}[/]", width=width)
    for parts in _chunks([*found.columns, *found.ratios]):
        console.print(_as_printed(found, parts), width=width)
    console.print(labelled(findings(found)), width=width)
    if document["run"]:
        print_run(found, console, width)
    console.print(_conclusion(found), width=width)
    legend = "✓ printed and what follows agree, ✗ they do not, ≠ unlike; ref cited, model computed, assum declared"
    console.print(f"[dim]{legend}[/]", width=width)


def _chunks(parts: Sequence[str]) -> list[Sequence[str]]:
    return [parts[i : i + _PARTS_OF_A_TABLE] for i in range(0, len(parts), _PARTS_OF_A_TABLE)]


def _as_printed(found: Audited, parts: Sequence[str]) -> Table:
    """Rows of figures; each cell as printed, its mark, and what follows from the others."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    table.add_column("as printed, and what follows", no_wrap=True)
    for part in parts:
        table.add_column(printable(found.name(part)), overflow="fold")
    for row in ROWS.values():
        if any(f"{part}.{row.name}" in found.cells for part in parts):
            table.add_row(row.label, *(_cell(found, f"{part}.{row.name}") for part in parts))
    return table


def _cell(found: Audited, cell_id: str) -> str:
    cell = found.cells.get(cell_id)
    if cell is None:
        return "–"
    checks = [check for check in found.of(cell_id) if check["role"] in ("check", "limit") and check["verdict"] in MARKS]
    verdict = next((verdict for verdict in ("disagrees", "unlike", "agrees") if any(c["verdict"] == verdict for c in checks)), None)
    derived = next((check["derived"]["value"] for check in checks if check["role"] == "check" and check["verdict"] == verdict), None)
    mark = f" {MARKS[verdict]}" if verdict and derived is not None else ""
    return f"{printable(cell['printed'])}{mark}" + (f" [dim]{shown(cell_id, derived)}[/]" if derived is not None else "")


def _conclusion(found: Audited) -> str:
    verdict = found.document["verdict"]
    table_wrong, run_wrong = len(verdict["failed"]), len(verdict["failed_by_run"])
    tolerance = found.document["table"]["tolerance"]
    said = f"{verdict['agree']} of {verdict['checks']} checks agree within the printed digits{f' and {percent(tolerance)}' if tolerance else ''}"
    if not verdict["checks"]:
        said = "nothing in this table can be checked against the rest of it"
    wrong = [f"[red]{table_wrong} {'does' if table_wrong == 1 else 'do'} not[/]"] if table_wrong else []
    wrong += [f"[yellow]{len(verdict['unlike'])} compares unlike things[/]"] if verdict["unlike"] else []
    wrong += [f"[red]the run falls short of {run_wrong} {'claim' if run_wrong == 1 else 'claims'}[/]"] if run_wrong else []
    basis = "" if found.document["table"]["token_basis"] else "; whether tokens are output or all is not said"
    return f"[bold]{said[0].upper()}{said[1:]}[/]{''.join(f', {text}' for text in wrong)}{basis} (exit code {verdict['exit_code']})."
