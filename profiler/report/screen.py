"""The one-screen ending of `tokenmill run`: all that a run found, readable at 80 columns, every figure with its kind."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from profiler.economics.derive import RunLike, derive_run
from profiler.economics.prices import PricePick
from profiler.report import advice, headline, subject
from profiler.report.closure import closure_line
from profiler.report.kinds import LEGEND, short
from profiler.report.labelled import labelled
from profiler.report.notes import Notes
from profiler.report.numbers import NONE
from profiler.report.precisions import precision_lines
from profiler.report.rows import Figures, Row, cheapest, rows_of
from profiler.report.table import points_table
from profiler.report.text import printable
from workloads.catalogue import CATALOGUE

WIDTH = 100

# What tells rows apart besides format and batch.
IDENTITY = ("model", "mix", "context", "gpu", "kv_cache", "routing", "framework", "deployment_gpus", "tp", "ep", "dp", "span", "rank", "mtp")


def print_screen(run: RunLike, price: PricePick | None, console: Console) -> None:
    """Prints the whole ending to `console`. Reads the record alone: the same screen comes from `run` and, later, from `report`."""
    derived = derive_run(run, price)
    rows = rows_of(derived, run.path.name)
    best, notes = cheapest(rows), Notes()
    width = min(console.width, WIDTH)
    console.print(labelled(_head(run, derived.points, price)), width=width)
    console.print()
    console.print(points_table(rows, notes, price, best=best, names=differing(rows), width=width), width=width)
    console.print()
    console.print(labelled(_findings(run, derived.points, rows, best, price)), width=width)
    console.print(labelled(_tail(run, derived.points, price)), width=width)
    for line in notes.lines():
        console.print(f"[dim]{line}[/]", width=width, highlight=False)
    console.print(f"[dim]{legend(rows, price)}[/]", width=width, highlight=False)


def differing(rows: Sequence[Row]) -> list[str]:
    """The fields of IDENTITY that rows differ in. A context that follows from the mix says nothing more, and a prefill's is its own."""
    decodes = [row for row in rows if row.decode is not None]
    found = [name for name in IDENTITY if len({str(row.subject.get(name)) for row in decodes}) > 1]
    mixes, contexts = ({str([row.subject.get(name) for name in names]) for row in decodes} for names in (("mix",), ("mix", "context")))
    return [name for name in found if name != "context" or len(contexts) > len(mixes)]


def legend(rows: Sequence[Row], price: PricePick | None) -> str:
    """What the short kinds mean, of those a reader may meet here."""
    kinds = {short(kind) for row in rows for figures in (*row.points, row.mix) if figures for kind in (figures.get("provenance") or {}).values()}
    if price is not None:
        kinds |= {short(kind) for kind in (price.provenance, price.provisioned_provenance) if kind}
    return "; ".join([*(f"{name} {meaning}" for name, meaning in LEGEND.items() if name in kinds), f"{NONE} not measured"])


def _head(run: RunLike, points: Sequence[Figures], price: PricePick | None) -> list[tuple[str, str]]:
    lines = [
        ("machine", subject.machine(run.header, points)),
        ("model", subject.model(points)),
        *(("formats" if i == 0 else "", line) for i, line in enumerate(precision_lines(points))),
        ("mix", subject.mix(points)),
        ("price", subject.price_line(price)),
        ("ceilings", subject.ceilings(points)),
    ]
    status = str(run.header.get("status") or "")
    return lines if status in ("done", "") else [("status", f"[red]{printable(status)}[/]: {_of_unfinished(status, points)}"), *lines]


def _of_unfinished(status: str, points: Sequence[Figures]) -> str:
    """What became of a run that did not end well; one that was killed, or still goes on, says "running" for ever."""
    kept = "finished points are kept" if points else "no point was finished"
    return f"not finished, or killed; {kept}" if status == "running" else kept


def _findings(run: RunLike, points: Sequence[Figures], rows: Sequence[Row], best: Row | None, price: PricePick | None) -> list[tuple[str, str]]:
    cheapest_at, closed = headline.cheapest_lines(rows, price), closure_line(run, points, best)
    return [
        *(("cheapest" if i == 0 else "", line) for i, line in enumerate(cheapest_at)),
        ("tok/s/MW", headline.megawatt_line(best, rows, price)),
        ("FLOPS/$", headline.flops_line(best, run.plans)),
        ("money", headline.money_line(best, run.plans)),
        *([("closure", closed)] if closed is not None else []),
        ("next", advice.next_line(rows, run.plans)),
    ]


def _tail(run: RunLike, points: Sequence[Figures], price: PricePick | None) -> list[tuple[str, str]]:
    model = next((str(point["model"]) for point in points if point.get("model")), "MODEL")
    run_ref = _reference(run.path)
    commands = [f"tokenmill explain {run_ref}", f"tokenmill report {run_ref} --csv -", f"tokenmill cost {run_ref}"]
    commands += [f"tokenmill floor {model} --gpu h200,gb300"] if model in CATALOGUE else []
    return [
        ("not in it", f"[dim]{advice.not_covered(points, price)}[/]"),
        ("record", f"[bold]{printable(_short(run.path))}[/]  [dim]next: {printable(', '.join(commands))}[/]"),
    ]


def _reference(path: Path) -> str:
    """How the commands find this run again: `last` where it is that, else its path."""
    short = _short(path)
    newer = short.parent == Path("runs") and any(other.name > short.name for other in short.parent.glob("[0-9]*/"))
    return "last" if short.parent == Path("runs") and not newer else shlex.quote(str(short))


def _short(path: Path) -> Path:
    """The path as a person in this folder would type it."""
    try:
        return path.resolve().relative_to(Path.cwd())
    except (ValueError, OSError):
        return path
