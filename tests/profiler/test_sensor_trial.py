"""`tokenmill doctor --sensors`: its plan and loads, a rehearsal on the CPU through the command, its end at any moment, what it says without a GPU."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from profiler.cli import run_command
from profiler.measure.ceilings import Call
from profiler.sensors import loads, parts
from profiler.sensors.conductor import Gathered, run_trial
from profiler.sensors.file import read_recording
from profiler.sensors.loads import block_calls, decode_call, make_call, run_for
from profiler.sensors.parts import Trial
from profiler.sensors.plan import SCHEDULES, Item, items, shares
from profiler.sensors.recording import HIGH, LOW, STAGE, STEADY
from triton_kernels.errors import TokenmillError
from workloads.read_model import read_model

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")


def doctor(*options: str) -> list[str]:
    return [sys.executable, "-m", "profiler.cli", "doctor", "--sensors", *options]


def finished(*options: str, **kwargs: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(doctor(*options), cwd=ROOT, capture_output=True, text=True, timeout=200, **kwargs)


# The plan.

THREE = [Item(name="a", full_s=10.0, least=0.5), Item(name="b", full_s=20.0, least=0.25), Item(name="c", full_s=10.0, least=0.4, fixed_s=6.0)]


@pytest.mark.parametrize(
    "left_s, wanted",
    [
        (46.0, [1.0, 1.0, 1.0]),
        (100.0, [1.0, 1.0, 1.0]),
        (41.0, [1.0, 1.0, 0.5]),  # 5 + 5 + 10 are the least, 21 more: 5 to a, 15 to b, 1 to c
        (25.0, [1.0, 0.25, 0.4]),
        (20.0, [0.5, 0.25, 0.4]),
        (19.9, [1.0, pytest.approx(0.495), 0.0]),  # c goes; 9.9 more: 5 to a, 4.9 to b
        (7.5, [0.75, 0.0, 0.0]),
        (4.9, [0.0, 0.0, 0.0]),
        (-3.0, [0.0, 0.0, 0.0]),
    ],
)
def test_what_goes_when_time_is_short(left_s: float, wanted: list[float]) -> None:
    assert shares(THREE, left_s) == wanted


def test_the_whole_trial_fits_into_its_default_budget() -> None:
    schedule = SCHEDULES["cuda"]
    alone, with_model = (items(schedule, model=model) for model in (False, True))
    # 8 + 4 x 11 + 21 x 1.55 + 72.5 = 157 s, beside half a minute of starting in 4 minutes.
    assert sum(item.full_s for item in alone) == pytest.approx(157.05)
    assert shares(alone, 210.0) == [1.0] * 7
    assert [item.name for item in with_model] == ["idle", "bf16", "square steps", "read", "copy", "fp8", "bf16 spread", "decode spread"]
    assert min(shares(with_model, 225.0)) > 0.3  # with a model nothing is left out either: 157 s and 45 s of building leave 23 of 72.5 s
    halves_s = (schedule.steady_s - schedule.times.settle_s - schedule.times.tail_s) / 2
    assert halves_s >= 3 * max(schedule.times.windows_s)  # three windows of the longest in each half
    assert schedule.steps >= 8
    assert schedule.step_s - schedule.times.level_s > 1.0  # an average of 1 s has settled when its level is taken


# The loads.


@pytest.mark.parametrize("name, amount", [("read", 8 << 20), ("copy", 16 << 20), ("bf16", 2 * 256**3)])
def test_a_load_on_the_cpu(name: str, amount: int) -> None:
    call = make_call(name, CPU)
    assert call.amount == amount
    block = block_calls(call, CPU)
    ran = run_for(call, CPU, 0.05, block)
    times, done = zip(*ran.marks, strict=True)
    assert (times[0], times[-1]) == (ran.window.t_start_s, ran.window.t_end_s)
    assert ran.window.duration_s >= 0.05
    assert list(done) == [float(i * block) for i in range(len(done))]


def test_a_models_step_is_a_load() -> None:
    call = decode_call(read_model("tiny-moe"), "tiny-moe", CPU, None, (2, 64))
    ran = run_for(call, CPU, 0.0, 1)
    assert call.amount == 1.0
    assert len(ran.marks) >= 1
    with pytest.raises(TokenmillError, match="positions"):
        decode_call(read_model("tiny-moe"), "tiny-moe", CPU, None, (2, 50_000))
    with pytest.raises(MemoryError, match="GB of KV cache"):
        decode_call(read_model("tiny-moe"), "tiny-moe", CPU, None, (10_000, 40_000))  # 6,144 bytes a token: 2.5 TB


class FakeGpu:
    """A GPU's queue on a clock of its own: a launch costs the host 5 us, a call takes the GPU 1.4 ms. Calls of `late` stall the host before them (seconds)."""

    def __init__(self, late: dict[int, float]) -> None:
        self.now_s, self.free_s, self.calls, self.late = 100.0, 0.0, 0, late
        self.most_ahead_s = 0.0

    def call(self) -> None:
        self.now_s += 5e-6 + self.late.get(self.calls, 0.0)
        self.calls += 1
        self.free_s = max(self.free_s, self.now_s) + 1.4e-3
        self.most_ahead_s = max(self.most_ahead_s, self.free_s - self.now_s)

    def event(self) -> "FakeEvent":
        return FakeEvent(self, max(self.free_s, self.now_s))

    def wait_until(self, t_s: float) -> None:
        self.now_s = max(self.now_s, t_s)


