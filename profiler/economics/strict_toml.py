"""TOML files that people write, read strictly: a typo, a price in cents or another currency is one line with the key and the line number, not a headline."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triton_kernels.errors import TokenmillError, unknown

MAX_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Document:
    """A parsed file that knows where its keys stand. `what` names its kind in errors: "price book", "claims"."""

    what: str
    path: Path
    text: str
    data: dict[str, Any]

    def known(self, table: Mapping[str, Any], keys: Iterable[str], where: str) -> None:
        """A TokenmillError for a key that is none of `keys`, with the nearest of them."""
        for key in table:
            if key not in (allowed := tuple(keys)):
                raise self.error(_at(where, key), str(unknown("key", key, allowed)))

    def table(self, data: Mapping[str, Any], key: str, where: str) -> dict[str, Any]:
        value = data.get(key, {})
        if not isinstance(value, dict):
            raise self.error(_at(where, key), "should be a table")
        return value

    def string(self, data: Mapping[str, Any], key: str, where: str) -> str | None:
        value = data.get(key)
        if value is not None and not isinstance(value, str):
            raise self.error(_at(where, key), "should be text in quotes")
        return value

    def number(self, data: Mapping[str, Any], key: str, where: str, *, least: float, most: float, unit: str, zero: bool = False) -> float | None:
        """A finite number from `least` to `most`; 0 only where `zero` says that it is a figure and not a gap."""
        value = data.get(key)
        if value is None:
            return None
        at = _at(where, key)
        if isinstance(value, str):
            raise self.error(at, f"should be a number ({unit}), not text; other currencies and units have to be converted")
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error(at, f"should be a number ({unit}), not {type(value).__name__}")
        if not math.isfinite(value) or not least <= value <= most or (value == 0 and not zero):
            raise self.error(at, f"{value}: should be {unit}, {f'from {least:g}' if least or zero else 'above 0'} to {most:g}")
        return float(value)

    def error(self, at: str, what: str) -> TokenmillError:
        line = self._line(at)
        return TokenmillError(f"{self.what} {self.path}{f', line {line}' if line else ''}: {at}: {what}")

    def _line(self, at: str) -> int | None:
        """The line that most likely holds the dotted key `at`: the first line naming its last part, after the header that names the one before."""
        lines, start = self.text.splitlines(), 0
        for part in at.split("."):
            found = next((i for i in range(start, len(lines)) if re.search(rf"(?<![\w-])[\"']?{re.escape(part)}(?![\w-])", lines[i].split("#")[0])), None)
            if found is None:
                return None
            start = found
        return start + 1


def _at(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def read_document(path: Path, what: str) -> Document:
    """The file at `path`, at most 1 MiB of UTF-8 TOML. Raises TokenmillError naming the file for anything else."""
    try:
        with path.open("rb") as file:  # read up to the cap: /dev/zero has no size and no end
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise TokenmillError(f"{what} {path}: larger than 1 MiB; is it a {what}?")
        text = content.decode()
        return Document(what=what, path=path, text=text, data=tomllib.loads(text))
    except OSError as error:
        raise TokenmillError(f"{what} {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise TokenmillError(f"{what} {path}: not UTF-8 text") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise TokenmillError(f"{what} {path}: not TOML: {error}") from error
