"""`tokenmill compare`: records in; a screen, a document, or an exit code for CI out."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from profiler.cli import run_command
from profiler.compare.figures import FIGURES
from tests.profiler import handmade_run as made
from tests.profiler import planted_run as planted
from tests.profiler import windowed_run as windowed
from tests.profiler.test_compare import scattered
from tests.profiler.test_compare_parts import fp8
from tests.profiler.test_compare_parts import rows as operations

FLAGS = ("--usd-per-gpu-hour", "3.6")
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")


@pytest.fixture
def same(tmp_path: Path) -> tuple[Path, Path]:
    """Two runs of the same work, each with its own noise; how often noise raises an alarm is counted elsewhere (test_compare.py), here it raises none."""
    return windowed.record(tmp_path, windowed.points(20)), windowed.record(tmp_path, windowed.points(21))


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    return windowed.record(tmp_path, windowed.points(22, slower=1.1), environment=made.run().header["environment"] | {"torch": "2.14.0"})


def call(capsys: Capture, *arguments: object, code: int = 0) -> str:
    capsys.readouterr()
    assert run_command(["compare", *map(str, arguments), *FLAGS]) == code, capsys.readouterr()
    return capsys.readouterr().out


def fails(capsys: Capture, *arguments: object) -> str:
    capsys.readouterr()
    assert run_command(["compare", *map(str, arguments)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1, captured.err
    return captured.err


def document(capsys: Capture, *arguments: object, code: int = 0) -> dict[str, Any]:
    return json.loads(call(capsys, *arguments, "--json", code=code), parse_constant=lambda name: pytest.fail(name))


def test_the_same_work_says_no_difference(same: tuple[Path, Path], capsys: Capture) -> None:
    text = call(capsys, *same)
    assert "run 2 against run 1: no difference in 5 rows" in text
    assert "same machine and software" in text
    assert "one price for all runs: assumed $3.6/GPU-h" in " ".join(text.split())
    assert "Welch's t on logarithms" in text


@pytest.mark.parametrize("width", [80, 100, 200])
def test_a_slow_run_is_found_and_nothing_is_wider_than_the_screen(
    same: tuple[Path, Path], slow: Path, width: int, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    text = call(capsys, *same, slow)
    flat = " ".join(text.split())
    assert "run 2 against run 1: no difference in 5 rows" in flat
    assert "run 3 against run 1: dearer in 2, slower in 10, more energy in 5, less per MW in 8 of 25 figures in 5 rows" in flat
    assert "changed: torch 2.13.0 → 2.14.0" in flat
    assert max(len(line.rstrip()) for line in text.splitlines()) <= min(width, 100)


def test_the_document(same: tuple[Path, Path], slow: Path, capsys: Capture) -> None:
    found = document(capsys, *same, slow, "--fail-if", "step_s > +50%")
    assert list(found) == ["schema_version", "runs", "price", "pairs", "unmatched", "invalid", "operations", "precisions", "gates", "warned"]
    assert [run["torch"] for run in found["runs"]] == ["2.13.0", "2.13.0", "2.14.0"]
    assert found["price"]["reprice"] == "book"
    assert {price["usd_per_gpu_hour"] for price in found["price"]["by_run"]} == {3.6}
    assert len(found["pairs"]) == 10
    request = next(pair for pair in found["pairs"] if pair["key"]["phase"] == "request" and pair["key"]["batch"] == 32)
    assert request["points"]["old"] == {"prefill": "prefill-b1", "decode": "decode-b32"}
    usd = request["figures"]["usd_per_mtok"]
    assert usd["ratio"] == pytest.approx(usd["new"] / usd["old"])
    assert usd["ci95"][0] <= usd["ratio"] <= usd["ci95"][1]
    assert (usd["verdict"], usd["more_than_noise"], usd["n"], usd["method"], usd["unit"]) == ("no difference", False, [5, 5], "welch", "USD/Mtok")
    assert set(request["figures"]) <= set(FIGURES)
    assert found["gates"] == [{"gate": "step_s > +50%", "figure": "step_s", "passed": True, "looked_at": 3, "violations": [], "why": found["gates"][0]["why"]}]


def test_gates_end_with_four_on_the_screen_and_in_the_document(same: tuple[Path, Path], slow: Path, capsys: Capture) -> None:
    usd, joules = "usd_per_mtok > +3%", "energy_j_per_output_token > +50%"
    text = " ".join(call(capsys, *same, slow, "--fail-if", usd, "--fail-if", joules, code=4).split())
    assert "gate FAILED usd_per_mtok > +3%: request bf16 batch" in text
    assert "gate passed energy_j_per_output_token > +50%: not violated in 4 rows" in text
    call(capsys, same[0], slow, same[1], "--fail-if", usd)  # the last run against the first
    gates = document(capsys, same[0], slow, "--fail-if", usd, code=4)["gates"]
    assert [(gate["passed"], len(gate["violations"])) for gate in gates] == [(False, 2)]
    assert gates[0]["violations"][0]["verdict"].startswith("dearer by")


def test_a_gate_that_joins_nothing_fails(same: tuple[Path, Path], tmp_path: Path, capsys: Capture) -> None:
    other = windowed.record(tmp_path, [point | {"model": "another"} for point in windowed.points(1)])
    text = " ".join(call(capsys, same[0], other, "--fail-if", "usd_per_mtok > +3%", code=4).split())
    assert "no valid row has a partner: nothing was compared" in text
    assert "nothing to look at: no valid row has a partner (10 without one or not valid)" in text
    assert "not in run 2" in call(capsys, same[0], other)  # without a gate it is told, and no failure
    call(capsys, *same, "--fail-if", "tokens_per_s_per_mw.node > +3%", code=4)


def test_bad_requests_are_one_line(same: tuple[Path, Path], slow: Path, capsys: Capture) -> None:
    assert "did you mean usd_per_mtok" in fails(capsys, *same, "--fail-if", "usd_per_mto > +3%")
    assert "unknown difference to allow 'gpus'; did you mean gpu?" in fails(capsys, *same, "--allow", "gpus")
    assert "unknown --reprice 'mine'" in fails(capsys, *same, "--reprice", "mine")
    assert "alone: name a second run" in fails(capsys, slow)
    assert "no run 'nowhere'" in fails(capsys, slow, "nowhere")


def test_another_driver_is_refused_by_name(same: tuple[Path, Path], tmp_path: Path, capsys: Capture) -> None:
    newer = windowed.record(tmp_path, windowed.points(1), environment=made.run().header["environment"] | {"driver": "580.1"})
    assert "are unlike: driver 575.57.08 against 580.1; --allow driver compares them all the same" in fails(capsys, same[0], newer)
    assert "driver: 575.57.08 against 580.1" in call(capsys, same[0], newer, "--allow", "driver")


def test_own_prices_are_said(tmp_path: Path, capsys: Capture) -> None:
    """$3.60 and $1.80 were declared: half the price where each keeps its own, and none of it is noise."""
    runs = [windowed.record(tmp_path, windowed.points(1), price=made.price(usd_per_gpu_hour=usd).json()) for usd in (3.6, 1.8)]
    capsys.readouterr()
    assert run_command(["compare", *map(str, runs), "--reprice", "own"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "each run at its own:" in text
    assert "cheaper by 50%" in text
    assert run_command(["compare", *map(str, runs)]) == 0
    assert "no difference in 5 rows" in capsys.readouterr().out


def test_what_is_not_shown_and_who_was_warned_is_on_the_screen(tmp_path: Path, capsys: Capture) -> None:
    """2.8 % is 2.8 standard errors: a difference of one decode, and no proof among the times and joules of six."""
    decodes = [made.decode(batch, 0.020, 480.0, mix=None) for batch in (1, 2, 4, 8, 16, 32)]
    busy = {"warnings": ["other_load: other processes took 51% of the CPUs during the windows"]}
    step = math.exp(0.028)
    new = [scattered(decodes[0], step, 10.0 * step) | busy, *map(scattered, decodes[1:])]
    runs = [windowed.record(tmp_path, points) for points in (list(map(scattered, decodes)), new)]
    text = " ".join(call(capsys, *runs).split())
    # Of the first row the step, two rates, joules and tokens/s per MW at two boundaries.
    assert "no difference is shown in 6 rows; of 6 of 36 figures the own interval leaves out 1" in text
    assert "20.6 ms 1.028 1.005–1.052 not shown" in text
    assert "not shown: its own interval leaves out 1; among 12 comparisons that is no proof." in text
    assert "warned run 2: other processes took 51 % of the CPUs in 1 row: its times are not only its own" in text
    assert "no proof" not in call(capsys, runs[0], runs[0])


def test_the_runs_own_price_is_said(tmp_path: Path, capsys: Capture) -> None:
    points = [point | {"gpu_key": "h900", "gpu": "Example 900"} for point in windowed.points(1)]
    a, b, c = (windowed.record(tmp_path, points, price=made.price(usd_per_gpu_hour=usd).json()) for usd in (0.5, 0.5, 0.7))
    capsys.readouterr()
    assert run_command(["compare", str(a), str(b), "--fail-if", "usd_per_mtok > +3%"]) == 0
    assert "assumed $0.5/GPU-h (the runs' own, since the book has none; as given" in " ".join(capsys.readouterr().out.split())
    assert run_command(["compare", str(a), str(c)]) == 0
    assert "the runs declared $0.5, $0.7: give --reprice own" in " ".join(capsys.readouterr().out.split())


def test_of_a_folder_what_cannot_be_read_is_left_out(same: tuple[Path, Path], tmp_path: Path, capsys: Capture) -> None:
    windowed.record(tmp_path, [point | {"windows": 7} for point in windowed.points(23)])
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.json").write_text("{")
    capsys.readouterr()
    assert run_command(["compare", str(tmp_path), *FLAGS]) == 0
    captured = capsys.readouterr()
    assert "run 2 against run 1" in captured.out
    assert [line.startswith("tokenmill: left out: ") for line in captured.err.splitlines()] == [True, True]
    assert "broken" in fails(capsys, same[0], tmp_path / "broken")  # one that is named has to be read


def test_operations_and_precisions_are_on_the_screen(tmp_path: Path, capsys: Capture) -> None:
    points = [*windowed.points(1), *map(fp8, windowed.points(2, slower=0.5))]
    plans = {planted.PLAN_ID: planted.plan()}
    ops = [{"decode-b32": operations(times={"head.logits": times}), "decode-b128": operations()} for times in (1.0, 1.3)]
    runs = [windowed.record(tmp_path, points, ops=rows, plans=plans) for rows in ops]
    text = " ".join(call(capsys, *runs).split())
    assert "matmul head.logits 150 µs 195 µs +45.0 µs more than noise" in text
    assert "decode bf16 batch 128 of run 2, measured alone: no difference in 4" in text
    assert "KL 0.012 nats, top-1 98% of 4096" in text
    assert "in no run here; tokenmill run --precision bf16,mxfp4,nvfp4" in text
    found = document(capsys, *runs)
    assert found["operations"][0]["rows"][0]["change_s"] == pytest.approx(45e-6)
    assert [row["precision"] for row in found["precisions"][0]["rows"]] == ["bf16", "bf16", "fp8", "fp8"]
    assert "precisions" in call(capsys, runs[0])  # one run that holds several is enough


def test_what_takes_no_part_is_listed(tmp_path: Path, capsys: Capture) -> None:
    bad = [point | ({"valid": False, "invalid_reasons": ["throttled"]} if point["batch"] == 128 else {}) for point in windowed.points(1)]
    runs = windowed.record(tmp_path, windowed.points(2)), windowed.record(tmp_path, [*bad, made.out_of_memory(512)])
    text = call(capsys, *runs)
    assert "decode bf16 batch 128 of run 2: ✗ throttled" in text
    assert "decode bf16 batch 512 of run 2: ✗ oom: out of memory" in text
    found = document(capsys, *runs)
    assert [row["reasons"] for row in found["invalid"]] == [["decode: throttled"], ["throttled"], ["oom: out of memory"]]
    assert all(pair["key"]["batch"] != 128 for pair in found["pairs"])


def test_many_rows_without_a_difference_are_counted(tmp_path: Path, capsys: Capture) -> None:
    points = [windowed.noisy(made.decode(batch, 0.02, 480.0, mix=None), 1) for batch in range(1, 31)]
    again = [windowed.noisy(made.decode(batch, 0.02, 480.0, mix=None), 2, slower=1.1 if batch == 7 else 1.0) for batch in range(1, 31)]
    text = call(capsys, windowed.record(tmp_path, points), windowed.record(tmp_path, again))
    assert "29 more rows" in text
    assert "decode bf16 batch 7 " in text
    assert len(text.splitlines()) < 30


def test_hostile_text_is_inert(tmp_path: Path, capsys: Capture) -> None:
    hostile = "\x1b]0;owned\x07=cmd()[red]x[/red]\u202e"
    points = [point | {"model": hostile, "gpu": hostile, "routing": f"{hostile}{point['batch']}", "gpu_key": None} for point in windowed.points(1)]
    bad = points[1] | {"point_id": "bad", "batch": 7, "valid": False, "invalid_reasons": [hostile]}
    environment = made.run().header["environment"] | {"torch": hostile, "driver": hostile}
    runs = windowed.record(tmp_path, [*points, bad], environment=environment), windowed.record(tmp_path, points, environment=environment, tokenmill=hostile)
    text = call(capsys, *runs)
    assert not {"\x1b", "\x07", "\u202e"} & set(text)
    assert "[red]x" in text
    document(capsys, *runs)
