"""References: patterns and folders of runs become runs, everything else stays what it was."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from profiler.commands.pricing import pricing_of
from profiler.commands.recorded import priced_runs
from profiler.foreign.found import found_run
from profiler.record import find
from profiler.record.find import expand
from tests.profiler import handmade_run as made
from tests.profiler.test_report_command import record
from triton_kernels.errors import TokenmillError


def run_at(path: Path) -> str:
    (path / "plans").mkdir(parents=True)
    (path / "run.json").write_text("{}")
    (path / "points.jsonl").write_text("")
    return str(path)


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """runs/{a,b} and runs/east/{c,deep/d}; beside them what is no run."""
    for name in ("a", "b", "east/c", "east/deep/d"):
        run_at(tmp_path / "runs" / name)
    (tmp_path / "runs" / "notes.txt").write_text("")
    (tmp_path / "runs" / "empty").mkdir()
    run_at(tmp_path / "runs" / ".trash" / "x")
    (tmp_path / "results").mkdir()
    for name in ("one.json", "two.json", "README"):
        (tmp_path / "results" / name).write_text("{}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


ROOT = Path("runs")


@pytest.mark.parametrize(
    ("ref", "found"),
    [
        ("runs/*", ["runs/a", "runs/b", "runs/east/c"]),  # east is a folder that holds a run
        ("runs/**", ["runs/a", "runs/b", "runs/east/c", "runs/east/deep/d"]),
        ("runs/**/d", ["runs/east/deep/d"]),
        ("**/[cd]", ["runs/east/c", "runs/east/deep/d"]),
        ("runs/?", ["runs/a", "runs/b"]),
        ("runs/*/run.json", ["runs/a", "runs/b"]),
        ("runs/**/points.jsonl", ["runs/a", "runs/b", "runs/east/c", "runs/east/deep/d"]),
        ("[ab]", ["runs/a", "runs/b"]),  # nothing here, so under runs/
        ("runs", ["runs/a", "runs/b"]),
        ("east", ["runs/east/c"]),
        ("runs/east/", ["runs/east/c"]),
        ("results/*.json", ["results/one.json", "results/two.json"]),
        ("runs/.trash/*", ["runs/.trash/x"]),
    ],
)
def test_patterns_and_folders_of_runs(tree: Path, ref: str, found: list[str]) -> None:
    assert expand(ref, ROOT) == found


@pytest.mark.parametrize("ref", ["last", "a", "runs/a", "runs/a/run.json", "nothing-here", "results/one.json", "results", "runs/empty", "", "a\0b", "x" * 5000])
def test_other_references_stay_as_they_are(tree: Path, ref: str) -> None:
    assert expand(ref, ROOT) == [ref]


@pytest.mark.parametrize("ref", ["runs/*.toml", "nowhere/**", "runs/empty/*", "results/*", "*\0", "[" + "x" * 5000])
def test_a_pattern_that_matches_nothing_is_one_line(tree: Path, ref: str) -> None:
    with pytest.raises(TokenmillError, match=r"no run matches .*try it with `ls`") as caught:
        expand(ref, ROOT)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_run_whose_name_looks_like_a_pattern_is_that_run(tree: Path) -> None:
    run_at(tree / "runs" / "a[1]")
    assert expand("runs/a[1]", ROOT) == ["runs/a[1]"]


def test_a_run_under_the_folder_of_runs_goes_before_a_folder_here(tree: Path) -> None:
    run_at(tree / "a" / "x")  # ./a holds a run, runs/a is one: `a` was an id before it was a folder
    assert expand("a", ROOT) == ["a"]


def test_absolute_patterns(tree: Path) -> None:
    assert expand(f"{tree}/runs/?", ROOT) == [f"{tree}/runs/a", f"{tree}/runs/b"]
    with pytest.raises(TokenmillError, match="no run matches"):
        expand("/nowhere/*", tree / "runs")


def test_depth_does_not_follow_links_and_ends(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.symlink(tree / "runs", tree / "runs" / "east" / "round")
    assert expand("runs/**", ROOT) == ["runs/a", "runs/b", "runs/east/c", "runs/east/deep/d"]
    monkeypatch.setattr(find, "MOST_FOLDERS", 3)
    with pytest.raises(TokenmillError, match="more than 3 folders"):
        expand("runs/**", ROOT)


def test_reading_commands_take_patterns(tmp_path: Path) -> None:
    ids = sorted(record(tmp_path / "runs", made.run().points) for _ in range(2))
    found = priced_runs([f"{tmp_path}/runs/**"], tmp_path, pricing_of())
    assert [run.run_id for run, _, _ in found] == ids


def broken(runs: Path, count: int) -> None:
    for number in range(count):
        (runs / f"broken-{number}").mkdir(parents=True)
        (runs / f"broken-{number}" / "run.json").write_text("{")


def test_of_a_pattern_what_cannot_be_read_is_left_out_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = tmp_path / "runs"
    good = record(runs, made.run().points)
    broken(runs, 7)
    record(runs, [point | {"step_s": {"median": -1.0}} for point in made.run().points])  # read, and then of no use
    for ref in (f"{runs}/**", str(runs)):
        assert [run.run_id for run, _, _ in priced_runs([ref], tmp_path, pricing_of())] == [good]
        told = capsys.readouterr().err.splitlines()
        assert [line.startswith("tokenmill: left out: ") for line in told] == [True] * 6
        assert told[-1] == "tokenmill: left out: 3 more that cannot be read"  # of eight


def test_a_run_that_is_named_has_to_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = tmp_path / "runs"
    record(runs, made.run().points)
    broken(runs, 1)
    for ref in (f"{runs}/broken-0", f"{runs}/broken-*"):  # a pattern of one names it
        with pytest.raises(TokenmillError, match="broken-0"):
            priced_runs([f"{runs}/**", ref], tmp_path, pricing_of())
    assert capsys.readouterr().err == ""


def test_where_nothing_can_be_read_that_is_the_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken(tmp_path / "runs", 3)
    with pytest.raises(TokenmillError, match=r"broken-0.*; 2 more cannot be read either"):
        priced_runs([f"{tmp_path}/runs/**"], tmp_path, pricing_of())
    assert capsys.readouterr().err == ""


def test_of_several_runs_the_references_that_work_are_told(tmp_path: Path) -> None:
    file = Path(__file__).parents[1] / "data" / "foreign" / "inferencex.json"
    with pytest.raises(TokenmillError) as caught:
        found_run(str(file), tmp_path)
    said = str(caught.value)
    assert said.endswith(": name one of them, as FILE@b200, FILE@gb200, FILE@h200; 1 more has a GPU that is not in the catalogue")
    for gpu in ("b200", "gb200", "h200"):
        assert {point["gpu_key"] for point in found_run(f"{file}@{gpu}", tmp_path).points} == {gpu}
    ids = sorted(record(tmp_path, made.run().points) for _ in range(2))
    with pytest.raises(TokenmillError, match=f"holds 2 runs: name one of them, such as .*{ids[0]}$"):
        found_run(str(tmp_path), tmp_path)
