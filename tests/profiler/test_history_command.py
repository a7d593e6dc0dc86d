"""`tokenmill history`: a folder of records in; tables, a document or an exit code for CI out."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest

from profiler.cli import run_command
from tests.profiler import handmade_run as made
from tests.profiler import windowed_run as windowed
from tests.profiler.test_compare import scattered

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")


def record(root: Path, day: int, seed: int, *, slower: float = 1.0, points: list[dict[str, Any]] | None = None, **environment: Any) -> Path:
    found = windowed.points(seed, slower=slower) if points is None else points
    header = {"created": f"2026-11-{day:02d}T12:00:00+00:00", "environment": made.run().header["environment"] | environment}
    return windowed.record(root, found, **header)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Three days: another driver on the second, 10 % slower on the third."""
    record(tmp_path, 1, 41)
    record(tmp_path, 2, 42, driver="580.1")
    record(tmp_path, 3, 43, slower=1.1, driver="580.1")
    return tmp_path


def call(capsys: Capture, *arguments: object, code: int = 0) -> tuple[str, str]:
    capsys.readouterr()
    assert run_command(["history", *map(str, arguments), "--usd-per-gpu-hour", "3.6"]) == code
    captured = capsys.readouterr()
    return captured.out, captured.err


@pytest.mark.parametrize("width", [80, 100])
def test_a_table_for_each_work(runs: Path, width: int, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    text, _ = call(capsys, runs)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width
    flat = " ".join(text.split())
    assert "request bf16 batch 32 8k/1k qwen3-30b-a3b" in flat
    assert "580.1" in text  # what changed is a column, not a refusal
    assert "torch 2.13.0" in flat  # what did not stands once, above the table
    assert "3 runs, 2 groups of like rows" in text
    assert "price assumed $3.6/GPU-h" in flat
    if width == 100:
        first, second, third = (line for line in text.split("\n\n")[0].splitlines() if line.startswith("2026"))
        assert first.split()[:3] == ["2026-11-01", "12:00", "575.57.08"] or first.split()[:3] == ["2026-11-01", "12:00", "★"]
        assert second.split().count("=") == 6  # before and first, of dollars, joules and tokens/s
        assert third.split().count("=") == 0
        assert "★" not in third


def test_the_document(runs: Path, capsys: Capture) -> None:
    found = json.loads(call(capsys, runs, "--json")[0], parse_constant=lambda name: pytest.fail(name))
    assert list(found) == ["schema_version", "runs", "prices", "groups", "single_groups_left_out", "gates", "warned"]
    assert [price["usd_per_gpu_hour"] for price in found["prices"]] == [3.6]
    rows = found["groups"][0]["rows"]
    assert [row["driver"] for row in rows] == ["575.57.08", "580.1", "580.1"]
    assert rows[0]["against"] == {"previous": None, "first": None}
    usd = rows[2]["against"]["previous"]["usd_per_mtok"]
    assert usd["old"] == rows[1]["figures"]["usd_per_mtok"]
    assert usd["verdict"].startswith("dearer by")


def test_gates(runs: Path, capsys: Capture) -> None:
    text, _ = call(capsys, runs, "--fail-if", "usd_per_mtok > +3%", code=4)
    assert "FAILED usd_per_mtok > +3%: request bf16 batch" in " ".join(text.split())
    call(capsys, runs, "--fail-if", "usd_per_mtok > +30%")
    call(capsys, runs, "--fail-if", "usd_per_mtok > 0.1", code=4)


def test_a_run_that_cannot_be_read_is_a_line_on_stderr(runs: Path, capsys: Capture) -> None:
    for name, text in (("broken", "{"), ("newer", json.dumps({"schema_version": 99, "run_id": "newer"})), ("empty", "")):
        (runs / name).mkdir()
        (runs / name / "run.json").write_text(text)
    bad = record(runs, 4, 44, points=[point | {"windows": 7} for point in windowed.points(44)])
    out, err = call(capsys, runs)
    assert "3 runs, 2 groups" in out
    assert len(err.splitlines()) == 4
    assert all(line.startswith("tokenmill: left out: ") for line in err.splitlines())
    assert str(bad) in err
    json.loads(call(capsys, runs, "--json")[0])


def test_nothing_to_read_is_one_line(tmp_path: Path, capsys: Capture) -> None:
    for ref in (tmp_path, tmp_path / "nowhere"):
        capsys.readouterr()
        assert run_command(["history", str(ref)]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert "no run" in captured.err.splitlines()[-1]


def test_a_run_named_twice_is_one(runs: Path, capsys: Capture) -> None:
    inside = sorted(runs.iterdir())[0]
    os.symlink(inside, runs / "again")
    assert "3 runs, 2 groups" in call(capsys, runs, inside, runs / "*")[0]


def test_runs_of_one_minute_are_told_apart(tmp_path: Path, capsys: Capture) -> None:
    """By the second; where that is the same by the last part of their ids."""
    ids = []
    for seed, second in enumerate((5, 40, 40)):
        path = windowed.record(tmp_path, windowed.points(seed), created=f"2026-11-01T12:00:{second:02d}+00:00")
        ids.append(path.name.rpartition("-")[2])
    record(tmp_path, 2, 9)
    text, _ = call(capsys, tmp_path)
    names = [" ".join(line.split()[:3]) for line in text.split("\n\n")[0].splitlines() if line.startswith("2026")]
    assert sorted(names[1:3]) == sorted(f"2026-11-01 12:00 {short}" for short in ids[1:])
    assert names[0].startswith("2026-11-01 12:00:05")
    assert names[3].startswith("2026-11-02 12:00 ")


def test_a_change_that_is_not_shown_is_no_equals_sign(tmp_path: Path, capsys: Capture) -> None:
    """2.8 % is 2.8 standard errors: no proof among the times and joules of six decodes."""
    decodes = [made.decode(batch, 0.020, 480.0, mix=None) for batch in (1, 2, 4, 8, 16, 32)]
    record(tmp_path, 1, 0, points=list(map(scattered, decodes)))
    busy = {"warnings": ["other_load: other processes took 51% of the CPUs during the windows"]}
    record(tmp_path, 2, 0, points=[scattered(decodes[0], math.exp(0.028)) | busy, *map(scattered, decodes[1:])])
    text = " ".join(call(capsys, tmp_path)[0].split())
    assert text.count("-2.8%~") == 2  # tokens/s, against the run before, which is the first
    assert "~ not shown: its own interval leaves out 0 %, but among all these that is no proof" in text
    assert "warned 2026-11-02 12:00: other processes took 51 % of the CPUs in 1 row" in text


def test_a_single_run_is_told_and_shown_when_asked_for(tmp_path: Path, capsys: Capture) -> None:
    record(tmp_path, 1, 45)
    assert "1 run, 0 groups of like rows; 2 rows were measured by one run only (--all shows them)" in call(capsys, tmp_path)[0]
    assert "request bf16 batch 128" in call(capsys, tmp_path, "--all")[0]


def test_what_is_missing_has_its_reason(tmp_path: Path, capsys: Capture) -> None:
    dark = [point | {"power_source": "none", "energy_j": None, "board_w": None} for point in made.run().points]
    for day in (1, 2):
        record(tmp_path, day, 0, points=[*dark, made.decode(7, 0.1, 400.0, mix=None, valid=False, invalid_reasons=["throttled"])])
    text, _ = call(capsys, tmp_path)
    assert "no joules were measured" in text
    assert "no price of a token" in text
    assert "not valid: throttled" in text


def test_hostile_text_is_inert(tmp_path: Path, capsys: Capture) -> None:
    hostile = "\x1b]0;owned\x07=cmd()[red]x[/red]\u202e"
    points = [point | {"model": hostile, "gpu": hostile, "gpu_key": None, "routing": hostile} for point in windowed.points(1)]
    record(tmp_path, 1, 0, points=points, torch=hostile)
    path = record(tmp_path, 2, 0, points=points, torch=f"{hostile}2", driver=hostile)
    header = json.loads((path / "run.json").read_text()) | {"created": hostile, "tokenmill": hostile}
    (path / "run.json").write_text(json.dumps(header))
    text, err = call(capsys, tmp_path)
    assert not {"\x1b", "\x07", "\u202e"} & set(text + err)
    assert "[red]x" in text


def test_of_many_runs_the_first_the_best_and_the_last_are_shown(tmp_path: Path, capsys: Capture) -> None:
    """Thirty days, the fifth a tenth quicker: the 1st, the 5th and the 11th to 30th."""
    for day in range(1, 31):
        step_s = 0.018 if day == 5 else 0.020
        record(tmp_path, day, day, points=[windowed.noisy(made.decode(32, step_s, 480.0, mix=None), day)])
    text, _ = call(capsys, tmp_path)
    days = [int(line[8:10]) for line in text.splitlines() if line.startswith("2026-11")]
    assert days == [1, 5, *range(11, 31)]
    assert "the first, the best and the last 20 of 30 runs" in text
    assert len(json.loads(call(capsys, tmp_path, "--json")[0])["groups"][0]["rows"]) == 30
