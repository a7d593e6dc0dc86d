"""`tokenmill report`: records in, a screen, a table, CSV or JSON out; stdout clean; hostile records inert."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

import tokenmill
from profiler.commands.report import report
from profiler.record.store import RunWriter
from profiler.report.csv import csv_text
from profiler.report.flat import flat_rows
from tests.profiler import handmade_run as made
from triton_kernels.errors import TokenmillError

FLAGS = ("--usd-per-gpu-hour", "3.6")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder of records with the hand-made run in it."""
    record(tmp_path / "runs", made.run().points)
    return tmp_path / "runs"


def record(root: Path, points: list[dict[str, Any]]) -> str:
    writer = RunWriter.create(root, subject="qwen3-30b-a3b", argv=["run"], version="0.1.0")
    writer.update(environment=made.run().header["environment"])
    for point in points:
        run_id = writer.path.name
        writer.commit(point | {"run_id": run_id}, plan=made.PLANS.get(point["plan"] or ""))
    writer.finish("done")
    return writer.path.name


def call(*arguments: str, runs: Path, width: str = "100") -> Result:
    app = typer.Typer()
    app.command()(report)
    return CliRunner().invoke(app, [*arguments, "--runs", str(runs), *FLAGS], env={"COLUMNS": width})


def fails(*arguments: str, runs: Path) -> str:
    result = call(*arguments, runs=runs)
    assert isinstance(result.exception, TokenmillError), result.output
    assert result.stdout == ""
    assert result.exception.exit_code == 2
    return str(result.exception)


def test_one_run_is_one_screen(runs: Path) -> None:
    result = call("last", runs=runs)
    assert result.exit_code == 0, result.output
    assert "bf16     128   31.2  4,000  41.0 K  0.262 0.0244 0.250 0.4453±0.0027  50% 80%" in result.stdout


def test_several_runs_are_one_table_each_below_the_other(runs: Path) -> None:
    first = next(runs.iterdir()).name
    second = record(runs, [made.prefill(), made.decode(64, 0.025, 490.0, model="another")])
    result = call(first, second, runs=runs)
    assert result.exit_code == 0, result.output
    assert result.stdout.index(first) < result.stdout.index(second)
    rows = [line.split() for line in result.stdout.splitlines() if "bf16 " in line]
    # The first run is of one model, said above its rows; the prefill of the second is of another model than its decode, so it stands alone.
    assert "model qwen3-30b-a3b, mix 8k/1k\n" in result.stdout
    assert [row[:2] for row in rows[:2]] == [["bf16", "32"], ["bf16", "128"]]
    assert [(row[0], row[2]) for row in rows[2:]] == [("another", "64"), ("qwen3-30b-a3b", "1")]


def test_json_is_one_document_with_points_and_mixes(runs: Path) -> None:
    result = call("last", "--json", runs=runs)
    document = json.loads(result.stdout)
    assert [point["batch"] for point in document["points"]] == [1, 32, 128]
    assert [mix["usd_per_mtok"]["value"] for mix in document["mixes"]] == [pytest.approx(0.84 / 1.024), pytest.approx(0.456 / 1.024)]
    assert document["points"][1]["output_tokens_per_s_per_gpu"] == 1600.0
    assert document["points"][1]["kernel_ratio"] is None
    assert document["runs"][0]["price"]["provenance"] == "assumed"


def test_csv_has_a_row_per_point_and_empty_cells_for_what_is_missing(runs: Path) -> None:
    result = call("last", "--csv", "-", runs=runs)
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [row["batch"] for row in rows] == ["1", "32", "128"]
    assert float(rows[2]["mix.usd_per_mtok.value"]) == pytest.approx(0.4453125)
    assert float(rows[2]["step_s.ci95.low"]) == pytest.approx(0.03168)
    assert rows[0]["mix.usd_per_mtok.value"] == ""
    assert rows[2]["kernel_ratio"] == ""
    assert rows[2]["tokens_per_s_per_mw.node"] == ""
    assert rows[0]["energy_j_per_output_token"] == ""
    assert rows[2]["provenance.step_s"] == "measured"


def test_output_by_its_ending(runs: Path, tmp_path: Path) -> None:
    for name in ("table.csv", "all.json"):
        result = call("last", "-o", str(tmp_path / name), runs=runs)
        assert result.stdout == ""
        assert "wrote" in result.stderr
    assert len((tmp_path / "table.csv").read_text().splitlines()) == 4
    assert len(json.loads((tmp_path / "all.json").read_text())["points"]) == 3


