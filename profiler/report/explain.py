"""`tokenmill explain` on a terminal and as JSON: the tip, the waterfall, the kernel engineer's list, and what several points say together."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from profiler.explain.explanation import Explanation
from profiler.explain.kernels import REACHABLE, KernelLine
from profiler.record.schema import SCHEMA_VERSION
from profiler.report.explain_bars import waterfall_table
from profiler.report.explain_groups import frontier_lines, frontier_table, skew_table, sweep_table
from profiler.report.explain_subject import Subject
from profiler.report.kinds import LEGEND, short
from profiler.report.labelled import labelled
from profiler.report.notes import Notes
from profiler.report.numbers import NONE, fixed, percent
from profiler.report.text import printable

WIDTH = 120
_LINES = 10  # of the kernel engineer's list


def print_explanation(explanation: Explanation, subject: Subject, console: Console) -> None:
    """Prints everything, readable at 80 columns."""
    width, notes, waterfall = min(console.width, WIDTH), Notes(), subject.waterfall
    console.print(labelled(_head(explanation, subject), 8), width=width)
    console.print()
    console.print(waterfall_table(waterfall, notes, width), width=width)
    console.print()
    console.print(*_kernels(explanation, subject), width=width)
    if len(explanation.points) > 1:
        console.print("\n[cyan]share of the GPU time[/] (model)", width=width)
        console.print(sweep_table(explanation, notes), width=width)
    for skew in explanation.skew:
        beyond = f"what it costs beyond {printable(skew['baseline'])}; joules and dollars per {skew['unit']}"
        console.print(f"\n[cyan]routing skew[/]  {_named(skew)}: {beyond}", width=width)
        console.print(skew_table(skew), width=width)
    for frontier in _shown(explanation, subject):
        console.print(f"\n[cyan]power limit[/]  {_named(frontier)}; limits as the operator had set them, tokenmill never changes one", width=width)
        console.print(frontier_table(frontier), width=width)
        for line in frontier_lines(frontier):
            console.print(line, width=width)
    console.print()
    for line in [*notes.lines(), _legend(waterfall)]:
        console.print(f"[dim]{line}[/]", width=width, highlight=False)


def json_document(explanation: Explanation, subject: Subject) -> str:
    """{"schema_version", "runs", "subject", "points", "mixes", "kernels" (of the subject), "skew", "frontier", "vanity"}; null where not known, NaN never."""
    return json.dumps(
        {
            "schema_version": SCHEMA_VERSION,
            "runs": [{"run_id": each.run.run_id, "path": str(each.run.path), "price": each.price.json()} for each in explanation.reported],
            "subject": {"run_id": subject.key[0], "point_id": subject.key[1], "whole_request": subject.whole_request, "why": subject.why},
            "points": [waterfall.json() for waterfall in explanation.points.values()],
            "mixes": [waterfall.json() for waterfall in explanation.mixes.values()],
            "kernels": [line.json() for line in explanation.kernels(subject.key, whole_request=subject.whole_request)],
            "skew": list(explanation.skew),
            "frontier": list(explanation.frontier),
            "vanity": explanation.vanity(subject.key),
        },
        allow_nan=False,
    )


def _head(explanation: Explanation, subject: Subject) -> list[tuple[str, str]]:
    waterfall, of = subject.waterfall, subject.waterfall.subject
    what = f"mix {printable(of.get('mix'))}, all-in" if subject.whole_request else f"{printable(of.get('phase'))} alone, context {printable(of.get('context'))}"
    validity = "" if waterfall.valid else f" [red]✗ not valid: {printable(', '.join(waterfall.invalid_reasons) or 'no reason was recorded')}[/]"
    name = f"[bold]{printable(of.get('model'))}[/] {printable(of.get('precision'))} batch {printable(of.get('batch'))}, {what}"
    lines = [("explain", f"{name}: {subject.why}{validity}"), ("run", printable(waterfall.run_id)), ("tip", _tip(explanation.vanity(subject.key)))]
    lines.append(("price", printable(waterfall.price.summary) + (f" [yellow]{printable(waterfall.price.note)}[/]" if waterfall.price.note else "")))
    if waterfall.price.why_null and waterfall.price.why_null not in waterfall.price.summary:
        lines.append(("", f"[yellow]no dollars: {printable(waterfall.price.why_null)}[/]"))
    return [*lines, ("joules", _joules(explanation, subject))]


def _tip(vanity: dict[str, Any] | None) -> str:
    """What a datasheet sells, for contrast with the last line below."""
    if vanity is None:
        return f"{NONE} no peak is known for the matrix units of this machine"
    dense = f"dense {printable(vanity['lane'])}, {vanity['source']}"
    if vanity["pflop_per_s_per_usd_h"] is None:
        return f"{fixed(vanity['flops_per_s'] / 1e15)} PFLOP/s at any price, {dense}"
    return f"{fixed(vanity['pflop_per_s_per_usd_h'])} PFLOP/s per $/h, {dense}: what is sold; the last line below is what is delivered"


def _joules(explanation: Explanation, subject: Subject) -> str:
    found = explanation.found[subject.key]
    if found.step.energy_j is None:
        return f"{NONE} {printable(found.step.why_no_energy)}"
    told = "metered" if found.point.get("power_source") == "meter" else "declared"
    whose = {"board": "of the GPU board", "node": f"of the node, as {told}", "cpu": "of the CPUs and their memory"}[found.step.boundary]
    own = found.operations is not None and any(op.energy_j is not None for op in found.operations.measured)
    return f"{whose}; {'each operation at its own watts' if own else 'every bar at the mean watts of its step: no operation has joules of its own'}"


def _kernels(explanation: Explanation, subject: Subject) -> list[str | Table]:
    """The kernel engineer's list, a line per operation, the largest saving first."""
    lines = explanation.kernels(subject.key, whole_request=subject.whole_request)
    if not lines:
        return ["[cyan]operations[/]  none was measured alone: `tokenmill run --per-op` gives each one's time, joules and what it would save"]
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(justify="right", style="dim")
    grid.add_column(ratio=1)
    for number, line in enumerate(lines[:_LINES], start=1):
        grid.add_row(str(number), _kernel(line, subject))
    if len(lines) > _LINES:
        grid.add_row("", f"[dim]and {len(lines) - _LINES} more with less at stake (--json has all)[/]")
    return ["[cyan]operations, most at stake first[/] (model: measured time, computed work)", grid]


