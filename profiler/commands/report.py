"""`tokenmill report`: recorded runs as a page, a screen, a table or a figure. Reads only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from profiler.commands.price_options import AsJson, RunsFolder
from profiler.commands.pricing import Pricing, with_prices
from profiler.commands.recorded import priced_runs
from profiler.commands.written import refuse_records, say_written, write_text
from triton_kernels.errors import TokenmillError

if TYPE_CHECKING:
    from profiler.economics.derive import Derived
    from profiler.economics.prices import PricePick
    from profiler.record.store import Run

    Reported = list[tuple[Run, PricePick, Derived]]

ENDINGS = (".html", ".md", ".csv", ".json", ".parquet", ".png", ".svg")
_OUTPUT = "Output"


@with_prices
def report(
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN", help="Recorded runs: a path, an id, `last`, a pattern like 'runs/**'; or other tools' result files.")
    ],
    output: Annotated[
        list[Path] | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="Write FILE by its ending: html, md, csv, json, parquet, png, svg. Repeatable.", rich_help_panel=_OUTPUT
        ),
    ] = None,
    csv: Annotated[str | None, typer.Option("--csv", metavar="FILE|-", help="Points as CSV, to a file or stdout (-).", rich_help_panel=_OUTPUT)] = None,
    as_json: AsJson = False,
    chart: Annotated[
        str, typer.Option(metavar="NAME", help="What a .png or .svg shows: pareto, waterfall, roofline or power.", rich_help_panel=_OUTPUT)
    ] = "pareto",
    at_least: Annotated[float | None, typer.Option(metavar="N", help="The cheapest point of at least so many tokens/s per user, in one line.")] = None,
    pareto: Annotated[
        str | None, typer.Option(metavar="FIGURE", help="Fronts of a figure: usd_per_mtok, output_tokens_per_s_per_gpu, tokens_per_s_per_mw.board, ...")
    ] = None,
    root: RunsFolder = Path("runs"),
    *,
    pricing: Pricing,
) -> None:
    """What runs found, from their records alone: one run on one screen, several in one table, very many by configuration.

    A page to open and to pass on is `tokenmill report last -o report.html`: one file that asks for nothing, with prices that its reader may change.
    """
    from profiler.commands import report_fleet

    files = [*(output or ()), *([Path(csv)] if csv not in (None, "-") else [])]
    _check(output or [], files, runs, to_stdout=[as_json, csv == "-"])
    many = report_fleet.fleet_paths(runs, root)
    if many is not None:
        asked = [name for name, value in (("--at-least", at_least), ("--pareto", pareto)) if value is not None]
        report_fleet.report_fleet(many, pricing, files, csv_to_stdout=csv == "-", as_json=as_json, asked=asked)
        return
    reported = priced_runs(runs, root, pricing)
    for path in output or ():
        _write(reported, path, chart, pricing)
    if csv not in (None, "-"):
        write_text(Path(str(csv)), _text(reported, "csv"))
    _say(reported, as_json=as_json, as_csv=csv == "-", at_least=at_least, pareto=pareto, quiet=bool(files))


def _check(output: list[Path], files: list[Path], runs: list[str], to_stdout: list[bool]) -> None:
    """What is wrong with a request is said before anything is read."""
    from profiler.foreign.reference import parted

    if all(to_stdout):
        raise TokenmillError("--json and --csv - both want stdout: give --csv a file")
    for path in output:
        if path.suffix.lower() not in ENDINGS:
            raise TokenmillError(f"-o {str(path)[:80]}: should end in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}")
    inputs = [parted(ref)[0] for ref in runs]
    for path in files:
        refuse_records("-o" if path in output else "--csv", path, inputs)


def _write(reported: Reported, path: Path, chart: str, pricing: Pricing) -> None:
    """One file by its ending."""
    ending = path.suffix.lower()
    if ending in (".png", ".svg"):
        from profiler.report.figures import write_figure

        write_figure(reported, path, chart)
        say_written(path)
    elif ending == ".parquet":
        from profiler.report.flat import flat_rows
        from profiler.report.parquet import write_parquet

        write_parquet(flat_rows(*(derived for _, _, derived in reported)), path)
        say_written(path)
    else:
        write_text(path, _page(reported, pricing) if ending == ".html" else _text(reported, ending.removeprefix(".")))


def _page(reported: Reported, pricing: Pricing) -> str:
    from profiler.economics.derive import DAMAGE, damaged
    from profiler.report.html.page import html_text

    try:
        return html_text(reported, pricing.book())
    except DAMAGE as error:
        raise damaged(reported[0][0], "the record", error) from error


def _text(reported: Reported, kind: str) -> str:
    from profiler.economics.derive import DAMAGE, damaged
    from profiler.report.csv import csv_text
    from profiler.report.flat import flat_rows
    from profiler.report.json_ import json_text
    from profiler.report.markdown import markdown_text

    try:
        if kind == "json":
            return json_text(reported)
        return markdown_text(reported) if kind == "md" else csv_text(flat_rows(*(derived for _, _, derived in reported)))
    except DAMAGE as error:
        raise damaged(reported[0][0], "the record", error) from error


def _say(reported: Reported, *, as_json: bool, as_csv: bool, at_least: float | None, pareto: str | None, quiet: bool) -> None:
    """What was asked for on stdout; the screen where nothing was, and no file was written."""
    if at_least is None and pareto is None:
        if as_json or as_csv:
            print(_text(reported, "json" if as_json else "csv"), end="\n" if as_json else "")
        elif not quiet:
            _show(reported)
        return
    from rich.console import Console

    from profiler.pareto.answer import cheapest_at, cheapest_line
    from profiler.pareto.front import fronts
    from profiler.report.pareto import print_fronts

    found = None if pareto is None else fronts(reported, pareto)
    if as_json:
        asked: dict[str, Any] = {} if at_least is None else {"cheapest_at": cheapest_at(reported, at_least)}
        print(json.dumps(asked | ({} if found is None else {"fronts": [front.json() for front in found]}), allow_nan=False))
        return
    if at_least is not None:
        print(cheapest_line(reported, at_least))
    if found is not None:
        print_fronts(found, Console(highlight=False))


def _show(reported: Reported) -> None:
    from rich.console import Console

    from profiler.economics.derive import DAMAGE, damaged
    from profiler.economics.serving import is_serving
    from profiler.report.runs_table import print_runs
    from profiler.report.screen import print_screen

    console = Console(highlight=False)
    try:
        if len(reported) == 1 and not any(is_serving(point) for point in reported[0][2].points):  # a screen is of what was run here
            print_screen(reported[0][0], reported[0][1], console)
        else:
            print_runs(reported, console)
    except UnicodeError:  # of the terminal, not of the record
        raise
    except DAMAGE as error:
        raise damaged(reported[0][0], "the record", error) from error
