"""`tokenmill compare`: recorded runs against the first of them, and gates for CI. Reads only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from profiler.commands.price_options import PRICE_PANEL, AsJson, RunsFolder
from profiler.commands.pricing import Pricing, with_prices
from profiler.commands.recorded import read_each
from triton_kernels.errors import TokenmillError

if TYPE_CHECKING:
    from profiler.compare.comparison import Comparison
    from profiler.compare.reprice import Priced
    from profiler.record.store import Run

FailIf = Annotated[list[str] | None, typer.Option("--fail-if", metavar="GATE", help="Exit with 4 where it holds, such as 'usd_per_mtok > +3%'. Repeatable.")]


Reprice = Annotated[str, typer.Option(metavar="book|own", help="One price book for all, or what each run declared.", rich_help_panel=PRICE_PANEL)]


@with_prices
def compare(
    runs: Annotated[list[str], typer.Argument(metavar="RUN", help="Recorded runs: a path, an id, or `last`. The first is the baseline.")],
    allow: Annotated[str | None, typer.Option(metavar="WHAT", help="Compare in spite of unlike gpu, driver, recipe, boundary (a comma list).")] = None,
    fail_if: FailIf = None,
    as_json: AsJson = False,
    root: RunsFolder = Path("runs"),
    reprice: Reprice = "book",
    *,
    pricing: Pricing,
) -> int:
    """Is it faster, cheaper, or only noise? Rows of the same work side by side, each ratio with its interval and a verdict.

    Rows join when model, formats, batch, context, mix, deployment and kernels agree. More than noise: Welch's t over at least 5 windows each (from 20 the
    bootstrap as well), with Holm's correction for all that is compared at once, so that copies with noise show none 19 times in 20.

    Gates: a FIGURE, one of > < >= <=, and +N% or -N%: the change of the last run against the first, where what is no more than noise violates nothing.
    Or a number, for the last run's figure itself. A gate that finds nothing to look at fails.
    """
    from profiler.compare.comparison import compare as compare_runs
    from profiler.compare.gates import exit_code, parse_gate
    from profiler.compare.join import parse_allowed
    from profiler.compare.reprice import BOOK, at_one_price, check_reprice, repriced
    from profiler.compare.subject import subjects_of

    check_reprice(reprice)
    gates, allowed = [parse_gate(text) for text in fail_if or ()], parse_allowed(allow)
    book = pricing.book()

    def read(run: Run) -> Priced:
        priced = repriced(run, book, pricing.flags, reprice)
        subjects_of(*priced)  # what is damaged fails here, where the run may be left out
        return priced

    priced = read_each(runs, root, read)
    if reprice == BOOK:
        priced = at_one_price(priced, book, pricing.flags)
    comparison = compare_runs(priced, reprice=reprice, allowed=allowed, gates=gates)
    if len(priced) == 1 and not comparison.precisions:
        raise TokenmillError(f"{comparison.facts[0].name} alone: name a second run to compare it with (one run does where it holds several precisions)")
    _say(comparison, as_json)
    return exit_code(comparison.gates)


def _say(comparison: Comparison, as_json: bool) -> None:
    if as_json:
        print(json.dumps(comparison.json(), allow_nan=False))
        return
    from rich.console import Console

    from profiler.report.compare import print_comparison

    print_comparison(comparison, Console(highlight=False))
