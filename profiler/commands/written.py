"""Files that reading commands write: never in the place of a record, and a reason in one line where that fails."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import typer

from triton_kernels.errors import TokenmillError


def refuse_records(flag: str, path: Path, inputs: Iterable[str] = ()) -> None:
    """A TokenmillError where `path` lies in a run's folder, or is one, or is a file that is read: what is written never takes the place of a record."""
    folder = path.resolve().parent
    if path.is_dir() or any((place / "run.json").is_file() for place in (folder, folder.parent)):
        raise TokenmillError(f"{flag} {str(path)[:120]}: lies in a run's folder, or is one; choose a file elsewhere")
    if path.is_file() and any(_same(path, name) for name in inputs):
        raise TokenmillError(f"{flag} {str(path)[:120]}: is what is read; choose another file")


def _same(path: Path, name: str) -> bool:
    try:
        return path.samefile(name)
    except (OSError, ValueError):  # an id, or no name of a file at all
        return False


def write_text(path: Path, text: str) -> None:
    """Writes the text with a line end behind it and says so on stderr. TokenmillError where it cannot be written."""
    try:
        path.write_text(text if text.endswith("\n") else text + "\n", encoding="utf-8")
    except OSError as error:
        raise TokenmillError(f"{path}: cannot be written ({error.strerror}); choose another file") from error
    say_written(path)


def say_written(path: Path) -> None:
    typer.echo(f"wrote {path}", err=True)
