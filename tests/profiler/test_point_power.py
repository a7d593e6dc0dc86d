"""A record's power fields from traces worked by hand: board, host, meter, and what is said of each."""

from typing import Any

import pytest

from profiler.measure.point_fields import UNMEASURED
from profiler.measure.reasons import REASONS, name_of
from profiler.power.point_power import NodeTraces, PointPower, point_power
from profiler.power.source import PowerSample, PowerTrace
from profiler.power.window import Window

SPANS = [Window(t_start_s=1.0, t_end_s=3.0), Window(t_start_s=3.0, t_end_s=5.0)]
TIMES = [0.1 * i for i in range(61)]


def trace(
    device: str = "gpu0", boundary: str = "board", source: str = "nvml", *, kind: str | None = "measured", gap_s: float = 0.5, **columns: Any
) -> PowerTrace:
    """Samples every 0.1 s from 0 to 6 s; a column is a number or a function of time."""
    samples = tuple(PowerSample(t_s=t, **{name: value(t) if callable(value) else value for name, value in columns.items()}) for t in TIMES)
    return PowerTrace(source=source, kind="measured", sensor_accuracy=0.05, device=device, boundary=boundary, samples=samples)


def package(number: int, watts: float, **different: Any) -> PowerTrace:
    return trace(f"package-{number}", "cpu", "rapl", **({"counter_j": lambda t: 7.0 + watts * t} | different))


BOARD = trace(counter_j=lambda t: 400.0 * t, instant_w=400.0, memory_w=60.0, sw_power_cap_s=lambda t: 0.9 * t, event_reasons=0x24)


def power(board: PowerTrace = BOARD, **node: Any) -> PointPower:
    return point_power(board, SPANS, steps=[10, 20], idle_w=100.0, node=NodeTraces(**node))


def test_the_boards_figures() -> None:
    found = power()
    # 2 windows of 2 s at 400 W: 1600 J, 400 of them idle.
    assert (found.energy_j, found.dynamic_energy_j) == (pytest.approx(1600.0), pytest.approx(1200.0))
    assert found.energy_per_step_j is not None
    # 800 J over 10 and over 20 steps: 80 and 40 J. Student's t of 1 degree is 12.706: 60 +/- 12.706 x 28.28 / sqrt(2).
    assert found.energy_per_step_j["mean"] == pytest.approx(60.0)
    assert found.energy_per_step_j["ci95"] == pytest.approx([60 - 254.1, 60 + 254.1], abs=0.1)
    assert found.energy_per_step_j["n"] == 2
    assert (found.board_w, found.board_w_p99, found.memory_w, found.module_w) == (pytest.approx(400.0), 400.0, pytest.approx(60.0), None)
    # The power cap by its nanosecond counter, 0.9 s in each second; for temperature the board keeps no time, so the share of samples with the bit.
    assert found.event_share == {"sw_power_cap": pytest.approx(0.9), "sw_thermal": 1.0, "hw_thermal": 0.0, "hw_power_brake": 0.0}
    assert (found.power_scope, found.power_source, found.sensor_accuracy) == ("gpu", "nvml-counter", 0.05)
    assert (found.cpu_w, found.host_share, found.board_cpu_w, found.node_w) == (None, None, None, None)
    assert (found.invalid_reasons, found.warnings) == ([], [])


def test_windows_that_agree_by_chance_are_not_known_better_than_the_ticks() -> None:
    found = point_power(BOARD, SPANS, steps=[10, 10])
    assert found.energy_per_step_j is not None
    low, high = found.energy_per_step_j["ci95"]
    # 20 ticks in 2 s, each +/- 0.05 s; the outermost are left out and 4 averaged at each end, centred 1.4 s apart: sqrt(2) x 0.05 / sqrt(3 x 4) = 0.0204 s,
    # 1.46 % of a window's 80 J per step; over two windows 1.96 x 1.46 % / sqrt(2).
    assert (high - low) / 2 == pytest.approx(80.0 * 1.96 * 0.0204 / 1.4 / 2**0.5, rel=0.01)
    assert (high + low) / 2 == pytest.approx(80.0)


