"""The closure of a step, by hand: what operations alone add up to, what is left and its name, and the reason where a figure is missing."""

from pathlib import Path
from typing import Any

import pytest

from profiler.modelled.closure import closure
from profiler.record.rows import compressed, text_of
from profiler.record.store import Run
from profiler.report.closure import closure_line

PLAN = {
    "calls": [{"op": "matmul", "part": "qkv", "count": 4}, {"op": "attention", "part": "attend", "count": 4}, {"op": "all_reduce", "part": "sum", "count": 8}]
}


def row(entry: int, call_s: float | None, call_j: float | None) -> dict[str, Any]:
    call = PLAN["calls"][entry]
    seconds = None if call_s is None else {"median": call_s, "ci95": None, "n": 5}
    joules = None if call_j is None else {"mean": call_j, "ci95": None, "n": 5}
    return {"entry": entry, "op": call["op"], "part": call["part"], "call_s": seconds, "call_j": joules}


# 4 x 1 ms and 4 x 1.25 ms are 9 ms; 4 x 0.5 J and 4 x 0.6 J are 4.4 J.
OPS = [row(0, 1e-3, 0.5), row(1, 1.25e-3, 0.6), row(2, None, None)]


def point(step_s: float = 0.010, step_j: float | None = 4.7, idle_w: float | None = 100.0, **fields: Any) -> dict[str, Any]:
    energy = None if step_j is None else {"mean": step_j, "ci95": None, "n": 5}
    return {"step_s": {"median": step_s}, "energy_per_step_j": energy, "idle_board_w": idle_w, "power_source": "nvml-counter"} | fields


def test_gaps_hold_idle_power() -> None:
    found = closure(point(), PLAN, OPS)
    assert (found.ops_s, found.residue_s, found.residue_name) == (pytest.approx(9e-3), pytest.approx(1e-3), "launch_gaps")
    # A gap of 1 ms at 100 W of idle power is 0.1 J: 4.7 = 4.4 + 0.1 + 0.2.
    assert (found.ops_j, found.idle_j, found.residue_j) == (pytest.approx(4.4), pytest.approx(0.1), pytest.approx(0.2))
    assert (found.time_share, found.energy_share) == (pytest.approx(0.9), pytest.approx(4.5 / 4.7))
    assert (found.unmeasured, found.why_no_time, found.why_no_energy) == (("sum",), None, None)


def test_operations_slower_alone_than_in_the_step_overlap() -> None:
    found = closure(point(step_s=0.008, step_j=4.0), PLAN, OPS)
    assert (found.residue_name, found.residue_s, found.time_share) == ("overlap", pytest.approx(-1e-3), pytest.approx(1.125))
    assert (found.idle_j, found.residue_j) == (0.0, pytest.approx(-0.4))  # no gap, no idle power


def test_windows_tell_the_energy_of_a_step_in_older_records() -> None:
    older = point(step_j=None, energy_j=47.0, windows=[{"steps": 6}, {"steps": 4}])
    assert closure(older, PLAN, OPS).step_j == pytest.approx(4.7)


@pytest.mark.parametrize(
    "changes, ops, why_no_time, why_no_energy",
    [
        ({}, [], "no operation was measured alone: run --per-op", "no operation was measured alone: run --per-op"),
        ({"step_s": None}, OPS, "the step was not timed", "the step was not timed"),
        ({"energy_per_step_j": None}, OPS, None, "no sensor told the board's energy"),
        ({"power_source": "declared"}, OPS, None, "no sensor told the board's energy"),
        ({"idle_board_w": None}, OPS, None, "idle power was not measured"),
        ({}, [OPS[0], row(1, 1.25e-3, None)], None, "no joules of attend"),
    ],
)
def test_what_is_missing_is_none_and_has_its_reason(changes: dict[str, Any], ops: list[dict[str, Any]], why_no_time: str | None, why_no_energy: str) -> None:
    found = closure(point() | changes, PLAN, ops)
    assert (found.why_no_time, found.why_no_energy, found.residue_j) == (why_no_time, why_no_energy, None)
    assert (found.residue_s is None) == (why_no_time is not None)


def test_the_screen_s_line(tmp_path: Path) -> None:
    (tmp_path / "ops").mkdir()
    (tmp_path / "ops" / "000-x.jsonl.gz").write_bytes(compressed(text_of(OPS)))
    shown = point(point_id="000-x", phase="decode", batch=8, plan="a" * 16, per_op={"measured": 2, "left_out": ["sum (all_reduce): collective"]})
    run = Run(path=tmp_path, header={}, points=[shown], plans={"a" * 16: PLAN})
    line = "decode batch 8: operations alone 90.0% of the step's time, 95.7% of its energy with idle power; residue 10.0% launch gaps; "
    line += "1 operation was left out (meas)"
    assert closure_line(run, [shown], None) == line
    assert closure_line(run, [shown | {"device": "cpu"}], None) == line.replace("launch gaps", "between operations")
    assert closure_line(run, [shown | {"per_op": None}], None) is None
    assert closure_line(run, [shown | {"per_op": {"measured": 0, "left_out": ["out of memory"]}}], None) == "– (out of memory)"
