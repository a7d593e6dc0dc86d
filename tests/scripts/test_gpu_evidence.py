"""The evidence script, rehearsed without a GPU: it runs from a tree that is not installed, and says that it is a rehearsal."""

import gzip
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from profiler.evidence.parts import PARTS
from triton_kernels.operations import OPERATIONS

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "gpu_evidence"
VARIABLES = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}


def evidence(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, env=VARIABLES | variables)


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def last_call(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = read(out / "environment.json")["calls"][-1]
    return found


def test_a_rehearsal_from_correctness_to_the_page(tmp_path: Path) -> None:
    """Two calls into one folder compose; every file says that it is no evidence, and none tells where it was written."""
    out, words = tmp_path / "out", ("--device", "cpu", "--operations", "embedding")
    first = evidence(*words, "--out", str(out), "--part", "correctness")
    assert first.returncode == 0, first.stdout + first.stderr
    rows = read(out / "correctness.json")["rows"]
    assert len(rows) == 3 * len(OPERATIONS["embedding"].cases)  # in three formats
    assert all(row["ok"] and row["error"] <= row["tolerance"] for row in rows)
    before = (out / "correctness.json").read_bytes()

    second = evidence(*words, "--out", str(out), "--part", "steps,operations,libraries")
    assert second.returncode == 0, second.stdout + second.stderr
    assert (out / "correctness.json").read_bytes() == before
    calls = read(out / "environment.json")["calls"]
    assert [list(call["parts"]) for call in calls] == [["correctness"], ["steps", "operations", "libraries"]]
    assert all(call["ok"] and call["device"] == "cpu" and call["environment"]["torch"] and call["finished"] for call in calls)
    assert calls[0]["command"] == "scripts/gpu_evidence --device cpu --operations embedding --out out --part correctness"

    assert read(out / "run.json")["command"].startswith("tokenmill run tiny-moe --device cpu --batch 2")
    libraries = read(out / "libraries.json")
    assert "no evidence" in libraries["rehearsal"]
    assert [row["ratio"] for row in libraries["rows"]] == [None] * 10  # nobody compared on a CPU
    measured = [row for row in libraries["rows"] if row["ours_s"]]
    assert [row["run"] for row in measured] == ["operations"] * 5 + ["operations-more"] * 3
    assert libraries["worst"][0]["why_facts"]["variants"][0]["registers"] > 0  # compiled for a GPU that is not there
    assert "delivered token" in (out / "explain.txt").read_text()

    page = (out / "summary.md").read_text()
    assert "no evidence" in page.splitlines()[0]
    assert "| embedding | 15 | 0 |" in page
    assert "**Nobody compared.**" in page
    assert f"--out {out.name} --device cpu --time-budget 9m --part newcomer`" in page  # what is missing, with what would run it
    check_nothing_tells_where(out, tmp_path)

    (out / "summary.md").unlink()
    assert evidence("--part", "summary", "--out", str(out)).returncode == 0
    assert (out / "summary.md").read_text() == page
    assert len(read(out / "environment.json")["calls"]) == 2  # the page alone is no call


def check_nothing_tells_where(out: Path, tmp_path: Path) -> None:
    for path in out.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
            assert not any(place in text for place in (str(tmp_path), str(ROOT), str(Path.home()) + "/")), path


def test_what_does_not_fit_the_budget_is_said(tmp_path: Path) -> None:
    done = evidence("--device", "cpu", "--operations", "add_norm", "--model", "tiny-moe", "--out", str(tmp_path), "--time-budget", "1s")
    assert "correctness (only" in done.stdout
    assert "steps (only" in done.stdout
    assert done.returncode == 1  # nothing was shown
    assert "steps (run.json; only" in (tmp_path / "summary.md").read_text()


def test_a_gpu_that_is_not_there_is_one_clear_end(tmp_path: Path) -> None:
    done = evidence("--device", "cuda", "--out", str(tmp_path / "out"))
    assert done.returncode == 1
    assert "cannot use cuda" in done.stderr


def test_unknown_parts_and_operations_are_refused(tmp_path: Path) -> None:
    assert evidence("--part", "kernel", "--out", str(tmp_path)).returncode == 2
    done = evidence("--device", "cpu", "--part", "correctness", "--operations", "ad_norm", "--out", str(tmp_path))
    assert done.returncode == 2
    assert "unknown ad_norm" in done.stderr
    assert evidence("--part", "summary", "--out", str(tmp_path / "empty")).returncode == 2


def test_sigterm_keeps_what_is_there_and_writes_the_page(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "--device", "cpu", "--part", "steps,sampling", "--out", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=VARIABLES)
    assert process.stdout is not None
    assert any(line.startswith("$ python3 -m tokenmill run") for line in process.stdout)
    process.send_signal(signal.SIGTERM)
    rest = process.stdout.read()
    assert process.wait() == 143
    assert "sampling (interrupted)" in rest
    call = last_call(tmp_path)
    assert call["finished"] is not None
    assert "the end of steps of tiny-moe (interrupted; finished points are kept)" in call["parts"]["steps"]["left_out"]
    assert "sampling" not in call["parts"]
    assert (tmp_path / "summary.md").exists()
    assert not (tmp_path / "whole-runs").exists()


FAKE_TOOL = """#!/bin/sh
[ "$1" = --version ] && { echo 'NVIDIA (R) Compute Sanitizer'; echo 'Version 2025.3.1.0 (build 1)'; exit 0; }
echo '========= COMPUTE-SANITIZER'
while [ "$1" != -m ]; do shift; done
[ "$PYTORCH_NO_CUDA_MEMORY_CACHING" = 1 ] || exit 9
PYTHON -u "$@"
echo '========= ERROR SUMMARY: 0 errors'
"""


def test_kernels_run_under_the_sanitizer_where_it_is_on_path(tmp_path: Path) -> None:
    tool = tmp_path / "bin" / "compute-sanitizer"
    tool.parent.mkdir()
    tool.write_text(FAKE_TOOL.replace("PYTHON", sys.executable))
    tool.chmod(0o755)
    done = evidence(
        "--device", "cpu", "--part", "sanitizer", "--operations", "add_norm,embedding", "--time-budget", "40s", "--out", str(tmp_path / "out"),
        PATH=f"{tool.parent}:{os.environ['PATH']}",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = read(tmp_path / "out" / "sanitizer.json")
    assert (found["version"], found["errors"], found["refused"]) == ("2025.3.1.0", 0, None)
    assert [(row["op"], row["ok"]) for row in found["operations"]] == [("add_norm", True), ("embedding", True)]
    assert found["command"].startswith("compute-sanitizer --tool memcheck")
    assert "python3 -m profiler.evidence.sanitized" in found["command"]


def test_the_suggested_calls_hold_every_part() -> None:
    done = evidence("--calls")
    assert done.returncode == 0
    lines = [line for line in done.stdout.splitlines() if line.startswith("  scripts/gpu_evidence")]
    parts = [part for line in lines for part in re.search(r"--part (\S+)", line)[1].split(",")]  # type: ignore[index]
    assert len(lines) == 4  # three on a GPU, one afterwards
    assert sorted(parts) == sorted([*PARTS, "summary"])
    assert "sources_sha256" in done.stdout
