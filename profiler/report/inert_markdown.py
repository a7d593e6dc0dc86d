"""Text from records as Markdown that stays text: in renderers of CommonMark, of GitHub's dialect or of neither, and in the HTML that they let through."""

from __future__ import annotations

import re

from rich.errors import MarkupError
from rich.table import Table
from rich.text import Text

from profiler.report.text import plain

# HTML's own characters become entities, which every renderer knows; the rest are escaped as CommonMark has it. `$` begins mathematics on GitHub.
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_ACTIVE = re.compile(r"[\\`*_\[\]|~$]")
_FIRST = re.compile(r"\A(\d+)(?=[.)](?:\s|\Z))|\A(?=[#+=:-])")  # what would begin a list, a heading or a rule
# Addresses become links, and @names mentions, without any markup; a joiner of no width inside keeps their letters and is seen by no eye.
_JOINER = "\u2060"
_LINKS = re.compile(r"(?<=:)(?=//)|(?<=[wW]{3})(?=\.)|(?<=@)|(?<=mailto)(?=:)|(?<=xmpp)(?=:)", re.IGNORECASE)
_LONGEST = 400


def md(text: object) -> str:
    """Any text as inert inline Markdown on one line, without space at its ends, which bold would trip over; cut at 400 characters."""
    kept = plain(text).strip()
    kept = kept if len(kept) <= _LONGEST else f"{kept[: _LONGEST - 1]}…"
    kept = _LINKS.sub(_JOINER, kept)
    kept = _ACTIVE.sub(lambda found: f"\\{found[0]}", kept.translate(_ENTITIES))
    return _FIRST.sub(lambda found: f"{found[1]}\\" if found[1] else "\\", kept)


def md_of_markup(markup: str) -> str:
    """A line that was made for a terminal (rich's markup), without its colours, as inert Markdown."""
    try:
        return md(Text.from_markup(markup).plain)
    except MarkupError:  # a string that nobody made safe for a terminal
        return md(markup)


def fenced(lines: list[str], language: str = "") -> str:
    """Lines as a block of code, which no backticks inside can end."""
    kept = [plain(line) for line in lines]
    longest = max((len(run) for line in kept for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([f"{fence}{language}", *kept, fence])


def md_table(table: Table, *, without: tuple[int, ...] = ()) -> str:
    """A table that was made for a terminal as a Markdown table. Rows in bold stay so; the columns `without` (of bars) are left out."""
    columns = [column for n, column in enumerate(table.columns) if n not in without]
    lines = [
        _row([md_of_markup(" ".join(str(column.header).split())) for column in columns]),
        _row(["--:" if column.justify == "right" else ":--" for column in columns]),
    ]
    cells = [[md_of_markup(cell) if isinstance(cell, str) else "" for cell in column.cells] for column in columns]
    for row, line in zip(table.rows, zip(*cells, strict=True), strict=True):
        mark = "**" if row.style == "bold" else "*" if "italic" in str(row.style) else ""
        lines.append(_row([f"{mark}{cell}{mark}" if cell else "" for cell in line]))
    return "\n".join(lines)


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
