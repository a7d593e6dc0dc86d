"""compute-sanitizer's words, read: what counts as a kernel's error, and what only says that the tool was not let in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from profiler.evidence import sanitizer
from profiler.evidence.call import Call, Turn
from profiler.evidence.child import OUT_OF_TIME, Ended
from profiler.evidence.sanitized import size
from profiler.evidence.sanitizer_output import read_output

BANNER = "========= COMPUTE-SANITIZER"
# Two threads of one kernel, as memcheck prints them without backtraces of the host.
ERRORS = """========= Invalid __global__ write of size 4 bytes
=========     at matmul_kernel+0x160 in /home/somebody/tree/triton_kernels/_jit/matmul.py:40
=========     by thread (0,0,0) in block (0,0,0)
=========     Address 0x7f6510c00001 is out of bounds
=========
========= Invalid __global__ write of size 4 bytes
=========     at matmul_kernel+0x160 in matmul.py:40
=========     by thread (1,0,0) in block (0,0,0)
=========     Address 0x7f6510c00005 is out of bounds
=========
"""
REFUSED = f"""{BANNER}
========= Error: Device not supported. Please refer to the "Supported Devices" section of the sanitizer documentation
"""


def begin(op: str) -> str:
    return json.dumps({"begin": op}) + "\n"


def done(op: str, **fields: Any) -> str:
    return json.dumps({"op": op, "case": {}, "dtype": "bfloat16", "error": 0.0, "tolerance": 0.01, "ok": True} | fields) + "\n"


def test_errors_are_of_the_operation_they_appeared_in() -> None:
    found = read_output(
        f"{BANNER}\n{begin('add_norm')}{done('add_norm')}{begin('matmul')}{ERRORS}{done('matmul', ok=False)}========= ERROR SUMMARY: 2 errors\n"
    )
    assert found.errors == {"matmul": 2}
    assert [row["op"] for row in found.rows] == ["add_norm", "matmul"]
    assert found.summary == 2
    assert found.unfinished is None
    assert found.first_error == [
        "Invalid __global__ write of size 4 bytes",
        "at matmul_kernel+0x160 in matmul.py:40",  # the folders of a machine are nobody's business
        "by thread (0,0,0) in block (0,0,0)",
        "Address 0x7f6510c00001 is out of bounds",
    ]


def test_the_tools_own_lines_are_no_errors() -> None:
    found = read_output(
        f"{BANNER}\n{begin('route')}========= Warning: something is slow\n{done('route')}========= Target application returned an error\n"
        "========= ERROR SUMMARY: 0 errors\n"
    )
    assert (found.errors, found.summary, found.first_error, found.refusal) == ({}, 0, [], None)


def test_a_refusal_is_one_only_where_no_kernel_ran() -> None:
    raised = {"ok": False, "error": None, "raised": "RuntimeError: CUDA error: unknown error"}
    assert read_output(REFUSED).refused
    lost = read_output(REFUSED + begin("add_norm") + json.dumps({"op": "add_norm", **{k: v for k, v in raised.items() if k != "error"}}) + "\n")
    assert lost.refused
    assert lost.refusal is not None
    assert lost.refusal.startswith("Error: Device not supported")
    assert not read_output(REFUSED + begin("add_norm") + done("add_norm")).refused


class Tool:
    """Stands in for the processes: what each prints, in turn."""

    def __init__(self, *ends: tuple[str, str | None]) -> None:
        self.ends, self.asked = list(ends), list[list[str]]()

    def __call__(self, command: Sequence[str], **_: Any) -> Ended:
        if command[1:] == ["--version"]:
            return Ended(code=0, out="Version 2025.3.1.0 (build 1)", err="", why=None)
        self.asked.append(list(command[command.index("profiler.evidence.sanitized") + 3 :]))
        out, why = self.ends.pop(0)
        return Ended(code=0, out=out, err="", why=why)


def looked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tool: Tool) -> tuple[bool, list[str], dict[str, Any]]:
    monkeypatch.setattr(sanitizer.shutil, "which", lambda name: f"/opt/{name}")
    monkeypatch.setattr(sanitizer.child, "run", tool)
    call = Call(
        out=tmp_path, device="cuda", model="m", precision="bf16", checked=("add_norm", "matmul", "route"), check_steps=False, memory_bytes=1e9,
        interrupted=lambda: False,
    )  # fmt: skip
    turn = Turn(call=call, deadline_s=float("inf"))
    ok = sanitizer.sanitizer(turn)
    return ok, turn.left_out, json.loads((tmp_path / "sanitizer.json").read_text())


def test_a_kernel_that_takes_its_process_with_it_does_not_hide_those_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tool = Tool((begin("add_norm") + done("add_norm") + begin("matmul"), None), (begin("route") + done("route"), None))
    ok, left_out, found = looked(monkeypatch, tmp_path, tool)
    assert tool.asked == [["add_norm", "matmul", "route"], ["route"]]
    assert not ok
    assert [(row["op"], row["ok"]) for row in found["operations"]] == [("add_norm", True), ("matmul", False), ("route", True)]
    assert found["operations"][1]["why_not"] == "its process ended in it"
    assert left_out == []


def test_what_there_was_no_time_for_is_left_out_and_no_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ok, left_out, found = looked(monkeypatch, tmp_path, Tool((begin("add_norm") + done("add_norm") + begin("matmul"), OUT_OF_TIME)))
    assert ok
    assert [row["ok"] for row in found["operations"]] == [True, None, None]
    assert left_out == ["sanitizer of matmul, route (no time left)"]


def test_no_errors_of_nothing_is_no_success(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A copy of the tool that does not start the program counts no errors either."""
    ok, left_out, _ = looked(monkeypatch, tmp_path, Tool((f"{BANNER}\n========= ERROR SUMMARY: 0 errors\n", None)))
    assert not ok
    assert left_out[0].startswith("sanitizer (nothing ran under it")


def test_a_machine_that_refuses_says_nothing_of_the_kernels(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ok, left_out, found = looked(monkeypatch, tmp_path, Tool((REFUSED, None)))
    assert ok
    assert found["errors"] is None
    assert {row["ok"] for row in found["operations"]} == {None}
    assert "Device not supported" in left_out[0]


def test_small_cases_come_first() -> None:
    # 3 x 7168; (1 + 0 + 3) x 96 x 160; names and switches count nothing
    assert size({"tokens": 3, "hidden": 7168}) == 21504
    assert size({"rows_per_expert": (1, 0, 3), "n": 96, "k": 160, "gather": True, "activation": "swiglu"}) == 61440
