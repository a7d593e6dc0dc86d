"""aiconfigurator's CSV as serving points: predictions, so modelled. Figures are worked out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from profiler.foreign.read import read_foreign
from profiler.foreign.reference import Reference

DATA = Path(__file__).parents[1] / "data" / "foreign"


def points(name: str) -> list[dict[str, Any]]:
    return [point for run in read_foreign(Reference(path=DATA / name)) for point in run.points]


def test_aggregated() -> None:
    first, second = points("aiconfigurator_agg.csv")
    assert (first["model"], first["gpu"], first["gpu_key"], first["framework"]) == ("deepseek-v3", "h200_sxm", "h200", "trtllm")
    assert (first["precision"], first["kv_cache"], second["kv_cache"]) == ("fp8", "fp8", "bf16")
    assert (first["mix"], first["cached_tokens"], second["mix"]) == ("4000/500/1000", 1000, "4000/500")  # its prefix is found in a cache
    # 0.5 requests/s/GPU: x 500 = the file's 250 output tokens/s, x 4000 = 2000 input tokens/s.
    assert [first[f"{name}_tokens_per_s_per_gpu"] for name in ("output", "input", "total")] == [250.0, 2000.0, 2250.0]
    assert (first["tokens_per_s_per_user"], first["ttft_s"], first["tpot_s"]) == (50.0, {"mean": 0.6}, {"mean": 0.02})
    assert (first["deployment_gpus"], first["tp"], first["ep"], first["dp"], second["tp"], second["dp"]) == (8, 1, 8, 8, 8, 1)
    assert set(first["provenance"].values()) == {"modelled"}
    assert first["original"]["tokens/s/gpu_cluster"] == "187.5"


def test_a_power_of_zero_is_unknown() -> None:
    first, second = points("aiconfigurator_agg.csv")
    assert (first["board_w"], second["board_w"]) == (None, 4000.0)  # 500 W x 8
    assert first["warnings"][0] == "no_power: power_w is 0.0, which aiconfigurator writes where its tables hold none"
    assert first["warnings"][1] == "tokens/s/gpu is of one replica of 8 GPUs; of the whole budget, idle GPUs with it, it is 187.5"
    assert second["warnings"] == []


def test_disaggregated() -> None:
    first, mixed = points("aiconfigurator_disagg.csv")
    assert (first["model"], first["gpu_key"], first["deployment_gpus"], first["concurrency"]) == ("Qwen/Qwen3-32B", "b200", 6, 96)
    assert (first["output_tokens_per_s_per_gpu"], first["input_tokens_per_s_per_gpu"]) == (750.0, 6000.0)  # 1.5 requests/s/GPU x 4000
    assert first["workers"]["decode"] == {"tp": 2, "ep": 1, "dp": 1, "pp": 1, "gpus": 4}
    # Its tpot of 26 ms holds the first token too; the time per token is one over 40 tokens/s/user.
    assert (first["tpot_s"], first["original"]["tpot"]) == ({"mean": 0.025}, "26.0")
    assert (mixed["gpu"], mixed["gpu_key"]) == ("h100_sxm (prefill), b200_sxm (decode)", None)
