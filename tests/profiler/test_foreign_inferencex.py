"""InferenceX results as serving points: per GPU of the whole deployment, originals kept, and what was changed is said. Figures are worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from profiler.foreign.read import read_foreign
from profiler.foreign.reference import Reference

DATA = Path(__file__).parents[1] / "data" / "foreign"


def points(path: Path, **said: Any) -> dict[str, dict[str, Any]]:
    """Every point of a file by its id."""
    return {point["point_id"]: point for run in read_foreign(Reference(path=path, **said)) for point in run.points}


def one(tmp_path: Path, **row: Any) -> dict[str, Any]:
    """The point of a file with this one row."""
    path = tmp_path / "agg_one.json"
    base = {
        "hw": "h200-cw", "infmax_model_prefix": "dsr1", "framework": "vllm", "precision": "fp8", "isl": 1024, "osl": 1024, "conc": 8, "tp": 8, "ep": 1,
        "dp_attention": "false", "disagg": False, "is_multinode": False, "tput_per_gpu": 200.0,
    }  # fmt: skip
    path.write_text(json.dumps({name: value for name, value in (base | row).items() if value is not ...}))
    return points(path)["row-1"]


def test_a_row_of_one_node() -> None:
    point = points(DATA / "inferencex.json")["row-1"]
    assert (point["kind"], point["status"], point["phase"], point["batch"]) == ("serving", "ok", None, None)
    assert (point["model"], point["gpu"], point["gpu_key"], point["precision"], point["mix"]) == ("deepseek-r1", "b200-nv", "b200", "fp8", "8k/1k")
    assert (point["isl"], point["osl"], point["concurrency"], point["deployment_gpus"]) == (8192, 1024, 64, 8)
    assert (point["tp"], point["ep"], point["dp"], point["workers"], point["mtp"]) == (8, 1, 1, None, False)
    rates = [point[f"{name}_tokens_per_s_per_gpu"] for name in ("output", "input", "total")]
    assert rates == [100.0, 800.0, 900.0]
    assert point["tokens_per_s_per_user"] == 50.0  # 1 / 0.02 s
    assert point["ttft_s"] == {"median": 0.5, "mean": 0.6, "p99": 2.0}
    assert (point["board_w"], point["energy_j"], point["energy_j_per_output_token"]) == (4800.0, 480000.0, 6.0)
    assert point["valid"]
    assert point["invalid_reasons"] == []
    assert point["warnings"] == []
    assert set(point["provenance"].values()) == {"reference"}
    assert point["original"]["hw"] == "b200-nv"
    assert point["original"]["median_intvty"] == 50.0
    assert (point["source_format"], point["source_file"]) == ("inferencex", str(DATA / "inferencex.json"))


def test_rates_per_decode_gpu_become_per_gpu_of_the_deployment() -> None:
    point = points(DATA / "inferencex.json")["row-2"]
    # 4 GPUs prefill, 8 decode: 1500 x 8/12 = 1000 output, 24000 x 4/12 = 8000 input, together the 9000 that the file states.
    assert (point["output_tokens_per_s_per_gpu"], point["input_tokens_per_s_per_gpu"], point["total_tokens_per_s_per_gpu"]) == (1000.0, 8000.0, 9000.0)
    assert point["original"]["output_tput_per_gpu"] == 1500.0
    assert "output tokens/s were per decode GPU: x 8/12" in point["warnings"]
    assert "input tokens/s were per prefill GPU: x 4/12" in point["warnings"]
    assert point["workers"] == {"prefill": {"tp": 1, "ep": 4, "dp": 4, "gpus": 4}, "decode": {"tp": 1, "ep": 8, "dp": 8, "gpus": 8}}
    assert (point["precision"], point["mtp"], point["deployment_gpus"]) == ("nvfp4", True, 12)
    # No power_metric_schema_version 2: its 0.6 J may be the decode GPUs' alone and is not taken. 900 W x 12 are.
    assert (point["board_w"], point["energy_j_per_output_token"], point["original"]["joules_per_output_token"]) == (10800.0, None, 0.6)


def test_power_that_the_file_withholds_is_unknown() -> None:
    point = points(DATA / "inferencex.json")["row-3"]
    assert (point["board_w"], point["energy_j"], point["energy_j_per_output_token"]) == (None, None, None)
    assert point["warnings"] == ["precision fp4 is MXFP4 here: gpt-oss is published so", "no_power: the file's own verdict is power_valid 0"]
    assert (point["precision"], point["valid"]) == ("mxfp4", True)


def test_a_gpu_outside_the_catalogue_keeps_its_name() -> None:
    point = points(DATA / "inferencex.json")["row-4"]
    assert (point["gpu"], point["gpu_key"], point["model"], point["precision"]) == ("mi355x-amds", None, "moonshotai/Kimi-K2.5", "int4")


def test_a_failed_run_has_no_figure() -> None:
    point = points(DATA / "inferencex.json")["row-5"]
    assert (point["status"], point["error"], point["valid"]) == ("failed", "the run failed: no request succeeded", False)
    assert point["output_tokens_per_s_per_gpu"] is None


def test_one_run_for_each_gpu_since_a_run_has_one_price() -> None:
    runs = read_foreign(Reference(path=DATA / "inferencex.json"))
    assert [[point["gpu_key"] for point in run.points] for run in runs] == [["b200"], ["gb200"], ["h200", "h200"], [None]]
    assert len({run.run_id for run in runs}) == 4
    assert [list(points(DATA / "inferencex.json", gpu="h200"))] == [["row-3", "row-5"]]


def test_rows_of_the_dashboard() -> None:
    found = points(DATA / "inferencex_api.json")
    # Not disaggregated: its 8 GPUs are named twice. 1200 tokens/s in all, of which 1024 / (1024 + 1024) are output.
    first = found["row-1"]
    assert (first["deployment_gpus"], first["output_tokens_per_s_per_gpu"], first["input_tokens_per_s_per_gpu"]) == (8, 600.0, 600.0)
    assert first["provenance"]["output_tokens_per_s_per_gpu"] == "modelled"
    assert first["provenance"]["total_tokens_per_s_per_gpu"] == "reference"
    assert (first["tp"], first["ep"], first["dp"]) == (1, 8, 8)  # attention data-parallel over the 8
    # Disaggregated: 8 + 8 GPUs; 500 x 8/16 = 250, 4000 x 8/16 = 2000, together 2250.
    second = found["row-2"]
    assert (second["deployment_gpus"], second["output_tokens_per_s_per_gpu"], second["input_tokens_per_s_per_gpu"]) == (16, 250.0, 2000.0)


def test_rates_that_do_not_add_up_are_kept_and_not_believed(tmp_path: Path) -> None:
    # As in files of 2025-11, which divide by decode GPUs and do not say how many.
    point = one(tmp_path, tput_per_gpu=900.0, output_tput_per_gpu=150.0, input_tput_per_gpu=2400.0)
    assert point["valid"] is False
    assert point["invalid_reasons"] == ["rates do not add up: 900 in all, 150 output, 2400 input tokens/s/GPU"]
    assert one(tmp_path, tput_per_gpu=900.0, output_tput_per_gpu=100.4, input_tput_per_gpu=800.0)["valid"] is True  # within 1 %


def test_the_third_rate_follows_from_two(tmp_path: Path) -> None:
    point = one(tmp_path, output_tput_per_gpu=40.0)
    assert (point["total_tokens_per_s_per_gpu"], point["input_tokens_per_s_per_gpu"]) == (200.0, 160.0)


def test_aggregated_over_nodes_has_no_decode_gpus(tmp_path: Path) -> None:
    point = one(tmp_path, is_multinode=True, num_prefill_gpu=16, num_decode_gpu=0, output_tput_per_gpu=100.0, input_tput_per_gpu=100.0)
    assert (point["deployment_gpus"], point["output_tokens_per_s_per_gpu"]) == (16, 100.0)
    assert not any("decode GPU" in said for said in point["warnings"])


def test_pipeline_and_context_parallel_gpus_count(tmp_path: Path) -> None:
    assert one(tmp_path, tp=4, pp=2, pcp_size=2)["deployment_gpus"] == 16
    assert one(tmp_path, num_gpus=8, tp=4, output_tput_tps=800.0, tput_per_gpu=...)["output_tokens_per_s_per_gpu"] == 100.0
    point = one(tmp_path, tp=...)
    assert (point["valid"], point["invalid_reasons"][0][:12]) == (False, "no GPU count")


def test_two_kinds_of_gpu_have_no_one_price(tmp_path: Path) -> None:
    point = one(tmp_path, is_multinode=True, num_prefill_gpu=4, num_decode_gpu=8, prefill_hw="h100", decode_hw="h200", tput_per_gpu=900.0,
                output_tput_per_gpu=150.0, input_tput_per_gpu=2400.0)  # fmt: skip
    assert (point["gpu"], point["gpu_key"]) == ("h100 (prefill), h200 (decode)", None)


def test_a_replayed_trace_states_means(tmp_path: Path) -> None:
    nested = {
        "latency": {"ttft": {"mean": 2.0, "p50": 1.5, "p90": 4.0}, "tpot": {"mean": 0.01, "p50": 0.008}, "itl": {"p50": 0.009}},
        "tokens": {"input": {"mean": 100_000.4}, "output_actual": {"mean": 799.6}},
        "throughput": {"per_gpu": {"total_tput_tps": 403.2, "output_tput_tps": 3.2, "input_tput_tps": 400.0}},
    }
    point = one(
        tmp_path, isl=..., osl=..., tput_per_gpu=..., users=4, num_gpus=8, scenario_type="agentic-coding", request_metrics=nested,
        server_metrics={"cache": {"overall_cache_hit_rate": 0.9}},
    )  # fmt: skip
    assert (point["mix"], point["concurrency"], point["output_tokens_per_s_per_gpu"]) == ("100000/800", 4, 3.2)
    assert (point["tokens_per_s_per_user"], point["ttft_s"]) == (125.0, {"median": 1.5, "mean": 2.0, "p90": 4.0})
    assert point["warnings"][0] == "a replayed trace: lengths are its means, 90% of the input found in a cache"


RATES = ("output", "input", "total")
APART = {"isl": ..., "osl": ..., "tput_per_gpu": ..., "disagg": True, "is_multinode": True, "tp": 16, "num_prefill_gpu": 8, "num_decode_gpu": 24}


@pytest.mark.parametrize(
    "stated",
    [
        # 6400 output and 25600 input tokens/s of 8 + 24 GPUs: 6400 / 32 = 200, 25600 / 32 = 800, together 1000. All that an agentic row states is per all 32.
        {"request_metrics": {"throughput": {"per_gpu": {"total_tput_tps": 1000.0, "output_tput_tps": 200.0, "input_tput_tps": 800.0}}}},
        {"output_tput_tps": 6400.0, "input_tput_tps": 25600.0, "total_tput_tps": 32000.0},
        {"scenario_type": "agentic-coding", "tput_per_gpu": 1000.0, "output_tput_per_gpu": 200.0, "input_tput_per_gpu": 800.0},
        # Any other row's flat fields are per decode and per prefill GPU: 6400 / 24 = 266.67 x 24/32 = 200, 25600 / 8 = 3200 x 8/32 = 800.
        {"scenario_type": "fixed", "tput_per_gpu": 1000.0, "output_tput_per_gpu": 6400 / 24, "input_tput_per_gpu": 3200.0},
        # One flat, the others as totals: only the flat one is of one role.
        {"output_tput_per_gpu": 6400 / 24, "input_tput_tps": 25600.0, "total_tput_tps": 32000.0},
    ],
    ids=["nested", "totals", "flat agentic", "flat by role", "mixed"],
)
def test_only_flat_rates_of_a_role_are_scaled(tmp_path: Path, stated: dict[str, Any]) -> None:
    point = one(tmp_path, **(APART | stated))
    assert [point[f"{name}_tokens_per_s_per_gpu"] for name in RATES] == pytest.approx([200.0, 800.0, 1000.0])
    assert (point["deployment_gpus"], point["invalid_reasons"], point["status"]) == (32, [], "ok")
    said = [line for line in point["warnings"] if "tokens/s were per" in line]
    by_role = stated.get("output_tput_per_gpu", 0.0) > 200.0
    assert ("output tokens/s were per decode GPU: x 24/32" in said) == by_role
    assert ("input tokens/s were per prefill GPU: x 8/32" in said) == (stated.get("input_tput_per_gpu") == 3200.0)


def test_agentic_rows_of_the_dashboard_are_per_gpu_of_the_deployment(tmp_path: Path) -> None:
    row = json.loads((DATA / "inferencex_api.json").read_text())[1] | {"benchmark_type": "agentic_traces", "isl": None, "osl": None}
    path = tmp_path / "api.json"
    path.write_text(json.dumps([row | {"metrics": {"tput_per_gpu": 1000.0, "output_tput_per_gpu": 200.0, "input_tput_per_gpu": 800.0}}]))
    point = points(path)["row-1"]
    assert [point[f"{name}_tokens_per_s_per_gpu"] for name in RATES] == [200.0, 800.0, 1000.0]
    assert not any("tokens/s were per" in line for line in point["warnings"])


@pytest.mark.parametrize("outcome", [{"status": "failed"}, {"status": "passed"}])
def test_the_clients_own_outcome(tmp_path: Path, outcome: dict[str, str]) -> None:
    assert one(tmp_path, benchmark_outcome=outcome, output_tput_per_gpu=100.0)["status"] == {"failed": "failed", "passed": "ok"}[outcome["status"]]
