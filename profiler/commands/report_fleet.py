"""`tokenmill report` of more runs than one reads one by one: by configuration, in memory that does not grow with their number."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from os.path import isfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from profiler.commands.pricing import Pricing
from profiler.commands.written import say_written, write_text
from triton_kernels.errors import TokenmillError

if TYPE_CHECKING:
    from profiler.economics.price_book import PriceBook
    from profiler.fleet.part import Unreadable
    from profiler.fleet.summary import Fleet

# Beyond either a table of points is no answer any more.
MOST_RUNS, MOST_POINTS = 50, 5000
ENDINGS = (".html", ".csv", ".json", ".parquet")


def fleet_paths(refs: Sequence[str], root: Path) -> list[Path] | None:
    """Where the runs lie that `refs` name, where they are a fleet; None where they are few. TokenmillError for a pattern that matches nothing."""
    from profiler.foreign.reference import parted
    from profiler.record.find import expand

    found: dict[str, None] = {}
    for ref in refs:
        name, said = parted(ref)
        found |= dict.fromkeys(f"{path}{said}" for path in expand(name, root))
    places = [_place(path, root) for path in found]
    return places if len(places) > MOST_RUNS or _many_points(places) else None


def _place(path: str, root: Path) -> Path:
    """An id under `root` as its folder."""
    return root / path if isfile(root / path / "run.json") else Path(path)  # which takes a name that is too long for no file


def _many_points(places: Sequence[Path]) -> bool:
    lines = 0
    for place in places:
        try:
            with (place / "points.jsonl").open("rb") as file:
                lines += sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
        except (OSError, ValueError):  # another tool's file, or `last`
            continue
        if lines > MOST_POINTS:
            return True
    return False


def report_fleet(
    paths: list[Path], pricing: Pricing, files: Sequence[Path], *, csv_to_stdout: bool, as_json: bool, asked: Sequence[str]
) -> None:
    """Writes `files` by their endings; else prints the summary. TokenmillError for what only single runs have."""
    too_many = f"{len(paths):,} runs are read by configuration"
    if asked or csv_to_stdout:
        raise TokenmillError(f"{too_many}: {', '.join(asked) or '--csv -'} is for fewer; name them, or give --csv a file")
    for path in files:
        if path.suffix.lower() not in ENDINGS:
            raise TokenmillError(f"-o {str(path)[:80]}: {too_many}, in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}")
    typer.echo(f"reading {len(paths):,} runs", err=True)
    book, flags = pricing.book(), pricing.flags
    _write_points(paths, book, flags, [path for path in files if path.suffix.lower() in (".csv", ".parquet")])
    grouped = [path for path in files if path.suffix.lower() not in (".csv", ".parquet")]
    if grouped or as_json or not files:
        _say(_fleet(paths, book, flags), grouped, as_json=as_json, quiet=bool(files))


def _fleet(paths: list[Path], book: PriceBook, flags: Mapping[str, Any]) -> Fleet:
    from profiler.fleet.summary import fleet_of

    return fleet_of(paths, book, flags)


def _write_points(paths: list[Path], book: PriceBook, flags: Mapping[str, Any], files: Sequence[Path]) -> None:
    from profiler.fleet.points import write_points

    left_out: dict[str, Unreadable] = {}
    for path in files:
        left_out |= {entry.path: entry for entry in write_points(paths, book, flags, path)}
        say_written(path)
    for entry in list(left_out.values())[:5]:
        typer.echo(f"left out: {entry.why}", err=True)
    if len(left_out) > 5:
        typer.echo(f"and {len(left_out) - 5:,} more runs that could not be read", err=True)


def _say(fleet: Fleet, files: Sequence[Path], *, as_json: bool, quiet: bool) -> None:
    document = json.dumps(fleet.to_json(), allow_nan=False)
    for path in files:
        if path.suffix.lower() == ".html":
            from profiler.report.html.fleet import fleet_html_text

            write_text(path, fleet_html_text(fleet))
        else:
            write_text(path, document)
    if as_json:
        print(document)
    elif not quiet:
        from rich.console import Console

        from profiler.report.fleet import print_fleet

        print_fleet(fleet, Console(highlight=False))
