"""The rows of a JSON, JSONL or CSV file that came from anywhere: its size is capped, and what is no number in JSON is refused."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from profiler.foreign.fields import Fields
from profiler.record.files import file_bytes
from triton_kernels.errors import TokenmillError

MOST_BYTES = 64 << 20
MOST_ROWS = 100_000
_MOST_COLUMNS = 2000


def rows_of(path: Path) -> tuple[bytes, list[Fields]]:
    """(the file's bytes, its rows): the objects of a JSON list, the one object, an object per line, or the lines of a CSV. TokenmillError otherwise."""
    if path.stat().st_size > MOST_BYTES:
        raise TokenmillError(f"{path}: is over {MOST_BYTES >> 20} MiB; leave out what is recorded per request (summary files are small)")
    content = file_bytes(path.resolve(), MOST_BYTES)  # the user named the file, so a link to it is theirs
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TokenmillError(f"{path}: not UTF-8 text; give a result file in JSON or CSV") from error
    start = text.lstrip()[:1]
    if not start:
        raise TokenmillError(f"{path}: is empty")
    rows = list(_json_rows(path, text) if start in "{[" else _csv_rows(path, text))
    if not rows:
        raise TokenmillError(f"{path}: holds no row")
    named = len(rows) > 1
    return content, [Fields(file=str(path), where=f"row {n}: " if named else "", data=row) for n, row in enumerate(rows, start=1)]


def _json_rows(path: Path, text: str) -> Iterator[Mapping[str, Any]]:
    values = _values(path, text)
    if len(values) == 1 and isinstance(values[0], list):
        values = values[0]
    if len(values) > MOST_ROWS:
        raise TokenmillError(f"{path}: holds {len(values)} rows, more than {MOST_ROWS}; split it")
    for number, value in enumerate(values, start=1):
        if not isinstance(value, dict):
            raise TokenmillError(f"{path}: row {number} is no JSON object; give a result file, or a list of results")
        yield value


def _values(path: Path, text: str) -> list[Any]:
    """The document; or, where it is several, one per line (`vllm bench serve --append-result`)."""
    try:
        return [json.loads(text, parse_constant=_refuse)]
    except json.JSONDecodeError as error:
        if not error.msg.startswith("Extra data"):
            raise TokenmillError(f"{path}: not JSON: {error.msg} in line {error.lineno}") from error
    except (ValueError, RecursionError) as error:
        raise TokenmillError(f"{path}: not JSON that can be read: {str(error)[:80]}") from error
    values = []
    for number, line in enumerate(text.split("\n"), start=1):
        try:
            values += [json.loads(line, parse_constant=_refuse)] if line.strip() else []
        except (ValueError, RecursionError) as error:
            raise TokenmillError(f"{path}: line {number} is damaged ({str(error)[:80]}); remove the line") from error
    return values


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not a JSON value; write null for what was not measured")


def _csv_rows(path: Path, text: str) -> Iterator[Mapping[str, Any]]:
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        header = next(reader)
        if len(header) > _MOST_COLUMNS:
            raise TokenmillError(f"{path}: has {len(header)} columns; is it a result file?")
        for number, cells in enumerate(reader, start=1):
            if number > MOST_ROWS:
                raise TokenmillError(f"{path}: holds more than {MOST_ROWS} rows; split it")
            if len(cells) > len(header):
                raise TokenmillError(f"{path}: line {number + 1} has {len(cells)} cells under {len(header)} columns")
            if cells:
                yield dict(zip(header, cells, strict=False))
    except csv.Error as error:
        raise TokenmillError(f"{path}: not CSV: {error}") from error
