"""Which runs a reference names: a pattern or a folder of runs becomes the runs in it. Reads names only, never a record."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from fnmatch import translate
from pathlib import Path

from triton_kernels.errors import TokenmillError

MOST_FOLDERS = 200_000  # looked into for one pattern: `/**` should end with an answer
MOST_PARTS = 200  # of a path that `**` goes down
_MAGIC = re.compile(r"[*?\[]")


def expand(ref: str, root: Path) -> list[str]:
    """The run folders that `ref` names, sorted.

    A pattern (`*`, `?`, `[...]`; `**` for any depth) is matched from here, else under `root`. It finds run folders, folders that hold runs, and files
    where its last part has an ending (`*.json`). A folder that is no run but holds some stands for them. Everything else is returned as it is.
    TokenmillError for a pattern that matches nothing.
    """
    if _is_pattern(ref):
        found = _matches(ref) or ([] if Path(ref).is_absolute() else _matches(str(root / ref)))
        if not found:
            raise TokenmillError(f"no run matches {ref[:120]!r}: try it with `ls`, or give a folder that holds runs, such as runs/")
        return found
    if ref not in ("", "last") and not _is_run(root / ref):
        for folder in (Path(ref), root / ref):
            if inside := _runs_in(folder):
                return inside
    return [ref]


def _is_pattern(ref: str) -> bool:
    """A folder may be called `a[1]`: what is there under its whole name is no pattern."""
    return _MAGIC.search(ref) is not None and not os.path.exists(ref)


def _matches(pattern: str) -> list[str]:
    path = Path(pattern)
    parts = path.parts[1:] if path.is_absolute() else path.parts
    walk = _Walk(files=_MAGIC.sub("", Path(parts[-1]).suffix) not in ("", "."))
    return sorted(set(walk.matches(Path(path.anchor), parts)))


class _Walk:
    """One pattern's way down the folders. Runs are not looked into: a record holds no runs."""

    def __init__(self, *, files: bool) -> None:
        self._files = files
        self._folders = 0

    def matches(self, folder: Path, parts: Sequence[str]) -> Iterator[str]:
        if not parts:
            yield from [str(folder)] if _is_run(folder) else _runs_in(folder)
            return
        head, rest = parts[0], parts[1:]
        if head == "**":
            yield from self.matches(folder, rest)
            if not _is_run(folder) and len(folder.parts) < MOST_PARTS:
                for child in self._children(folder):
                    if child.is_dir(follow_symlinks=False) and not child.name.startswith("."):
                        yield from self.matches(Path(child), parts)
        elif _MAGIC.search(head) is None:
            yield from self._step(folder / head, rest)
        else:
            matching = re.compile(translate(head))
            for child in self._children(folder):
                if matching.match(child.name) and (not child.name.startswith(".") or head.startswith(".")):
                    yield from self._step(Path(child), rest)

    def _step(self, path: Path, rest: Sequence[str]) -> Iterator[str]:
        if os.path.isdir(path):
            yield from self.matches(path, rest)
        elif not rest and os.path.isfile(path):
            if _is_run(path.parent):
                yield str(path.parent)
            elif self._files:
                yield str(path)

    def _children(self, folder: Path) -> list[os.DirEntry[str]]:
        self._folders += 1
        if self._folders > MOST_FOLDERS:
            raise TokenmillError(f"the pattern looks into more than {MOST_FOLDERS} folders: begin it further down")
        return _entries(folder)


def _runs_in(folder: Path) -> list[str]:
    """The runs right in a folder that is none itself; [] for everything else."""
    if _is_run(folder):
        return []
    return sorted(entry.path for entry in _entries(folder) if _is_run(Path(entry)))


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except (OSError, ValueError):  # not there, a file, somebody else's, or no name at all
        return []


def _is_run(folder: Path) -> bool:
    return os.path.isfile(folder / "run.json")
