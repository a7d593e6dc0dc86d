"""`tokenmill compare` on a terminal: what was compared, each figure with its ratio and verdict, operations, precisions, gates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from profiler.compare.comparison import Aside, Comparison, Pair
from profiler.compare.facts import SOFTWARE, RunFacts
from profiler.compare.figures import PER_MW
from profiler.compare.verdict import NO_DIFFERENCE, NOT_SHOWN, Judged
from profiler.economics.prices import price_summary
from profiler.report.compare_parts import gate_lines, operations_part, precisions_part, warned_lines
from profiler.report.labelled import labelled
from profiler.report.notes import Notes
from profiler.report.numbers import NONE, count, fixed, si
from profiler.report.text import printable

WIDTH = 100
_MOST_ROWS = 12  # of a run, before rows without a difference are only counted
_MOST_ASIDE = 6
_METHOD = (
    "ratio: new over baseline, with its own 95 % interval. Verdict: Welch's t on logarithms of the windows of both runs (bootstrap from 20 windows each), "
    "corrected by Holm for all rows here. The windows' noise is all it knows: another day, board or reboot may move more."
)


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Prints everything, readable at 80 columns."""
    width, notes = min(console.width, WIDTH), Notes()
    console.print(labelled(_head(comparison)), width=width)
    called = {facts.name: f"run {number}" for number, facts in enumerate(comparison.facts, start=1)}
    for name, short in called.items():
        pairs = [pair for pair in comparison.pairs if pair.run == name]
        if pairs:
            console.print(f"\n[cyan]{short} against run 1[/]: {_found(pairs)}", width=width)
            console.print(_table(pairs), width=width)
    for of in comparison.operations:
        console.print()
        console.print(operations_part(of, called), width=width)
    for precisions in comparison.precisions:
        console.print()
        console.print(precisions_part(precisions, notes, called), width=width)
    warned = warned_lines(comparison.warned, called)
    aside = [*warned, *_aside("alone", comparison.unmatched, called), *_aside("not valid", comparison.invalid, called)]
    gates = gate_lines(comparison.gates)
    if aside or gates:
        console.print()
        console.print(labelled([*aside, *gates]), width=width)
    console.print()
    for line in [*notes.lines(), *_legend(comparison.pairs)]:
        console.print(f"[dim]{line}[/]", width=width)


def _legend(pairs: Sequence[Pair]) -> list[str]:
    judged = [each for pair in pairs for each in pair.figures.values()]
    unproven = any(each.verdict == NOT_SHOWN for each in judged)
    among = f"{NOT_SHOWN}: its own interval leaves out 1; among {max(j.among for j in judged)} comparisons that is no proof." if unproven else ""
    return [" ".join(part for part in (_METHOD, among) if part)] if pairs else []


def _head(comparison: Comparison) -> list[tuple[str, str]]:
    first, *others = comparison.facts
    machine = ", ".join(part for part in (first.gpu, *_software(first)) if part) or "a machine that was not recorded"
    lines = [("run 1", f"[bold]{printable(first.name)}[/]  {printable(machine)}{'; the baseline' if others else ''}")]
    lines += [(f"run {n}", f"[bold]{printable(facts.name)}[/]  {printable(_changed(first, facts))}") for n, facts in enumerate(others, start=2)]
    models = dict.fromkeys(str(pair.key.get("model")) for pair in comparison.pairs)
    lines += [("model", printable(", ".join(models)))] if models else []
    unlike = {f"{name}: {old} against {new}": None for pair in comparison.pairs for name, (old, new) in pair.unlike.items()}
    lines += [("unlike", f"[yellow]{printable('; '.join(unlike))}[/] (allowed)")] if unlike else []
    nothing = [("joined", "[red]no valid row has a partner: nothing was compared[/]")] if others and not comparison.pairs else []
    return [*lines, *_price(comparison), *nothing]


def _software(facts: RunFacts) -> list[str]:
    told = [(name, getattr(facts, name)) for name in ("tokenmill", "torch", "triton", "driver")]
    limit = [f"{si(facts.power_limit_w, 'W')} limit"] if facts.power_limit_w is not None else []
    return [*limit, *(f"{name} {value}" for name, value in told if value is not None)]


def _changed(first: RunFacts, other: RunFacts) -> str:
    """What is not as in the baseline, of machine and software."""
    pairs = [(name.removesuffix("_w").replace("_", " "), getattr(first, name), getattr(other, name)) for name in ("gpu", *SOFTWARE)]
    changed = [f"{name} {_fact(old)} → {_fact(new)}" for name, old, new in pairs if old != new]
    return f"changed: {', '.join(changed)}" if changed else "same machine and software"