def test_the_hosts_share_of_k_in_n_gpus() -> None:
    found = power(host=[package(0, 150.0), package(1, 90.0)], gpus=8)
    assert (found.cpu_w, found.cpu_w_p99, found.cpu_source) == (pytest.approx(240.0), pytest.approx(240.0), "rapl")
    assert found.host_share == 0.125
    assert found.board_cpu_w == pytest.approx(400.0 + 240.0 / 8)
    assert found.warnings == ["host_share: 1 of 8 GPUs of the node were measured, and as much of the CPUs' power is counted with them"]
    whole = power(host=[package(0, 150.0)], gpus=1)
    assert (whole.host_share, whole.board_cpu_w, whole.warnings) == (1.0, pytest.approx(550.0), [])
    unknown = power(host=[package(0, 150.0)])
    assert (unknown.host_share, unknown.board_cpu_w) == (None, None)
    assert [name_of(w) for w in unknown.warnings] == ["host_share"]


def test_a_host_without_gpus_is_all_there_is() -> None:
    none = PowerTrace(source="none", kind=None, sensor_accuracy=None, notes={"power": "no GPU"})
    found = power(none, host=[package(0, 150.0)], gpus=0)
    assert (found.board_w, found.cpu_w, found.host_share, found.board_cpu_w) == (None, pytest.approx(150.0), 1.0, pytest.approx(150.0))
    assert (found.power_source, found.warnings) == ("rapl", [])


def test_the_99th_percentile_of_all_zones_together() -> None:
    # 100 W, and 200 W more in 1 s of the 4 s of windows: the 99th percentile of 40 differences is 300 W where both zones rise at once.
    def burst(t: float) -> float:
        return 50.0 * t + 100.0 * min(max(t - 2.0, 0.0), 1.0)

    found = power(host=[package(0, 0, counter_j=burst), package(1, 0, counter_j=burst)], gpus=1)
    assert found.cpu_w == pytest.approx((400.0 + 200.0) / 4)
    assert found.cpu_w_p99 == pytest.approx(300.0)


def test_a_zone_that_fails_is_no_smaller_sum() -> None:
    found = power(host=[package(0, 150.0), package(1, 0, counter_j=lambda t: None if t > 2 else t)], gpus=1)
    assert (found.cpu_w, found.board_cpu_w, found.cpu_source) == (None, None, None)
    assert found.warnings == ["host_unread: package-1: window_not_bracketed"]
    assert power(host_unread="needs root", gpus=1).warnings == ["host_unread: needs root"]


def test_sockets_that_show_watts_are_integrated() -> None:
    found = power(host=[trace("socket-0", "cpu", "hwmon", instant_w=180.0)], gpus=1)
    assert (found.cpu_w, found.cpu_w_p99, found.cpu_source) == (pytest.approx(180.0), pytest.approx(180.0), "hwmon")


def test_a_meter_is_the_whole_nodes() -> None:
    found = power(meter=trace("node", "node", "meter", instant_w=lambda t: 1000.0 if t < 4.94 else 1400.0), measured_gpus=2, gpus=2)
    # 1000 W until 4.9 s, then in 0.1 s up to 1400 W: 20 J more than 4000 in 4 s. The last of 41 samples is the 99th percentile's upper neighbour.
    assert found.node_w == pytest.approx((4000.0 + 20.0) / 4)
    assert found.node_w_p99 == pytest.approx(1000.0 + 0.6 * 400.0)
    assert (found.board_w, found.warnings) == (pytest.approx(400.0), [])
    shared = power(meter=trace("node", "node", "meter", instant_w=1000.0), gpus=4)
    assert shared.node_w == pytest.approx(1000.0)
    assert shared.warnings == ["host_share: 1 of 4 GPUs of the node were measured, and the meter's watts are the whole node's"]


