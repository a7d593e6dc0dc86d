"""Reading a config.json as untrusted data: every value checked, every refusal one line that names the file and the key."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from triton_kernels.errors import TokenmillError

MOST_BYTES = 4 << 20  # the largest published config.json is under 100 kB; generous, yet read in milliseconds

_REQUIRED = object()


class Config:
    """The top-level object of a config.json, or a table inside it."""

    def __init__(self, path: Path, values: dict[str, Any]) -> None:
        self.path = path
        self._values = values

    def __contains__(self, key: str) -> bool:
        return self._values.get(key) is not None

    def error(self, key: str, problem: str) -> TokenmillError:
        return TokenmillError(f"{self.path}: {key}: {problem}")

    def _get(self, key: str, default: Any) -> Any:
        value = self._values.get(key)
        if value is None:
            if default is _REQUIRED or default is None:
                raise self.error(key, "is missing")
            return default
        return value

    def size(self, key: str, *, most: int, default: Any = _REQUIRED) -> int:
        """A count from 1 to `most`."""
        value = self._get(key, default)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.error(key, f"should be a whole number, got {_short(value)}")
        if not 1 <= value <= most:
            raise self.error(key, f"should be from 1 to {most}, got {_short(value)}")
        return value

    def number(self, key: str, *, default: Any = _REQUIRED) -> float:
        """A positive finite number."""
        value = self._get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e30 or not math.isfinite(value):
            raise self.error(key, f"should be a positive number, got {_short(value)}")
        return float(value)

    def flag(self, key: str, *, default: bool) -> bool:
        value = self._get(key, default)
        if not isinstance(value, bool):
            raise self.error(key, f"should be true or false, got {_short(value)}")
        return value

    def string(self, key: str, *, default: Any = _REQUIRED) -> str:
        value = self._values.get(key)
        if value is None and default is None:
            return ""
        value = self._get(key, default)
        if not isinstance(value, str):
            raise self.error(key, f"should be text, got {_short(value)}")
        return value

    def sizes(self, key: str) -> frozenset[int]:
        """A list of whole numbers from 0, as a set; absent is empty."""
        value = self._values.get(key) or []
        if not isinstance(value, list) or any(isinstance(v, bool) or not isinstance(v, int) or v < 0 for v in value):
            raise self.error(key, f"should be a list of whole numbers, got {_short(value)}")
        return frozenset(value)

    def strings(self, key: str) -> tuple[str, ...]:
        value = self._values.get(key) or []
        if not isinstance(value, list) or any(not isinstance(v, str) for v in value):
            raise self.error(key, f"should be a list of text, got {_short(value)}")
        return tuple(value)

    def table(self, key: str) -> Config | None:
        value = self._values.get(key)
        if value is not None and not isinstance(value, dict):
            raise self.error(key, f"should be an object, got {_short(value)}")
        return None if value is None else Config(self.path, value)


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
    text = json.dumps(value)  # as the file spells it: true, null, "2048"
    return text if len(text) <= 60 else text[:57] + "..."
