"""Lines of the terminal's report as plain text for a page."""

from __future__ import annotations

from profiler.report.text import plain


def unmarked(line: str) -> str:
    """The text of a line that was made for a terminal, without its markup."""
    from rich.text import Text

    return plain(Text.from_markup(line).plain)


def cut(text: str, most: int = 80) -> str:
    """A name for a title or a label: of a longer one its first `most` characters and an ellipsis."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def joined(names: list[str], most: int = 3, between: str = ", ") -> str:
    """`a, b and 4 more`."""
    return between.join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
