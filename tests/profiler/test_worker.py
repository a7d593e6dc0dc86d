"""The worker process itself, on the CPU with tiny-moe: its protocol, its failures, its end."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).parents[2]
SPEC = {
    "model": "tiny-moe", "phase": "decode", "precision": "fp32", "kv_cache": "fp32", "batch": 2, "context": 64, "window_s": 0.05, "windows": 2,
    "device": "cpu", "mix": None,
}  # fmt: skip


class Worker:
    """A real worker and its two pipes."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "profiler.worker"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def send(self, **request: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()

    def event(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        event = json.loads(self.process.stdout.readline())
        assert isinstance(event, dict)
        return event

    def ask(self, **request: Any) -> dict[str, Any]:
        """The answer; progress on the way is checked to be progress."""
        self.send(**request)
        while (event := self.event())["event"] == "progress":
            assert set(event) == {"event", "stage", "fraction", "note", "step_s"}
        return event


@pytest.fixture
def worker() -> Iterator[Worker]:
    started = Worker()
    yield started
    started.process.kill()
    started.process.wait()
    for pipe in (started.process.stdin, started.process.stdout, started.process.stderr):
        assert pipe is not None
        pipe.close()


def test_the_whole_protocol(worker: Worker) -> None:
    environment = worker.ask(do="environment", device="cpu")
    assert (environment["event"], environment["device"], environment["gpu"]) == ("environment", "cpu", None)
    assert environment["python"] == sys.version.split()[0]
    result = worker.ask(do="measure", spec=SPEC | {"watts": 65.0})
    point = result["point"]
    assert (point["status"], point["model"], point["weights"], point["device"], point["gpu"]) == ("ok", "tiny-moe", "random", "cpu", None)
    steps = sum(w["steps"] for w in point["windows"])
    assert (point["output_tokens"], point["query_len"], point["tokens_per_step"]) == (2 * steps, 1, 2)
    # 6 layers x 2 KV heads x 64 x (key + value) x 4 bytes.
    assert point["kv_bytes_per_token"] == 6144
    assert point["weight_bytes"] == point["params"]["total"] * 4
    assert point["params"]["active_without_embedding"] < point["params"]["active"] < point["params"]["total"]
    assert (point["power_source"], point["node_w"], point["provenance"]["node_w"]) == ("declared", 65.0, "assumed")
    assert {c["op"] for c in result["plan"]["calls"]} >= {"embedding", "attention", "grouped_matmul", "sample"}
    assert len(point["plan"]) == 16
    assert set(point["environment"]) == {"driver", "cuda", "torch", "triton", "python", "git", "power_limit_w", "clocks", "temperature_c"}
    refused = worker.ask(do="measure", spec=SPEC | {"routing": "random"})
    assert (refused["event"], refused["kind"], refused["sticky"]) == ("error", "user", False)
    too_large = worker.ask(do="measure", spec=SPEC | {"batch": 1 << 24, "context": 40_960})["point"]
    assert (too_large["status"], too_large["valid"], too_large["step_s"], too_large["batch"]) == ("oom", False, None, 1 << 24)
    assert "memory" in too_large["error"]
    again = worker.ask(do="measure", spec=SPEC)["point"]  # an out-of-memory leaves nothing behind
    assert (again["status"], again["plan"], again["node_w"]) == ("ok", point["plan"], None)
    worker.send(do="quit")
    assert worker.process.wait(timeout=20) == 0


def test_ctrl_c_is_the_parent_s_business(worker: Worker) -> None:
    worker.ask(do="environment", device="cpu")
    worker.process.send_signal(signal.SIGINT)
    assert worker.ask(do="environment", device="cpu")["event"] == "environment"


def test_the_parent_s_end_is_the_worker_s_end_in_the_middle_of_a_window(worker: Worker) -> None:
    worker.send(do="measure", spec=SPEC | {"window_s": 60.0})
    while worker.event()["stage"] != "window":
        pass
    assert worker.process.stdin is not None
    began = time.monotonic()
    assert worker.process.poll() is None
    worker.process.stdin.close()
    assert worker.process.wait(timeout=20) == 0
    assert time.monotonic() - began < 10


def test_an_error_that_follows_out_of_memory_is_out_of_memory() -> None:
    """A graph whose capture runs out of memory may fail once more when the capture ends."""
    from profiler.worker import _kind

    ending = RuntimeError("CUDA error: operation failed due to a previous error during capture")
    ending.__context__ = torch.OutOfMemoryError("CUDA out of memory")
    assert _kind(ending) == "oom"
    assert _kind(RuntimeError("CUDA error: an illegal memory access was encountered")) == "cuda"
    assert _kind(RuntimeError("shapes differ")) == "bug"


def test_what_libraries_print_stays_out_of_the_protocol() -> None:
    """PyTorch and compilers write to descriptor 1 as they like; the worker's own answers have another."""
    code = (
        "import os\nfrom profiler.worker import Events\nevents = Events()\n"
        "os.write(1, b'chatter\\n')\nprint('more', flush=True)\nevents.progress('x', None, '')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert json.loads(done.stdout) == {"event": "progress", "stage": "x", "fraction": None, "note": "", "step_s": None}
    assert done.stderr == "chatter\nmore\n"
