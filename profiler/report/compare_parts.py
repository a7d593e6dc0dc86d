"""Parts of the comparison's screen: operations measured alone, recipes side by side, gates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Group
from rich.table import Table

from profiler.compare.comparison import PairOperations
from profiler.compare.difference import LEVEL
from profiler.compare.gates import GateOutcome
from profiler.compare.label import label
from profiler.compare.operations import OperationDifference
from profiler.compare.precisions import COLUMNS, PrecisionRow, PrecisionTable
from profiler.compare.verdict import FEW, NO_DIFFERENCE, NOT_SHOWN
from profiler.compare.warned import Warned
from profiler.report.notes import Notes
from profiler.report.numbers import NONE, count, fixed, percent, si
from profiler.report.text import printable

_MOST_OPERATIONS = 5
_MOST_WARNED = 6


def operations_part(of: PairOperations, called: Mapping[str, str]) -> Group:
    """The operations whose seconds per step changed most; a line where none did."""
    head = f"[cyan]operations[/]  {printable(of.label)} of {called[of.run]}, measured alone"
    if all(_verdict(row) == NO_DIFFERENCE for row in of.rows):
        return Group(f"{head}: {NO_DIFFERENCE} in {len(of.rows)}")
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim", show_edge=False)
    for heading in ("operation", "part", "baseline", "new", "change", "verdict"):
        right = heading in ("baseline", "new", "change")
        table.add_column(heading, justify="right" if right else "left", no_wrap=right, overflow="fold")
    for row in of.rows[:_MOST_OPERATIONS]:
        change = NONE if row.change_s is None else "0" if row.change_s == 0 else f"{'+' if row.change_s > 0 else ''}{si(row.change_s, 's')}"
        style = "bold" if row.more_than_noise else ""
        table.add_row(printable(row.op), printable(row.part), si(row.old_s, "s"), si(row.new_s, "s"), change, _verdict(row), style=style)
    rest = f", {len(of.rows) - _MOST_OPERATIONS} more in --json" if len(of.rows) > _MOST_OPERATIONS else ""
    return Group(f"{head}: seconds of one step, largest changes{rest}", table)


def _verdict(row: OperationDifference) -> str:
    if row.change_s is None:
        return "not measured alone in both runs"
    if row.more_than_noise is None or row.p is None:
        return FEW
    return "more than noise" if row.more_than_noise else NOT_SHOWN if row.p <= LEVEL else NO_DIFFERENCE


def precisions_part(precisions: PrecisionTable, notes: Notes, called: Mapping[str, str]) -> Group:
    """A line per recipe; a missing figure has its reason below. `called`: what the screen calls each run."""
    several_runs = len(called) > 1
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim", show_edge=False)
    headings = ("format", *(("run",) if several_runs else ()), "tok/s", "× bf16", "J/token", "× bf16", "$/Mtok", "× bf16", "quality against bf16")
    for heading in headings:
        text = heading in ("format", "run", "quality against bf16")
        table.add_column(heading, justify="left" if text else "right", no_wrap=not text, overflow="fold")
    for row in precisions.rows:
        run = [called[row.run].removeprefix("run ")] if several_runs else []
        cells = [cell for name in COLUMNS for cell in _figure(row, name, notes)]
        table.add_row(_name(row, notes), *run, *cells, _quality(row, notes), style="dim" if row.reasons else "")
    measure = ",".join(dict.fromkeys(("bf16", *precisions.missing)))
    for name in precisions.missing:
        dash = notes.missing(f"in no run here; tokenmill run --precision {measure} measures them beside each other")
        table.add_row(name, *(("",) if several_runs else ()), dash, *[""] * (2 * len(COLUMNS)), style="dim")
    return Group(f"[cyan]precisions[/]  {printable(label(precisions.key))}", table)


def _name(row: PrecisionRow, notes: Notes) -> str:
    cache = f", {printable(row.kv_cache)} cache" if row.kv_cache == "fp8" else ""
    mark = f" ✗{notes.mark('✗ not valid: ' + ', '.join(row.reasons))}" if row.reasons else ""
    return f"{printable(row.precision)}{cache}{mark}"


def _figure(row: PrecisionRow, name: str, notes: Notes) -> tuple[str, str]:
    value, ratio = row.figures[name], row.ratio[name]
    if value is None:
        return notes.missing(row.why[name]), ""
    shown = count(value) if name.startswith("output") else fixed(value)
    return shown, "" if ratio is None else fixed(ratio)


def _quality(row: PrecisionRow, notes: Notes) -> str:
    if row.quality is None:
        return "reference" if row.why_no_quality is not None and row.precision == "bf16" else notes.missing(row.why_no_quality or "not compared")
    kl, top = row.quality.get("kl_nats"), row.quality.get("top1_agreement")
    return f"KL {NONE if kl is None else f'{kl:.2g}'} nats, top-1 {percent(top)} of {printable(row.quality.get('tokens'))}"


def gate_lines(outcomes: Sequence[GateOutcome]) -> list[tuple[str, str]]:
    """A line per gate: whether it holds, and why."""
    return [("gate", f"{'[green]passed[/]' if each.passed else '[red]FAILED[/]'} {printable(each.gate)}: {printable(each.why)}") for each in outcomes]


def warned_lines(warned: Sequence[Warned], called: Mapping[str, str]) -> list[tuple[str, str]]:
    """A line per run that carries warnings on what is compared. `called`: what the screen calls each run."""
    told = [f"{called[each.run]}: {each.told()}" for each in warned]
    more = [f"and {len(told) - _MOST_WARNED} more runs (all in --json)"] if len(told) > _MOST_WARNED else []
    return [("warned" if i == 0 else "", f"[yellow]{printable(line)}[/]") for i, line in enumerate([*told[:_MOST_WARNED], *more])]