def _kernel(line: KernelLine, subject: Subject) -> str:
    phase = f"{printable(line.phase)}: " if subject.whole_request else ""
    name = f"{phase}{printable(line.words)}, {printable(line.format)}, batch {printable(line.batch)}"
    share = f"{percent(line.share_of_step)} of the step"
    if line.kernel_ratio is not None:
        share += f", {printable(line.library or 'a library')} takes {fixed(line.kernel_ratio, 2)} of our time"
    if line.achieved is None:
        return f"[bold]{name}[/]: {share}; no ceiling to compare with"
    return f"[bold]{name}[/]: {percent(line.achieved)} of {printable(line.ceiling)}, {share}; {_saving(line)}"


def _saving(line: KernelLine) -> str:
    if not line.saves_share:
        return f"at or above {REACHABLE:.2f} already"
    if line.saves_usd_per_mtok is None:
        return f"at {REACHABLE:.2f} it would save {percent(line.saves_share)} of the dollars"
    return f"at {REACHABLE:.2f} it would save ${fixed(line.saves_usd_per_mtok, 2)}/Mtok"


def _shown(explanation: Explanation, subject: Subject) -> list[Mapping[str, Any]]:
    """Frontiers of several limits; of one limit, which a site's megawatts asked for, the subject's alone."""
    return [f for f in explanation.frontier if len(f["rows"]) > 1 or any((row["run_id"], row["point_id"]) == subject.key for row in f["rows"])]


def _named(table: Any) -> str:
    return printable(f"{table['model']} {table['precision']} batch {table['batch']}, context {table['context']}")


def _legend(waterfall: Any) -> str:
    kinds = {short(kind) for bar in waterfall.bars for kind in (bar.kind, bar.energy_kind) if kind}
    if waterfall.price.provenance:
        kinds.add(short(waterfall.price.provenance))
    return "; ".join([*(f"{name} {meaning}" for name, meaning in LEGEND.items() if name in kinds), f"{NONE} not known", "· nothing by nature"])
