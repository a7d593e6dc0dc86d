"""Energy from traces whose truth is known: worked by hand, or made by a physical model of a board and its sensors."""

import math
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.power.energy import Window, idle_watts, point_energy
from profiler.power.readings import counter_reading, integral_reading, p99_watts
from profiler.power.scope import disagreement
from profiler.power.source import PowerSample, PowerTrace


def samples(**columns: list[float | None]) -> tuple[PowerSample, ...]:
    return tuple(PowerSample(**dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True))


def trace(taken: tuple[PowerSample, ...], source: str = "nvml", kind: str | None = "measured") -> PowerTrace:
    return PowerTrace(source=source, kind=kind, sensor_accuracy=0.05, samples=taken)


def window(start: float, end: float) -> Window:
    return Window(t_start_s=start, t_end_s=end)


class Board:
    """A board that draws `watts(t)`, with energy known in closed form, an energy counter that steps every 0.1 s, and boxcar-averaged power fields."""

    def __init__(self, before_w: float, load_w: float, step_s: float, *, ripple: float = 0.0, tick_s: float = 0.1, phase_s: float = 0.0) -> None:
        self.before_w, self.load_w, self.step_s, self.ripple = before_w, load_w, step_s, ripple
        self.tick_s, self.phase_s = tick_s, phase_s

    def energy_j(self, t: float) -> float:
        """Joules since 0. The ripple is a sine of 7 ms, whose integral is a cosine."""
        loaded = max(0.0, t - self.step_s)
        omega = 2 * math.pi / 0.007
        return self.before_w * min(t, self.step_s) + self.load_w * (loaded + self.ripple * (1 - math.cos(omega * loaded)) / omega)

    def counter_j(self, t: float) -> float:
        last_tick = math.floor((t - self.phase_s) / self.tick_s) * self.tick_s + self.phase_s
        return self.energy_j(max(0.0, last_tick))

    def boxcar_w(self, t: float, width_s: float) -> float:
        return (self.energy_j(t) - self.energy_j(t - width_s)) / width_s

    def trace(self, end: float, seed: int = 0, start: float = 1.0) -> PowerTrace:
        rng, t, taken = random.Random(seed), start, []
        while t < end:
            taken.append(PowerSample(t_s=t, counter_j=self.counter_j(t), instant_w=self.boxcar_w(t, 0.025), average_w=self.boxcar_w(t, 1.0)))
            t += rng.uniform(0.05, 0.1)
        return trace((*taken, PowerSample(t_s=t, counter_j=self.counter_j(t), instant_w=self.boxcar_w(t, 0.025))))


def test_counter_by_hand() -> None:
    # Ticks are seen between samples 0.2 s apart: placed at 0.1, 0.3, 0.5, 0.7, 0.9. 80 J between the first and the last, 0.8 s apart: 100 W.
    taken = samples(t_s=[0.0, 0.2, 0.4, 0.6, 0.8, 1.0], counter_j=[0.0, 20.0, 40.0, 60.0, 80.0, 100.0])
    reading = counter_reading(taken, window(0.0, 1.0))
    assert reading.energy_j == pytest.approx(100.0)
    # Each edge tick is known to +/- 0.1 s: the 80 J took at least 0.6 s, which would be 133 W, a third more than 100 J.
    assert reading.spread_j == pytest.approx(100.0 / 3)


def test_counter_ignores_what_ticked_before_the_window() -> None:
    # 1000 J were used before 0.0; the tick between -0.1 and 0.1 may hold some of them and must not be the first.
    taken = samples(t_s=[-0.1, 0.1, 0.3, 0.5, 0.7, 0.9], counter_j=[0.0, 1000.0, 1020.0, 1040.0, 1060.0, 1080.0])
    reading = counter_reading(taken, window(0.0, 1.0))
    # Ticks at 0.2, 0.4, 0.6, 0.8: 60 J in 0.6 s.
    assert reading.energy_j == pytest.approx(100.0)


