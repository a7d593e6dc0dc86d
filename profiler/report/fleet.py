"""A fleet on a terminal: what was read and what of it is valid, then a row per configuration with its medians and their spread."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from profiler.fleet.groups import Group
from profiler.fleet.summary import Fleet
from profiler.report.kinds import LEGEND, short
from profiler.report.labelled import labelled
from profiler.report.numbers import NONE, count, fixed, usd
from profiler.report.text import printable

WIDTH = 100
MOST_ROWS = 40
MOST_NAMED = 5  # of reasons, prices and runs that could not be read

# What a section of the table is about, and what its rows are named by where groups differ in it (and what all share stands below).
_SECTION = ("gpu", "model", "mix")
_NAMES = {
    "precision": "format", "kv_cache": "KV", "batch": "batch", "concurrency": "requests", "tp": "tp", "ep": "ep", "dp": "dp", "basis": "of", "kind": "kind",
}  # fmt: skip
_FIGURES: tuple[tuple[str, str, int, Callable[[float], str]], ...] = (
    ("tokens_per_s_per_user", "decode\ntok/s\n/user", 6, count),
    ("decode_output_tokens_per_s_per_gpu", "decode\ntok/s\n/GPU", 6, count),
    ("output_tokens_per_s_per_gpu", "all-in\ntok/s\n/GPU", 6, count),
    ("energy_j_per_output_token", "J per\noutput\ntoken", 6, fixed),
    ("usd_per_mtok", "all-in\n$ per\nMtok out", 8, fixed),
)


def print_fleet(fleet: Fleet, console: Console) -> None:
    """Prints the counts, what was not valid and not readable, the groups (at most MOST_ROWS, the cheapest of each machine, model and mix), and the cheapest."""
    width = min(console.width, WIDTH)
    console.print(labelled(_head(fleet)), width=width)
    if not fleet.rows:
        return
    shown = shown_groups(fleet.rows)
    flat = [group for groups in shown.values() for group in groups]
    differing = [name for name in _NAMES if len({group[name] for group in flat if name != "kind" or group["n"]}) > 1]  # what did not run is of no kind
    said: list[str] = []
    for section, groups in shown.items():
        console.print(f"\n[bold]{printable('  '.join(section))}[/]", width=width)
        told_before, said = said, [_kinds(groups, figure) for figure, *_ in _FIGURES]
        console.print(_table(groups, differing, flat, heading=not told_before, kinds=[] if said == told_before else said), width=width)
    console.print()
    console.print(labelled(_foot(fleet, flat, differing)), width=width)
    kinds = dict.fromkeys(short(kind) for group in flat for kind in group["provenance"].values())
    told = "; ".join(f"{name} {LEGEND[name]}" for name in kinds if name in LEGEND)
    console.print(f"[dim]medians of valid points, and the 10th to 90th percentile of the price; {told}; {NONE} not measured[/]", width=width, highlight=False)


def _head(fleet: Fleet) -> list[tuple[str, str]]:
    began, ended = (time[:10] for time in fleet.created or ("", ""))
    when = "" if not began else f", {began}" if began == ended else f", {began} to {ended}"
    bad = fleet.points - fleet.valid
    lines = [("fleet", f"[bold]{fleet.runs:,} runs[/], {fleet.points:,} points{when}: {fleet.valid:,} valid, {bad:,} not")]
    lines += [(label, _named(counts)) for label, counts in (("not valid", fleet.invalid), ("not run", fleet.not_run)) if counts]
    for place, (price, runs) in enumerate(list(fleet.prices.items())[:MOST_NAMED]):
        lines.append(("" if place else "price", f"{runs:,} runs: {printable(price)}"))
    for entry in fleet.unreadable[:MOST_NAMED]:
        lines.append(("[red]not read[/]", f"{printable(entry.why)}"))
    if len(fleet.unreadable) > MOST_NAMED:
        lines.append(("", f"and {len(fleet.unreadable) - MOST_NAMED:,} more runs that could not be read: --json names them"))
    return lines


def _named(counts: Mapping[str, int]) -> str:
    shown = [f"{number:,} {printable(name)}" for name, number in list(counts.items())[:MOST_NAMED]]
    return "; ".join(shown) + (f"; and {len(counts) - MOST_NAMED:,} more" if len(counts) > MOST_NAMED else "")


def shown_groups(groups: Sequence[Group], most: int = MOST_ROWS) -> dict[tuple[str, ...], list[Group]]:
    """At most so many groups by machine, model and mix, the cheapest of each first: each section has its share of the rows."""
    sections: dict[tuple[str, ...], list[Group]] = {}
    for group in sorted(groups, key=_cost):
        sections.setdefault(tuple(str(group[name]) for name in _SECTION if group[name] is not None), []).append(group)
    share = max(1, most // len(sections))
    return {section: sections[section][:share] for section in sorted(sections)[:most]}


def _cost(group: Group) -> tuple[int, float]:
    """By dollars; at no price by tokens of the mix per GPU, the most first; then what has no mix, and last what has no valid point."""
    if group["usd_per_mtok"] is not None:
        return 0, group["usd_per_mtok"]["median"]
    names = ("output_tokens_per_s_per_gpu", "decode_output_tokens_per_s_per_gpu", "prefill_input_tokens_per_s_per_gpu")
    return next(((place, -group[name]["median"]) for place, name in enumerate(names, start=1) if group[name] is not None), (len(names) + 1, 0.0))


def _table(groups: Sequence[Group], names: Sequence[str], every: Sequence[Group], *, heading: bool, kinds: Sequence[str]) -> Table:
    """One section. `every` group has a say in the widths, so that sections stand in line. `kinds`: of the figures, where they need to be said."""
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim", show_edge=False, show_header=heading)
    for name in names:
        numeric = all(isinstance(group[name], int | None) for group in every)
        width = min(16, max(len(_NAMES[name]), *(len(_named_by(group, name)) for group in every)))
        table.add_column(_NAMES[name], justify="right" if numeric else "left", overflow="fold", min_width=width, vertical="bottom")
    table.add_column("valid\npoints", justify="right", no_wrap=True, min_width=10, vertical="bottom")
    for _, title, width, _ in _FIGURES:
        table.add_column(title, justify="right", no_wrap=True, min_width=width, vertical="bottom")
    table.add_column("10th–90th\npercentile", justify="right", no_wrap=True, min_width=11, style="dim", vertical="bottom")
    if kinds:
        table.add_row(*("" for _ in names), "", *kinds, "", style="dim italic")
    for group in groups:
        figures = (NONE if group[figure] is None else shown(group[figure]["median"]) for figure, _, _, shown in _FIGURES)
        table.add_row(*(_named_by(group, name) for name in names), _points(group), *figures, _spread(group["usd_per_mtok"]), style="" if group["n"] else "dim")
    return table


def _named_by(group: Group, name: str) -> str:
    return NONE if group[name] is None else printable(group[name])


def _kinds(groups: Sequence[Group], figure: str) -> str:
    found = "/".join(dict.fromkeys(short(group["provenance"][figure]) for group in groups if figure in group["provenance"]))
    prices = "/".join(dict.fromkeys(short(group["provenance"]["usd_per_gpu_hour"]) for group in groups if "usd_per_gpu_hour" in group["provenance"]))
    return f"{found}×{prices}" if figure == "usd_per_mtok" and found and prices else found


def _points(group: Group) -> str:
    every = group["n"] + group["invalid"] + group["not_run"]
    return f"{group['n']:,}" if every == group["n"] else f"{group['n']:,} of {every:,}"


def _spread(figure: Mapping[str, Any] | None) -> str:
    return "" if figure is None or figure["n"] < 2 else f"{fixed(figure['p10'])}–{fixed(figure['p90'])}"


def _foot(fleet: Fleet, shown: Sequence[Group], differing: Sequence[str]) -> list[tuple[str, str]]:
    same = [(_NAMES[name], shown[0][name]) for name in _NAMES if name not in (*differing, "basis") and shown[0][name] is not None]
    lines = [("all", ", ".join(f"{name} {printable(value)}" for name, value in same))] if same else []
    best = min(shown, key=_cost)
    if best["output_tokens_per_s_per_gpu"] is not None:
        named = [best[name] for name in _SECTION] + [f"{_NAMES[name]} {best[name]}" for name in differing if name != "basis" and best[name] is not None]
        what = printable(", ".join(str(name) for name in named if name is not None))
        price = f"{usd(best['usd_per_mtok']['median'])} per Mtok" if best["usd_per_mtok"] else "the most tokens/s/GPU, and no price"
        lines.append(("cheapest", f"{what}: [bold]{price}[/]; of it the best is {printable(best['cheapest']['run_id'])}"))
    if len(fleet.rows) > len(shown):
        lines.append(("more", f"{len(fleet.rows) - len(shown):,} more groups: --json has all, --csv and -o FILE.parquet every point"))
    return lines
