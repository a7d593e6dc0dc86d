"""Lines with a name in front: how findings stand on a screen."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table


def labelled(lines: Sequence[tuple[str, str]], width: int = 9) -> Table:
    """(label, text) each; texts fold beside a column of labels `width` wide."""
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(width=width, no_wrap=True, style="cyan")
    grid.add_column(ratio=1, overflow="fold")
    for label, text in lines:
        grid.add_row(label, text)
    return grid
