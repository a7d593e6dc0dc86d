"""A sweep through workers that crash, hang, answer nonsense or lose their GPU. The workers are small scripts that speak the protocol."""

import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from profiler.measure.point_spec import PointSpec
from profiler.record.rows import read_rows
from profiler.record.store import Run, RunWriter, read_run
from profiler.sweep.conductor import Conductor, Outcome, Patience
from profiler.sweep.expand import CPU_DEFAULT, GPU_DEFAULTS, SweepRequest, cannot_fit, default_for, expand, parse_budget, point_ids
from profiler.sweep.worker_process import InterruptedRunError
from triton_kernels.errors import TokenmillError

# Answers environment and ceilings; what it does with a point is decided by the point's batch.
WORKER = """
import json, os, sys, time
def send(**event):
    print(json.dumps(event), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    if request["do"] == "environment":
        if os.path.exists(MARK):
            send(event="error", kind="user", message="--device cuda: PyTorch sees no GPU", sticky=False)
        else:
            send(event="environment", device="cpu", torch="2.13.0", python="3.12.3", gpu=None)
    elif request["do"] == "ceilings":
        send(event="ceilings", bandwidth_bytes_per_s=2e10, copy_bytes_per_s=1e10, flops_per_s={"fp32": 1e11})
    else:
        batch = request["spec"]["batch"]
        send(event="progress", stage="window", fraction=0.5, note="1/2", step_s=0.25)
        if batch == 2:
            print("CUDA error: an illegal memory access was encountered", file=sys.stderr, flush=True)
            os._exit(7)
        if batch == 12:
            print("torch.AcceleratorError: CUDA error: an illegal memory access was encountered", file=sys.stderr)
            print("Compile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.", file=sys.stderr, flush=True)
            os._exit(1)
        if batch == 3:
            time.sleep(60)
        if batch == 4:
            send(event="error", kind="cuda", message="CUDA error: unspecified launch failure", traceback="Traceback:\\n  File matmul.py, line 7", sticky=True)
            continue
        if batch == 5:
            print("{half an answ", flush=True)
            continue
        if batch == 6:
            open(MARK, "w").close()
            os._exit(9)
        if batch == 7:
            send(event="error", kind="user", message="fix it like this", sticky=False)
            continue
        status = "oom" if batch >= 100 else "ok"
        point = {"status": status, "error": None, "plan": None, "valid": True, "invalid_reasons": [], "pid": os.getpid(), "batch": batch}
        point["asked"] = request["spec"]
        result = {"point": point, "series": [{"t_s": 1.0}], "ops": [], "plan": None}
        if batch in (9, 10):
            send(event="progress", stage="operations", fraction=None, note="", step_s=None, so_far=result)
            if batch == 9:
                print("Segmentation fault", file=sys.stderr, flush=True)
                os._exit(7)
            time.sleep(60)
        if request["spec"]["per_op"]:
            point |= {"per_op": {"measured": 1, "left_out": []}, "phases": [{"name": "operations", "t_start_s": 5.0, "t_end_s": 105.0}]}
            result["ops"] = [{"entry": 0}]
        send(event="result", sticky=batch == 11, **result)
"""


