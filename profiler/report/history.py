"""`tokenmill history` on a terminal: a table for each work, oldest run first, with what changed in the software."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from rich.console import Console
from rich.table import Table

from profiler.compare.changes import Changes
from profiler.compare.facts import SOFTWARE, RunFacts
from profiler.compare.history import Group, History, HistoryRow, rate_of
from profiler.compare.measured import JOULES
from profiler.compare.verdict import NOT_SHOWN, Judged
from profiler.economics.prices import price_summary
from profiler.report.compare_parts import gate_lines, warned_lines
from profiler.report.labelled import labelled
from profiler.report.notes import Notes
from profiler.report.numbers import NONE, count, fixed, si
from profiler.report.text import printable

WIDTH = 100
_PRICES = 3
_LAST = 20  # runs of a group on the screen, besides the first and the best
_LEGEND = (
    "before, first: change against the run before it and against the first; = no more than the windows' noise (Welch's t, bootstrap from 20 windows; "
    "Holm's correction over all groups, for the newest against the run before it apart from all other pairs), "
    ""
    "~ not shown: its own interval leaves out 0 %, but among all these that is no proof, "
    "? fewer than 5 windows or no noise known, so nobody can tell; ★ the best"
)


def print_history(history: History, console: Console) -> None:
    """Prints every group, readable at 80 columns."""
    width, notes, names = min(console.width, WIDTH), Notes(), _names(history.groups)
    for group in history.groups:
        constant, varying = _software(group.rows)
        facts = [part for part in (printable(group.machine) if group.machine else "a machine that was not recorded", constant) if part]
        console.print(f"[bold]{printable(group.label)}[/]  {', '.join(facts)}", width=width)
        console.print(_table(group, varying, notes, names), width=width)
        if len(group.rows) > _LAST + 2:
            console.print(f"[dim]the first, the best and the last {_LAST} of {len(group.rows)} runs; all are in --json[/]", width=width)
        console.print()
    left = f"; {history.single} {'row was' if history.single == 1 else 'rows were'} measured by one run only (--all shows them)" if history.single else ""
    read = f"{history.runs} {'run' if history.runs == 1 else 'runs'}"
    console.print(f"{read}, {len(history.groups)} {'group' if len(history.groups) == 1 else 'groups'} of like rows{left}", width=width)
    summaries = list(dict.fromkeys(price_summary(price) for price in history.prices))
    told = [*summaries[:_PRICES], *([f"and {len(summaries) - _PRICES} more"] if len(summaries) > _PRICES else [])]
    prices = [("price" if i == 0 else "", printable(line)) for i, line in enumerate(told)]
    console.print(labelled([*prices, *warned_lines(history.warned, names), *gate_lines(history.gates)]), width=width)
    for line in [*notes.lines(), *([_LEGEND] if history.groups else [])]:
        console.print(f"[dim]{line}[/]", width=width)


def _software(rows: Sequence[HistoryRow]) -> tuple[str, list[str]]:
    """What is the same in all rows, in words; and the names of what is not, which becomes columns."""
    values = {name: {_told(row, name) for row in rows} for name in SOFTWARE}
    constant = [f"{_heading(name)} {next(iter(found))}" for name, found in values.items() if len(found) == 1 and found != {NONE}]
    return ", ".join(constant), [name for name, found in values.items() if len(found) > 1]


def _heading(name: str) -> str:
    return {"power_limit_w": "limit"}.get(name, name)


def _told(row: HistoryRow, name: str) -> str:
    facts: RunFacts = row.facts
    value = row.subject.driver if name == "driver" else getattr(facts, name)
    return NONE if value is None else si(value, "W") if isinstance(value, float) else printable(value)


def _table(group: Group, varying: Sequence[str], notes: Notes, names: Mapping[str, str]) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim", show_edge=False)
    table.add_column("run of", min_width=10, overflow="fold")
    for name in varying:
        table.add_column(_heading(name), min_width=6, overflow="fold")
    for heading in ("$/Mtok", "before", "first", "J/token", "before", "first", "tok/s", "before", "first"):
        table.add_column(heading, justify="right", no_wrap=True)
    last = len(group.rows) - _LAST
    for place, row in enumerate(group.rows):
        if 0 < place < last and not row.best:
            continue
        name = f"{printable(names[row.facts.path])}{' ★' if row.best else ''}"
        name += f" ✗{notes.mark('✗ not valid: ' + ', '.join(row.subject.reasons))}" if row.subject.reasons else ""
        style = "dim" if row.subject.reasons else "bold" if row.best else ""
        table.add_row(name, *(_told(row, name) for name in varying), *_figures(row, notes), style=style)
    return table


def _names(groups: Sequence[Group]) -> dict[str, str]:
    """What each run is called, by its path: the day and minute; where two would read the same the second too, then the run's id, then its path."""
    runs = {row.facts.path: row.facts for group in groups for row in group.rows}
    names = {path: _when(facts, 16) for path, facts in runs.items()}
    for more in _LONGER:
        alike = Counter(names.values())
        names = {path: more(runs[path]) if alike[name] > 1 else name for path, name in names.items()}
    return names


def _when(facts: RunFacts, most: int) -> str:
    """The time it was begun, in so many letters; a run that does not say is named."""
    return facts.created[:most].replace("T", " ") if facts.created else facts.run_id[:most]


def _short_id(facts: RunFacts) -> str:
    """The minute with the last part of the id, which is drawn by chance."""
    return f"{_when(facts, 16)} {facts.run_id.rpartition('-')[2][:8]}" if facts.created else facts.run_id


_LONGER: tuple[Callable[[RunFacts], str], ...] = (lambda facts: _when(facts, 19), _short_id, lambda facts: facts.path)


def _figures(row: HistoryRow, notes: Notes) -> list[str]:
    subject = row.subject
    joules, rate = next((name for name in JOULES if name in subject.figures), JOULES[0]), rate_of(subject)[0]
    cells = []
    for name, why in (("usd_per_mtok", "no price of a token"), (joules, "no joules were measured"), (rate, "no tokens/s were recorded")):
        value = subject.figures.get(name)
        shown = notes.missing(why) if value is None else count(value) if name == rate else fixed(value, 4)
        cells += [shown, _change(row.previous, name, notes), _change(row.first, name, notes)]
    return cells


def _change(changes: Changes | None, name: str, notes: Notes) -> str:
    judged: Judged | None = (changes or {}).get(name)
    if judged is None:
        return ""
    if judged.change is None:
        return notes.missing(judged.verdict)
    if judged.more_than_noise is False and judged.verdict != NOT_SHOWN:
        return "="
    return f"{judged.change:+.1%}{'' if judged.more_than_noise else '?' if judged.more_than_noise is None else '~'}"
