"""`tokenmill report`: recorded runs as a screen, a table, CSV or JSON. Reads only."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from profiler.commands.price_options import AsJson, NodeWatts, PriceBookFile, PriceKind, Pue, RunsFolder, UsdPerGpuHour, Utilisation, price_flags
from profiler.commands.recorded import priced_runs
from triton_kernels.errors import TokenmillError

if TYPE_CHECKING:
    from profiler.economics.derive import Derived
    from profiler.economics.prices import PricePick
    from profiler.record.store import Run


def report(
    runs: Annotated[list[str], typer.Argument(metavar="RUN", help="Recorded runs: a path, an id, or `last`.")],
    csv: Annotated[str | None, typer.Option("--csv", metavar="FILE|-", help="Points as CSV, to a file or stdout (-).")] = None,
    as_json: AsJson = False,
    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write FILE.csv or FILE.json, by its ending.")] = None,
    root: RunsFolder = Path("runs"),
    usd_per_gpu_hour: UsdPerGpuHour = None,
    price_kind: PriceKind = None,
    price_book: PriceBookFile = None,
    watts: NodeWatts = None,
    pue: Pue = None,
    utilisation: Utilisation = 1.0,
) -> None:
    """What a run found, from its record alone: one run on one screen, several in one table; or as CSV or JSON."""
    if as_json and csv == "-":
        raise TokenmillError("--json and --csv - both want stdout: give --csv a file")
    if output is not None and output.suffix not in (".csv", ".json"):
        raise TokenmillError(f"-o {str(output)[:80]}: should end in .csv or .json")
    flags = price_flags(usd_per_gpu_hour=usd_per_gpu_hour, price_kind=price_kind, watts=watts, pue=pue, utilisation=utilisation)
    reported = priced_runs(runs, root, price_book, flags)
    files = {path: path.suffix for path in (output, Path(csv) if csv not in (None, "-") else None) if path is not None}
    for path, suffix in files.items():
        _write(path, _text(reported, "json" if suffix == ".json" and path == output else "csv"))
    if as_json or csv == "-":
        print(_text(reported, "json" if as_json else "csv"), end="\n" if as_json else "")
    elif not files:
        _show(reported)


def _text(reported: list[tuple[Run, PricePick, Derived]], kind: str) -> str:
    from profiler.economics.derive import DAMAGE, damaged
    from profiler.report.csv import csv_text
    from profiler.report.frame import flat_rows
    from profiler.report.json_ import json_text

    try:
        if kind == "json":
            return json_text(reported)
        return csv_text([row for _, _, derived in reported for row in flat_rows(derived)])
    except DAMAGE as error:
        raise damaged(reported[0][0], "the record", error) from error


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text if text.endswith("\n") else text + "\n", encoding="utf-8")
    except OSError as error:
        raise TokenmillError(f"{path}: cannot be written ({error.strerror}); choose another file") from error
    typer.echo(f"wrote {path}", err=True)


def _show(reported: list[tuple[Run, PricePick, Derived]]) -> None:
    from rich.console import Console

    from profiler.economics.derive import DAMAGE, damaged
    from profiler.report.runs_table import print_runs
    from profiler.report.screen import print_screen

    console = Console(highlight=False)
    try:
        if len(reported) == 1:
            print_screen(reported[0][0], reported[0][1], console)
        else:
            print_runs(reported, console)
    except UnicodeError:  # of the terminal, not of the record
        raise
    except DAMAGE as error:
        raise damaged(reported[0][0], "the record", error) from error