class Silent:
    """A display that remembers."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.commits: list[str] = []
        self.looks: list[tuple[str, float]] = []

    def stage(self, label: str, event: dict[str, Any]) -> None: ...
    def remaining(self, done: int, total: int, seconds_left: float) -> None: ...

    def first_look(self, label: str, run: Run) -> None:
        assert run.points[-1]["point_id"] == label
        self.looks.append((label, run.points[-1]["output_tokens"] / run.points[-1]["window_s"]))

    def committed(self, point: dict[str, Any], run: Run) -> None:
        self.commits.append(point["point_id"])
        assert run.points[-1] is point

    def note(self, text: str) -> None:
        self.notes.append(text)


def spec(batch: int, **changes: Any) -> PointSpec:
    values: dict[str, Any] = {
        "model": "tiny-moe", "phase": "decode", "precision": "fp32", "kv_cache": "fp32", "context": 64, "window_s": 0.01, "windows": 2, "device": "cpu",
    }  # fmt: skip
    return PointSpec(**(values | {"batch": batch} | changes))


Swept = Callable[..., tuple[Outcome, list[dict[str, Any]]]]


@pytest.fixture
def display() -> Silent:
    return Silent()


@pytest.fixture
def sweep(tmp_path: Path, display: Silent) -> Swept:
    def swept(*batches: int, budget_s: float | None = None, patience: Patience | None = None, **changes: Any) -> tuple[Outcome, list[dict[str, Any]]]:
        script = tmp_path / "worker.py"
        script.write_text(f"MARK = {str(tmp_path / 'gone')!r}\n" + WORKER)
        writer = RunWriter.create(tmp_path / "runs", subject="x", argv=[], version=None)
        conductor = Conductor(display, lambda: False, command=(sys.executable, str(script)), patience=patience)
        try:
            conductor.learn("cpu")
            conductor.measure_ceilings("cpu")
            outcome = conductor.sweep([spec(b, **changes) for b in batches], writer, budget_s=budget_s)
        finally:
            conductor.stop()
        points = list(read_run(writer.path).points)
        assert display.commits == [p["point_id"] for p in points]
        # One token per sequence and step of 0.25 s, shown while the point was measured.
        assert [rate for _, rate in display.looks] == [p["batch"] / 0.25 for p in points]
        return outcome, points

    return swept


def test_every_point_has_its_line_and_its_envelope(sweep: Swept) -> None:
    outcome, points = sweep(1, 8)
    assert [p["point_id"] for p in points] == ["000-decode-fp32-b1-c64", "001-decode-fp32-b8-c64"]
    assert {p["schema_version"] for p in points} == {1}
    assert {p["run_id"] for p in points} == {points[0]["run_id"]}
    assert points[0]["ceilings"] == {"bandwidth_bytes_per_s": 2e10, "copy_bytes_per_s": 1e10, "flops_per_s": {"fp32": 1e11}}
    assert points[0]["pid"] == points[1]["pid"]  # one worker, so that weights can stay
    assert outcome.lines() == []


@pytest.mark.parametrize(
    "batch, words",
    [
        (2, "exit code 7: CUDA error: an illegal memory access"),
        (4, "unspecified launch failure"),
        (5, "answer was cut off"),
        (12, "exit code 1: torch.AcceleratorError: CUDA error: an illegal memory access was encountered"),
    ],
)
def test_a_lost_worker_costs_one_point(sweep: Swept, batch: int, words: str) -> None:
    outcome, points = sweep(1, batch, 8)
    assert [p["status"] for p in points] == ["ok", "failed", "ok"]
    assert words in points[1]["error"]
    assert points[0]["pid"] != points[2]["pid"]
    assert (points[1]["model"], points[1]["batch"], points[1]["valid"], points[1]["step_s"]) == ("tiny-moe", batch, False, None)
    assert len(outcome.failed) == 1


@pytest.mark.parametrize("batch, place", [(4, "  File matmul.py, line 7"), (12, "  Compile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.")])
def test_where_it_failed_is_told_and_not_recorded(sweep: Swept, display: Silent, batch: int, place: str) -> None:
    _, points = sweep(batch)
    assert any(note.endswith(place) for note in display.notes)
    assert place not in points[0]["error"]


def test_a_hung_worker_is_ended(sweep: Swept) -> None:
    began = time.monotonic()
    outcome, points = sweep(3, 8, patience=Patience(start_s=20.0, silence_s=1.0, most_s=30.0))
    assert time.monotonic() - began < 20
    assert [p["status"] for p in points] == ["failed", "ok"]
    assert "gave no answer" in outcome.failed[0]


def test_a_gpu_that_is_gone_ends_the_run_with_1(sweep: Swept) -> None:
    with pytest.raises(TokenmillError, match="was lost") as raised:
        sweep(1, 6, 8)
    assert raised.value.exit_code == 1


def test_a_refused_point_keeps_the_worker(sweep: Swept) -> None:
    outcome, points = sweep(1, 7, 8)
    assert points[0]["pid"] == points[2]["pid"]
    assert (outcome.failed, len(outcome.refused)) == ([], 1)
    assert "fix it like this" in outcome.refused[0]


def test_out_of_memory_is_recorded_and_larger_points_are_skipped(sweep: Swept) -> None:
    outcome, points = sweep(8, 100, 200, 4096)
    assert [p["status"] for p in points] == ["ok", "oom"]
    assert len(outcome.skipped) == 2
    assert "out of memory already" in outcome.lines()[0]
    assert outcome.failed == []


def test_time_budget_skips_and_says_so(sweep: Swept) -> None:
    # A point is expected to take 2 x 0.01 s of windows and 3 s beside them: none fits into 2 s.
    outcome, points = sweep(1, 8, budget_s=2.0)
    assert points == []
    assert len(outcome.skipped) == 2
    assert "--time-budget" in outcome.skipped[0]


def test_operations_ride_with_their_point(sweep: Swept, tmp_path: Path) -> None:
    _, points = sweep(1, per_op=True)
    run = read_run("last", tmp_path / "runs")
    assert (points[0]["per_op"]["measured"], read_rows(run, points[0], "ops")) == (1, [{"entry": 0}])
    assert points[0]["asked"]["per_op_budget_s"] is None


def test_the_budget_of_operations_is_what_the_steps_leave(sweep: Swept) -> None:
    """Steps are guessed at 3.02 s: of 10 s the two points' operations share 3.96 s. The first's then took 100 s by its own clock, which are not its step's."""
    outcome, points = sweep(1, 8, budget_s=10.0, per_op=True)
    assert outcome.lines() == []
    first, second = (p["asked"]["per_op_budget_s"] for p in points)
    assert 1.0 < first <= (10.0 - 2 * 3.02) / 2
    assert first < second <= 10.0 - 0.02


