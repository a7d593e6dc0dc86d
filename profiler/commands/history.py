"""`tokenmill history`: what each run of a folder made of the same work, in the order of time. Reads only."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from profiler.commands.compare import FailIf, Reprice
from profiler.commands.price_options import AsJson, RunsFolder
from profiler.commands.pricing import Pricing, with_prices
from profiler.commands.recorded import read_paths
from profiler.foreign.found import paths_of

if TYPE_CHECKING:
    from profiler.record.store import Run


@with_prices
def history(
    runs: Annotated[list[str], typer.Argument(metavar="RUNS", help="Folders of runs, patterns such as 'runs/**', or runs.")],
    every: Annotated[bool, typer.Option("--all", help="Show work that only one run measured, too.")] = False,
    fail_if: FailIf = None,
    as_json: AsJson = False,
    root: RunsFolder = Path("runs"),
    reprice: Reprice = "book",
    *,
    pricing: Pricing,
) -> int:
    """Did it get faster or cheaper with each version? The same work on the same GPU over all runs, oldest first.

    $/Mtok (all at one price book), J per token and tokens/s by version of tokenmill, torch, triton and driver, each change against the run before and against
    the first with `compare`'s verdict. Gates (see `compare --help`) hold the newest run against the one before it.

    Holm's correction is over all groups at once: for the newest of each against the one before it and, apart from that, for all other pairs. In either, noise
    alone shows as a change in 1 history of 20, and older runs of the same work make no verdict on the newest weaker.
    """
    from profiler.compare.gates import exit_code, parse_gate
    from profiler.compare.history import Collector
    from profiler.compare.reprice import BOOK, at_own, check_reprice, repriced

    check_reprice(reprice)
    gates = [parse_gate(text) for text in fail_if or ()]
    book, collector = pricing.book(), Collector()

    def add(run: Run) -> None:
        collector.add(at_own(run, book, pricing.flags) if reprice == BOOK else repriced(run, book, pricing.flags, reprice))

    read_paths(((path, True) for path in _paths(runs, root)), root, add)
    found = collector.history(every=every, gates=gates)
    if as_json:
        print(json.dumps(found.json(), allow_nan=False))
    else:
        from rich.console import Console

        from profiler.report.history import print_history

        print_history(found, Console(highlight=False))
    return exit_code(found.gates)


def _paths(refs: Sequence[str], root: Path) -> Iterator[str]:
    """Each run once, however often it is named."""
    from profiler.foreign.reference import parted

    seen: set[str] = set()
    for ref in refs:
        for path in paths_of(ref, root):
            name, said = parted(path)
            known = str(Path(name).resolve()) + said
            if known not in seen:
                seen.add(known)
                yield path
