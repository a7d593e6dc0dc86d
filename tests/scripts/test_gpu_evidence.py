"""The evidence script, rehearsed without a GPU: it runs from a tree that is not installed, and says that it is a rehearsal."""

import json
import os
import subprocess
import sys
from pathlib import Path

from triton_kernels.operations import OPERATIONS

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "gpu_evidence"


def evidence(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, env={**os.environ, "CUDA_VISIBLE_DEVICES": ""})


def test_correctness_is_written_for_every_case_and_format(tmp_path: Path) -> None:
    done = evidence("--device", "cpu", "--part", "correctness", "--operations", "add_norm", "--out", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    header = json.loads((tmp_path / "environment.json").read_text())
    assert header["device"] == "cpu"
    assert header["environment"]["torch"] is not None
    rows = json.loads((tmp_path / "correctness.json").read_text())["rows"]
    assert len(rows) == 3 * len(OPERATIONS["add_norm"].cases)  # in three formats
    assert all(row["ok"] and row["error"] <= row["tolerance"] for row in rows)


def test_what_does_not_fit_the_budget_is_said(tmp_path: Path) -> None:
    done = evidence("--device", "cpu", "--operations", "add_norm", "--model", "tiny-moe", "--out", str(tmp_path), "--time-budget", "5s")
    assert "correctness of add_norm (no time left)" in done.stdout
    assert "steps of tiny-moe (only" in done.stdout
    assert done.returncode == 1  # nothing was shown


def test_a_gpu_that_is_not_there_is_one_clear_end(tmp_path: Path) -> None:
    done = evidence("--device", "cuda", "--out", str(tmp_path / "out"))
    assert done.returncode == 1
    assert "cannot use cuda" in done.stderr


def test_unknown_parts_are_refused(tmp_path: Path) -> None:
    assert evidence("--part", "kernel", "--out", str(tmp_path)).returncode == 2
