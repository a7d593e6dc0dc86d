"""`tokenmill list` on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from profiler.report.text import printable

if TYPE_CHECKING:
    from profiler.report.listing_rows import Listing


def print_listing(listing: Listing, console: Console | None = None) -> None:
    console = console or Console(highlight=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for i, heading in enumerate(listing.columns):
        table.add_column(printable(heading), no_wrap=i == 0)
    for row in listing.rows:
        table.add_row(*(printable(text(row)) for text in listing.columns.values()))
    console.print(table)
    for note in listing.notes:
        console.print(f"[dim]{printable(note)}[/]")
