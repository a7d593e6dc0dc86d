"""One row of another tool's file, read with suspicion: every number is checked for its type, its sign and its size, every text is plain and short."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from profiler.report.text import plain
from triton_kernels.errors import TokenmillError

# Beyond these a figure is no measurement of a GPU but a wrong unit or a broken file.
MOST_TOKENS_PER_S = 1e9  # per GPU
MOST_SECONDS = 1e7
MOST_WATTS = 1e8  # of a deployment
MOST_JOULES = 1e15
MOST_COUNT = 1 << 53
MOST_GPUS = 1 << 20
MOST_KEPT = 200  # fields of a row that a point keeps as they were
MOST_TEXT = 160

_TRUE, _FALSE = ("true", "1", "on", "yes"), ("false", "0", "off", "no", "none", "")


@dataclass(frozen=True, kw_only=True)
class Fields:
    """A JSON object or a CSV line of `file`. `where` names the row in messages: "row 3: ", or "" where there is one only."""

    file: str
    where: str
    data: Mapping[str, Any]

    def text(self, *names: str) -> str | None:
        """The first of the named fields that is there and not empty, on one line, cut to 160 characters."""
        for name in names:
            value = self.data.get(name)
            if isinstance(value, dict | list):
                raise self.error(name, value, "text")
            found = _short(value, MOST_TEXT) if value is not None else ""
            if found:
                return found
        return None

    def number(self, name: str, *, most: float, scale: float = 1.0) -> float | None:
        """The field times `scale`; numbers written as text count. None where it is absent, null or empty. TokenmillError unless it is from 0 to `most`."""
        value = self.data.get(name)
        if value is None or value == "":
            return None
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise self.error(name, value, "a number")
        try:
            found = float(value) * scale if scale >= 1 else float(value) / round(1 / scale)  # 18 ms is 0.018 s, not 0.018000000000000002
        except (ValueError, OverflowError) as error:
            raise self.error(name, value, "a number") from error
        if not math.isfinite(found) or not 0 <= found <= most:
            raise self.error(name, value, f"from 0 to {most / scale:.4g}")
        return found

    def rate(self, name: str) -> float | None:
        """Tokens/s per GPU. 0 is None: nothing came out."""
        return self.number(name, most=MOST_TOKENS_PER_S) or None

    def whole(self, name: str, *, most: int = MOST_COUNT) -> int | None:
        """A count."""
        found = self.number(name, most=most)
        if found is not None and found != int(found):
            raise self.error(name, self.data[name], "a whole number")
        return None if found is None else int(found)

    def flag(self, name: str) -> bool | None:
        """true, "true", "1", "on" and their opposites; None where it is absent."""
        value = self.data.get(name)
        word = str(value).lower() if isinstance(value, bool | int | float | str) else None
        if value is None or word in _TRUE or word in _FALSE:
            return None if value is None else word in _TRUE
        raise self.error(name, value, "true or false")

    def inner(self, *names: str) -> Fields:
        """The object at a path of names; an empty one where it is not there."""
        data: Any = self.data
        for name in names:
            data = data.get(name) if isinstance(data, Mapping) else None
        found = data if isinstance(data, Mapping) else {}
        return Fields(file=self.file, where=f"{self.where}{'.'.join(names)}.", data=found)

    def kept(self, *names: str) -> dict[str, Any]:
        """The row's own fields (`names` alone, where given) as they were: numbers, flags and short texts, nested ones with dotted names. Lists are left out."""
        found: dict[str, Any] = {}
        _flatten("", {name: self.data[name] for name in names if name in self.data} if names else self.data, found)
        return found

    def error(self, name: str, value: object, wanted: str) -> TokenmillError:
        return TokenmillError(f"{self.file}: {self.where}{plain(name)[:60]} is {plain(repr(value))[:60]}, should be {wanted}; correct or remove it")


def _flatten(prefix: str, data: Mapping[str, Any], found: dict[str, Any]) -> None:
    for key, value in data.items():
        if len(found) >= MOST_KEPT:
            return
        name = f"{prefix}{_short(key, 60)}"
        if isinstance(value, Mapping) and name.count(".") < 4:
            _flatten(f"{name}.", value, found)
        elif isinstance(value, str):
            found[name] = _short(value, MOST_TEXT)
        elif isinstance(value, bool) or (isinstance(value, int | float) and abs(value) < 1e300):
            found[name] = value


def _short(value: object, most: int) -> str:
    """`value` as plain text of at most so many characters. A printable text holds nothing that would have to go, and thousands of names are."""
    text = str(value)
    return (text if text.isprintable() else plain(text)).strip()[:most]