def test_trapezoid_with_interpolated_edges_by_hand() -> None:
    taken = samples(t_s=[0.0, 0.5, 1.0], instant_w=[100.0, 200.0, 100.0])
    # At 0.25 and 0.75 the line is at 150 W: twice 0.25 s of 175 W.
    assert integral_reading(taken, "instant_w", window(0.25, 0.75)).energy_j == pytest.approx(87.5)
    # The whole: 0.5 s x 150 W twice.
    assert integral_reading(taken, "instant_w", window(0.0, 1.0)).energy_j == pytest.approx(150.0)


@pytest.mark.parametrize(
    "times, span, reason",
    [
        ([0.0, 0.4, 0.8], (0.1, 0.9), "window_not_bracketed"),
        ([0.2, 0.4, 0.8], (0.1, 0.7), "window_not_bracketed"),
        ([0.0, 0.4, 1.0], (0.1, 0.9), "sample_gap_exceeded"),
    ],
)
def test_integral_refuses_what_was_not_seen(times: list[float], span: tuple[float, float], reason: str) -> None:
    reading = integral_reading(samples(t_s=times, instant_w=[100.0] * 3), "instant_w", window(*span))
    assert (reading.energy_j, reading.reason) == (None, reason)


def test_samples_without_the_figure_count_as_gap() -> None:
    taken = samples(t_s=[0.0, 0.3, 0.6, 0.9], instant_w=[100.0, None, None, 100.0])
    assert integral_reading(taken, "instant_w", window(0.1, 0.8)).reason == "sample_gap_exceeded"
    assert integral_reading(taken, "average_w", window(0.1, 0.8)).reason == "average_w_missing"


def test_point_takes_the_counter_first() -> None:
    board = Board(120, 650, step_s=2.0)
    found = point_energy(board.trace(16.0), [window(4.0, 9.0), window(9.0, 14.0)])
    assert found.power_source == "nvml-counter"
    assert found.method == "counter"
    assert found.energy_j == pytest.approx(6500.0, rel=0.02)
    assert found.board_w == pytest.approx(650.0, rel=0.02)
    assert found.board_w_p99 == pytest.approx(650.0)
    assert found.windows_j is not None
    assert len(found.windows_j) == 2
    assert sum(found.windows_j) == found.energy_j
    assert found.invalid_reasons == []
    assert found.disagreement is not None
    assert found.disagreement < 0.02


def test_average_power_would_lag_and_the_counter_does_not() -> None:
    # The load starts 0.1 s before the window. A 1 s boxcar still holds idle: 0.9 s rising from 173 to 650 W loses (530 x 0.9^2 / 2) = 215 J of 3250 J.
    board = Board(120, 650, step_s=3.9)
    found = point_energy(board.trace(12.0), [window(4.0, 9.0)])
    average = integral_reading(board.trace(12.0).samples, "average_w", window(4.0, 9.0)).energy_j
    assert found.energy_j == pytest.approx(3250.0, rel=0.02)
    assert average == pytest.approx(3250.0 - 215.0, rel=0.01)


def test_mismatch_between_counter_and_power() -> None:
    board = Board(120, 650, step_s=2.0)
    honest = board.trace(10.0)

    def scaled(factor: float) -> PowerTrace:
        return replace(honest, samples=tuple(replace(s, instant_w=None if s.instant_w is None else s.instant_w * factor) for s in honest.samples))

    assert "energy_power_mismatch" in point_energy(scaled(1.08), [window(4.0, 9.0)]).invalid_reasons
    assert "energy_power_mismatch" not in point_energy(scaled(1.02), [window(4.0, 9.0)]).invalid_reasons


def test_disagreement_is_a_share_of_the_larger() -> None:
    # ml-energy/zeus issue 181: 187 J by the counter, 327 J by integrated power: 140 / 327.
    assert disagreement(187.0, 327.0) == pytest.approx(0.428, abs=0.001)
    assert disagreement(0.0, 0.0) == 0.0


