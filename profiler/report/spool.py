"""Rows on disk on their way into a table: as many as there are, in memory for one. A column's type is known when its last row is."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any

from profiler.record.schema import FIELDS
from profiler.report.database import connect, json_lines, name, text
from profiler.report.flat import columns_of
from triton_kernels.errors import TokenmillError

_dumps = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode
_LEAST, _MOST = -(1 << 63), (1 << 63) - 1

# Of a column without a single value: what the schema says that it would hold.
_SQL = {"text": "VARCHAR", "number": "DOUBLE", "integer": "BIGINT", "true/false": "BOOLEAN"}
_DECLARED = {field.name: _SQL[field.type] for field in FIELDS if field.where in ("point", "derived") and field.type in _SQL}


@dataclass(frozen=True, kw_only=True)
class Spooled:
    """A file of rows: one JSON object a line, without what is null. `columns`: name -> (its key in the objects, the kinds of values that it holds)."""

    file: Path
    columns: Mapping[str, tuple[str, frozenset[type]]]


class Spool:
    """Writes rows into `file`. `text`: what becomes of a text on its way, where the table's readers take some for more than text."""

    def __init__(self, file: Path, text: Callable[[str], str] | None = None) -> None:
        self._file = file
        self._out = file.open("w", encoding="utf-8", errors="replace")  # half a surrogate pair is no text
        self._text = text
        self._columns: dict[str, tuple[str, set[type]]] = {}

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._out.close()

    def add(self, row: Mapping[str, Any]) -> None:
        """Adds a row. Numbers, texts and truth values stay what they are; NaN is null, as in a DataFrame; everything else becomes text."""
        columns, kept = self._columns, {}
        for column, value in row.items():
            known = columns.get(column)
            if known is None:
                known = columns[column] = (f"c{len(columns)}", set())
            if value is None or value != value:
                continue
            kind = value.__class__
            if kind is float or kind is bool or (kind is int and _LEAST <= value <= _MOST):
                kept[known[0]] = value
            else:
                kind, value = str, str(value)
                kept[known[0]] = value if self._text is None else self._text(value)
            known[1].add(kind)
        self._out.write(f"{_dumps(kept)}\n")

    def spooled(self) -> Spooled:
        self._out.flush()
        return Spooled(file=self._file, columns={column: (key, frozenset(kinds)) for column, (key, kinds) in self._columns.items()})


def write_table(parts: Sequence[Spooled], path: Path, options: str, heading: Callable[[str], str] = str) -> None:
    """All rows in one file, in their order; `options`: of DuckDB's COPY. The file is there in full or not at all. TokenmillError where it cannot be."""
    import duckdb

    kinds: dict[str, frozenset[type]] = {}
    for part in parts:
        for column, (_, seen) in part.columns.items():
            kinds[column] = kinds.get(column, frozenset()) | seen
    types = {column: _type(column, kinds[column]) for column in columns_of(kinds, {column for column, seen in kinds.items() if seen})}
    if not types:
        raise TokenmillError(f"{path}: no points, so no table to write")
    headings = _distinct([heading(column) for column in types])
    unfinished = path.with_name(f"{path.name}.part")
    with TemporaryDirectory(prefix="tokenmill-") as folder, connect(Path(folder)) as database:
        rows = " UNION ALL ".join(_rows(part, types, headings) for part in parts)
        try:
            database.execute(f"COPY ({rows}) TO {text(unfinished)} ({options})")
            unfinished.replace(path)
        except (duckdb.IOException, OSError) as error:
            unfinished.unlink(missing_ok=True)
            raise TokenmillError(f"{path}: cannot be written ({str(error).splitlines()[0][:160]}); choose another file") from error


def _rows(part: Spooled, types: Mapping[str, str], headings: Sequence[str]) -> str:
    """SQL for the part's rows with all columns of the table."""
    keys = {column: part.columns[column][0] for column in types if column in part.columns}
    values = (keys.get(column, "NULL") for column in types)
    selected = ", ".join(f"{value}::{kind} AS {name(title)}" for value, kind, title in zip(values, types.values(), headings, strict=True))
    return f"SELECT {selected} FROM {json_lines([part.file], {keys[column]: types[column] for column in keys} or {'none': 'VARCHAR'})}"


def _type(column: str, kinds: frozenset[type]) -> str:
    if not kinds:
        return _DECLARED.get(column, "VARCHAR")
    if kinds == {bool}:
        return "BOOLEAN"
    if kinds == {int}:
        return "BIGINT"
    return "DOUBLE" if kinds <= {int, float} else "VARCHAR"


def _distinct(names: Sequence[str]) -> list[str]:
    """Names that differ in more than their case, none of them empty: to a database `A` and `a` are one column."""
    taken: set[str] = set()
    found = []
    for wanted in names:
        distinct, number = wanted or "_", 1
        while distinct.lower() in taken:
            number += 1
            distinct = f"{wanted}_{number}"
        taken.add(distinct.lower())
        found.append(distinct)
    return found
