"""DuckDB, where it is installed: reads rows from files of JSON lines, groups them, writes tables. It is given files of our own and asks no network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from triton_kernels.errors import TokenmillError

if TYPE_CHECKING:
    import duckdb

MEMORY = "400MB"  # beyond it DuckDB works on disk


def connect(folder: Path) -> duckdb.DuckDBPyConnection:
    """A database in memory that spills into `folder`. TokenmillError where DuckDB is not installed."""
    try:
        import duckdb
    except ImportError as error:
        raise TokenmillError("needs duckdb: pip install 'tokenmill[report]'") from error
    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": MEMORY,
        "temp_directory": str(folder),
        "autoinstall_known_extensions": False,
        "threads": 2,
    }
    return duckdb.connect(config=settings)


def text(value: str | Path) -> str:
    """A text as SQL writes it."""
    return "'" + str(value).replace("'", "''") + "'"


def name(value: str) -> str:
    """A column's name as SQL writes it."""
    return '"' + value.replace('"', '""') + '"'


def json_lines(files: list[Path], columns: dict[str, str]) -> str:
    """SQL that reads `files` of one JSON object a line; `columns`: name -> SQL type. What an object lacks is null."""
    types = ", ".join(f"{text(column)}: {text(kind)}" for column, kind in columns.items())
    return f"read_json([{', '.join(text(file) for file in files)}], format='newline_delimited', columns={{{types}}})"
