"""`tokenmill run` as a person runs it: tiny-moe on the CPU, its document, its exit codes, its end at any moment."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from profiler.commands.run import exit_code
from profiler.record.rows import read_rows
from profiler.record.store import Run, read_run
from profiler.sweep.conductor import Outcome

ROOT = Path(__file__).parents[2]
SHORT = ("run", "tiny-moe", "--device", "cpu", "--window", "0.05", "--windows", "2", "--mix", "32/32", "--batch", "1,2")


def command(out: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "profiler.cli", *SHORT, "--out", str(out), *options]


def finished(out: Path, *options: str, **kwargs: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(out, *options), cwd=ROOT, capture_output=True, text=True, timeout=120, **kwargs)


def wait_for(condition: Any, most_s: float = 60.0) -> None:
    until = time.monotonic() + most_s
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


def committed(out: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in out.glob("*/points.jsonl"))


def test_json_document_and_record(tmp_path: Path) -> None:
    done = finished(tmp_path / "runs", "--watts", "65", "--usd-per-gpu-hour", "0.5", "--json")
    assert done.returncode in (0, 3), done.stderr  # 3: a machine too noisy for windows of 50 ms
    document = json.loads(done.stdout)
    assert set(document) == {"points", "mixes", "run"}
    assert [(p["phase"], p["batch"], p["context"]) for p in document["points"]] == [("prefill", 1, 32), ("decode", 1, 48), ("decode", 2, 48)]
    decode = document["points"][2]
    assert decode["output_tokens_per_s_per_gpu"] == pytest.approx(decode["output_tokens"] / decode["window_s"])
    assert decode["provenance"]["output_tokens_per_s_per_gpu"] == "measured"
    assert decode["provenance"]["energy_j_per_output_token"] == "assumed"
    assert decode["energy_j_per_output_token"] == pytest.approx(65.0 / decode["output_tokens_per_s_per_gpu"])
    assert decode["ceilings"]["flops_per_s"]["fp32"] > 0
    mix = document["mixes"][1]
    prefill_s, decode_s = (32 / document["points"][0]["input_tokens_per_s_per_gpu"], 32 / decode["output_tokens_per_s_per_gpu"])
    assert mix["usd_per_mtok"]["value"] == pytest.approx((prefill_s + decode_s) * 0.5 / 3600 / 32 * 1e6)
    assert mix["provenance"]["usd_per_gpu_hour"] == "assumed"
    run = read_run("last", tmp_path / "runs")
    assert str(run.path) == document["run"]
    assert (run.header["status"], run.header["price"]["usd_per_gpu_hour"], run.header["environment"]["device"]) == ("done", 0.5, "cpu")
    assert run.header["argv"][:2] == ["run", "tiny-moe"]
    assert len(run.points) == 3
    assert all(p["plan"] in run.plans for p in run.points)


def test_replayed_power_and_a_meter_are_explained(tmp_path: Path) -> None:
    trace, meter = tmp_path / "trace.jsonl", tmp_path / "node.csv"
    trace.write_text("".join(f'{{"t_s": {0.02 * i}, "instant_w": 80.0}}\n' for i in range(100)))
    meter.write_text("unix_s,watts\n" + "".join(f"{time.time() + i - 60:.3f},200\n" for i in range(60)))
    options = ("--power-replay", str(trace), "--node-power", str(meter), "--usd-per-gpu-hour", "3.6", "--pue", "1.5", "--windows", "5")
    process = subprocess.Popen(command(tmp_path / "runs", *options), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while process.poll() is None:  # the meter goes on logging
        with meter.open("a") as file:
            file.write(f"{time.time():.3f},200\n")
        time.sleep(0.5)
    assert process.returncode == 0, process.communicate()[1]
    run = read_run("last", tmp_path / "runs")
    point = run.points[-1]
    assert (point["board_w"], point["node_w"], point["provenance"]["node_w"]) == (pytest.approx(80.0), pytest.approx(200.0), "measured")
    assert {row["device"] for row in read_rows(run, point, "series")} >= {"gpu0", "node"}
    assert [phase["name"] for phase in point["phases"]] == ["capture", "warm-up", *(f"window {i}" for i in range(1, 6))]
    assert abs(point["clock"]["drift_s"]) < 0.8
    explained = subprocess.run(
        [sys.executable, "-m", "profiler.cli", "explain", str(run.path), "--json", "--trace", str(tmp_path / "t.json")],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert explained.returncode == 0, explained.stderr
    mix = json.loads(explained.stdout)["mixes"][-1]
    by_name = {bar["name"]: bar for bar in mix["bars"]}
    busy_j = sum(bar["energy_j"] or 0.0 for bar in mix["bars"] if bar["name"] not in ("host", "facility", "idle"))
    assert busy_j == pytest.approx(80.0 * mix["busy"]["gpu_s"], rel=1e-6)  # 80 W of the board
    assert by_name["host"]["energy_j"] == pytest.approx(120.0 * mix["busy"]["gpu_s"], rel=1e-3)  # 200 W at the meter
    assert by_name["facility"]["energy_j"] == pytest.approx(0.5 * 200.0 * mix["busy"]["gpu_s"], rel=1e-3)
    assert {event["ph"] for event in json.loads((tmp_path / "t.json").read_text())["traceEvents"]} >= {"X", "C", "M"}


def test_a_metered_cpu_has_joules_of_the_node(tmp_path: Path) -> None:
    meter = tmp_path / "node.csv"
    meter.write_text("unix_s,watts\n" + "".join(f"{time.time() + i - 60:.3f},200\n" for i in range(60)))
    options = ("--node-power", str(meter), "--usd-per-gpu-hour", "3.6", "--phase", "decode", "--batch", "1")
    with subprocess.Popen(command(tmp_path / "runs", *options), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        while process.poll() is None:
            with meter.open("a") as file:
                file.write(f"{time.time():.3f},200\n")
            time.sleep(0.5)
        assert process.stdout is not None
        screen = process.stdout.read()
    (point,) = read_run("last", tmp_path / "runs").points
    assert (point["power_source"], point["provenance"]["energy_j"]) == ("meter", "measured")
    assert point["energy_j"] == pytest.approx(200.0 * point["window_s"])
    assert (point["board_w"], point["dynamic_energy_j"], point["sensor_accuracy"]) == (None, None, None)
    assert "no power" not in screen
    again = [sys.executable, "-m", "profiler.cli", "explain", str(tmp_path / "runs" / point["run_id"])]
    explained = subprocess.run(again, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert "of the node, as metered" in explained.stdout


def test_one_rank_of_two_is_emulated(tmp_path: Path) -> None:
    done = finished(tmp_path / "runs", "--ep", "2", "--phase", "decode", "--batch", "2", "--routing", "zipf:1", "--watts", "65", "--json")
    assert done.returncode in (0, 3), done.stderr
    (point,) = json.loads(done.stdout)["points"]
    assert (point["deployment_gpus"], point["tp"], point["ep"], point["dp"], point["measured_gpus"]) == (2, 1, 2, 2, 1)
    assert (point["rank"], point["span"], point["routing"], point["layers_measured"]) == ("hottest", "nvl8", "zipf:1", None)
    assert (point["provenance"]["step_s"], point["provenance"]["tokens_per_s_per_user"]) == ("emulated", "emulated")
    links = point["collective_s"]["serial"]
    assert links > 6 * 2 * 11e-6  # a dispatch and a combine in each of six layers, latency alone
    assert point["tokens_per_s_per_user"] == pytest.approx(1 / (point["step_s"]["median"] + links))
    assert point["provenance"]["collective_s"] == "assumed"  # a CPU has no NVLink
    assert any(warning.startswith("no_network") for warning in point["warnings"])


def test_some_layers_have_a_share_of_roofline_and_no_rate(tmp_path: Path) -> None:
    done = finished(tmp_path / "runs", "--layers", "1", "--phase", "decode", "--batch", "1", "--usd-per-gpu-hour", "1")
    assert done.returncode in (0, 3), done.stderr
    (point,) = read_run("last", tmp_path / "runs").points
    assert (point["layers_measured"], point["provenance"]["step_s"]) == ({"moe": [1, 6]}, "emulated")
    assert sum(call["op"] == "attention" for call in read_run("last", tmp_path / "runs").plans[point["plan"]]["calls"]) == 1
    screen = " ".join(done.stdout.split())
    assert "measured with 1 of 6 moe layers, so no tokens/s and no price" in screen
    assert "tok/s" not in done.stderr


def test_torchrun_is_sent_elsewhere(tmp_path: Path) -> None:
    done = finished(tmp_path / "runs", "--ep", "2", env={**os.environ, "WORLD_SIZE": "2"})
    assert (done.returncode, done.stdout) == (2, "")
    assert "scripts/sharded_step" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_screen_on_stdout_and_replayed_power(tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    trace.write_text("".join(json.dumps({"t_s": 0.05 * i, "counter_j": 4.0 * i, "instant_w": 80.0}) + "\n" for i in range(200)))
    done = finished(tmp_path / "runs", "--power-replay", str(trace), "--phase", "decode")
    assert done.returncode in (0, 3), done.stderr
    run = read_run("last", tmp_path / "runs")
    assert run.run_id in "".join(done.stdout.split())  # a narrow screen wraps the path
    assert {p["power_source"] for p in run.points} == {"replay"}
    assert {p["provenance"]["energy_j"] for p in run.points} == {"replayed"}
    assert all(p["board_w"] == pytest.approx(80.0, rel=0.02) for p in run.points)
    series = sorted(path.name for path in (run.path / "series").iterdir())
    assert series == [f"{p['point_id']}.jsonl.gz" for p in run.points]


def test_operations_alone_under_two_routings(tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    trace.write_text("".join(json.dumps({"t_s": t, "instant_w": 80.0}) + "\n" for t in (0.0, 60.0)))
    options = ("--per-op", "--power-replay", str(trace), "--phase", "decode", "--batch", "2", "--layers", "1", "--routing", "balanced,zipf:1.2")
    done = finished(tmp_path / "runs", *options)
    assert done.returncode in (0, 3), done.stderr
    run = read_run("last", tmp_path / "runs")
    assert [p["point_id"] for p in run.points] == ["000-decode-fp32-b2-c48-balanced", "001-decode-fp32-b2-c48-zipf-1-2"]
    for point in run.points:
        calls, rows = run.plans[point["plan"]]["calls"], read_rows(run, point, "ops")
        assert [(r["entry"], r["op"], r["part"], r["count"]) for r in rows] == [(i, c["op"], c["part"], c["count"]) for i, c in enumerate(calls)]
        assert point["per_op"] == {"measured": len(calls), "left_out": []}
        for row in rows:  # two windows, as the step's
            assert len(row["windows"]) == row["call_j"]["n"] == row["call_s"]["n"] == 2
            assert row["call_j"]["mean"] == pytest.approx(sum(80.0 * (w["t_end_s"] - w["t_start_s"]) / w["calls"] for w in row["windows"]) / 2)
        (alone,) = [phase for phase in point["phases"] if phase["name"] == "operations"]
        series = [s["t_s"] for s in read_rows(run, point, "series")]
        windows = [w for row in rows for w in row["windows"]]
        assert alone["t_start_s"] < min(w["t_start_s"] for w in windows)
        assert max(w["t_end_s"] for w in windows) < alone["t_end_s"]
        assert series == sorted(series)
        assert max(series) > max(w["t_end_s"] for w in windows)
    closure = re.search(r"closure decode batch 2: operations alone [0-9.]+% of the step's time, [0-9.]+% of its energy", " ".join(done.stdout.split()))
    assert closure is not None, done.stdout


@pytest.mark.parametrize(
    "options, words",
    [
        (("--node-power", "/nowhere.csv"), "/nowhere.csv: cannot be read as a meter's file"),
        (("--dcgm", "http://127.0.0.1:1/metrics"), "is dcgm-exporter running there?"),
        (("--batch", "0"), "--batch 0"),
        (("--precision", "fp9"), "fp9"),
        (("--price-book", "/nowhere.toml"), "price book"),
        (("--usd-per-gpu-hour", "-1"), "--usd-per-gpu-hour"),
        (("--watts", "0"), "--watts"),
        (("--power-replay", "/nowhere.jsonl"), "cannot be read"),
        (("--time-budget", "soon"), "--time-budget"),
        (("--device", "tpu"), "--device"),
        (("--ep", "3"), "--ep 3"),
        (("--layers", "7"), "--layers 7"),
        (("--rank", "9"), "--rank 9"),
        (("--concurency", "1"), "--concurency"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(tmp_path: Path, options: tuple[str, ...], words: str) -> None:
    done = finished(tmp_path / "runs", *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = finished(tmp_path / "file" / "runs")
    assert done.returncode == 2
    assert "--out" in done.stderr


def test_cuda_asked_for_where_there_is_none(tmp_path: Path) -> None:
    done = finished(tmp_path / "runs", "--device", "cuda", env=os.environ | {"CUDA_VISIBLE_DEVICES": ""})
    assert done.returncode == 2
    assert "--device cuda" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_budget_too_small_for_anything(tmp_path: Path) -> None:
    done = finished(tmp_path / "runs", "--time-budget", "0.1s")
    assert done.returncode == 2
    assert done.stderr.count("--time-budget") >= 3
    assert len(read_run("last", tmp_path / "runs").header["not_measured"]) == 3


@pytest.mark.parametrize("signum, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_while_measuring(tmp_path: Path, signum: int, code: int) -> None:
    out = tmp_path / "runs"
    process = subprocess.Popen(command(out, "--batch", "1,2,3,4,5,6,7,8"), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: committed(out) >= 2)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signum)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == code, errors
    assert "finished points are kept" in errors
    run = read_run("last", out)
    assert run.header["status"] == "interrupted"
    assert len(run.points) >= 2
    assert psutil.wait_procs(children, timeout=10)[1] == []


@pytest.mark.parametrize("signum, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_while_the_worker_starts(tmp_path: Path, signum: int, code: int) -> None:
    out = tmp_path / "runs"
    process = subprocess.Popen(command(out), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: psutil.Process(process.pid).children())
    process.send_signal(signum)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == code, errors
    assert "Traceback" not in errors


def test_killed_at_random_every_committed_point_is_readable(tmp_path: Path) -> None:
    """kill -9 of the parent; its worker ends with it."""
    rng = random.Random(20261122)
    for attempt in range(3):
        out = tmp_path / f"runs{attempt}"
        process = subprocess.Popen(command(out, "--batch", "1,2,3,4,5,6,7,8"), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if attempt:
            wait_for(lambda out=out: committed(out) >= 1)
        time.sleep(rng.uniform(0, 1.5))
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.communicate(timeout=10)
        acknowledged = committed(out)
        assert psutil.wait_procs(children, timeout=15)[1] == []
        if acknowledged:
            run = read_run("last", out)
            assert len(run.points) == acknowledged
            assert all(p["plan"] in run.plans for p in run.points if p["status"] == "ok")
            assert run.header["status"] in ("running", "done")


def judged(*points: dict[str, Any], **outcome: list[str]) -> int:
    return exit_code(Run(path=Path(), header={}, points=list(points), plans={}), Outcome(**outcome))


def test_exit_codes() -> None:
    good, bad, oom = {"status": "ok", "valid": True}, {"status": "ok", "valid": False}, {"status": "oom", "valid": False}
    assert judged(good, oom) == 0
    assert judged(good, bad) == 3
    assert judged(oom) == 2
    assert judged() == 2
    assert judged(good, failed=["crash"]) == 1
    assert judged(good, bad, refused=["fix"]) == 2
