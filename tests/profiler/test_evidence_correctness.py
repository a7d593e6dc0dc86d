"""Checks of operations and of whole steps, each in a process of its own: what runs, and what a failure is."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from profiler.evidence import correctness
from profiler.evidence.call import Call, Turn
from profiler.evidence.check_operation import POISONED
from profiler.evidence.child import OUT_OF_TIME, Ended, environment_of
from profiler.evidence.correctness import INTERPRETED

ROW = {"error": 0.002, "tolerance": 0.01, "ok": True}


def checked(
    monkeypatch: pytest.MonkeyPatch, out: Path, ends: dict[str, Ended], deadline_s: float = float("inf"), **fields: Any
) -> tuple[bool, list[str], dict[str, Any]]:
    """The part on a GPU, its processes ended as `ends` says by the word that is in their command."""

    def run(command: Sequence[str], **_: Any) -> Ended:
        return next(end for word, end in ends.items() if word in command)

    monkeypatch.setattr(correctness.child, "run", run)
    given = {"device": "cuda", "precision": "bf16,fp8", "checked": ("route", "sample"), "check_steps": False} | fields
    turn = Turn(call=Call(out=out, model="qwen3-8b", memory_bytes=1e9, interrupted=lambda: False, **given), deadline_s=deadline_s)
    ok = correctness.correctness(turn)
    return ok, turn.left_out, json.loads((out / "correctness.json").read_text())


def ended(*rows: dict[str, Any], code: int = 0, err: str = "", why: str | None = None) -> Ended:
    return Ended(code=code, out="".join(json.dumps(row) + "\n" for row in rows), err=err, why=why)


def test_all_checks_must_pass_and_some_be_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    good = {"route": ended(ROW | {"op": "route"}), "sample": ended(ROW | {"op": "sample"})}
    ok, left_out, found = checked(monkeypatch, tmp_path, good)
    assert ok
    assert left_out == []
    assert [row["op"] for row in found["rows"]] == ["route", "sample"]
    assert found["steps"] == []
    assert not checked(monkeypatch, tmp_path, good | {"sample": ended(ROW | {"op": "sample", "ok": False, "error": None, "not_finite": "nan"})})[0]
    assert not checked(monkeypatch, tmp_path, {"route": ended(), "sample": ended()})[0]


def test_a_process_that_dies_is_a_failure_and_one_without_time_is_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    died = ended(ROW | {"op": "route"}, code=-11, err="Fatal: /opt/somewhere/lib.so: illegal access")
    ok, left_out, found = checked(monkeypatch, tmp_path, {"route": died, "sample": ended(ROW | {"op": "sample"})})
    assert not ok
    assert left_out == ["correctness of route (exit -11: Fatal: lib.so: illegal access)"]
    assert len(found["rows"]) == 2
    late = ended(ROW | {"op": "route"}, code=-15, why=OUT_OF_TIME)
    ok, left_out, _ = checked(monkeypatch, tmp_path, {"route": late, "sample": ended(ROW | {"op": "sample"})}, deadline_s=time.monotonic() + 100)
    assert ok
    assert left_out == ["correctness of route (out of time)"]


def test_a_check_that_takes_the_context_with_it_costs_only_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The second of four checks is fatal, and the first of those behind it too: another process each time begins behind the last one's check."""
    began: list[str] = []

    def run(command: Sequence[str], **_: Any) -> Ended:
        began.append(command[-1])
        rows = [ROW | {"op": "route", "check": n} for n in range(int(command[-1]), 4)]
        fatal = {"0": 1, "2": 2}.get(command[-1])
        if fatal is None:
            return ended(*rows)
        return ended(*rows[: fatal - int(command[-1])], {"op": "route", "check": fatal, "ok": False, "raised": "CUDA error"}, code=POISONED)

    monkeypatch.setattr(correctness.child, "run", run)
    call = Call(
        out=tmp_path, device="cuda", model="m", precision="bf16", checked=("route",), check_steps=False, memory_bytes=1e9, interrupted=lambda: False
    )
    assert not correctness.correctness(Turn(call=call, deadline_s=float("inf")))
    found = json.loads((tmp_path / "correctness.json").read_text())
    assert began == ["0", "2", "3"]
    assert [(row["check"], row["ok"]) for row in found["rows"]] == [(0, True), (1, False), (2, False), (3, True)]
    assert found["problems"] == {}


def test_a_kernel_that_never_ends_is_a_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    late = ended(ROW | {"op": "route", "check": 0}, code=-15, why=OUT_OF_TIME)
    monkeypatch.setattr(correctness.child, "run", lambda command, **_: late)
    call = Call(
        out=tmp_path, device="cuda", model="m", precision="bf16", checked=("route",), check_steps=False, memory_bytes=1e9, interrupted=lambda: False
    )
    turn = Turn(call=call, deadline_s=time.monotonic() + 3600)  # it was not the call's time that ended it
    assert not correctness.correctness(turn)
    assert turn.left_out == ["correctness of route (did not end in 240 s)"]


def test_steps_of_every_recipe_and_family_are_checked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ends = {"profiler.evidence.check_steps": ended(ROW | {"op": "matmul", "part": "attention.o"})}
    ok, _, found = checked(monkeypatch, tmp_path, ends, checked=(), check_steps=True)
    assert ok
    assert (len(found["rows"]), len(found["steps"])) == (0, 4)  # --model in both recipes of --precision, gpt-oss-120b, deepseek-r1


def test_a_steps_operations_are_checked_on_its_own_tensors() -> None:
    """Two layers of tiny-moe under the interpreter; a step that cannot be built is a row, and the one behind it has its turn."""
    command = [sys.executable, "-m", "profiler.evidence.check_steps", "tiny-moe", "bf16", "1", "cpu", "decode:2x50000", "decode:2x16"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment_of(INTERPRETED))
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert (rows[0]["ok"], rows[0]["part"], rows[0]["context"]) == (False, None, 50000)  # more than its positions
    assert {"attention.attend", "experts.gate_up", "head.logits"} <= {row["part"] for row in rows[1:]}
    assert all(row["ok"] and row["error"] <= row["tolerance"] and row["context"] == 16 for row in rows[1:])