def test_csv_to_a_file_beside_json_on_stdout(runs: Path, tmp_path: Path) -> None:
    result = call("last", "--json", "--csv", str(tmp_path / "a.csv"), runs=runs)
    assert len(json.loads(result.stdout)["points"]) == 3
    assert (tmp_path / "a.csv").read_text().startswith("schema_version,")


def test_bad_requests_are_one_line(runs: Path, tmp_path: Path) -> None:
    assert "should end in .html, .md, .csv, .json, .parquet, .png or .svg" in fails("last", "-o", "report.docx", runs=runs)
    assert "--set is of figures of owning" in fails("last", "--set", "life_years=4", runs=runs)
    assert "both want stdout" in fails("last", "--json", "--csv", "-", runs=runs)
    assert "no run 'nowhere'" in fails("nowhere", runs=runs)
    assert "holds no run yet" in fails("last", runs=tmp_path / "empty")
    assert "cannot be written" in fails("last", "-o", str(tmp_path / "no" / "such" / "a.csv"), runs=runs)


def test_csv_cells_cannot_become_formulas_or_move_a_terminal() -> None:
    rows = [{"name": text, "=cmd|' /C calc'!A0": -1.5} for text in ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "  =1", "\x1b[2J plain", 'a,"b"\nc')]
    header, *lines = list(csv.reader(io.StringIO(csv_text(rows))))
    assert header == ["name", "'=cmd|' /C calc'!A0"]
    assert [line[0] for line in lines] == ["'=1+1", "'+1", "'-1", "'@SUM(A1)", "' =1", "'  =1", "[2J plain", 'a,"b" c']
    assert {line[1] for line in lines} == {"-1.5"}


def test_csv_keeps_null_apart_from_zero_and_text() -> None:
    assert csv_text([{"a": None, "b": 0, "c": True, "d": 0.1}]) == "a,b,c,d\n,0,true,0.1\n"


def test_hostile_records_are_inert(tmp_path: Path) -> None:
    hostile = "\x1b]0;owned\x07=cmd()[red]x[/red]"
    record(tmp_path / "runs", [point | {"model": hostile, "gpu": hostile} for point in made.run().points])
    for arguments in (("last",), ("last", "--csv", "-")):
        result = call(*arguments, runs=tmp_path / "runs")
        assert result.exit_code == 0, result.output
        assert "\x1b" not in result.stdout
        assert "\x07" not in result.stdout


def test_read_and_frame_for_python_users(runs: Path) -> None:
    run = tokenmill.read("last", root=runs)
    frame = tokenmill.frame(run.runs[0], made.price())
    assert list(frame["batch"]) == [1, 32, 128]
    assert frame["mix.usd_per_mtok.value"].iloc[2] == pytest.approx(0.4453125)
    assert frame["kernel_ratio"].isna().all()
    assert "windows" not in frame
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = tokenmill.nothing


def test_rows_of_unlike_points_share_their_columns() -> None:
    derived = tokenmill.derive_run(made.run(made.prefill(), made.decode(32, 0.02, 480.0), made.out_of_memory(512)), made.price())
    rows = flat_rows(derived)
    assert len({tuple(row) for row in rows}) == 1
    assert "step_s" not in rows[0]
    assert rows[2]["step_s.median"] is None


@pytest.mark.parametrize(
    ("header", "point"),
    [
        ({"price": "x"}, {}),
        ({"price": {"usd_per_gpu_hour": "1", "provenance": "assumed"}}, {}),
        ({"price": {"gpu_key": []}}, {"gpu_key": None}),
        ({"price": {"includes": 3}}, {}),
        ({"environment": 3}, {}),
        ({}, {"params": "x"}),
        ({}, {"invalid_reasons": [None], "valid": False}),
        ({}, {"kv_bytes_per_token": []}),
        ({}, {"window_s": -16.0}),
        ({}, {"step_s": {"median": -0.02}}),
        ({}, {"energy_j": "many"}),
        ({}, {"board_w": True}),
    ],
)
def test_a_damaged_record_is_one_line(tmp_path: Path, header: dict[str, Any], point: dict[str, Any]) -> None:
    run_id = record(tmp_path, [p | point for p in made.run().points])
    path = tmp_path / run_id / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | header))
    with pytest.raises(TokenmillError, match="damaged"):
        report(runs=[run_id], root=tmp_path)