class FakeEvent:
    def __init__(self, gpu: FakeGpu, at_s: float) -> None:
        self.gpu, self.at_s = gpu, at_s

    def synchronize(self) -> None:
        self.gpu.wait_until(self.at_s)


@pytest.mark.parametrize("late", [{}, {1400: 0.2, 2100: 0.6}], ids=["sound", "a host that stalls"])
def test_a_gpus_load_is_timed_by_its_events_and_never_far_ahead(monkeypatch: pytest.MonkeyPatch, late: dict[int, float]) -> None:
    gpu = FakeGpu(late)
    monkeypatch.setattr(loads, "recorded_event", gpu.event)
    monkeypatch.setattr(loads, "seconds_between", lambda a, b: b.at_s - a.at_s)
    monkeypatch.setattr(loads, "_wait", lambda device: gpu.wait_until(gpu.free_s))
    monkeypatch.setattr(loads.time, "monotonic", lambda: gpu.now_s)
    cuda, call = torch.device("cuda"), Call(run=gpu.call, amount=1.0)
    block = block_calls(call, cuda)
    assert block == 14  # 20 ms of 1.4 ms
    ran = run_for(call, cuda, 8.0, block)
    assert gpu.most_ahead_s <= 13 * 14 * 1.4e-3 + 1e-9  # a dozen blocks and the one being enqueued: who ends the process ends the load
    assert 8.0 <= ran.window.duration_s <= 8.0 + 13 * 14 * 1.4e-3
    assert (ran.marks[0], ran.marks[-1][1]) == ((ran.window.t_start_s, 0.0), gpu.calls - 4)
    assert ran.marks[-1][0] == pytest.approx(ran.window.t_end_s)
    steps = [b[0] - a[0] for a, b in zip(ran.marks, ran.marks[1:], strict=False)]
    # 14 x 1.4 ms in every block, but where the host stalled for longer than the 0.25 s that it was ahead.
    assert sum(abs(step - 0.0196) > 1e-4 for step in steps) == (1 if late else 0)


# The command, rehearsed.


def test_rehearsal_on_a_cpu(tmp_path: Path) -> None:
    done = finished("--device", "cpu", "--model", "tiny-moe", "--json", "--trace", str(tmp_path / "sensors.jsonl.gz"))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["schema_version"], found["device"], found["gpu"], found["driver"]) == (1, "cpu", None, None)
    assert "rehearsal" in found["note"]
    assert "no evidence" in found["note"]
    rows = {row["name"]: row for row in found["stages"]}
    assert {"idle", "read", "copy", "bf16", "square"} <= set(rows)
    for name, unit in (("read", "bytes/s"), ("copy", "bytes/s"), ("bf16", "FLOP/s")):
        assert rows[name]["rate_unit"] == unit
        assert rows[name]["burst"] > 0
        assert rows[name]["sustained"] > 0
    assert (rows["idle"]["burst"], rows["idle"]["rate_unit"]) == (None, None)
    assert found["sample_call_s"]["n"] > 50
    assert 0.004 < found["look_s"]["median"] < 0.1
    # Of looks at a sensor that is not there nothing is made up.
    assert all(row["instant_w"] is None for row in found["stages"])
    recording, machine, left_out = read_recording(tmp_path / "sensors.jsonl.gz")
    assert (machine["note"], left_out) == (found["note"], found["left_out"])
    highs, lows = recording.parts(HIGH), recording.parts(LOW)
    assert (len(highs), len(lows)) == (2, 3)
    assert {s.load for s in recording.parts(STEADY)} == {"bf16", "tiny-moe decode 2x64"}
    assert recording.parts(STAGE)[0].load == "idle"
    edges = [t for s in recording.stretches for t in (s.window.t_start_s, s.window.t_end_s)]
    assert edges == sorted(edges)  # nothing ran beside anything else
    assert recording.trace.samples[0].t_s < edges[0]
    assert recording.trace.samples[-1].t_s > edges[-1]
    again = finished("--replay", str(tmp_path / "sensors.jsonl.gz"), "--json")
    assert json.loads(again.stdout) == found


