"""`tokenmill list` on a terminal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from profiler.report.text import printable

if TYPE_CHECKING:
    from rich.console import Console

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Listing:
    """`rows` for --json, and what its document holds `beside` them; `columns` for a terminal: heading -> text of a row; `notes` below the table."""

    rows: list[Row]
    columns: dict[str, Callable[[Row], str]]
    notes: tuple[str, ...] = ()
    beside: dict[str, Any] = field(default_factory=dict)


def print_listing(listing: Listing, console: Console | None = None) -> None:
    from rich.console import Console
    from rich.table import Table

    console = console or Console(highlight=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for i, heading in enumerate(listing.columns):
        table.add_column(printable(heading), no_wrap=i == 0)
    for row in listing.rows:
        table.add_row(*(printable(text(row)) for text in listing.columns.values()))
    console.print(table)
    for note in listing.notes:
        console.print(f"[dim]{printable(note)}[/]")
