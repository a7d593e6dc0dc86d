"""What the burst finds out about boards of known update periods."""

from typing import Any

import pytest

from profiler.power.probe import Probe, probe, probed_period, update_period_s
from profiler.power.sampler import PERIOD_S
from tests.profiler.fake_board import FakeBoard, Load


def probed(nvml: Any, board: FakeBoard) -> Probe:
    source = board.plug_into(nvml)
    board.now_s = 5.0

    def sleep(seconds: float) -> None:
        board.now_s += seconds

    return probe(source, sleep=sleep)


@pytest.mark.parametrize("tick_s, cycle_s", [(0.1, 0.1), (0.05, 0.1), (0.02, 0.05), (0.1, 0.06)])
def test_periods_of_counter_and_power(fake_nvml: Any, tick_s: float, cycle_s: float) -> None:
    rising = Load(steps=tuple((0.01 * i, 100.0 + i) for i in range(800)))  # never the same watts twice
    found = probed(fake_nvml, FakeBoard(load=rising, tick_s=tick_s, cycle_s=cycle_s))
    assert found.counter_s == pytest.approx(tick_s, abs=0.011)
    assert found.power_s == pytest.approx(cycle_s, abs=0.011)
    shortest, longest = found.period_s
    own = min(max(min(found.counter_s or 1, found.power_s or 1), 0.05), 0.1)
    assert (shortest, longest) == (pytest.approx(max(0.05, 0.75 * own)), pytest.approx(min(0.1, 1.25 * own)))
    assert 0.05 <= shortest < longest <= 0.1


def test_a_counter_tells_where_idle_watts_stay_the_same(fake_nvml: Any) -> None:
    found = probed(fake_nvml, FakeBoard(load=Load(steps=((0.0, 118.0),))))
    assert found.power_s is None
    assert found.counter_s == pytest.approx(0.1, abs=0.011)


def test_looks_that_find_nothing_say_nothing(fake_nvml: Any) -> None:
    board = FakeBoard(load=Load(steps=tuple((0.01 * i, 100.0 + i) for i in range(800))))
    source = board.plug_into(fake_nvml)
    instant, count = fake_nvml.fields[186, 0], [0]

    def hasty(t: float) -> int:
        count[0] += 1
        return 0 if count[0] % 3 == 0 else int(instant(t))

    fake_nvml.fields[186, 0] = hasty
    board.now_s = 5.0
    found = probe(source, sleep=lambda s: setattr(board, "now_s", board.now_s + s))
    assert found.power_s == pytest.approx(0.1, abs=0.02)


def test_nothing_told_is_the_default(fake_nvml: Any) -> None:
    fake_nvml.errors = dict.fromkeys(("nvmlDeviceGetTotalEnergyConsumption", "nvmlDeviceGetFieldValues", "nvmlDeviceGetPowerUsage"), 3)
    source = FakeBoard(load=Load(steps=((0.0, 1.0),))).plug_into(fake_nvml)
    assert probed_period(source, sleep=lambda s: None) == PERIOD_S
    assert update_period_s([(0.1 * i, float(i)) for i in range(5)]) is None  # four changes
    assert update_period_s([(0.1 * i, float(i)) for i in range(6)]) == pytest.approx(0.1)
