"""Ten shapes beside the libraries, from a record made by hand; the worst of them, and how their machine code is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from profiler.evidence.library_table import TEN, rows_of, worst_of
from profiler.evidence.machine_code import inspect_command, step_name
from profiler.record.store import Run, RunWriter, read_run
from tests.profiler import handmade_run as made

PLAN_ID = "a" * 16
# All 48 calls together: 48 GFLOP, 43 GB. At 4.3 TB/s that are 10 ms, at 788 TFLOP/s 61 us.
WORK = {"flops": 48e9, "lane": "bf16", "read_bytes": 42e9, "written_bytes": 1e9, "link_bytes": 0}
PLAN = {"calls": [{"op": "grouped_matmul", "part": "experts.gate_up", "count": 48, "shapes": {}, "attrs": {}, "work": WORK}]}
ALONE = {
    "entry": 0, "op": "grouped_matmul", "part": "experts.gate_up", "count": 48, "call_s": {"median": 0.25e-3, "ci95": [0.24e-3, 0.26e-3], "n": 3},
    "call_j": None, "rotated": 48, "windows": [], "why_not": None,
}  # fmt: skip
COMPARED = {
    "library": "torch._grouped_mm", "library_s": {"median": 0.2e-3, "ci95": None, "n": 3}, "library_note": "rows gathered before", "kernel_ratio": 0.8,
    "kernel_ratio_ci95": [0.79, 0.81],
}  # fmt: skip


def recorded(root: Path, **fields: Any) -> Run:
    writer = RunWriter.create(root, subject="qwen3-30b-a3b", argv=["run"], version="0.1.0")
    writer.update(environment={"gpu": {"name": "NVIDIA H200", "arch": 90}})
    point = made.decode(32, 0.020, 480.0) | {"point_id": "000-decode", "run_id": writer.path.name, "plan": PLAN_ID, "context": 4096}
    writer.commit(point, plan=PLAN, ops=[ALONE | fields])
    writer.finish("done")
    return read_run(writer.path)


def row_of(run: Run) -> dict[str, Any]:
    place = next(place for place, shape in enumerate(TEN) if (shape.folder, shape.part) == ("operations", "experts.gate_up"))
    return rows_of({"operations": run})[place]


def test_a_row_holds_ours_theirs_and_shares_of_the_ceilings(tmp_path: Path) -> None:
    row = row_of(recorded(tmp_path, **COMPARED))
    assert (row["run"], row["phase"], row["batch"], row["context"], row["op"], row["arch"]) == ("operations", "decode", 32, 4096, "grouped_matmul", 90)
    assert row["ours_s"]["median"] == 0.25e-3
    assert (row["library"], row["ratio"], row["ratio_ci95"]) == ("torch._grouped_mm", 0.8, [0.79, 0.81])
    # 48 calls of 0.25 ms are 12 ms: 4 TFLOP/s of 788, 43 GB / 12 ms = 3.583 TB/s of 4.3 = 10 / 12 of the bandwidth, which bounds it.
    assert row["flops_per_s"] == pytest.approx(4e12)
    assert row["share_of_flops_per_s"] == pytest.approx(4 / 788)
    assert row["share_of_bandwidth"] == pytest.approx(10 / 12)
    assert row["share_of_floor"] == pytest.approx(10 / 12)
    assert (row["bound"], row["why_not"]) == ("memory", None)


def test_a_record_without_libraries_is_read_all_the_same(tmp_path: Path) -> None:
    row = row_of(recorded(tmp_path))
    assert row["ours_s"]["median"] == 0.25e-3
    assert (row["library"], row["library_s"], row["ratio"]) == (None, None, None)


def test_what_is_not_there_says_why(tmp_path: Path) -> None:
    rows = rows_of({"operations": recorded(tmp_path, call_s=None, why_not="time budget: 40.0% of the operations' time")})
    reasons = {(row["run"], row["phase"], row["part"]): row["why_not"] for row in rows}
    assert reasons["operations", "decode", "experts.gate_up"] == "time budget: 40.0% of the operations' time"
    assert reasons["operations", "decode", "attention.qkv"] == "it is not in the point's plan"
    assert reasons["operations-more", "prefill", "attention.qkv"] == "the run was not recorded"
    assert len(rows) == 10
    assert worst_of(rows) == ([], "nothing was measured")


def test_the_worst_are_those_furthest_behind_their_library() -> None:
    rows = [{"ratio": ratio, "share_of_floor": share} for ratio, share in ((0.9, 0.2), (0.5, 0.9), (None, 0.1), (0.7, 0.5), (1.1, 0.3))]
    assert worst_of(rows)[0] == [1, 3, 0]
    uncompared = [row | {"ratio": None} for row in rows]
    assert worst_of(uncompared) == ([2, 0, 4], "share of the roofline: nobody compared")


def test_machine_code_is_asked_for_the_rows_own_step() -> None:
    row = {"op": "attention", "arch": 90, "model": "qwen3-30b-a3b", "precision": "bf16", "phase": "decode", "batch": 32, "context": 4096}
    words = " ".join(inspect_command(row)[1:])
    assert words == "-m tokenmill kernels attention --inspect sm_90 --model qwen3-30b-a3b --precision bf16 --batch 32 --context 4096 --prefill none --json"
    assert step_name(row) == "qwen3-30b-a3b bf16 decode 32"
    prefill = row | {"phase": "prefill", "batch": 1}
    assert " ".join(inspect_command(prefill)).endswith("--batch 1 --prefill 4096 --json")
    assert step_name(prefill) == "qwen3-30b-a3b bf16 prefill 1"
