"""Results of load generators, which see a server and not its GPUs: `vllm bench serve` and AIPerf. Figures are worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from profiler.foreign.read import read_foreign
from profiler.foreign.reference import Reference
from profiler.foreign.serving_point import NO_COUNT, NO_POWER
from triton_kernels.errors import TokenmillError

DATA = Path(__file__).parents[1] / "data" / "foreign"
VLLM = json.loads((DATA / "vllm_bench.json").read_text())
AIPERF = json.loads((DATA / "aiperf.json").read_text())


def point_of(path: Path, **said: Any) -> dict[str, Any]:
    (run,) = read_foreign(Reference(path=path, **said))
    (point,) = run.points
    return point


def changed(tmp_path: Path, base: dict[str, Any], **fields: Any) -> Path:
    path = tmp_path / "changed.json"
    path.write_text(json.dumps({name: value for name, value in (base | fields).items() if value is not ...}))
    return path


def test_vllm_without_a_count_has_no_rate_per_gpu_and_says_how_to_state_one() -> None:
    point = point_of(DATA / "vllm_bench.json")
    assert [point[f"{name}_tokens_per_s_per_gpu"] for name in ("output", "input", "total")] == [None, None, None]
    assert point["warnings"] == [NO_COUNT, NO_POWER]
    assert (point["model"], point["mix"], point["concurrency"], point["gpu_key"], point["precision"]) == ("qwen3-30b-a3b", "8k/1k", 32, None, None)
    assert point["tokens_per_s_per_user"] == 80.0  # 1 / 12.5 ms
    assert point["ttft_s"] == {"median": 0.2, "mean": 0.25, "p99": 0.8}
    assert point["valid"] is True


def test_vllm_on_gpus_that_the_user_states() -> None:
    point = point_of(DATA / "vllm_bench.json", gpu="h200", gpus=4)
    # 2048 output tokens/s of 4 GPUs; 819,200 input tokens in 50 s = 16,384/s of 4; 18,432 in all.
    assert [point[f"{name}_tokens_per_s_per_gpu"] for name in ("output", "input", "total")] == [512.0, 4096.0, 4608.0]
    assert (point["gpu"], point["gpu_key"], point["deployment_gpus"], point["window_s"], point["output_tokens"]) == ("h200", "h200", 4, 50.0, 102400)
    assert point["warnings"] == [NO_POWER]


def test_vllm_lengths_are_the_mean_ones(tmp_path: Path) -> None:
    point = point_of(changed(tmp_path, VLLM, completed=80, total_input_tokens=80_040, total_output_tokens=8_000, num_prompts=80))
    assert (point["isl"], point["osl"], point["mix"]) == (1000, 100, "1000/100")  # 80,040 / 80 = 1000.5, to even


def test_vllm_counts_gpus_of_a_sweep_from_its_parallel_sizes(tmp_path: Path) -> None:
    point = point_of(changed(tmp_path, VLLM, tensor_parallel_size=4, data_parallel_size="2"))
    assert (point["deployment_gpus"], point["output_tokens_per_s_per_gpu"], point["tp"], point["dp"]) == (8, 256.0, 4, 2)
    assert "8 GPUs, from the parallel sizes in the file" in point["warnings"]
    assert point_of(changed(tmp_path, VLLM, tensor_parallel_size=4), gpus=2)["deployment_gpus"] == 2  # what the user states comes first


@pytest.mark.parametrize(
    ("fields", "status", "valid"),
    [
        ({"completed": 97, "failed": 3}, "ok", True),
        ({"completed": 90, "failed": 10}, "ok", False),
        ({"completed": 90, "failed": ..., "num_prompts": 100}, "ok", False),
        ({"completed": 0, "failed": 100}, "failed", False),
    ],
)
def test_requests_that_failed(tmp_path: Path, fields: dict[str, Any], status: str, valid: bool) -> None:
    point = point_of(changed(tmp_path, VLLM, **fields), gpus=1)
    assert (point["status"], point["valid"]) == (status, valid)
    said = [*point["warnings"], *point["invalid_reasons"], str(point["error"])]
    assert any("requests failed" in line or "no request succeeded" in line for line in said)


def test_vllm_format_is_from_the_models_name(tmp_path: Path) -> None:
    point = point_of(changed(tmp_path, VLLM, model_id="nvidia/DeepSeek-R1-0528-FP4-v2"), gpu="b200", gpus=8)
    assert (point["model"], point["precision"]) == ("deepseek-r1", "nvfp4")
    assert "precision fp4 is NVFP4 here: b200 multiplies it" in point["warnings"]
    assert point_of(changed(tmp_path, VLLM, model_id="Qwen/Qwen3-30B-A3B-FP8"))["precision"] == "fp8"


def test_what_the_user_states_comes_before_the_models_name(tmp_path: Path) -> None:
    for path in (DATA / "vllm_bench.json", DATA / "aiperf.json"):
        point = point_of(path, precision="bf16")
        assert point["precision"] == "bf16"
        assert not [said for said in point["warnings"] if said.startswith("precision")]


def test_appended_results_are_a_row_each(tmp_path: Path) -> None:
    path = tmp_path / "appended.json"
    path.write_text("\n".join(json.dumps(VLLM | {"max_concurrency": level}) for level in (1, 8, 64)))
    (run,) = read_foreign(Reference(path=path, gpus=1))
    assert [point["concurrency"] for point in run.points] == [1, 8, 64]


def test_per_request_lists_are_not_kept(tmp_path: Path) -> None:
    original = point_of(changed(tmp_path, VLLM, ttfts=[0.1] * 1000, generated_texts=["secret"], input_lens=[1, 2]))["original"]
    assert set(original) == set(VLLM) - {"request_goodput"}  # null there


def test_aiperf_with_telemetry() -> None:
    point = point_of(DATA / "aiperf.json")
    assert (point["gpu"], point["gpu_key"], point["deployment_gpus"]) == ("NVIDIA H200", "h200", 4)
    assert [point[f"{name}_tokens_per_s_per_gpu"] for name in ("output", "input", "total")] == [500.0, 2000.0, 2500.0]
    assert (point["model"], point["precision"], point["mix"], point["concurrency"]) == ("llama-3.3-70b", "fp8", "4000/1000", 32)
    assert point["tokens_per_s_per_user"] == 80.0  # 1 / 12.5 ms
    assert point["tpot_s"] == {"median": 0.0125, "mean": 0.0155, "p90": 0.018, "p95": 0.019, "p99": 0.021}
    assert point["itl_s"] == {"median": 0.024, "mean": 0.025, "p99": 0.06}  # chunks, which may hold several tokens
    assert (point["board_w"], point["energy_j"], point["energy_j_per_output_token"], point["energy_j_per_total_token"]) == (2000.0, 120_000.0, 1.0, 0.2)
    assert (point["window_s"], point["input_tokens"], point["output_tokens"]) == (60.0, 480_000, 120_000)
    assert "3 of 123 requests failed" in point["warnings"]
    assert point["valid"]
    assert point["original"]["inter_token_latency.p50"] == 12.5
    assert point["original"]["inter_token_latency.unit"] == "ms"
    assert not [name for name in point["original"] if name.startswith(("input_config", "telemetry_data"))]  # endpoints and hosts are the user's own


def test_aiperf_units_are_honoured(tmp_path: Path) -> None:
    path = changed(
        tmp_path, AIPERF, time_to_first_token={"unit": "s", "avg": 0.26}, benchmark_duration={"unit": "ms", "avg": 60_000.0},
        nvidia_total_gpu_energy={"unit": "MJ", "avg": 0.12}, nvidia_total_gpu_power={"unit": "mW", "avg": 2_000_000.0},
    )  # fmt: skip
    point = point_of(path)
    assert (point["ttft_s"], point["window_s"], point["energy_j"], point["board_w"]) == ({"mean": 0.26}, 60.0, 120_000.0, 2000.0)
    for metric in ({"unit": "fortnights", "avg": 1.0}, {"avg": 1.0}):
        with pytest.raises(TokenmillError, match=r"time_to_first_token.unit is .*, should be one of ns, us"):
            point_of(changed(tmp_path, AIPERF, time_to_first_token=metric))


def test_aiperf_watts_of_other_gpus_are_not_the_deployments() -> None:
    point = point_of(DATA / "aiperf.json", gpus=2)
    assert (point["output_tokens_per_s_per_gpu"], point["board_w"], point["energy_j_per_output_token"]) == (1000.0, None, None)
    assert "no_power: telemetry saw 4 GPUs, not the 2 that served" in point["warnings"]


def test_aiperf_without_telemetry_needs_a_count(tmp_path: Path) -> None:
    path = changed(tmp_path, AIPERF, telemetry_data=...)
    assert NO_COUNT in point_of(path)["warnings"]
    point = point_of(path, gpu="h200", gpus=8)
    assert (point["output_tokens_per_s_per_gpu"], point["board_w"]) == (250.0, None)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"was_cancelled": True}, "was_cancelled: the run was stopped before its end"),
        ({"is_complete": False, "incomplete_reason": "stalled"}, "incomplete: stalled"),
        ({"error_request_count": {"unit": "requests", "avg": 30.0}}, "30 of 150 requests failed"),
    ],
)
def test_aiperf_runs_that_must_not_be_believed(tmp_path: Path, fields: dict[str, Any], reason: str) -> None:
    point = point_of(changed(tmp_path, AIPERF, **fields))
    assert (point["valid"], point["invalid_reasons"]) == (False, [reason])
    assert point["output_tokens_per_s_per_gpu"] == 500.0  # kept


def test_aiperf_of_schema_1_0(tmp_path: Path) -> None:
    config = {"endpoint": {"model_names": ["openai/gpt-oss-120b"]}, "loadgen": {"concurrency": 16}}
    point = point_of(changed(tmp_path, AIPERF, schema_version="1.0", input_config=config))
    assert (point["model"], point["concurrency"]) == ("gpt-oss-120b", 16)
