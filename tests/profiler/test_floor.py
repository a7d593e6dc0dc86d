import json

import pytest
from typer.testing import CliRunner

from profiler.cli import app

CEILINGS = "bandwidth=4.3e12,bf16=788e12"


def floor(*arguments: str) -> list[dict]:
    done = CliRunner().invoke(app, ["floor", *arguments, "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)["rows"]


@pytest.mark.parametrize("batch, floor_s", [(1, 1.51e-3), (32, 15.4e-3), (128, 26.2e-3)])
def test_floors_of_qwen3_30b_on_h200(batch: int, floor_s: float) -> None:
    """By hand at batch 1: 3.042 B parameters x 2 bytes + 4096 x 98,304 bytes of cache = 6.49 GB, at 4.3 TB/s 1.51 ms. At 32, 111.8 experts are touched."""
    (row,) = floor("qwen3-30b-a3b", "--gpu", "h200", "--batch", str(batch), "--context", "4096", "--ceilings", CEILINGS)
    assert row["floor_s"] == pytest.approx(floor_s, rel=0.06)
    assert row["ceiling_output_tokens_per_s_per_gpu"] == pytest.approx(batch / row["floor_s"])
    assert row["provenance"]["floor_s"] == "modelled"
    assert sum(op["floor_s"] for op in row["ops"]) == pytest.approx(row["floor_s"])


def test_what_does_not_fit_is_still_answered() -> None:
    rows = floor("qwen3-235b-a22b", "--gpu", "h200,gb300", "--batch", "1")
    assert [row["gpu"] for row in rows] == ["h200", "gb300"]
    assert not any(row["fits"] for row in rows)  # 470 GB of weights, 141 and 288 GB of memory
    assert all(row["floor_s"] > 0 for row in rows)
    assert rows[0]["floor_s"] > rows[1]["floor_s"]


def test_prefill_is_bound_by_arithmetic() -> None:
    (row,) = floor("qwen3-8b", "--phase", "prefill", "--batch", "1", "--context", "8192", "--ceilings", CEILINGS)
    # 6.95 B matmul parameters (36 layers x 192.9 M) x 2 x 8192 + attention 2 x 36 x 32 x 128 x 8192^2 = 133.6 TFLOP at 788 TFLOP/s
    assert sum(op["floor_s"] for op in row["ops"] if op["bound"] == "compute") == pytest.approx(0.1695, rel=0.002)
    # norms: 72 x (x and residual, read and written: 4 x 67.1 MB); rotation: 36 x 2 x 100.7 MB; in all 26.6 GB at 4.3 TB/s, 6.2 ms, and the head's weights
    assert row["floor_s"] == pytest.approx(0.1695 + 0.0062 + 0.0003, rel=0.003)
    assert row["ceiling_output_tokens_per_s_per_gpu"] is None
    assert row["ceiling_input_tokens_per_s_per_gpu"] == pytest.approx(8192 / row["floor_s"])


def test_one_rank_of_deepseek_r1_over_four_nodes() -> None:
    """EP32, by hand: about 40 GB of weights and 36.8 GB of cache at 4.3 TB/s are 17.9 ms, and attention's 8.9 TFLOP at 788 TFLOP/s take 2.7 ms longer than its
    bytes; activations are the rest. Links: (143 + 263) us x 58 layers = 23.5 ms, and the hottest rank sends a few per cent more back."""
    arguments = ("deepseek-r1", "--gpu", "h200", "--ep", "32", "--precision", "fp8", "--kv-cache", "bf16", "--batch", "128", "--context", "4096")
    (row,) = floor(*arguments, "--ceilings", f"{CEILINGS},fp8=1400e12")
    assert (row["gpus"], row["dp"], row["span"], row["rank"], row["fits"]) == (32, 32, "nodes", "hottest", True)
    assert row["weight_bytes"] == pytest.approx(40e9, rel=0.03)
    assert row["kv_cache_bytes"] == 128 * 4096 * 70_272
    assert row["floor_s"] == pytest.approx(20.6e-3, rel=0.06)
    serial = row["collective_s"]["serial"]
    assert serial == pytest.approx(23.5e-3, rel=0.06)
    assert serial == pytest.approx(sum(link["s"] for link in row["link"]))
    assert {link["op"]: link["count"] for link in row["link"]} == {"ep_dispatch": 58, "ep_combine": 58}
    assert row["step_floor_s"]["serial"] == pytest.approx(row["floor_s"] + serial)
    assert row["step_floor_s"]["overlapped"] == pytest.approx(max(row["floor_s"], serial))
    assert row["ceiling_output_tokens_per_s_per_gpu"] == pytest.approx(128 / row["step_floor_s"]["serial"])
    assert not {"ep_dispatch", "ep_combine"} & {op["op"] for op in row["ops"]}
    (rack,) = floor(*arguments, "--span", "nvl72", "--rank", "mean")
    assert rack["collective_s"]["serial"] == pytest.approx(58 * 103e-6, rel=0.10)  # (35 + 68) us of EP8; 31/32 of the pairs leave instead of 7/8


def test_the_hottest_rank_takes_no_less_than_the_mean_one() -> None:
    arguments = ("qwen3-30b-a3b", "--ep", "8", "--batch", "16", "--routing", "zipf:1")
    (hottest,), (mean,) = (floor(*arguments, "--rank", rank) for rank in ("hottest", "mean"))
    assert hottest["floor_s"] > mean["floor_s"]
    assert hottest["collective_s"]["serial"] > mean["collective_s"]["serial"]


def test_tensor_parallelism_halves_the_bytes_and_pays_two_reductions_a_layer() -> None:
    """Llama-3.1-8B, 2 GPUs: half of 16.06 GB, norms apart; 32 layers x 2 reductions of 4096 x 2 bytes x 1/2 x 2, 8.5 us each and hardly any bytes."""
    (row,) = floor("llama-3.1-8b", "--tp", "2", "--batch", "1")
    assert row["weight_bytes"] == pytest.approx(8.03e9, rel=0.002)
    assert row["kv_bytes_per_token"] == 131_072 // 2
    reductions = [link for link in row["link"] if link["op"] == "all_reduce"]
    assert sum(link["count"] for link in reductions) == 64
    assert sum(link["s"] for link in reductions) == pytest.approx(64 * 8.52e-6, rel=0.002)
    assert row["ceiling_output_tokens_per_s_per_gpu"] == pytest.approx(1 / row["step_floor_s"]["serial"] / 2)


@pytest.mark.parametrize(
    ("model", "batch", "smallest"),
    [
        ("llama-3.1-8b", "1", {"tp": 1, "ep": 1, "dp": 1, "gpus": 1}),
        # 141 GB, and 0.9 of 150.8 GB are 135.7 GB
        ("llama-3.1-70b", "1", {"tp": 2, "ep": 1, "dp": 1, "gpus": 2}),
        # 470 GB: 227.1 B of them are experts; four GPUs, each with a quarter of those and all of the rest, hold 129 GB and 0.8 GB of cache
        ("qwen3-235b-a22b", "1", {"tp": 1, "ep": 4, "dp": 4, "gpus": 4}),
    ],
)
def test_the_smallest_deployment_that_fits(model: str, batch: str, smallest: dict[str, int]) -> None:
    (row,) = floor(model, "--gpu", "h200", "--precision", "bf16", "--batch", batch)
    assert row["smallest_deployment_that_fits"] == smallest
    assert row["fits"] is (smallest["gpus"] == 1)


def test_a_model_is_planned_as_it_is_published_where_that_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    from profiler.cli import run_command

    (row,) = floor("deepseek-r1", "--ep", "32", "--batch", "1")
    assert (row["precision"], row["kv_cache"]) == ("fp8", "bf16")
    assert run_command(["floor", "gpt-oss-20b", "--batch", "1"]) == 0
    assert "published in mxfp4; planned in mxfp4" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["qwen3-30b"], "unknown model"),
        (["qwen3-8b", "--gpu", "h2000"], "h200"),
        (["qwen3-8b", "--precision", "bf61"], "bf16"),
        (["qwen3-8b", "--batch", "0"], "--batch 0"),
        (["qwen3-8b", "--batch", "one"], "--batch 'one'"),
        (["qwen3-8b", "--context", "-5"], "--context '-5'"),
        (["qwen3-8b", "--tp", "3"], "--tp 3: should divide"),
        (["qwen3-8b", "--tp", "0"], "--tp 0"),
        (["qwen3-8b", "--ep", "2"], "has no experts"),
        (["qwen3-30b-a3b", "--ep", "3"], "--ep 3: should divide the 128 experts"),
        (["qwen3-30b-a3b", "--ep", "8", "--dp", "3"], "--ep 8: should divide the 3 GPUs"),
        (["qwen3-30b-a3b", "--ep", "8", "--rank", "8"], "--rank 8: should be from 0 to 7"),
        (["qwen3-30b-a3b", "--ep", "8", "--rank", "coldest"], "--rank 'coldest'"),
        (["qwen3-30b-a3b", "--ep", "8", "--span", "rack"], "unknown span 'rack'"),
        (["qwen3-30b-a3b", "--ep", "16", "--span", "nvl8"], "has 16 GPUs, more than 8"),
        (["qwen3-30b-a3b", "--span", "nvl8"], "one GPU has nothing to exchange"),
        (["qwen3-30b-a3b", "--routing", "model"], "a floor needs drawn experts"),
        (["qwen3-30b-a3b", "--routing", "zipf:x"], "--routing 'zipf:x'"),
        (["qwen3-8b", "--mtp"], "has no multi-token-prediction module"),
        (["deepseek-r1", "--ep", "64", "--phase", "prefill", "--batch", "64", "--context", "4096"], "whose experts can be drawn"),
        (["qwen3-8b", "--gpu", ","], "--gpu ',': is empty"),
        (["qwen3-8b", "--precision", " "], "--precision ' ': is empty"),
        (["qwen3-8b", "--context", "4096,40961"], "more than the 40960 positions"),
        (["qwen3-8b", "--phase", "prefill", "--batch", "8192", "--context", "4096"], "33554432 new tokens in one step"),
        (["qwen3-8b", "--routing", "random"], "--routing 'random'"),
        (["qwen3-30b-a3b", "--routing", "random"], "--routing 'random'"),
        (["qwen3-8b", "--ceilings", "bandwidth=fast"], "bandwidth"),
        (["qwen3-8b", "--phase", "middle"], "--phase 'middle'"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(arguments: list[str], says: str, capfd: pytest.CaptureFixture[str]) -> None:
    from profiler.cli import main

    with pytest.raises(SystemExit) as caught:
        main(["floor", *arguments])
    assert caught.value.code == 2
    error = capfd.readouterr().err
    assert says in error
    assert len(error.strip().splitlines()) == 1
