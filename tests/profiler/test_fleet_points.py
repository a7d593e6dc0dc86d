"""Every point of many runs as one table: Parquet with types, CSV with safe cells, both with a report's columns and figures."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

import tokenmill
from profiler.commands.price_options import price_flags
from profiler.economics.derive import derive_run
from profiler.economics.price_book import load_price_book
from profiler.fleet.points import write_points
from profiler.report.csv import csv_text
from profiler.report.flat import columns_of, flat_rows, point_rows
from profiler.report.parquet import write_parquet
from tests.profiler import handmade_run as made
from tests.profiler.test_fleet import record
from triton_kernels.errors import TokenmillError

FLAGS = price_flags(usd_per_gpu_hour=3.6)


def written(paths: list[Path], out: Path, processes: int = 1) -> list[dict[str, Any]]:
    assert write_points(paths, load_price_book(), FLAGS, out, processes=processes) == ()
    return rows_in(out)


def rows_in(out: Path) -> list[dict[str, Any]]:
    with duckdb.connect() as database:
        cursor = database.execute(f"SELECT * FROM '{out}'")
        names = [column[0] for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Two runs that differ in their fields."""
    points = [made.prefill(), made.decode(32, 0.020, 480.0), made.out_of_memory(512)]
    return [record(tmp_path, *points), record(tmp_path, made.prefill(), made.decode(128, 0.032, 500.0, event_share={"sw_thermal": 0.25}))]


def test_parquet_holds_a_report_s_figures_with_their_types(paths: list[Path], tmp_path: Path) -> None:
    rows = written(paths, tmp_path / "a.parquet")
    first, second = (path.name for path in paths)
    assert [(row["run_id"], row["batch"]) for row in rows] == [(first, 1), (first, 32), (first, 512), (second, 1), (second, 128)]
    # 0.84 and 0.456 GPU-seconds at $0.001 for 1,024 tokens.
    assert [row["mix.usd_per_mtok.value"] for row in rows] == [None, pytest.approx(0.8203125), None, None, pytest.approx(0.4453125)]
    assert [row["mix"] for row in rows] == ["8k/1k"] * 5  # the mix's name stands beside the figures of the mix
    assert [row["valid"] for row in rows] == [True, True, False, True, True]
    assert rows[0]["kernel_ratio"] is None
    assert rows[4]["event_share.sw_thermal"] == 0.25
    assert rows[0]["event_share.sw_thermal"] is None
    with duckdb.connect() as database:
        types = {name: kind for name, kind, *_ in database.execute(f"DESCRIBE SELECT * FROM '{tmp_path}/a.parquet'").fetchall()}
    assert (types["batch"], types["step_s.median"], types["valid"], types["model"]) == ("BIGINT", "DOUBLE", "BOOLEAN", "VARCHAR")
    assert types["kernel_ratio"] == "DOUBLE"  # nobody measured one: the schema says what it would be
    assert "step_s" not in types  # null where it did not run, a table elsewhere
    assert not list(tmp_path.glob("*.part"))


def test_csv_is_the_report_s(paths: list[Path], tmp_path: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(_text(paths, tmp_path / "a.csv"))))
    reading = tokenmill.read(*paths, usd_per_gpu_hour=3.6)
    wanted = list(csv.DictReader(io.StringIO(csv_text(flat_rows(*reading.derived)))))
    assert len(rows) == len(wanted) == 5
    for row, other in zip(rows, wanted, strict=True):
        assert row.keys() == other.keys()
        for name in row:
            assert row[name] == other[name] or float(row[name]) == float(other[name]), name


def _text(paths: list[Path], out: Path, processes: int = 1) -> str:
    assert write_points(paths, load_price_book(), FLAGS, out, processes=processes) == ()
    return out.read_text()


def test_processes_write_the_same_table(paths: list[Path], tmp_path: Path) -> None:
    assert written(paths, tmp_path / "a.parquet") == written(paths, tmp_path / "b.parquet", processes=2)
    assert _text(paths, tmp_path / "a.csv") == _text(paths, tmp_path / "b.csv", processes=2)


def test_unreadable_runs_are_named_and_left_out(paths: list[Path], tmp_path: Path) -> None:
    (paths[0] / "run.json").write_text("{")
    left_out = write_points([*paths, tmp_path / "nothing"], load_price_book(), FLAGS, tmp_path / "a.parquet")
    assert [(entry.path, "damaged" in entry.why or "no run" in entry.why) for entry in left_out] == [(str(paths[0]), True), (str(tmp_path / "nothing"), True)]
    assert len(rows_in(tmp_path / "a.parquet")) == 2