def test_a_meter_that_does_not_cover_or_cannot_be_joined() -> None:
    short = trace("node", "node", "meter", instant_w=lambda t: 900.0 if t < 4 else None)
    found = power(meter=short, gpus=1)
    assert (found.node_w, found.node_w_p99, found.invalid_reasons) == (None, None, [])
    assert [name_of(w) for w in found.warnings] == ["meter"]
    skewed = PowerTrace(
        source="meter", kind="measured", sensor_accuracy=None, device="node", boundary="node", invalid_reasons=("clock_skew",), notes={"clock_skew": "by 2.0 s"}
    )
    found = power(meter=skewed, gpus=1)
    assert (found.node_w, found.invalid_reasons, found.warnings) == (None, ["clock_skew"], ["clock_skew: by 2.0 s"])
    assert found.energy_j == pytest.approx(1600.0)  # the board's stand


def test_declared_watts_are_the_nodes() -> None:
    declared = PowerTrace(
        source="declared", kind="assumed", sensor_accuracy=None, device="node", boundary="node", samples=(PowerSample(t_s=0.0, instant_w=65.0),)
    )
    found = power(declared)
    assert (found.node_w, found.board_w, found.energy_j, found.dynamic_energy_j) == (65.0, None, 260.0, None)
    assert found.energy_per_step_j == {"mean": (13.0 + 6.5) / 2, "ci95": None, "n": 2}
    metered = power(declared, meter=trace("node", "node", "meter", instant_w=70.0), gpus=1)
    assert metered.node_w == pytest.approx(70.0)  # what was seen counts for more than what was said


NO_BOARD = PowerTrace(source="none", kind=None, sensor_accuracy=None, samples=(PowerSample(t_s=0.0),), notes={"power": "no GPU"})


def test_where_there_is_no_board_joules_are_the_widest_that_was_seen() -> None:
    meter, zones = trace("node", "node", "meter", instant_w=70.0), [package(0, 30.0), package(1, 20.0)]
    node = power(NO_BOARD, meter=meter, host=zones, gpus=0)
    # 70 W over 2 x 2 s, in 10 and 20 steps.
    assert (node.power_source, node.energy_j, node.windows_j) == ("meter", pytest.approx(280.0), pytest.approx((140.0, 140.0)))
    assert node.energy_per_step_j is not None
    assert node.energy_per_step_j["mean"] == pytest.approx((14.0 + 7.0) / 2)
    assert (node.board_w, node.board_cpu_w, node.dynamic_energy_j, node.sensor_accuracy) == (None, pytest.approx(50.0), None, None)
    assert node.warnings == []  # there was power
    cpus = power(NO_BOARD, host=zones, gpus=0)
    assert (cpus.power_source, cpus.energy_j) == ("rapl", pytest.approx(200.0))
    assert power(NO_BOARD, gpus=0).energy_j is None
    assert power(NO_BOARD, gpus=0).warnings == ["no_power: no GPU"]
    shared = power(NO_BOARD, meter=meter, gpus=8)  # other GPUs' work is in it
    assert (shared.energy_j, shared.node_w) == (None, pytest.approx(70.0))


def test_an_integral_needs_no_counter_to_give_an_interval() -> None:
    found = point_power(trace(instant_w=lambda t: 300.0 if t < 3 else 330.0), SPANS, steps=[10, 10])
    assert found.power_source == "nvml-instant"
    assert found.energy_per_step_j is not None
    assert found.energy_per_step_j["ci95"] is not None
    assert [name_of(w) for w in found.warnings] == ["counter_unsupported"]


def test_fields_are_the_records_and_names_are_of_the_closed_list() -> None:
    assert set(power().fields()) <= set(UNMEASURED)
    said = power(host_unread="x", meter=trace("node", "node", "meter", instant_w=None), gpus=2)
    assert {name_of(w) for w in said.warnings} <= set(REASONS)
