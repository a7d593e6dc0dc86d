"""Text made fit to be published: without this machine's paths and name."""

from __future__ import annotations

import platform
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_FOLDERS = re.compile(r"(?<![\w.:/~-])/(?:[^\s/'\":,;()\[\]]+/)+")  # of an absolute path; an address on the web has its // after a colon


def without_paths(text: str) -> str:
    """`text` with only the last name of each absolute path, and without the machine's name."""
    host = platform.node()
    text = _FOLDERS.sub("", text)
    return re.sub(rf"\b{re.escape(host)}\b", "this-host", text) if len(host) > 2 else text


def shown(command: Sequence[str]) -> str:
    """A command as a reader would type it from the tree's root."""
    return shlex.join("python3" if word == sys.executable else word if word.startswith("-") else _relative(word) for word in command)


def place(folder: Path) -> str:
    """A folder from the tree's root; of one that lies elsewhere its name."""
    found = folder.resolve()
    return str(found.relative_to(ROOT)) if found.is_relative_to(ROOT) else found.name


def _relative(word: str) -> str:
    return place(Path(word)) if word.startswith("/") else word


def first_line(text: str, most: int = 200) -> str:
    """The last line of what a process said of its end, where a Python error names itself, fit to be published; "" where it said nothing."""
    lines = text.strip().splitlines()
    return without_paths(lines[-1].strip())[:most] if lines else ""
