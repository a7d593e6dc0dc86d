"""The page: its sections in order, each from the folder's files alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from profiler.economics.derive import DAMAGE
from profiler.evidence.page.checks import checks
from profiler.evidence.page.folder import Folder, read_folder
from profiler.evidence.page.head import head, title
from profiler.evidence.page.missing import missing
from profiler.evidence.page.newcomer import newcomer
from profiler.evidence.page.points import points
from profiler.evidence.page.repeats import repeats
from profiler.evidence.page.sensors import sensors
from profiler.evidence.page.shapes import shapes
from profiler.evidence.text import place
from triton_kernels.errors import TokenmillError

NAME = "summary.md"
SECTIONS: tuple[Callable[[Folder], list[str]], ...] = (title, head, checks, newcomer, points, shapes, sensors, repeats, missing)


def write_page(out: Path) -> str:
    """Writes summary.md and returns where it is. TokenmillError for a folder without evidence."""
    (out / NAME).write_text(page_text(read_folder(out)), encoding="utf-8")
    return f"{place(out)}/{NAME}"


def page_text(folder: Folder) -> str:
    """A section whose files are not as they should be says so, and the others stand."""
    blocks = []
    for section in SECTIONS:
        try:
            lines = section(folder)
        except (*DAMAGE, TokenmillError) as e:
            lines = [f"**{section.__name__}: its files are not as they should be ({type(e).__name__})**"]
        if lines:
            blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"
