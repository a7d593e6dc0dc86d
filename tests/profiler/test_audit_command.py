"""`tokenmill audit`: one document or one screen, exit code 4 for a claim that fails, and claims beside a run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from profiler.cli import run_command
from profiler.record.store import RunWriter
from tests.profiler import handmade_run as made

Capture = pytest.CaptureFixture[str]


def document(capsys: Capture, *arguments: str, code: int = 0) -> dict[str, Any]:
    assert run_command(["audit", *arguments, "--json"]) == code
    captured = capsys.readouterr()
    assert captured.err == ""
    parsed = json.loads(captured.out)  # fails on anything but one document
    assert isinstance(parsed, dict)
    return parsed


def screen(capsys: Capture, *arguments: str, code: int = 0, columns: int = 100) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(columns))
        assert run_command(["audit", *arguments]) == code
    out = capsys.readouterr().out
    assert max(len(line) for line in out.splitlines()) <= columns
    return out


def flat(text: str) -> str:
    return " ".join(text.split())


def claims(tmp_path: Path, text: str) -> str:
    path = tmp_path / "claims.toml"
    path.write_text(text)
    return str(path)


def test_the_shipped_table_as_one_document(capsys: Capture) -> None:
    shown = document(capsys, code=4)
    assert shown["schema_version"] == 1
    assert shown["table"]["source"].startswith("NVIDIA blog")
    assert shown["table"]["date"] == "2026-04-15"
    assert len(shown["cells"]) == 15
    assert shown["run"] is None
    kinds = {check["provenance"] for check in shown["checks"]}
    assert kinds == {"reference", "modelled"}


@pytest.mark.parametrize("columns", [100, 80])
def test_the_shipped_table_on_one_screen(capsys: Capture, columns: int) -> None:
    out = screen(capsys, code=4, columns=columns)
    assert "$4.20 ✗ $4.35" in out
    assert "2x ≠ 2.00" in out
    assert "65x ✗ 66.7" in out
    assert "35x ✓ 35.0" in out
    said = flat(out)
    assert "the printed price needs 93.25 (92.81 to 93.70) tokens/s" in said
    assert "64.34 (64.03 to 64.65) with the 93.25 that HGX H200's prices need" in said
    assert "HGX H200 tokens/s per GPU from 92.81 to 93.03 instead of 90: then every check agrees" in said
    assert "2.8 x $1.41 = 3.95 PFLOP/s, which is H200 SXM's sparse FP8 (3.958)" in said
    assert "like for like: dense FP8 1.34x, best dense of each (FP4 over FP8) 4.03x" in said
    assert "HGX H200 implies 1.67 kW per GPU (1.73 by its $ per Mtok), near its all-in provisioned 1.73 kW" in said
    assert "if input and output of 8k/1k (assum): 10 and 667 output tokens/s per GPU, $37.80 and $1.08 per output Mtok" in said
    assert "0.34% of its dense FP8 FLOP/s, 8.0% (0.89% if total) of the floor's 1,122 tokens/s" in said
    assert "7 of 10 checks agree within the printed digits, 2 do not, 1 compares unlike things" in said
    assert len(out.splitlines()) <= (36 if columns == 100 else 48)


def test_a_tolerance_by_flag(capsys: Capture) -> None:
    assert "within the printed digits and 3.0%" in flat(screen(capsys, "--tolerance", "3%"))
    assert document(capsys, "--tolerance", "3%")["verdict"]["failed"] == []
    assert document(capsys, "--tolerance", "0%", code=4)["verdict"]["exit_code"] == 4


def test_a_tolerance_in_the_file(capsys: Capture, tmp_path: Path) -> None:
    table = 'title = "t"\n{}[columns.a]\nusd_per_gpu_hour = "$1.41"\ntokens_per_s_per_gpu = "90"\nusd_per_mtok = {}\n'
    document(capsys, claims(tmp_path, table.format("", '"$4.20"')), code=4)
    document(capsys, claims(tmp_path, table.format('tolerance = "3%"\n', '"$4.20"')))
    document(capsys, claims(tmp_path, table.format("", '{ printed = "$4.20", tolerance = "3%" }')))
    # A cell's own tolerance stands before the table's; the flag before both.
    strict = claims(tmp_path, table.format('tolerance = "3%"\n', '{ printed = "$4.20", tolerance = "1%" }'))
    document(capsys, strict, code=4)
    document(capsys, strict, "--tolerance", "3%")


def test_a_price_book_of_ones_own(capsys: Capture, tmp_path: Path) -> None:
    book = tmp_path / "book.toml"
    book.write_text("[gpus.h200]\nprovisioned_kw_per_gpu = 1.67\n")
    shown = {check["id"]: check for check in document(capsys, "--price-book", str(book), code=4)["checks"]}
    assert shown["h200.kw_per_gpu:implied_kw"]["verdict"] == "agrees"
    assert shown["h200.kw_per_gpu:implied_kw"]["claimed"]["value"] == 1.67


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--tolerance", "2"], "--tolerance '2': should be a share"),
        (["--tolerance", "nan%"], "--tolerance 'nan%'"),
        (["--mix", "8k"], "mix '8k'"),
        (["--run", "no-such-run"], "no run 'no-such-run'"),
        (["/nowhere/claims.toml"], "claims file /nowhere/claims.toml: No such file"),
        (["--price-book", "/nowhere/b.toml"], "price book /nowhere/b.toml"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(capsys: Capture, arguments: list[str], said: str) -> None:
    assert run_command(["audit", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert said in captured.err


def test_hostile_text_is_inert(capsys: Capture, tmp_path: Path) -> None:
    evil = "\\u001b[31m[red]x[/]\\u202e</script>"
    cells = 'usd_per_gpu_hour = "$1.41"\ntokens_per_s_per_gpu = "90"\nusd_per_mtok = "$4.20"\ntokens_per_s_per_mw = "54 K"\n'
    path = claims(
        tmp_path,
        f'title = "{evil}"\nsource = "{evil}"\ndate = "\\u001b[2J"\nmodel = "{evil}"\n[columns.a]\nlabel = "{evil}"\ngpu = "h200"\n{cells}'
        f'[columns.a.ceiling]\noutput_tokens_per_s_per_gpu = 100\ncommand = "{evil}"\nnote = "{evil}"\n[columns.b]\nlabel = "[bold]"\n{cells}'
        '[ratios."b/a"]\ntokens_per_s_per_gpu = "3x"\n',
    )
    out = screen(capsys, path, code=4)
    assert "\x1b" not in out
    assert "‮" not in out
    assert "[31m[red]x[/]</script>" in out  # as text
    bad = claims(tmp_path, 'title = "t"\n[columns.a]\nusd_per_mtok = "\\u001b[31m$4"\n')
    assert run_command(["audit", bad]) == 2
    assert "\x1b" not in capsys.readouterr().err


def test_a_wide_table_stays_within_the_screen(capsys: Capture, tmp_path: Path) -> None:
    rows = 'usd_per_gpu_hour = "$1.41"\ntokens_per_s_per_gpu = "90"\nusd_per_mtok = "$4.20"\n'
    text = 'title = "t"\n' + "".join(f"[columns.gpu{i}]\n{rows}" for i in range(32))
    text += "".join(f'[ratios."gpu{i}/gpu0"]\ntokens_per_s_per_gpu = "1.0x"\n' for i in range(1, 32))
    out = screen(capsys, claims(tmp_path, text), code=4)
    assert "and 24 more: --json lists them" in out
    assert "gpu31" in out


def test_a_table_with_nothing_to_check(capsys: Capture, tmp_path: Path) -> None:
    out = screen(capsys, claims(tmp_path, 'title = "t"\n[columns.a]\nusd_per_mtok = "$4.20"\n'))
    assert "Nothing in this table can be checked against the rest of it" in out
    assert "no source: every figure is assumed" in out


# The hand-made run in bf16 on an H200, best at batch 128: 1024 output tokens of 8k/1k in 0.456 GPU-s = 2,245.6/s, 9216 of all kinds = 20,210.5/s.
# At $3.60 an hour $0.4453 per output Mtok, and at 1.73 kW 1.298 M tokens/s per MW.
# Its GPU-seconds are good to 0.2 x 0.5 % and 0.256 x 1 % in quadrature: 0.6 %.
OURS = """
title = "ours"
source = "us"
model = "qwen3-30b-a3b"
token_basis = "output"
[columns.h200]
gpu = "h200"
format = "bf16"
usd_per_gpu_hour = "$3.60"
tokens_per_s_per_gpu = "{rate}"
usd_per_mtok = "{usd}"
tokens_per_s_per_mw = "1.30 M"
[columns.b200]
gpu = "b200"
usd_per_gpu_hour = "$5.00"
"""


def record(root: Path, *points: dict[str, Any]) -> Path:
    writer = RunWriter.create(root, subject="qwen3-30b-a3b", argv=["run"], version="0.1.0")
    for point in points or made.run().points:
        writer.commit(point | {"run_id": writer.path.name}, plan=made.PLANS.get(point["plan"] or ""))
    writer.finish("done")
    return writer.path


def test_a_run_that_delivers_what_is_claimed(capsys: Capture, tmp_path: Path) -> None:
    path = claims(tmp_path, OURS.format(rate="2,250", usd="$0.445"))
    shown = document(capsys, path, "--run", str(record(tmp_path / "runs")))
    h200, b200 = shown["run"]["columns"]
    assert (h200["verdict"], b200["verdict"]) == ("agrees", "unlike")
    assert b200["note"] == "the run's GPU is h200, the claim's b200"
    rate, usd, per_mw = h200["comparisons"]
    assert rate["measured"]["value"] == pytest.approx(1024 / 0.456)
    # 0.456 s plus and minus the root of 0.001^2 + 0.00256^2 = 0.00275 s
    assert [rate["measured"]["low"], rate["measured"]["high"]] == pytest.approx([1024 / 0.458748, 1024 / 0.453252], rel=1e-5)
    assert rate["claimed_over_measured"]["value"] == pytest.approx(2250 / 2245.614, rel=1e-5)
    assert usd["measured"]["value"] == pytest.approx(0.4453125)
    assert per_mw["measured"]["value"] == pytest.approx(1024 / 0.456 / 1.73e-3)
    assert {(comparison["verdict"], comparison["note"]) for comparison in h200["comparisons"]} == {("agrees", "as claimed")}
    assert (rate["provenance"], usd["provenance"], per_mw["provenance"]) == ("measured", "reference", "reference")


def test_a_run_that_falls_short(capsys: Capture, tmp_path: Path) -> None:
    # 9,000 tokens/s at $3.60 is $0.1111: the table agrees with itself, the run gives a quarter of it.
    path = claims(tmp_path, OURS.format(rate="9,000", usd="$0.11"))
    folder = record(tmp_path / "runs")
    shown = document(capsys, path, "--run", str(folder), code=4)
    assert shown["verdict"]["failed"] == []
    assert shown["verdict"]["failed_by_run"] == ["h200.tokens_per_s_per_gpu", "h200.usd_per_mtok"]
    rate, usd, _ = shown["run"]["columns"][0]["comparisons"]
    assert rate["claimed_over_measured"]["value"] == pytest.approx(4.0078, rel=1e-4)  # 9000 / 2245.614
    assert rate["note"] == "4.01 (3.98 to 4.03) times less"  # to 9000.5 / 2232.2 and from 8999.5 / 2259.2
    assert (rate["verdict"], usd["verdict"], usd["fails"]) == ("disagrees", "disagrees", True)
    assert "times dearer" in usd["note"]
    out = flat(screen(capsys, path, "--run", str(folder), code=4))
    assert "tokens/s per GPU output 9,000 2,246 (meas) ✗ 4.01 (3.98 to 4.03) times less" in out
    assert "the run falls short of 2 claims" in out


def test_a_run_that_delivers_more_fails_no_claim(capsys: Capture, tmp_path: Path) -> None:
    # 1,000 tokens/s at $3.60 is $1.00.
    path = claims(tmp_path, OURS.format(rate="1,000", usd="$1.00"))
    shown = document(capsys, path, "--run", str(record(tmp_path / "runs")))
    rate = shown["run"]["columns"][0]["comparisons"][0]
    assert (rate["verdict"], rate["falls_short"], rate["fails"]) == ("disagrees", False, False)
    assert rate["note"] == "2.25 (2.23 to 2.26) times more"  # 2,245.6 / 1,000


def test_an_unstated_basis_is_held_against_both(capsys: Capture, tmp_path: Path) -> None:
    text = OURS.format(rate="9,000", usd="$0.11").replace('token_basis = "output"\n', "")
    shown = document(capsys, claims(tmp_path, text), "--run", str(record(tmp_path / "runs")))
    rates = {c["basis"]: c for c in shown["run"]["columns"][0]["comparisons"] if c["row"] == "tokens_per_s_per_gpu"}
    assert rates["total"]["measured"]["value"] == pytest.approx(9216 / 0.456)  # 20,210 of all kinds are more than the 9,000 claimed
    assert (rates["output"]["falls_short"], rates["total"]["falls_short"]) == (True, False)
    assert not any(c["fails"] for c in rates.values())


def test_a_run_of_something_else_is_unlike(capsys: Capture, tmp_path: Path) -> None:
    shown = document(capsys, "--run", str(record(tmp_path / "runs")), code=4)
    h200, gb300 = shown["run"]["columns"]
    assert (h200["verdict"], gb300["verdict"]) == ("unlike", "unlike")
    assert h200["note"] == "the run is of qwen3-30b-a3b, the claim of deepseek-r1; the run is in bf16, the claim in fp8"
    assert {c["verdict"] for c in h200["comparisons"]} == {"unlike"}
    assert shown["verdict"]["failed_by_run"] == []
    out = flat(screen(capsys, "--run", str(tmp_path / "runs"), code=4))
    assert "unlike: the run is of qwen3-30b-a3b" in out


def test_invalid_points_are_never_used(capsys: Capture, tmp_path: Path) -> None:
    path = claims(tmp_path, OURS.format(rate="2,250", usd="$0.445"))
    best = made.decode(128, 0.032, 500.0, valid=False, invalid_reasons=["throttled"])
    shown = document(capsys, path, "--run", str(record(tmp_path / "some", made.prefill(), made.decode(32, 0.020, 480.0), best)), code=4)
    assert shown["run"]["columns"][0]["measured"]["batch"] == 32
    assert (shown["run"]["valid_mixes"], shown["run"]["invalid_mixes"]) == (1, 1)
    none = document(capsys, path, "--run", str(record(tmp_path / "none", made.prefill(), best)))
    assert (none["run"]["columns"][0]["verdict"], none["run"]["columns"][0]["comparisons"]) == ("not checkable", [])
    assert "no valid mix" in none["run"]["columns"][0]["note"]
    alone = document(capsys, path, "--run", str(record(tmp_path / "alone", made.decode(32, 0.020, 480.0, valid=False))))
    assert alone["run"]["columns"][0]["verdict"] == "not checkable"
    unmixed = document(capsys, path, "--run", str(record(tmp_path / "unmixed", made.decode(32, 0.020, 480.0, mix=None))))
    assert unmixed["run"]["gpu_keys"] == ["h200"]
    assert "no valid mix" in unmixed["run"]["columns"][0]["note"]


def test_the_mix_most_like_the_claim_is_compared(capsys: Capture, tmp_path: Path) -> None:
    """The faster one in another format is not."""
    path = claims(tmp_path, OURS.format(rate="2,250", usd="$0.445"))
    other = {"precision": "fp8", "kv_cache": "fp8"}
    faster = made.prefill(point_id="p8", **other), made.decode(128, 0.016, 500.0, **other) | {"point_id": "d8"}
    shown = document(capsys, path, "--run", str(record(tmp_path / "runs", *faster, *made.run().points)))
    assert shown["run"]["columns"][0]["measured"]["precision"] == "bf16"
    assert shown["run"]["columns"][0]["verdict"] == "agrees"


def test_a_public_benchmarks_file_is_a_run(capsys: Capture) -> None:
    data = Path(__file__).parents[1] / "data" / "foreign" / "inferencex.json"
    shown = document(capsys, "--run", f"{data}@h200", code=4)
    rate = shown["run"]["columns"][0]["comparisons"][0]
    assert (rate["measured"]["value"], rate["provenance"], rate["verdict"]) == (200.0, "reference", "unlike")  # it is of gpt-oss-120b
    assert run_command(["audit", "--run", str(data)]) == 2
    assert "FILE@h200" in capsys.readouterr().err


def test_a_damaged_run_is_one_line(capsys: Capture, tmp_path: Path) -> None:
    folder = record(tmp_path / "runs", *(point | {"precision": {"x": 1}, "step_s": 3} for point in made.run().points))
    assert run_command(["audit", "--run", str(folder)]) == 2
    assert "damaged" in capsys.readouterr().err


def test_audit_needs_no_torch() -> None:
    code = "import sys; from profiler.cli import run_command; code = run_command(['audit']); assert code == 4, code; assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