def test_hostile_texts_are_inert_in_csv_and_data_in_parquet(tmp_path: Path) -> None:
    hostile = "=cmd|' /C calc'!A0\x1b[2J\n\"quoted\", \u202e\x00 end"
    odd = {"model": hostile, "x'; DROP TABLE y; --\"": "+1", "Batch": 7, "=1+1": 2, "lone": "\ud800", "huge": 10**30}
    path = record(tmp_path, made.prefill(**odd))
    (row,) = written([path], tmp_path / "a.parquet")
    assert row["model"] == hostile
    assert row["x'; DROP TABLE y; --\""] == "+1"
    assert (row["batch"], row["Batch_2"]) == (1, 7)  # one column to a database, two here
    assert (row["lone"], row["huge"]) == ("?", str(10**30))
    text = _text([path], tmp_path / "a.csv")
    assert "\x1b" not in text
    assert "\u202e" not in text
    header, cells = csv.reader(io.StringIO(text))
    assert not [cell for cell in header + cells if cell.startswith(("=", "+", "-", "@"))]
    assert cells[header.index("model")] == "'=cmd|' /C calc'!A0[2J \"quoted\",  end"


def test_what_cannot_be_written_is_one_line(paths: list[Path], tmp_path: Path) -> None:
    for out in (tmp_path / "no" / "such" / "a.parquet", tmp_path / "no" / "a.csv"):
        with pytest.raises(TokenmillError, match=r"cannot be written .*choose another file") as caught:
            write_points(paths, load_price_book(), FLAGS, out)
        assert "\n" not in str(caught.value)
    with pytest.raises(TokenmillError, match="no points"):
        write_points([record(tmp_path)], load_price_book(), FLAGS, tmp_path / "a.parquet")
    assert not list(tmp_path.glob("a.*"))


def test_a_folder_in_the_way_is_one_line(paths: list[Path], tmp_path: Path) -> None:
    (tmp_path / "a.parquet").mkdir()
    with pytest.raises(TokenmillError, match="cannot be written"):
        write_points(paths, load_price_book(), FLAGS, tmp_path / "a.parquet")
    assert not list(tmp_path.glob("*.part"))


def test_rows_and_frames_of_ones_own(tmp_path: Path) -> None:
    rows = [{"a": 1, "b": None, "c": True, "d": "x", "e": 1}, {"a": 2.5, "c": False, "e": "text", "f": [1, 2]}, {"a": math.nan}]
    write_parquet(iter(rows), tmp_path / "rows.parquet")
    assert rows_in(tmp_path / "rows.parquet") == [
        {"a": 1.0, "b": None, "c": True, "d": "x", "e": "1", "f": None},
        {"a": 2.5, "b": None, "c": False, "d": None, "e": "text", "f": "[1, 2]"},
        {"a": None, "b": None, "c": None, "d": None, "e": None, "f": None},
    ]
    write_parquet(pd.DataFrame({"a": [1.0, math.nan], "n": [1, 2]}), tmp_path / "frame.parquet")
    assert rows_in(tmp_path / "frame.parquet") == [{"a": 1.0, "n": 1}, {"a": None, "n": 2}]
    write_parquet(point_rows(derive_run(made.run(), made.price())), tmp_path / "run.parquet")
    assert [row["batch"] for row in rows_in(tmp_path / "run.parquet")] == [1, 32, 128]


def test_an_infinite_figure_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        write_parquet([{"a": math.inf}], tmp_path / "a.parquet")


def test_columns_lie_beside_their_like() -> None:
    names = ["a", "step.median", "b", "step", "step.ci95", "step.ci95.low", "b.c"]
    # `step` and `step.ci95` are null where others have a table; `b` is a text beside the table of the same name.
    assert columns_of(names, {"a", "step.median", "b", "step.ci95.low", "b.c"}) == ["a", "step.median", "step.ci95.low", "b", "b.c"]


def test_without_duckdb_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "duckdb", None)
    for write in (lambda: write_parquet([], tmp_path / "a.parquet"), lambda: write_points([], load_price_book(), FLAGS, tmp_path / "a.csv")):
        with pytest.raises(TokenmillError, match=r"needs duckdb: pip install 'tokenmill\[report\]'"):
            write()
