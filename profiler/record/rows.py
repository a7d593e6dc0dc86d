"""Rows that belong to a point and are too many for its line: power samples (`series/`) and operations measured alone (`ops/`), one gzipped JSON line each.

The point's line holds the SHA-256 of each file's text, so that a file that was cut short or changed is refused instead of believed.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from profiler.record.files import file_bytes
from triton_kernels.errors import TokenmillError

KINDS = ("series", "ops")
MOST_BYTES = 64 << 20  # compressed or not: days of samples


class Recorded(Protocol):
    """A run that lies in a folder: profiler.record.store.Run."""

    @property
    def path(self) -> Path: ...


def text_of(rows: Iterable[Mapping[str, Any]]) -> str:
    """The rows as they are written and digested: one canonical JSON line each."""
    return "".join(json.dumps(row, allow_nan=False, separators=(",", ":")) + "\n" for row in rows)


def digest(text: str) -> str:
    """SHA-256 of the text, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def compressed(text: str, level: int = 6) -> bytes:
    """Equal text gives equal bytes, whenever it was written."""
    return gzip.compress(text.encode(), level, mtime=0)


def read_rows(run: Recorded, point: Mapping[str, Any], kind: str) -> list[dict[str, Any]]:
    """The rows of one kind that were recorded with a point of `run`; [] where it has none. TokenmillError for rows that are missing, cut short or changed."""
    assert kind in KINDS, kind
    wanted = (point.get("digests") or {}).get(kind)
    path = run.path / kind / f"{point['point_id']}.jsonl.gz"
    packed = run.path / f"{kind}.jsonl.gz"
    if not path.exists() and not packed.exists():
        if wanted is not None:
            raise TokenmillError(f"{path}: is missing, though the point was recorded with it; measure it again")
        return []
    if path.exists():
        text, rows = _rows_in(path)
    else:
        path, rows = packed, _packed_rows(packed, packed.stat().st_mtime_ns).get(str(point["point_id"]), [])
        text = text_of(rows) if wanted is not None else ""
    if wanted is not None and digest(text) != wanted:
        raise TokenmillError(f"{path}: was changed after it was recorded (its digest differs); measure it again")
    return rows


def _rows_in(path: Path) -> tuple[str, list[dict[str, Any]]]:
    """The file's text and the rows in it."""
    try:
        text = _inflated(file_bytes(path, MOST_BYTES))
        rows = [json.loads(line) for line in text.splitlines()]
    except (EOFError, ValueError, RecursionError, zlib.error) as e:
        raise TokenmillError(f"{path}: is cut short or damaged ({str(e)[:80]}); measure it again") from e
    if not all(isinstance(row, dict) for row in rows):
        raise TokenmillError(f"{path}: is damaged (a line is no JSON object)")
    return text, rows


@lru_cache(maxsize=4)
def _packed_rows(path: Path, _changed_ns: int) -> dict[str, list[dict[str, Any]]]:
    """All points' rows of a packed run, read once: a sweep of hundreds of points asks for each."""
    by_point: dict[str, list[dict[str, Any]]] = {}
    for row in _rows_in(path)[1]:
        by_point.setdefault(str(row.pop("point_id", None)), []).append(row)
    return by_point


def _inflated(data: bytes) -> str:
    """At most MOST_BYTES of text: a small file must not grow into all of the memory."""
    inflater = zlib.decompressobj(wbits=31)
    text = inflater.decompress(data, MOST_BYTES)
    if inflater.unconsumed_tail:
        raise ValueError(f"over {MOST_BYTES >> 20} MiB")
    if not inflater.eof:
        raise EOFError("the file ends early")
    return text.decode()
