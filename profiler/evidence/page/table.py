"""A Markdown table of cells that are inert already."""

from __future__ import annotations

from collections.abc import Sequence


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> list[str]:
    """Lines; the first `left` columns stand left, the others right."""
    marks = [":--" if place < left else "--:" for place in range(len(headings))]
    return [f"| {' | '.join(cells)} |" for cells in (headings, marks, *rows)]