def test_no_time_is_said(capfd: pytest.CaptureFixture[str]) -> None:
    assert run_command(["doctor", "--sensors", "--device", "cpu", "--time-budget", "0.01"]) == 2
    shown = capfd.readouterr()
    assert "idle: 0 s at least, more than is left of --time-budget" in " ".join(shown.out.split())
    assert "give more --time-budget" in shown.err


@pytest.mark.parametrize("signum, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_it_says_what_it_has_and_leaves_nothing_running(signum: int, code: int) -> None:
    process = subprocess.Popen(
        doctor("--device", "cpu"), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"COLUMNS": "100"}
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("square steps:"):  # idle and bf16 are over
            break
    children = psutil.Process(process.pid).children(recursive=True)
    assert children
    process.send_signal(signum)
    out, err = process.communicate(timeout=30)
    assert process.returncode == code, err
    assert "interrupted" in err
    flowing = " ".join(out.split())
    assert "bf16 " in flowing
    assert "square steps: interrupted" in flowing
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]


def test_its_process_ends_with_the_command() -> None:
    process = subprocess.Popen(doctor("--device", "cpu"), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    process.stderr.readline()
    (child,) = psutil.Process(process.pid).children()
    process.kill()
    process.communicate()
    child.wait(timeout=30)


class Heard:
    """What a trial's process says, kept."""

    def __init__(self) -> None:
        self.added: dict[str, list[Any]] = {"left_out": [], "failed": [], "done": [], "stretches": []}

    def send(self, event: str, **fields: Any) -> None:
        for name, found in self.added.items():
            found += fields["add"].get(name, ())


def test_a_part_that_fails_costs_itself_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def made(name: str, device: torch.device) -> Call:
        if name == "fp8":
            raise RuntimeError("torch._scaled_mm is only supported on CUDA devices with compute capability >= 9.0\nand more lines")
        if name == "read":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        if name == "copy":
            raise KeyError("copy")
        return make_call(name, device)

    quick = replace(SCHEDULES["cpu"], quiet_s=0.01, load_s=0.02, rest_s=0.01, step_s=0.02, steps=1, cold_s=0.01, steady_s=0.05)
    monkeypatch.setattr(parts, "make_call", made)
    monkeypatch.setattr(parts, "SCHEDULES", {"cpu": quick})
    heard = Heard()
    Trial({"device": "cpu", "model": None}, heard, ends_s=time.monotonic() + 60).run()  # type: ignore[arg-type]
    assert heard.added["done"] == ["idle", "bf16", "square steps", "read", "copy", "fp8", "bf16 spread"]
    assert [(s["part"], s["load"]) for s in heard.added["stretches"]] == [
        ("stage", "idle"), ("stage", "bf16"), ("low", "idle"), ("high", "bf16"), ("low", "idle"), ("steady", "bf16"),
    ]  # fmt: skip
    assert [line.partition(" (")[0] for line in heard.added["left_out"]] == [
        "read: OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB",
        "copy: KeyError: 'copy'",
        "fp8: RuntimeError: torch._scaled_mm is only supported on CUDA devices with compute capability >= 9.0",
    ]
    # A board without fp8 and one that is full are findings; anything else is a fault, and says where.
    assert heard.added["failed"] == [heard.added["left_out"][1]]
    assert "(test_sensor_trial.py:" in heard.added["failed"][0]


class Silent:
    def stage(self, label: str, event: dict[str, Any]) -> None: ...
    def remaining(self, done: int, total: int, seconds_left: float) -> None: ...
    def note(self, text: str) -> None: ...


TOLD = {
    "machine": {"gpu": None, "driver": None, "device": "cuda", "note": None},
    "plan": ["idle", "bf16", "read"],
    "times": {"settle_s": 2.0, "level_s": 0.4, "burst_s": 0.5, "tail_s": 0.15, "windows_s": [2.0]},
}
IDLE = {
    "trace": {
        "source": "nvml", "kind": "measured", "sensor_accuracy": 0.05, "device": "gpu0", "boundary": "board", "most_gap_s": 0.5, "notes": {},
        "invalid_reasons": [],
    },
    "samples": [{"t_s": 1.0 + 0.01 * i, "instant_w": 80.0} for i in range(500)],
    "stretches": [{"part": "stage", "load": "idle", "window": {"t_start_s": 1.5, "t_end_s": 5.5}, "unit": None, "per_call": None, "marks": []}],
    "call_s": [0.001] * 500,
    "left_out": [],
    "done": ["idle"],
}  # fmt: skip


def scripted(tmp_path: Path, *lines: dict[str, Any], then: str = "") -> tuple[str, ...]:
    """A trial's process that says these lines."""
    path = tmp_path / "trial.py"
    path.write_text(f"import os, sys, time\nsys.stdin.readline()\nfor line in {[json.dumps(line) for line in lines]!r}:\n    print(line, flush=True)\n{then}\n")
    return (sys.executable, str(path))


def tried(command: tuple[str, ...]) -> Gathered:
    return run_trial({"device": "cuda", "model": None, "budget_s": 1.0}, Silent(), lambda: False, command=command)


@pytest.mark.parametrize(
    "last, then, failed",
    [
        ({"event": "error", "kind": "bug", "message": "RuntimeError: CUDA error: unspecified launch failure"}, "", "CUDA error"),
        ({"event": "progress", "stage": "bf16", "add": {}}, "os.kill(os.getpid(), 9)", "was killed by signal 9"),
    ],
)
def test_what_was_recorded_before_the_device_was_lost_is_kept(tmp_path: Path, last: dict[str, Any], then: str, failed: str) -> None:
    began = {"event": "progress", "stage": "sensors", "left_s": 9.0, "at": 0, "of": 3, "add": TOLD}
    gathered = tried(scripted(tmp_path, began, {"event": "progress", "stage": "idle", "add": IDLE}, last, then=then))
    assert len(gathered.failed) == 1
    assert failed in gathered.failed[0]
    assert [line.partition(":")[0] for line in gathered.left_out] == ["bf16", "read"]
    assert len(gathered.recording.trace.samples) == 500
    assert [s.load for s in gathered.recording.stretches] == ["idle"]
    assert gathered.recording.times.windows_s == (2.0,)


def test_what_the_user_can_mend_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(TokenmillError, match=r"^doctor --sensors: --device cuda: this PyTorch is a CPU build$"):
        tried(scripted(tmp_path, {"event": "error", "kind": "user", "message": "--device cuda: this PyTorch is a CPU build"}))


@pytest.mark.parametrize(
    "options, says",
    [
        (["--sensors"], "doctor --sensors: there are no sensors to try: "),
        (["--sensors", "--device", "gpu"], "--device 'gpu': should be cuda, or cpu for a rehearsal"),
        (["--sensors", "--device", "cpu", "--model", "qwen3-30b"], "qwen3-30b-a3b"),
        (["--sensors", "--device", "cpu", "--time-budget", "soon"], "--time-budget 'soon'"),
        (["--sensors", "--device", "cpu", "--trace", "/nowhere/at/all/x.jsonl.gz"], "--trace /nowhere/at/all/x.jsonl.gz: its folder"),
        (["--sensors", "--replay", "/nowhere.jsonl.gz"], "--replay /nowhere.jsonl.gz: cannot be read"),
        (["--model", "tiny-moe"], "--model: is of `doctor --sensors`; add --sensors"),
        (["--time-budget", "4m"], "--time-budget: is of `doctor --sensors`; add --sensors"),
    ],
)
def test_bad_input_and_no_gpu_end_in_one_line(options: list[str], says: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # also where there is a GPU
    assert run_command(["doctor", *options]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert says in shown.err
    assert shown.err.count("\n") == 1


def test_the_parent_imports_nothing_heavy() -> None:
    code = (
        "import sys\nimport profiler.sensors.conductor, profiler.sensors.plan, profiler.report.sensors, profiler.sensors.file\n"
        "heavy = {'torch', 'triton', 'pandas', 'numpy', 'scipy'} & set(sys.modules)\nsys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