def _fact(value: str | float | None) -> str:
    return value if isinstance(value, str) else si(value, "W")


def _price(comparison: Comparison) -> list[tuple[str, str]]:
    summaries = list(dict.fromkeys(price_summary(price) for price in comparison.prices))
    if comparison.reprice == "own" and len(summaries) > 1:
        told = [f"{facts.name}: {price_summary(price)}" for facts, price in zip(comparison.facts, comparison.prices, strict=True)]
        return [("price" if i == 0 else "", printable(("each run at its own: " if i == 0 else "") + line)) for i, line in enumerate(told)]
    each = "each run at its own price, the same for all" if comparison.reprice == "own" else "one price for all runs"
    how = each if len(summaries) == 1 else "one price book, each GPU at its own price"
    return [("price" if i == 0 else "", printable((f"{how}: " if i == 0 else "") + line)) for i, line in enumerate(summaries)]


def _found(pairs: Sequence[Pair]) -> str:
    """How many figures changed, in a few words; the first to be said is what costs."""
    judged = [each for pair in pairs for each in pair.figures.values()]
    changed, unknown = [j for j in judged if j.more_than_noise], [j for j in judged if j.more_than_noise is None]
    rows = f"{len(pairs)} {'row' if len(pairs) == 1 else 'rows'}"
    unproven = sum(j.verdict == NOT_SHOWN for j in judged)
    if not changed and unproven:
        return f"no difference is shown in {rows}; of {unproven} of {len(judged)} figures the own interval leaves out 1"
    if not changed:
        return f"{NO_DIFFERENCE} in {rows}" if not unknown else f"{NO_DIFFERENCE} that can be told in {rows}; {len(unknown)} of {len(judged)} figures unknown"
    worst = {j.verdict.rsplit(" by ", 1)[0]: 0 for j in changed}
    for j in changed:
        worst[j.verdict.rsplit(" by ", 1)[0]] += 1
    return f"{', '.join(f'{word} in {n}' for word, n in worst.items())} of {len(judged)} figures in {rows}"


def _table(pairs: Sequence[Pair]) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim", show_edge=False)
    for heading, right in (("row", False), ("figure", False), ("baseline", True), ("new", True), ("ratio", True), ("95 % interval", True), ("verdict", False)):
        table.add_column(heading, justify="right" if right else "left", no_wrap=right, overflow="fold")
    quiet = [pair for pair in pairs if not any(j.more_than_noise is not False for j in pair.figures.values())]
    hidden = {id(pair) for pair in quiet} if len(pairs) > _MOST_ROWS else set()
    for pair in pairs:
        shown = [] if id(pair) in hidden else _shown(pair)
        for number, judged in enumerate(shown):
            style = "bold" if judged.more_than_noise else "dim" if judged.more_than_noise is None else ""
            table.add_row(printable(pair.label) if number == 0 else "", *_cells(judged), style=style)
    if hidden:
        unproven = sum(j.verdict == NOT_SHOWN for pair in quiet for j in pair.figures.values())
        table.add_row(f"{len(hidden)} more rows", "", "", "", "", "", NO_DIFFERENCE + (f"; {unproven} {NOT_SHOWN}" if unproven else ""))
    return table


def _shown(pair: Pair) -> list[Judged]:
    """Every figure, of the boundaries of megawatts the first that both runs have."""
    mw = next((name for name, j in pair.figures.items() if name.startswith(PER_MW) and j.ratio is not None), None)
    return [judged for name, judged in pair.figures.items() if name == mw or not name.startswith(PER_MW)]


def _cells(judged: Judged) -> tuple[str, ...]:
    figure = judged.figure
    values = [NONE if v is None else si(v, "s") if figure.unit == "s" else fixed(v, 4) if figure.worse > 0 else count(v) for v in (judged.old, judged.new)]
    interval = NONE if judged.ci95 is None else f"{fixed(judged.ci95[0], 4)}–{fixed(judged.ci95[1], 4)}"
    return figure.short, *values, NONE if judged.ratio is None else fixed(judged.ratio, 4), interval, printable(judged.verdict)


def _aside(name: str, rows: Sequence[Aside], called: Mapping[str, str]) -> list[tuple[str, str]]:
    told = [f"{row.label} of {called[row.run]}: {_why(row, called)}" for row in rows]
    more = [f"and {len(told) - _MOST_ASIDE} more (all in --json)"] if len(told) > _MOST_ASIDE else []
    return [(name if i == 0 else "", printable(line)) for i, line in enumerate([*told[:_MOST_ASIDE], *more])]


def _why(row: Aside, called: Mapping[str, str]) -> str:
    return f"not in {called[row.absent_from]}" if row.absent_from is not None else f"✗ {', '.join(row.reasons)}"
