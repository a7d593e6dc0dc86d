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


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["qwen3-30b"], "unknown model"),
        (["qwen3-8b", "--gpu", "h2000"], "h200"),
        (["qwen3-8b", "--precision", "bf61"], "bf16"),
        (["qwen3-8b", "--batch", "0"], "--batch 0"),
        (["qwen3-8b", "--batch", "one"], "--batch 'one'"),
        (["qwen3-8b", "--context", "-5"], "--context '-5'"),
        (["qwen3-8b", "--tp", "2"], "--tp 2"),
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
