"""A wall meter's file: its forms, its clock, and the windows it covers."""

from collections.abc import Callable
from pathlib import Path

import pytest

from profiler.power.clock import ClockAnchor, anchor, drift_s
from profiler.power.meter import meter_trace, read_meter
from profiler.power.point_power import NodeTraces, point_power
from profiler.power.source import PowerTrace
from profiler.power.window import Window
from triton_kernels.errors import TokenmillError

UNIX = 1_769_860_800.0  # 2026-01-31T12:00:00+00:00
SPANS = [Window(t_start_s=103.0, t_end_s=105.0), Window(t_start_s=105.0, t_end_s=107.0)]
START, END = ClockAnchor(monotonic_s=100.0, unix_s=UNIX), ClockAnchor(monotonic_s=110.0, unix_s=UNIX + 10)
NOTHING = PowerTrace(source="none", kind=None, sensor_accuracy=None)


def written(path: Path, watts: Callable[[float], float], *, until: int = 12) -> Path:
    path.write_text("time,watts\n" + "".join(f"{UNIX + t},{watts(t)}\n" for t in range(until)))
    return path


@pytest.mark.parametrize(
    "text",
    [
        f"time,watts\n{UNIX},800\n{UNIX + 1},810.5\n",
        "Timestamp,room,power_w\n2026-01-31T12:00:00Z,7,800\n2026-01-31 13:00:01+01:00,7,810.5\n",
        f'{{"unix_s": {UNIX}, "node_w": 800}}\n\n{{"unix_s": {UNIX + 1}, "node_w": 810.5, "note": "x"}}\n',
        f"\ufefftime,watts\r\n{UNIX},800\r\n{UNIX + 1},810.5\r\n{UNIX + 2},8",  # the last line is still being written
    ],
)
def test_forms(tmp_path: Path, text: str) -> None:
    path = tmp_path / "meter"
    path.write_text(text)
    assert read_meter(path) == [(UNIX, 800.0), (UNIX + 1, 810.5)]


