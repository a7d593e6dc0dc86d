"""Which columns of a table a narrow screen has room for: what tells rows apart stays, the figures of least use go, and their names are handed back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.errors import MarkupError
from rich.text import Text

FOLD = 8  # letters of a name that stay on one line
_PADDING = 1  # right of each column


@dataclass(frozen=True, kw_only=True)
class Room:
    """What is known of one column. `use`: the least useful goes first; None: it stays. `empty`: it holds no figure. `name`: its cells may fold."""

    texts: Sequence[str]  # heading and cells, as rich markup; lines by newlines
    use: int | None
    empty: bool
    name: bool


def fitted(columns: Sequence[Room], width: int, spare: int) -> tuple[list[int], dict[int, int]]:
    """The places of the columns that stay within `width` cells, and the widths of those names that fold. `spare` cells are kept where a column goes."""
    wide = [max((_wide(text) for text in column.texts), default=0) for column in columns]
    kept, room = list(range(len(columns))), width
    for place in _order(columns, empty=True):
        if _total(kept, wide) <= room:
            break
        kept, room = [other for other in kept if other != place], width - spare
    names = [place for place in kept if columns[place].name]
    folded = _folded(kept, names, wide, room)
    for place in _order(columns, empty=False):
        if _total(kept, folded) <= room:
            break
        kept, room = [other for other in kept if other != place], width - spare
        folded = _folded(kept, names, wide, room)
    return kept, {place: folded[place] for place in names if folded[place] < wide[place]}


def _order(columns: Sequence[Room], *, empty: bool) -> list[int]:
    """Columns that may go, the first to go first."""
    return sorted((n for n, column in enumerate(columns) if column.use is not None and column.empty == empty), key=lambda n: columns[n].use or 0)


def _folded(kept: Sequence[int], names: Sequence[int], wide: Sequence[int], room: int) -> list[int]:
    """Widths with the widest names made narrower, down to FOLD, until all have room."""
    found = list(wide)
    while _total(kept, found) > room:
        widest = max(names, key=lambda place: found[place], default=None)
        if widest is None or found[widest] <= FOLD:
            break
        found[widest] -= 1
    return found


def _total(kept: Sequence[int], wide: Sequence[int]) -> int:
    return sum(wide[place] + _PADDING for place in kept)


def _wide(markup: str) -> int:
    try:
        text = Text.from_markup(markup)
    except MarkupError:  # a string that nobody made safe for a terminal
        text = Text(markup)
    return max((line.cell_len for line in text.split("\n")), default=0)