@pytest.mark.parametrize("batch", [9, 11])
def test_a_worker_that_is_lost_in_the_operations_keeps_the_step(sweep: Swept, batch: int) -> None:
    outcome, points = sweep(1, batch, 8)
    assert [p["status"] for p in points] == ["ok", "ok", "ok"]
    assert points[1]["pid"] != points[2]["pid"]
    assert outcome.failed == []
    assert points[1].get("per_op") == ({"measured": 0, "left_out": ["the worker ended with exit code 7: Segmentation fault"]} if batch == 9 else None)


def test_an_interruption_in_the_operations_keeps_the_step(tmp_path: Path) -> None:
    script = tmp_path / "worker.py"
    script.write_text(f"MARK = {str(tmp_path / 'gone')!r}\n" + WORKER)
    display = Silent()
    stopped = []
    conductor = Conductor(display, lambda: bool(stopped), command=(sys.executable, str(script)))
    display.stage = lambda label, event: stopped.append(event) if event["stage"] == "operations" else None  # type: ignore[method-assign]
    writer = RunWriter.create(tmp_path / "runs", subject="x", argv=[], version=None)
    conductor.learn("cpu")
    with pytest.raises(InterruptedRunError):
        conductor.sweep([spec(10, per_op=True)], writer, budget_s=None)
    conductor.stop(patience_s=0.0)
    run = read_run(writer.path)
    assert [(p["batch"], p["per_op"]) for p in run.points] == [(10, {"measured": 0, "left_out": ["interrupted"]})]
    assert read_rows(run, run.points[0], "series") == [{"t_s": 1.0}]


def test_worker_that_cannot_start(tmp_path: Path) -> None:
    conductor = Conductor(Silent(), lambda: False, command=(sys.executable, "-c", "raise SystemExit('no torch here')"))
    with pytest.raises(TokenmillError, match="no torch here") as raised:
        conductor.learn("cpu")
    assert raised.value.exit_code == 1


def test_interruption_is_noticed_while_waiting(tmp_path: Path) -> None:
    began = time.monotonic()
    code = "import time, sys; sys.stdin.readline(); time.sleep(60)"
    conductor = Conductor(Silent(), lambda: time.monotonic() - began > 0.3, command=(sys.executable, "-c", textwrap.dedent(code)))
    with pytest.raises(InterruptedRunError):
        conductor.learn("cpu")
    conductor.stop(patience_s=0.0)
    assert time.monotonic() - began < 10


def shapes(request: SweepRequest) -> list[tuple[str, str, int, int, str | None]]:
    return [(s.phase, s.precision, s.batch, s.context, s.mix) for s in expand(request, "cpu", CPU_DEFAULT)]


def test_defaults_on_a_cpu() -> None:
    points = expand(SweepRequest(), "cpu", CPU_DEFAULT)
    assert {p.model for p in points} == {"tiny-moe"}
    assert {p.window_s for p in points} == {1.0}
    # Mix 512/128: a prompt of 512 tokens, then decode at 512 + 128 / 2.
    assert shapes(SweepRequest()) == [
        ("prefill", "fp32", 1, 512, "512/128"),
        ("decode", "fp32", 1, 576, "512/128"),
        ("decode", "fp32", 8, 576, "512/128"),
    ]


@pytest.mark.parametrize("gigabytes, model", [(141, "qwen3-30b-a3b"), (79.6 * 1.0737, "qwen3-30b-a3b"), (48, "qwen3-8b"), (25.3, "qwen3-8b"), (16, "tiny-moe")])
def test_defaults_by_memory(gigabytes: float, model: str) -> None:
    assert default_for("cuda", gigabytes * 1e9).model == model
    assert default_for("cpu", None) is CPU_DEFAULT
    assert [row.least_memory_bytes for row in GPU_DEFAULTS] == sorted((row.least_memory_bytes for row in GPU_DEFAULTS), reverse=True)


def test_comma_lists() -> None:
    found = shapes(SweepRequest(precision="bf16,fp32", batch="1,4", mix="1k/256", phase="decode"))
    assert found == [("decode", f, b, 1152, "1k/256") for f in ("bf16", "fp32") for b in (1, 4)]
    assert shapes(SweepRequest(context="128,1k", batch="2")) == [
        ("prefill", "fp32", 1, 128, None), ("decode", "fp32", 2, 128, None), ("prefill", "fp32", 1, 1024, None), ("decode", "fp32", 2, 1024, None),
    ]  # fmt: skip
    assert len(shapes(SweepRequest(batch="4,4,4", phase="decode"))) == 1
    routed = expand(SweepRequest(routing="balanced, zipf:1.2", batch="1,2", phase="decode"), "cpu", CPU_DEFAULT)
    assert [(s.routing, s.batch) for s in routed] == [("balanced", 1), ("balanced", 2), ("zipf:1.2", 1), ("zipf:1.2", 2)]
    assert len({s.weights_key for s in routed}) == 1