@pytest.mark.parametrize(
    "text, words",
    [
        ("time,watts\n2026-01-31T12:00:00,800\n", "does not tell its zone"),
        ("time,watts\nyesterday,800\n", "is no time"),
        ("time,watts\n5,800\n5,800\n", "does not grow"),
        ("time,watts\n5,nan\n", "should be watts"),
        ("time,watts\n5,-3\n", "should be watts"),
        ("time,amperes\n5,3\n", "has no watts"),
        ("when,watts\n5,3\n", "has no time"),
        ('{"time": 5, "watts": true}\n', "should be watts"),
        ('{"time": 5, "watts": 3}\nnot json\n', "line 2 is not JSON"),
        ('{"time": 5, "watts": 3}\n[1]\n', "expected an object"),
    ],
)
def test_bad_files_get_one_line(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "meter.csv"
    path.write_text(text)
    with pytest.raises(TokenmillError, match=words) as raised:
        read_meter(path)
    assert "\n" not in str(raised.value)
    with pytest.raises(TokenmillError, match="cannot be read"):
        read_meter(tmp_path / "absent.csv")


def test_node_watts_over_the_windows_by_hand(tmp_path: Path) -> None:
    # 800 W at every second, and 1000 W at 105 s: two triangles of 200 W x 1 s / 2 each side, 200 J more than 3200 J in 4 s.
    path = written(tmp_path / "m.csv", lambda t: 1000.0 if t == 5 else 800.0)
    trace = meter_trace(path, SPANS, START, END, wall=lambda: UNIX + 12)
    assert (trace.device, trace.boundary, trace.source, trace.kind, trace.invalid_reasons) == ("node", "node", "meter", "measured", ())
    power = point_power(NOTHING, SPANS, steps=[1, 1], node=NodeTraces(meter=trace, gpus=1))
    assert power.node_w == pytest.approx(850.0)
    # Samples at 103 to 107 s: 800, 800, 1000, 800, 800; the 99th percentile lies 0.96 of the way from the fourth to the largest.
    assert power.node_w_p99 == pytest.approx(800 + 0.96 * 200)
    # No board was read: the joules are the node's.
    assert (power.board_w, power.energy_j, power.power_source, power.invalid_reasons) == (None, pytest.approx(3400.0), "meter", [])


def test_the_sample_after_the_last_window_is_waited_for(tmp_path: Path) -> None:
    path = written(tmp_path / "m.csv", lambda t: 800.0, until=7)  # up to 106 s; the windows end at 107
    now, slept = [UNIX + 7.5], []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds
        if now[0] > UNIX + 9:
            written(path, lambda t: 800.0, until=10)

    trace = meter_trace(path, SPANS, START, END, wall=lambda: now[0], sleep=sleep)
    assert len(slept) == 8  # 0.2 s each, until 9.1 s
    assert trace.samples[-1].t_s >= 107.0
    written(path, lambda t: 800.0, until=7)
    never = meter_trace(path, SPANS, START, END, most_s=1.0, wall=lambda: now[0], sleep=lambda s: now.__setitem__(0, now[0] + s))
    power = point_power(NOTHING, SPANS, steps=[1, 1], node=NodeTraces(meter=never, gpus=1))
    assert power.node_w is None
    assert [w.partition(":")[0] for w in power.warnings] == ["meter"]


def test_a_hole_in_the_meters_file(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("time,watts\n" + "".join(f"{UNIX + t},800\n" for t in (0, 1, 2, 8, 9)))  # 6 s without a sample
    trace = meter_trace(path, SPANS, START, END, wall=lambda: UNIX + 10)
    power = point_power(NOTHING, SPANS, steps=[1, 1], node=NodeTraces(meter=trace, gpus=1))
    assert power.node_w is None
    path.write_text("time,watts\n" + "".join(f"{UNIX + 1000 + t},800\n" for t in range(9)))
    elsewhere = meter_trace(path, SPANS, START, END, wall=lambda: UNIX + 2000)
    assert "no sample within 5 s" in elsewhere.notes["meter"]


@pytest.mark.parametrize("moved, skewed", [(0.7, False), (0.9, True), (-0.9, True)])
def test_a_wall_clock_that_moved_cannot_be_joined(tmp_path: Path, moved: float, skewed: bool) -> None:
    path = written(tmp_path / "m.csv", lambda t: 800.0)
    end = ClockAnchor(monotonic_s=110.0, unix_s=UNIX + 10 + moved)
    assert drift_s(START, end) == pytest.approx(moved)
    trace = meter_trace(path, SPANS, START, end, wall=lambda: UNIX + 12)
    power = point_power(NOTHING, SPANS, steps=[1, 1], node=NodeTraces(meter=trace, gpus=1))
    assert power.invalid_reasons == (["clock_skew"] if skewed else [])
    assert (power.node_w is None) is skewed


def test_a_meter_from_the_future_is_skewed(tmp_path: Path) -> None:
    path = written(tmp_path / "m.csv", lambda t: 800.0)  # its last sample is at 11 s
    assert meter_trace(path, SPANS, START, END, wall=lambda: UNIX + 10.5).invalid_reasons == ()
    ahead = meter_trace(path, SPANS, START, END, wall=lambda: UNIX + 8)
    assert (ahead.invalid_reasons, ahead.notes["clock_skew"]) == (("clock_skew",), "the meter's clock is 3.0 s ahead of this machine's")


def test_an_anchor_is_the_tightest_look() -> None:
    ticks = iter([1.0, 1.5, 2.0, 2.1, 3.0, 3.4])
    walls = iter([11.0, 12.0, 13.0])
    assert anchor(monotonic=lambda: next(ticks), wall=lambda: next(walls)) == ClockAnchor(monotonic_s=2.05, unix_s=12.0)