def test_reset_counter_makes_the_point_invalid_and_power_stands_in() -> None:
    board = Board(120, 600, step_s=2.0)
    whole = board.trace(10.0)
    reset = replace(whole, samples=tuple(replace(s, counter_j=(s.counter_j or 0) - (4000.0 if s.t_s > 6.0 else 0.0)) for s in whole.samples))
    found = point_energy(reset, [window(4.0, 9.0)])
    assert found.invalid_reasons == ["counter_reset"]
    assert found.power_source == "nvml-instant"
    assert found.energy_j == pytest.approx(3000.0, rel=0.01)


def test_without_a_counter_power_is_integrated_and_said() -> None:
    board = Board(120, 600, step_s=2.0)
    whole = board.trace(10.0)
    bare = replace(whole, samples=tuple(replace(s, counter_j=None) for s in whole.samples))
    found = point_energy(bare, [window(4.0, 9.0)])
    assert (found.power_source, found.invalid_reasons) == ("nvml-instant", [])
    assert found.warnings == ["counter_unsupported: energy is from sampled power"]


def test_a_coarse_counter_gives_way_to_sampled_power() -> None:
    # Ticks 0.2 s apart in a window of 1 s: +/- a third, as worked by hand above. Instant power says 90 W.
    times = [0.2 * i for i in range(8)]
    taken = samples(t_s=times, counter_j=[100.0 * t for t in times], instant_w=[90.0] * 8)
    found = point_energy(trace(taken), [window(0.0, 1.0)])
    assert (found.method, found.energy_j) == ("instant", pytest.approx(90.0))
    assert found.warnings == ["counter_too_coarse: energy is from sampled power"]
    assert found.invalid_reasons == []  # so coarse a counter contradicts nothing
    alone = point_energy(trace(samples(t_s=times, counter_j=[100.0 * t for t in times])), [window(0.0, 1.0)])
    assert (alone.energy_j, alone.warnings[0]) == (None, "no_power: counter_too_coarse")


def test_only_average_power_is_a_warning() -> None:
    taken = samples(t_s=[0.1 * i for i in range(60)], average_w=[300.0] * 60)
    found = point_energy(trace(taken), [window(1.0, 4.0)])
    assert (found.power_source, found.energy_j) == ("nvml-average", pytest.approx(900.0))
    assert any(w.startswith("average_power_lags") for w in found.warnings)


def test_gap_is_invalid_where_power_is_all_there_is_and_a_warning_beside_a_counter() -> None:
    times = [0.1 * i for i in range(60) if not 20 < i < 28]
    no_counter = point_energy(trace(samples(t_s=times, instant_w=[300.0] * len(times))), [window(1.0, 4.0)])
    assert (no_counter.energy_j, no_counter.power_source) == (None, "none")
    assert no_counter.invalid_reasons == ["sample_gap_exceeded"]
    with_counter = point_energy(trace(samples(t_s=times, instant_w=[300.0] * len(times), counter_j=[300.0 * t for t in times])), [window(1.0, 4.0)])
    assert with_counter.energy_j == pytest.approx(900.0)
    assert with_counter.invalid_reasons == []
    assert with_counter.warnings == ["counter_unchecked: sample_gap_exceeded: the energy counter was not checked against sampled power"]


def test_declared_watts_need_no_samples_in_between() -> None:
    declared = PowerTrace(source="declared", kind="assumed", sensor_accuracy=None, samples=(PowerSample(t_s=0.0, instant_w=65.0),))
    found = point_energy(declared, [window(10.0, 12.0), window(12.0, 15.0)])
    assert (found.power_source, found.energy_j, found.board_w) == ("declared", 325.0, 65.0)
    assert found.board_w_p99 is None
    assert idle_watts(declared, window(0.0, 1.0)) is None


