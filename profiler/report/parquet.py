"""Points as a Parquet file, written by DuckDB: columns as in the CSV, with their types; what was not measured is null."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from profiler.report.database import connect
from profiler.report.spool import Spool, write_table

if TYPE_CHECKING:
    import pandas as pd

PARQUET = "FORMAT parquet, COMPRESSION zstd"


def write_parquet(rows: Iterable[Mapping[str, Any]] | pd.DataFrame, path: Path) -> None:
    """Writes flat rows (profiler.report.flat.point_rows), or a DataFrame of them, to `path`. Any number of rows in the memory of a few.

    A column's type is what its values have in common: true/false, integer, number, else text. TokenmillError where DuckDB is missing or `path` cannot be
    written.
    """
    with TemporaryDirectory(prefix="tokenmill-") as folder:
        connect(Path(folder)).close()  # before the work, not behind it
        with Spool(Path(folder) / "rows.jsonl") as spool:
            of_frame = getattr(rows, "to_dict", None)
            records: Any = rows if of_frame is None else of_frame("records")
            for row in records:
                spool.add(row)
            write_table([spool.spooled()], path, PARQUET)
