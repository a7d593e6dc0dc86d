import json
from pathlib import Path
from typing import Any

import pytest

from profiler.cli import run_command

Capture = pytest.CaptureFixture[str]


def document(capsys: Capture, *arguments: str) -> dict[str, Any]:
    assert run_command(["cost", *arguments, "--json"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    parsed = json.loads(captured.out)  # fails on anything but one document
    assert isinstance(parsed, dict)
    return parsed


@pytest.mark.parametrize(
    ("rate", "usd", "kw", "per_mtok", "per_mw"),
    [("93.25", "1.41", "1.73", 4.2002, 53_901.7), ("6000", "2.652", "2.1", 0.122778, 2_857_142.9)],
)
def test_nvidias_headline_figures(capsys: Capture, rate: str, usd: str, kw: str, per_mtok: float, per_mw: float) -> None:
    shown = document(capsys, "--tokens-per-s-per-gpu", rate, "--usd-per-gpu-hour", usd, "--kw-per-gpu", kw)
    assert shown["usd_per_mtok"]["value"] == pytest.approx(per_mtok, rel=1e-4)
    assert shown["tokens_per_s_per_mw"]["provisioned"] == pytest.approx(per_mw, rel=1e-6)
    assert shown["tokens_per_s_per_mw"]["board"] is None
    assert shown["provenance"] == {"usd_per_mtok": "assumed", "tokens_per_s_per_mw.provisioned": "assumed", "usd_per_gpu_hour": "assumed"}
    assert "tokens_per_s_per_mw.node" in shown["why_null"]


def test_a_bill_by_phase(capsys: Capture) -> None:
    flags = ["--input-tokens-per-s", "73700", "--output-tokens-per-s", "14800", "--gpus", "8", "--usd-per-gpu-hour", "2", "--mix-tokens", "608e9/168e9"]
    shown = document(capsys, *flags)
    assert shown["prefill_only_usd_per_mtok"] == pytest.approx(0.0603, abs=5e-5)
    assert shown["decode_only_usd_per_mtok"] == pytest.approx(0.3003, abs=5e-5)
    assert shown["bill_usd"]["total"] == pytest.approx(87_116, abs=1)
    assert shown["usd_per_mtok"]["value"] == pytest.approx(87_116 / 168e3, rel=1e-4)
    assert shown["usd_per_mtok"]["mix"] == "6.08e+11/1.68e+11"
    # 608e9 / 73700 + 168e9 / 14800 seconds of 8 GPUs for 168e9 output tokens.
    assert shown["output_tokens_per_s_per_gpu"] == pytest.approx(168e9 / (608e9 / 73700 + 168e9 / 14800) / 8)
    assert run_command(["cost", *flags]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    for figure in ("$0.0603 / Mtok", "$0.3003 / Mtok", "$87.1 K", "decode only", "assumed"):
        assert figure in printed


def test_a_gpu_of_the_book_brings_price_and_kilowatts(capsys: Capture) -> None:
    shown = document(capsys, "--tokens-per-s-per-gpu", "93.25", "--gpu", "h200_sxm", "--watts", "1000")
    assert shown["usd_per_mtok"]["value"] == pytest.approx(4.2002, rel=1e-4)
    assert shown["usd_per_mtok"]["price_range"] == pytest.approx([4.2002, 4.2002 * 1.74 / 1.41], rel=1e-4)
    assert shown["price"]["provenance"] == "reference"
    assert shown["tokens_per_s_per_mw"]["node"] == pytest.approx(93_250)
    assert shown["tokens_per_s_per_mw"]["facility"] == pytest.approx(93_250 / 1.3)


def test_one_phase_is_not_a_mix(capsys: Capture) -> None:
    shown = document(capsys, "--output-tokens-per-s", "14800", "--gpus", "8", "--usd-per-gpu-hour", "2")
    assert shown["usd_per_mtok"] is None
    assert shown["decode_only_usd_per_mtok"] == pytest.approx(0.3003, abs=5e-5)
    assert "--mix-tokens" in shown["why_null"]["usd_per_mtok"]


def test_power_without_a_price(capsys: Capture) -> None:
    shown = document(capsys, "--tokens-per-s-per-gpu", "100", "--watts", "500", "--pue", "1.25")
    assert shown["usd_per_mtok"] is None
    assert "--usd-per-gpu-hour" in shown["why_null"]["usd_per_mtok"]
    assert shown["tokens_per_s_per_mw"]["facility"] == pytest.approx(160_000)  # 100 / 625e-6


def test_half_busy_costs_twice_and_says_so(capsys: Capture) -> None:
    flags = ["--tokens-per-s-per-gpu", "50", "--usd-per-gpu-hour", "1.8", "--utilisation", "0.5"]
    assert document(capsys, *flags)["usd_per_mtok"]["value"] == pytest.approx(20.0)
    assert run_command(["cost", *flags]) == 0
    assert "50% busy" in " ".join(capsys.readouterr().out.split())


def test_energy_is_added_to_a_price_that_leaves_it_out(capsys: Capture, tmp_path: Path) -> None:
    book = tmp_path / "mine.toml"
    book.write_text('usd_per_kwh = 0.1\n[kinds.bare]\nincludes = ["capex"]\n[gpus.a100]\nusd_per_gpu_hour = { bare = 1.0 }\n')
    flags = ["--tokens-per-s-per-gpu", "100", "--gpu", "a100", "--price-book", str(book)]
    # 1.13 / (3600 x 100) x 1e6 with 1 kW x PUE 1.3 at $0.10, and 1.0 / 0.36 without.
    assert document(capsys, *flags, "--watts", "1000")["usd_per_mtok"]["value"] == pytest.approx(1.13 / 0.36)
    without = document(capsys, *flags)
    assert without["usd_per_mtok"]["value"] == pytest.approx(1 / 0.36)
    assert "price without energy" in without["price_note"]
    assert run_command(["cost", *flags]) == 0
    assert "price without energy" in " ".join(capsys.readouterr().out.split())


RATE = ["--tokens-per-s-per-gpu", "5"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "nothing to price"),
        (RATE, "no price and no power"),
        ([*RATE, "--gpu", "a100"], "no price for a100"),
        ([*RATE, "--gpu", "h20"], "did you mean h200"),
        (["--tokens-per-s-per-gpu", "0", "--gpu", "h200"], "--tokens-per-s-per-gpu 0: should be a number above 0"),
        (["--tokens-per-s-per-gpu", "-5", "--gpu", "h200"], "--tokens-per-s-per-gpu -5"),
        (["--tokens-per-s-per-gpu", "nan", "--gpu", "h200"], "--tokens-per-s-per-gpu nan"),
        (["--tokens-per-s-per-gpu", "1e308", "--kw-per-gpu", "1"], "below 1e18"),
        (["--tokens-per-s-per-gpu", "fast", "--gpu", "h200"], "Invalid value for '--tokens-per-s-per-gpu'"),
        ([*RATE, "--usd-per-gpu-hour", "inf"], "--usd-per-gpu-hour inf"),
        ([*RATE, "--watts", "9", "--pue", "0.9"], "--pue 0.9"),
        ([*RATE, "--gpu", "h200", "--pue", "1.2"], "give --watts as well"),
        ([*RATE, "--usd-per-gpu-hour", "1", "--price-kind", "rent_3yr"], "one or the other"),
        ([*RATE, "--gpu", "h200", "--price-kind", "rent_3y"], "did you mean rent_3yr"),
        ([*RATE, "--output-tokens-per-s", "9", "--gpu", "h200"], "contradicts"),
        ([*RATE, "--gpus", "8", "--gpu", "h200"], "already per GPU"),
        ([*RATE, "--mix-tokens", "1/2", "--gpu", "h200"], "--mix-tokens needs both"),
        (["--output-tokens-per-s", "9", "--gpus", "0", "--gpu", "h200"], "--gpus 0"),
        (["--input-tokens-per-s", "9", "--output-tokens-per-s", "9", "--gpu", "h200", "--mix-tokens", "8k"], "--mix-tokens '8k'"),
        (["--input-tokens-per-s", "9", "--output-tokens-per-s", "9", "--gpu", "h200", "--mix-tokens", "nan/1"], "--mix-tokens 'nan/1'"),
        (["last", *RATE], "a RUN brings its own rates"),
        (["last", "--gpu", "h200"], "a RUN brings its own GPU"),
        (["no-such-run"], "no run 'no-such-run'"),
        ([*RATE, "--gpu", "h200", "--price-book", "/nowhere/x.toml"], "price book /nowhere/x.toml: No such file"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(capsys: Capture, arguments: list[str], said: str) -> None:
    assert run_command(["cost", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("tokenmill: ")
    assert captured.err.count("\n") == 1
    assert said in captured.err


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """A run of one prefill (20480 tokens/s) and one decode point (512 tokens/s) at a declared $3.6/h."""
    common = {
        "schema_version": 1,
        "status": "ok",
        "model": "[bold]m[/]\x1b[31m",
        "precision": "bf16",
        "kv_cache": "bf16",
        "mix": "8k/1k",
        "gpu_key": None,
        "valid": True,
    }
    prefill = {**common, "point_id": "p1", "phase": "prefill", "batch": 1, "input_tokens": 204800, "output_tokens": 0, "window_s": 10.0}
    decode = {**common, "point_id": "d4", "phase": "decode", "batch": 4, "input_tokens": 0, "output_tokens": 5120, "window_s": 10.0}
    path = tmp_path / "20261122-120000-m-abcd"
    path.mkdir()
    price = {"usd_per_gpu_hour": 3.6, "provenance": "assumed", "node_w": 800.0}
    (path / "run.json").write_text(json.dumps({"schema_version": 1, "run_id": path.name, "price": price}))
    (path / "points.jsonl").write_text("".join(json.dumps(p) + "\n" for p in (prefill, decode)))
    return path


def test_a_recorded_run_is_priced_again(capsys: Capture, recorded: Path) -> None:
    shown = document(capsys, str(recorded))
    assert shown["mixes"][0]["usd_per_mtok"]["value"] == pytest.approx(2.34375)  # 2.4 GPU-seconds at $0.001 over 1024 tokens
    assert shown["mixes"][0]["tokens_per_s_per_mw"]["node"] == pytest.approx(1024 / 2.4 / 800e-6)
    assert {point["point_id"] for point in shown["points"]} == {"p1", "d4"}
    dearer = document(capsys, str(recorded), "--usd-per-gpu-hour", "7.2", "--utilisation", "0.5")
    assert dearer["mixes"][0]["usd_per_mtok"]["value"] == pytest.approx(4 * 2.34375)


def test_a_run_is_found_by_id_and_as_the_last(capsys: Capture, recorded: Path) -> None:
    for reference in (recorded.name, "last"):
        assert document(capsys, reference, "--runs", str(recorded.parent))["run_id"] == recorded.name


def test_a_run_on_a_terminal(capsys: Capture, recorded: Path) -> None:
    assert run_command(["cost", str(recorded)]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "$2.34" in printed
    assert "\x1b[31m" not in printed
    assert "assumed $3.6/GPU-h" in printed


def test_a_run_without_a_mix_says_how_to_get_one(capsys: Capture, recorded: Path) -> None:
    (recorded / "points.jsonl").write_text("")
    assert run_command(["cost", str(recorded)]) == 3
    assert "--mix 8k/1k" in " ".join(capsys.readouterr().out.split())