def test_no_power_is_none_with_the_reason_and_never_zero() -> None:
    nothing = PowerTrace(source="none", kind=None, sensor_accuracy=None, notes={"power": "NVML: no permission"})
    found = point_energy(nothing, [window(0.0, 2.0)])
    assert (found.energy_j, found.board_w, found.windows_j, found.power_source) == (None, None, None, "none")
    assert found.warnings == ["no_power: NVML: no permission"]
    assert found.invalid_reasons == []


def test_refused_source_makes_the_point_invalid() -> None:
    mig = PowerTrace(source="none", kind=None, sensor_accuracy=None, notes={"power": "MIG"}, invalid_reasons=("mig_instance_unsupported",))
    assert point_energy(mig, [window(0.0, 2.0)]).invalid_reasons == ["mig_instance_unsupported"]


def test_replayed_power_keeps_its_name() -> None:
    taken = samples(t_s=[0.1 * i for i in range(30)], instant_w=[40.0] * 30)
    found = point_energy(trace(taken, source="replay", kind="replayed"), [window(0.5, 2.5)])
    assert (found.power_source, found.method, found.energy_j) == ("replay", "instant", pytest.approx(80.0))


def test_p99_by_hand() -> None:
    # 101 samples of 0..100 W: the 99th percentile is 99 W.
    taken = samples(t_s=[0.01 * i for i in range(101)], instant_w=[float(i) for i in range(101)])
    assert p99_watts(taken, [window(0.0, 1.0)]) == pytest.approx(99.0)
    assert p99_watts(samples(t_s=[0.0], average_w=[5.0]), [window(0.0, 1.0)]) is None


def test_idle_is_the_mean_of_instant_power() -> None:
    board = Board(118, 650, step_s=4.0)
    assert idle_watts(board.trace(8.0), window(1.5, 3.5)) == pytest.approx(118.0)


@settings(max_examples=150, deadline=None)
@given(
    load_w=st.floats(50, 1400),
    phase_s=st.floats(0, 0.099),
    tick_s=st.sampled_from([0.02, 0.1]),
    ripple=st.floats(0, 0.3),
    start_s=st.floats(4.0, 4.2),
    length_s=st.floats(2.0, 6.0),
    seed=st.integers(0, 10_000),
)
def test_counter_energy_is_within_its_stated_spread(
    load_w: float, phase_s: float, tick_s: float, ripple: float, start_s: float, length_s: float, seed: int
) -> None:
    board = Board(120, load_w, step_s=2.0, ripple=ripple, tick_s=tick_s, phase_s=phase_s)
    truth = board.energy_j(start_s + length_s) - board.energy_j(start_s)
    reading = counter_reading(board.trace(start_s + length_s + 0.5, seed).samples, window(start_s, start_s + length_s))
    assert reading.energy_j is not None
    assert reading.spread_j is not None
    # The ripple's last part of a period is not in the ticks: at most ripple x load x 7 ms / pi at each of four edges.
    slack = 4 * ripple * load_w * 0.007 / math.pi
    assert abs(reading.energy_j - truth) <= reading.spread_j + slack + 1e-9 * truth
    # Twenty ticks and more: the mean of the second to fifth from each end, up to 0.3 + 2 x 0.25 s less than the window, each end known to 0.05 s.
    assert reading.spread_j <= 0.1 / (length_s - 1.1) * reading.energy_j


@settings(max_examples=60, deadline=None)
@given(factor=st.floats(0.1, 10), start_s=st.floats(4.0, 4.5))
def test_energy_scales_with_watts(factor: float, start_s: float) -> None:
    span = window(start_s, start_s + 3.0)
    one = counter_reading(Board(100, 500, step_s=1.5).trace(9.0).samples, span).energy_j
    scaled = counter_reading(Board(100 * factor, 500 * factor, step_s=1.5).trace(9.0).samples, span).energy_j
    assert one is not None
    assert scaled == pytest.approx(one * factor, rel=1e-9)