def test_what_is_asked_of_sensors_and_operations_reaches_every_point() -> None:
    asked = {"per_op": True, "node_power": "meter.csv", "dcgm": "http://localhost:9400/metrics", "sensor_accuracy": 0.01}
    assert all(asked.items() <= point.json().items() for point in expand(SweepRequest(**asked), "cpu", CPU_DEFAULT))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"model": "qwen3-30b-a3"}, "did you mean qwen3-30b-a3b"),
        ({"phase": "train"}, "--phase"),
        ({"batch": "0"}, "--batch 0"),
        ({"batch": "two"}, "--batch"),
        ({"batch": ""}, "--batch"),
        ({"batch": "1,-2"}, "--batch"),
        ({"context": "0"}, "--context 0"),
        ({"context": "9999999"}, "positions"),
        ({"mix": "64k/1k"}, "positions"),
        ({"mix": "8k"}, "mix"),
        ({"mix": "1k/1k", "context": "64"}, "--context and --mix"),
        ({"precision": "fp99"}, "fp99"),
        ({"kv_cache": "fp99"}, "fp99"),
        ({"ep": 3}, "--ep 3: should divide the 16 experts"),
        ({"tp": 16}, "--tp 16"),
        ({"dp": 0}, "--dp 0"),
        ({"ep": 2, "rank": "2"}, "--rank 2: should be from 0 to 1"),
        ({"rank": "warm"}, "--rank 'warm'"),
        ({"ep": 2, "span": "rack"}, "unknown span 'rack'"),
        ({"ep": 16, "span": "nvl8"}, "has 16 GPUs"),
        ({"layers": 0}, "--layers 0"),
        ({"layers": 7}, "--layers 7: should be from 1 to the 6 layers"),
        ({"mtp": True}, "no multi-token-prediction module"),
        ({"precision": "nvfp4", "kv_cache": "fp16"}, "--kv-cache fp16 with --precision nvfp4: should be bf16 or fp8"),
        ({"routing": "zipf:"}, "--routing 'zipf:'"),
        ({"routing": "uniform,zipf:"}, "--routing 'zipf:'"),
        ({"routing": ","}, "--routing"),
        ({"sensor_accuracy": 0.5}, "--sensor-accuracy 0.5"),
        ({"sensor_accuracy": float("nan")}, "--sensor-accuracy nan"),
        ({"dcgm": "localhost:9400"}, "--dcgm 'localhost:9400'"),
        ({"watts": 65.0, "node_power": "meter.csv"}, "--watts and --node-power"),
        ({"windows": 1}, "--windows"),
    ],
)
def test_bad_options_are_found_before_anything_starts(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(TokenmillError, match=words) as raised:
        expand(SweepRequest(**changes), "cpu", CPU_DEFAULT)
    assert "\n" not in str(raised.value)
    assert raised.value.exit_code == 2


@pytest.mark.parametrize("text, seconds", [("90s", 90), ("8m", 480), ("1.5h", 5400), ("30", 30), (None, None)])
def test_budgets(text: str | None, seconds: float | None) -> None:
    assert parse_budget(text) == seconds


@pytest.mark.parametrize("text", ["", "0s", "soon", "-5m", "1e9", "nan"])
def test_bad_budgets(text: str) -> None:
    with pytest.raises(TokenmillError, match="--time-budget"):
        parse_budget(text)


def test_what_cannot_fit() -> None:
    small = spec(8)
    assert cannot_fit(spec(8), [small])
    assert cannot_fit(spec(16, context=128), [small])
    assert not cannot_fit(spec(4), [small])
    assert not cannot_fit(spec(16, context=32), [small])
    assert not cannot_fit(replace(spec(16), phase="prefill"), [small])
    assert not cannot_fit(spec(16, precision="bf16", kv_cache="bf16"), [small])


def test_point_names_are_safe() -> None:
    assert point_ids([spec(1), spec(32)]) == ["000-decode-fp32-b1-c64", "001-decode-fp32-b32-c64"]


def test_point_names_hold_the_routing_where_several_are_swept() -> None:
    swept = [spec(1), spec(1, routing="zipf:1.2"), spec(1, routing="balanced")]
    assert point_ids(swept) == ["000-decode-fp32-b1-c64-uniform", "001-decode-fp32-b1-c64-zipf-1-2", "002-decode-fp32-b1-c64-balanced"]
