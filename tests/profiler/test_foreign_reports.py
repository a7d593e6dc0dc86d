"""`tokenmill report FILE` on other tools' files, alone and beside a user's own run: one table, one JSON document, one CSV."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from profiler.commands.cost import cost
from profiler.report.rows import rows_of
from tests.profiler import handmade_run as made
from tests.profiler.test_foreign_files import HOSTILE, INFERENCEX
from tests.profiler.test_report_command import call, record
from triton_kernels.errors import TokenmillError

DATA = Path(__file__).parents[1] / "data" / "foreign"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder of records with the hand-made run in it."""
    record(tmp_path / "runs", made.run().points)
    return tmp_path / "runs"


def test_json_of_a_file(runs: Path) -> None:
    result = call(str(DATA / "inferencex.json"), "--json", runs=runs)
    document = json.loads(result.stdout)
    # At $3.60 an hour, $0.001 a second: 100, 1000, 200 and 30 output tokens/s/GPU.
    prices = {mix["points"]["serving"]: mix["usd_per_mtok"]["value"] for mix in document["mixes"]}
    assert prices == {"row-1": pytest.approx(10.0), "row-2": pytest.approx(1.0), "row-3": pytest.approx(5.0), "row-4": pytest.approx(1000 / 30)}
    assert [point["kind"] for point in document["points"]] == ["serving"] * 5
    assert document["points"][1]["original"]["output_tput_per_gpu"] == 1500.0
    assert {point["provenance"]["output_tokens_per_s_per_gpu"] for point in document["points"] if point["status"] == "ok"} == {"reference"}


@pytest.mark.parametrize("name", sorted(path.name for path in DATA.iterdir()))
def test_every_fixture_is_shown_in_every_way(runs: Path, name: str) -> None:
    for arguments in ((), ("--json",), ("--csv", "-")):
        result = call(str(DATA / name), *arguments, runs=runs)
        assert result.exit_code == 0, result.output
        assert result.stdout


def test_csv_has_the_figures_and_the_originals(runs: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(call(str(DATA / "vllm_bench.json@h200x4"), "--csv", "-", runs=runs).stdout)))
    assert (rows[0]["output_tokens_per_s_per_gpu"], rows[0]["ttft_s.median"], rows[0]["original.output_throughput"]) == ("512.0", "0.2", "2048.0")
    assert (rows[0]["concurrency"], rows[0]["provenance.ttft_s"]) == ("32", "reference")


def test_a_users_run_and_a_public_benchmark_in_one_table(runs: Path) -> None:
    result = call("last", str(DATA / "vllm_bench.json@h200x4"), runs=runs)
    assert result.exit_code == 0, result.output
    # The user's batch 32 at $0.8203 and the file's 512 tokens/s/GPU, $0.001 / 512 = $1.953 per million.
    assert "0.820" in result.stdout
    assert "1.95" in result.stdout
    document = json.loads(call("last", str(DATA / "vllm_bench.json@h200x4"), "--json", runs=runs).stdout)
    found = [(mix["usd_per_mtok"]["value"], mix["provenance"]["usd_per_mtok"]) for mix in document["mixes"]]
    assert found == [(pytest.approx(0.84 / 1.024), "measured"), (pytest.approx(0.456 / 1.024), "measured"), (pytest.approx(1.953125), "reference")]
    assert {mix["mix"] for mix in document["mixes"]} == {"8k/1k"}


def test_cost_of_a_file() -> None:
    app = typer.Typer()
    app.command()(cost)
    flags = ("--usd-per-gpu-hour", "3.6", "--json")
    (mix,) = json.loads(CliRunner().invoke(app, [str(DATA / "vllm_bench.json@h200x4,bf16"), *flags]).stdout)["mixes"]
    assert (mix["usd_per_mtok"]["value"], mix["usd_per_mtok_by_class"]) == (pytest.approx(1.953125), None)  # $0.001 / 512
    found = CliRunner().invoke(app, [str(DATA / "inferencex.json")])
    assert isinstance(found.exception, TokenmillError)
    assert "holds 4 runs" in str(found.exception)


def test_a_serving_point_stands_in_the_place_of_the_decode() -> None:
    from profiler.commands.pricing import pricing_of
    from profiler.commands.recorded import priced_runs

    ((run, _, derived),) = priced_runs([str(DATA / "vllm_bench.json@h200x4")], DATA, pricing_of())
    (row,) = rows_of(derived, run.run_id)
    assert row.decode is not None
    assert row.mix is not None
    assert row.prefill is None
    assert row.decode["point_id"] == row.mix["points"]["serving"] == "row-1"


@pytest.mark.parametrize("width", ["80", "100"])
def test_rows_of_unlike_work_are_told_apart_at_any_width(runs: Path, width: str) -> None:
    found = [call(*files, runs=runs, width=width).stdout for files in ([str(DATA / "inferencex_api.json")], sorted(map(str, DATA.glob("*.json"))))]
    for text in found:
        lines = text.splitlines()
        assert max(map(len, lines)) <= int(width)
        first, second = (next(line.split() for line in lines if size in line) for size in ("c128", "c256"))
        assert (first[0], first[1], first[7]) == ("1k/1k", "sglang", "c128")
        assert (second[0], second[7]) == ("8k/1k", "c256")
        assert any("dynamo-tr" in line for line in lines)  # its last letter may fold
        assert "not shown at this width: prefill tok/s/GPU" in text
        assert "None" not in text
    assert "model deepseek-r1\n" in found[0]
    assert "model gpt-oss-120b, mix 1k/1k, framework vllm, GPUs 2" in found[1]


def test_a_server_without_a_rate_is_marked_as_cost_marks_it(runs: Path) -> None:
    text = call(str(DATA / "vllm_bench.json"), runs=runs).stdout
    assert "c32 ✗" in text
    assert "✗ not valid: no tokens/s per GPU: the file does not say how many GPUs served" in " ".join(text.split())
    assert "c32 ✗" not in call(str(DATA / "vllm_bench.json@h200x4"), runs=runs).stdout
    report = runs.parent / "report.md"
    call(str(DATA / "vllm_bench.json"), "-o", str(report), runs=runs)
    assert "| c32 ✗" in report.read_text()
    assert "not valid as a mix: no tokens/s per GPU" in report.read_text()


def test_rows_go_by_concurrency() -> None:
    from profiler.commands.pricing import pricing_of
    from profiler.commands.recorded import priced_runs

    ((run, _, derived),) = priced_runs([str(DATA / "inferencex.json@h200")], DATA, pricing_of())
    assert [row.subject["concurrency"] for row in rows_of(derived, run.run_id)] == [4, 8]  # the second failed, and has no mix


def test_hostile_files_are_inert(runs: Path, tmp_path: Path) -> None:
    path = tmp_path / "hostile.json"
    path.write_text(json.dumps([row | {"model": HOSTILE, "infmax_model_prefix": HOSTILE, "precision": HOSTILE, "framework": HOSTILE, "hw": HOSTILE}
                                for row in INFERENCEX]))  # fmt: skip
    for arguments in ((), ("--csv", "-"), ("--json",)):
        result = call(str(path), *arguments, runs=runs)
        assert result.exit_code == 0, result.output
        assert not {"\x1b", "\x07", "\u202e"} & set(result.stdout)
    cells = [cell for row in csv.reader(io.StringIO(call(str(path), "--csv", "-", runs=runs).stdout)) for cell in row]
    assert not [cell for cell in cells if cell.lstrip().startswith(("=", "@", "+"))]
