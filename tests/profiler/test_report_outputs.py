"""What `tokenmill report` writes, by the ending of the file; a planner's line; many runs by configuration; no record is ever written over."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from profiler.commands import report_fleet
from profiler.commands.report import report
from tests.profiler import format_run
from triton_kernels.errors import TokenmillError


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return format_run.record(tmp_path_factory.mktemp("runs"), batches=(1, 8, 64))


@pytest.fixture(scope="module")
def many(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 51 runs, one more than are read one by one."""
    folder = tmp_path_factory.mktemp("many")
    for n in range(51):
        copy = shutil.copytree(run, folder / f"copy-{n}")
        (copy / "run.json").write_text(json.dumps(json.loads((copy / "run.json").read_text()) | {"run_id": copy.name}))
    return folder


def call(*arguments: object) -> Result:
    app = typer.Typer()
    app.command()(report)
    return CliRunner().invoke(app, [*map(str, arguments)], env={"COLUMNS": "100"})


def said(*arguments: object) -> str:
    result = call(*arguments)
    assert result.exit_code == 0, f"{result.output}{result.exception!r}"
    return result.stdout


def fails(*arguments: object) -> str:
    error = call(*arguments).exception
    assert isinstance(error, TokenmillError), error
    assert error.exit_code == 2
    assert "\n" not in str(error)
    return str(error)


def test_each_ending_is_a_file_of_its_kind_and_stdout_stays_empty(run: Path, tmp_path: Path) -> None:
    names = ("a.html", "a.md", "a.csv", "a.json", "a.parquet", "a.png", "a.svg", "B.HTML")
    assert said(run, *(part for name in names for part in ("-o", tmp_path / name))) == ""
    begins = {".html": b"<!DOCTYPE html>", ".md": b"# ", ".csv": b"schema_version,", ".json": b"{", ".parquet": b"PAR1", ".png": b"\x89PNG", ".svg": b"<?xml"}
    for name in names:
        assert (tmp_path / name).read_bytes().startswith(begins[Path(name).suffix.lower()]), name
    assert len(list(csv.DictReader((tmp_path / "a.csv").open()))) == 3 + 9


def test_a_figure_shows_what_was_asked_for(run: Path, tmp_path: Path) -> None:
    said(run, "-o", tmp_path / "power.svg", "--chart", "power")
    said(run, "-o", tmp_path / "pareto.svg")
    assert (tmp_path / "power.svg").read_text() != (tmp_path / "pareto.svg").read_text()
    assert "no such chart" in fails(run, "-o", tmp_path / "x.svg", "--chart", "pie").lower() or "pie" in fails(run, "-o", tmp_path / "x.svg", "--chart", "pie")


def test_a_planners_question_is_one_line(run: Path) -> None:
    # At 150 tokens/s a step may take 6.67 ms: mxfp4 takes 5.4 ms at batch 8 and 8.2 ms at 64.
    line = said(run, "--at-least", "150")
    assert line.startswith("cheapest at ≥ 150 tokens/s/user: qwen3-30b-a3b mxfp4 batch 8 on H200 SXM")
    assert line.count("\n") == 1
    found = json.loads(said(run, "--at-least", "150", "--json"))
    assert found["cheapest_at"]["answers"][0]["best"]["batch"] == 8
    assert "above 0" in fails(run, "--at-least", "-1")


def test_fronts_on_a_terminal_and_as_json(run: Path) -> None:
    assert "3 of 3 points on the front" in said(run, "--pareto", "usd_per_mtok")
    fronts = json.loads(said(run, "--pareto", "output_tokens_per_s_per_gpu", "--json"))["fronts"]
    assert {front["precision"] for front in fronts} == set(format_run.FORMATS)
    assert "unknown figure of a front" in fails(run, "--pareto", "happiness")


def test_an_owned_hour_is_worked_out(run: Path) -> None:
    price = json.loads(said(run, "--own", "colocation", "--set", "life_years=4", "--json"))["runs"][0]["price"]
    assert price["owned"]["hosting"] == "colocation"
    assert price["owned"]["figures"]["life_years"]["value"] == 4


def test_many_runs_are_read_by_configuration(many: Path, tmp_path: Path) -> None:
    text = said(many)
    assert "51 runs" in text
    assert len(text.splitlines()) < 40
    found = json.loads(said(f"{many}/*", "--json"))
    assert found["fleet"]["runs"] == 51
    said(many, "-o", tmp_path / "a.html", "-o", tmp_path / "a.parquet", "--csv", tmp_path / "a.csv", "-o", tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text()) == found
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 1 + 51 * 12
    assert (tmp_path / "a.html").stat().st_size < 1_000_000


def test_what_single_runs_have_is_refused_of_many(many: Path, tmp_path: Path) -> None:
    assert "51 runs are read by configuration" in fails(many, "-o", tmp_path / "a.md")
    assert "--at-least is for fewer" in fails(many, "--at-least", "10")
    assert "--csv - is for fewer" in fails(many, "--csv", "-")


def test_few_runs_of_many_points_are_a_fleet_too(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert report_fleet.fleet_paths([str(run)], run.parent) is None
    monkeypatch.setattr(report_fleet, "MOST_POINTS", 11)
    assert report_fleet.fleet_paths([run.name, str(run)], run.parent) == [run, run]
    assert report_fleet.fleet_paths(["last"], run.parent) is None


def test_no_record_is_written_over(run: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    for target in ("run.json", "points.html", "series/x.csv"):
        assert "lies in a run's folder" in fails(run, "-o", run / target)
    assert "lies in a run's folder" in fails(run, "--csv", run / "points.csv")
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
