"""Reading a config.json as untrusted data: every value checked, every refusal one line that names the file and the key."""

from __future__ import annotations

import json
import math
from collections.abc import Collection
from pathlib import Path
from typing import Any

from triton_kernels.errors import TokenmillError

MOST_BYTES = 4 << 20  # the largest published config.json is under 100 kB; generous, yet read in milliseconds

_REQUIRED = object()


class Config:
    """The top-level object of a config.json, or a table inside it. It remembers which keys were read, so that the rest can be refused."""

    def __init__(self, path: Path, values: dict[str, Any], inside: str = "") -> None:
        self.path = path
        self._values = values
        self._inside = inside  # "rope_scaling." for the keys of that table
        self._read: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return self._values.get(key) is not None

    def states(self, key: str) -> bool:
        """Whether the key stands there at all; `null` is a statement too."""
        return key in self._values

    def error(self, key: str, problem: str) -> TokenmillError:
        return TokenmillError(f"{self.path}: {self._inside}{key}: {problem}")

    def refuse_unknown(self, kind: str, ignored: Collection[str]) -> None:
        """Refuses a key that was neither read nor is known to change nothing: what it means to a step of `kind` is not known."""
        for key, value in self._values.items():
            if value is not None and key not in self._read and key not in ignored:
                name = key if key.isprintable() and len(key) <= 60 else _short(key)
                raise self.error(name, f"is not a key tokenmill knows of {kind}; remove it if it changes nothing that a step computes")

    def only(self, key: str, wanted: Any, what: str) -> None:
        """Refuses any value but `wanted`, and calls what another one would mean `what`. Absent is `wanted`."""
        value = self._value(key)
        if value is None or (value == wanted and isinstance(value, bool) == isinstance(wanted, bool)):
            return
        if isinstance(wanted, bool):
            if not isinstance(value, bool):
                raise self.error(key, f"should be true or false, got {_short(value)}")
            raise self.error(key, f"{what} is not supported yet; supported: {_short(wanted)}")
        shown = repr(value[:40]) if isinstance(value, str) else _short(value)
        raise self.error(key, f"{what} {shown} is not supported; supported: {wanted if isinstance(wanted, str) else _short(wanted)}")

    def same(self, key: str, value: Any, other: str) -> None:
        """Refuses a key that says again what `other` says, and says it differently. Absent is the same."""
        again = self._value(key)
        if again is not None and (again != value or isinstance(again, bool) != isinstance(value, bool)):
            raise self.error(key, f"is {_short(again)}, but {other} is {_short(value)}; the two should be equal")

    def _value(self, key: str) -> Any:
        self._read.add(key)
        return self._values.get(key)

    def _get(self, key: str, default: Any) -> Any:
        value = self._value(key)
        if value is None:
            if default is _REQUIRED or default is None:
                raise self.error(key, "is missing")
            return default
        return value

    def size(self, key: str, *, most: int, least: int = 1, default: Any = _REQUIRED) -> int:
        """A count from `least` to `most`."""
        value = self._get(key, default)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.error(key, f"should be a whole number, got {_short(value)}")
        if not least <= value <= most:
            raise self.error(key, f"should be from {least} to {most}, got {_short(value)}")
        return value

    def number(self, key: str, *, default: Any = _REQUIRED, zero: bool = False) -> float:
        """A positive finite number, or 0 where `zero` says so."""
        value = self._get(key, default)
        if zero and value == 0 and not isinstance(value, bool):
            return 0.0
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e30 or not math.isfinite(value):
            raise self.error(key, f"should be a positive number, got {_short(value)}")
        return float(value)

    def flag(self, key: str, *, default: Any = _REQUIRED) -> bool:
        value = self._get(key, default)
        if not isinstance(value, bool):
            raise self.error(key, f"should be true or false, got {_short(value)}")
        return value

    def string(self, key: str, *, default: Any = _REQUIRED) -> str:
        value = self._value(key)
        if value is None and default is None:
            return ""
        value = self._get(key, default)
        if not isinstance(value, str):
            raise self.error(key, f"should be text, got {_short(value)}")
        return value

    def sizes(self, key: str) -> tuple[int, ...]:
        """A list of whole numbers from 0; absent is empty."""
        value = self._value(key) or []
        if not isinstance(value, list) or any(isinstance(v, bool) or not isinstance(v, int) or v < 0 for v in value):
            raise self.error(key, f"should be a list of whole numbers, got {_short(value)}")
        return tuple(value)

    def strings(self, key: str) -> tuple[str, ...]:
        """A list of text; absent is empty."""
        value = self._value(key) or []
        if not isinstance(value, list) or any(not isinstance(v, str) for v in value):
            raise self.error(key, f"should be a list of text, got {_short(value)}")
        return tuple(value)

    def lists_of_numbers(self, key: str) -> tuple[tuple[float, ...], ...]:
        """A list of lists of numbers, at least one."""
        value = self._get(key, _REQUIRED)
        lists = value if isinstance(value, list) and value and all(isinstance(v, list) for v in value) else None
        if lists is None or any(isinstance(v, bool) or not isinstance(v, int | float) or abs(v) > 1e30 for one in lists for v in one):
            raise self.error(key, f"should be a list of lists of numbers, got {_short(value)}")
        return tuple(tuple(float(v) for v in one) for one in lists)

    def table(self, key: str) -> Config | None:
        value = self._value(key)
        if value is not None and not isinstance(value, dict):
            raise self.error(key, f"should be an object, got {_short(value)}")
        return None if value is None else Config(self.path, value, f"{self._inside}{key}.")


def read_config(path: Path) -> Config:
    """The config.json at `path`. TokenmillError when it is not one JSON object of a sane size and depth."""
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise TokenmillError(f"{path}: {size / 1e6:.0f} MB is no config.json (largest read: {MOST_BYTES / 1e6:.0f} MB)")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        raise TokenmillError(f"{path}: cannot be read as text ({getattr(e, 'strerror', None) or 'not UTF-8'})") from e
    if not text.strip():
        raise TokenmillError(f"{path}: is empty; expected a JSON object")
    try:
        values = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError as e:
        raise TokenmillError(f"{path}: is nested too deeply to be a config.json") from e
    except json.JSONDecodeError as e:
        raise TokenmillError(f"{path}: is not valid JSON ({e})") from e
    except ValueError as e:  # Python reads whole numbers of up to 4,300 digits
        raise TokenmillError(f"{path}: holds {e if 'JSON' in str(e) else 'a number of thousands of digits'}") from e
    if not isinstance(values, dict):
        raise TokenmillError(f"{path}: holds {_short(values)}, expected a JSON object")
    return Config(path, values)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name}, which is not a JSON value")


def _short(value: Any) -> str:
    try:
        text = json.dumps(value)  # as the file spells it: true, null, "2048"
    except RecursionError:
        return "lists or objects nested very deeply"
    return text if len(text) <= 60 else text[:57] + "..."
