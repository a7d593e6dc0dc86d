"""How an inspection goes, on stderr: variants done, time left."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

_EVERY_S = 15.0  # between lines where stderr is no terminal


class KernelsProgress:
    """A live line on a terminal; elsewhere a plain line now and then."""

    def __init__(self, console: Console) -> None:
        self._console = console
        count = TextColumn("{task.completed:.0f} of {task.total}  {task.fields[left]}")
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=20), count)
        self._progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._progress.add_task("compiling and reading variants", total=None, left="")
        self._began_s = self._said_s = time.monotonic()
        self._first_s: float | None = None

    def __enter__(self) -> KernelsProgress:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def done(self, done: int, of: int) -> None:
        """`done` variants of `of` are finished. The time left is what those behind the first took, so that starting up is not counted again."""
        now_s = time.monotonic()
        if self._first_s is None:
            self._first_s = now_s
        each_s = (now_s - self._first_s) / max(1, done - 1)
        minutes, seconds = divmod(round(each_s * (of - done)), 60)
        left = f"about {minutes}:{seconds:02d} left" if done > 1 else ""
        self._progress.update(self._task, total=of, completed=done, left=left)
        if not self._console.is_terminal and done < of and now_s - self._said_s >= _EVERY_S:
            self._said_s = now_s
            self._console.print(f"{done} of {of} variants, {left}", highlight=False, soft_wrap=True)
