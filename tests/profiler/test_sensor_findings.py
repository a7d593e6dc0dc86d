"""What is found out about sensors, on boards that know the truth: ticks, updates, lags, watts by load, spreads worked out by hand, and how little is said of
what was not seen."""

import gzip
import json
import random
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from profiler.power.source import PowerSample, PowerTrace
from profiler.power.window import Window
from profiler.report.sensors import print_sensors
from profiler.sensors.conductor import document
from profiler.sensors.file import read_recording, write_recording
from profiler.sensors.findings import sensor_findings
from profiler.sensors.looks import TimedSource
from profiler.sensors.recording import HIGH, LOW, STAGE, STEADY, Recording, Stretch
from profiler.sensors.stages import rates
from profiler.sensors.windows import as_a_point_samples
from tests.profiler.fake_board import FakeBoard, Load
from triton_kernels.errors import TokenmillError

LOOK_S = (0.005, 0.008)
MACHINE = {"gpu": {"name": "NVIDIA H200", "power_limit_w": 700.0}, "driver": "580.65.06", "device": "cuda", "note": None}


def seen(board: FakeBoard, until_s: float) -> PowerTrace:
    """Looks of 5 to 8 ms, average power among them."""
    trace = board.trace(from_s=0.5, until_s=until_s, period_s=LOOK_S)
    return replace(trace, samples=tuple(replace(s, average_w=board.average_w(s.t_s)) for s in trace.samples))


def stretch(part: str, load: str, start_s: float, end_s: float, **more: Any) -> Stretch:
    return Stretch(part=part, load=load, window=Window(t_start_s=start_s, t_end_s=end_s), **more)


def noisy(watts: float, start_s: float, end_s: float) -> tuple[tuple[float, float], ...]:
    """A load whose watts differ every 10 ms, by 3 W at most and 0 in the mean: no two looks of a sensor see the same."""
    pattern = (-3.0, 2.1, 0.6, -1.7, 3.0, -1.0)
    return tuple((start_s + 0.01 * i, watts + pattern[i % 6] + 0.001 * ((i % 11) - 5)) for i in range(round((end_s - start_s) * 100)))


def steady(watts: float = 650.0, seconds: float = 20.0, **board: Any) -> tuple[FakeBoard, Recording]:
    made = FakeBoard(load=Load(steps=((0.0, 100.0), *noisy(watts, 2.0, 2.0 + seconds))), **board)
    return made, Recording(trace=seen(made, 2.0 + seconds + 0.5), stretches=(stretch(STAGE, "bf16", 2.0, 2.0 + seconds),))


def squares(ups: int = 10, **board: Any) -> tuple[FakeBoard, Recording]:
    """So many steps up and down between 100 and 650 W, of 1.5 to 1.6 s each, at all phases of a sensor's cycle."""
    rng, t = random.Random(3), 1.0
    edges = [t, *(t := t + 1.5 + rng.uniform(0, 0.1) for _ in range(2 * ups + 1))]
    stretches = tuple(stretch(LOW if i % 2 == 0 else HIGH, "bf16", a, b) for i, (a, b) in enumerate(pairwise(edges)))
    steps = ((0.0, 100.0), *((edge, 650.0 if i % 2 == 0 else 100.0) for i, edge in enumerate(edges[1:-1])))
    made = FakeBoard(load=Load(steps=steps), **board)
    return made, Recording(trace=seen(made, edges[-1] + 0.5), stretches=stretches)


@pytest.mark.parametrize("tick_s", [0.02, 0.1])
@pytest.mark.parametrize("phase_s", [0.0, 0.013])
def test_ticks_are_found_within_a_look(tick_s: float, phase_s: float) -> None:
    _, recording = steady(tick_s=tick_s, tick_phase_s=phase_s, sees_s=0.1)
    counter = sensor_findings(recording)["counter"]
    assert counter["tick_s"]["median"] == pytest.approx(tick_s, abs=LOOK_S[1])
    assert counter["tick_s"]["p90"] - counter["tick_s"]["p10"] <= 2 * LOOK_S[1]
    assert counter["tick_s"]["n"] == pytest.approx(22 / tick_s, rel=0.02)  # 22 s were looked at
    # 650 W x 20 or 100 ms are 13 or 65 J a tick.
    assert counter["tick_j"]["median"] == pytest.approx(650 * tick_s, rel=0.01)
    assert counter["resolution_j"] == 0.001  # the counter's own unit, millijoules


def test_a_counter_in_whole_joules() -> None:
    _, recording = steady(sees_s=0.1)
    coarse = tuple(replace(s, counter_j=float(int(s.counter_j or 0))) for s in recording.trace.samples)
    assert sensor_findings(replace(recording, trace=replace(recording.trace, samples=coarse)))["counter"]["resolution_j"] == 1.0


@pytest.mark.parametrize("cycle_s", [0.1, 0.05])
def test_a_cycle_of_100_ms_that_sees_25_is_100_ms(cycle_s: float) -> None:
    _, recording = steady(cycle_s=cycle_s, sees_s=0.025)
    update = sensor_findings(recording)["update_s"]
    assert update["instant_w"]["median"] == pytest.approx(cycle_s, abs=LOOK_S[1])
    assert update["average_w"]["median"] <= LOOK_S[1]  # the boxcar is new at every look: no period that looks could tell
    assert update["memory_w"] is None


def test_a_boxcar_of_1_s_lags_by_half_a_second_and_instant_power_by_less_than_a_tenth() -> None:
    _, recording = squares()
    lag = sensor_findings(recording)["lag_s"]
    # The boxcar has 50 % of the way after 0.5 s and 90 % after 0.9 s, up and down alike.
    for way in ("rise", "fall"):
        assert lag["average_w"][f"{way}50"]["median"] == pytest.approx(0.5, abs=LOOK_S[1])
        assert lag["average_w"][f"{way}90"]["median"] == pytest.approx(0.9, abs=LOOK_S[1])
        # A look of the sensor every 100 ms, at its last 25 ms: at any phase the first that has over half of the step ends 12.5 to 112.5 ms after it, the
        # first that has nine tenths 22.5 to 122.5 ms.
        assert 0.0125 <= lag["instant_w"][f"{way}50"]["median"] < 0.1
        assert lag["instant_w"][f"{way}50"]["p90"] <= 0.1125 + LOOK_S[1]
        assert lag["instant_w"][f"{way}90"]["p90"] <= 0.1225 + LOOK_S[1]
    assert (lag["average_w"]["n"], lag["average_w"]["rise50"]["n"], lag["average_w"]["fall90"]["n"]) == (20, 10, 10)


def test_an_exponential_average_takes_its_time_constants() -> None:
    # 1 - exp(-t / 0.2) is 0.5 at 0.2 ln 2 = 0.139 s and 0.9 at 0.2 ln 10 = 0.461 s; the board's own steps of 20 ms add up to 20 ms.
    _, recording = squares(3, average="exponential", average_s=0.2)
    lag = sensor_findings(recording)["lag_s"]["average_w"]
    assert lag["rise50"]["median"] == pytest.approx(0.139, abs=0.02)
    assert lag["fall90"]["median"] == pytest.approx(0.461, abs=0.02)


def test_steps_too_small_to_see_are_no_steps() -> None:
    _, recording = squares()
    flat = tuple(replace(s, instant_w=600 + (s.instant_w or 0) / 100) for s in recording.trace.samples)
    lag = sensor_findings(replace(recording, trace=replace(recording.trace, samples=flat)))["lag_s"]
    assert lag["instant_w"] is None
    assert lag["average_w"]["n"] == 20


@pytest.mark.parametrize("power_gain, ratio", [(1.0, 1.0), (1.05, 1 / 1.05)])
def test_counter_over_the_integral_of_instant_power(power_gain: float, ratio: float) -> None:
    _, recording = steady(power_gain=power_gain, sees_s=0.1)
    (row,) = sensor_findings(recording)["stages"]
    assert row["counter_over_instant"] == pytest.approx(ratio, abs=0.005)
    assert row["counter_w"] == pytest.approx(650.0, rel=0.005)
    assert row["instant_w"] == pytest.approx(650.0 * power_gain, rel=0.005)
    assert row["average_w"] == pytest.approx(650.0 * power_gain, rel=0.005)


def test_what_a_sensor_that_looks_away_makes_of_steps_is_told_for_the_square_wave() -> None:
    board, recording = squares()
    (row,) = sensor_findings(recording)["stages"]
    whole = Window(t_start_s=recording.stretches[0].window.t_start_s, t_end_s=recording.stretches[-1].window.t_end_s)
    assert row["name"] == "square"
    assert row["seconds"] == pytest.approx(whole.duration_s)
    assert row["counter_w"] == pytest.approx(board.true_j(whole) / whole.duration_s, rel=0.03)
    assert row["counter_over_instant"] == pytest.approx(1.0, abs=0.03)


def test_clock_temperature_memory_and_cap_of_a_stage() -> None:
    _, recording = steady(seconds=10.0, rest_w=lambda t: 200.0)
    # Held back for 0.4 s of every second; the memory draws 80 W at 2 s and 0.1 W more each second: 80.6 W over what follows 2 s of settling, 4 s to 12 s.
    told = tuple(
        replace(s, sw_power_cap_s=0.4 * s.t_s, memory_w=80 + 0.1 * (s.t_s - 2), sm_hz=1.7e9, temperature_c=40 + s.t_s // 1) for s in recording.trace.samples
    )
    (row,) = sensor_findings(replace(recording, trace=replace(recording.trace, samples=told)))["stages"]
    assert row["event_share"] == {"sw_power_cap": pytest.approx(0.4)}
    assert row["memory_w"] == pytest.approx(80.6, abs=0.01)
    assert row["module_w"] == pytest.approx(850.0, rel=0.01)
    assert (row["sm_hz"], row["temperature_c"], row["seconds"]) == (1.7e9, 51.0, 10.0)  # the last look of the stage came at 11.99 s


def test_a_scope_that_answers_with_the_whole_gpu_is_no_memory_power() -> None:
    _, recording = steady(seconds=6.0)
    same, part = (
        replace(recording, trace=replace(recording.trace, samples=tuple(replace(s, memory_w=share * (s.instant_w or 0)) for s in recording.trace.samples)))
        for share in (1.0, 0.2)
    )
    assert "this board gives the whole GPU's" in shown(sensor_findings(same))
    assert "memory's part of the power: bf16 130 W" in " ".join(shown(sensor_findings(part)).split())  # a fifth of 650 W


def test_burst_and_sustained_rates() -> None:
    # Blocks of 10 calls of 5 bytes: five of 0.1 s (500 bytes/s), then of 0.125 s (400 bytes/s) to 3 s. The first half second has the first five alone.
    times = [0.1 * i for i in range(6)] + [0.5 + 0.125 * i for i in range(1, 21)]
    ran = stretch(STAGE, "read", 10.0, 13.0, unit="bytes/s", per_call=5.0, marks=tuple((10.0 + t, 10.0 * i) for i, t in enumerate(times)))
    assert rates(ran, 0.5 + 1e-9) == (pytest.approx(500.0), pytest.approx(400.0))
    one_block = replace(ran, marks=((10.0, 0.0), (13.0, 3.0)))
    assert rates(one_block, 0.5) == (pytest.approx(5.0), None)  # 3 calls of 5 bytes in 3 s; no block began in the last third
    assert rates(replace(ran, marks=()), 0.5) == (None, None)


def spread_recording(turn_s: float = 2.0) -> Recording:
    """Ten steps a second from 2 s on. After 2 s of settling 16 s of 600 and 660 W in turn, `turn_s` each; then 16 s of 630 W and the tail."""
    turns = ((4.0 + turn_s * i, 600.0 if i % 2 == 0 else 660.0) for i in range(int(16 / turn_s)))
    load = Load(steps=((0.0, 100.0), (2.0, 630.0), *turns, (20.0, 630.0), (36.15, 100.0)))
    marks = (*((2.0 + 0.5 * i, 5.0 * i) for i in range(69)), (36.15, 341.5))
    steps = stretch(STEADY, "bf16", 2.0, 36.15, unit="step/s", per_call=1.0, marks=marks)
    return Recording(trace=seen(FakeBoard(load=load, tick_s=0.02, sees_s=0.1), 37.0), stretches=(steps,))


def test_spread_of_joules_per_step_as_worked_out_by_hand() -> None:
    rows = {(row["window_s"], row["soaked"]): row for row in sensor_findings(spread_recording(2.0))["windows"]}
    fives = {row["soaked"]: row for row in sensor_findings(spread_recording(5.0))["windows"] if row["window_s"] == 5.0}
    counts = {(2.0, False): 8, (5.0, False): 3, (10.0, False): 1, (2.0, True): 8, (5.0, True): 3, (10.0, True): 1}  # 16 s hold so many of each
    assert {key: row["n"] for key, row in rows.items()} == counts
    # 2 s of 600 or 660 W in 20 steps, four times each: 60 and 66 J, 63 on average, standard deviation sqrt(8 x 9 / 7) = 3.207, so 5.09 %.
    assert rows[2.0, False]["j_per_step"] == pytest.approx(63.0, rel=0.003)
    assert rows[2.0, False]["cv"] == pytest.approx(0.0509, rel=0.05)
    # 5 s of them in 50 steps: 60, 66 and 60 J, 62 on average, deviation sqrt(24 / 2) = 3.464, so 5.59 %.
    assert fives[False]["j_per_step"] == pytest.approx(62.0, rel=0.003)
    assert fives[False]["cv"] == pytest.approx(0.0559, rel=0.05)
    # One window has no spread.
    assert rows[10.0, False]["cv"] is None
    # Soaked: 630 W throughout. Ticks placed within 50 ms at both ends of 2 s leave less than 2 % open.
    assert all(rows[length, True]["j_per_step"] == pytest.approx(63.0, rel=0.005) for length in (2.0, 5.0, 10.0))
    assert rows[2.0, True]["cv"] < 0.02
    assert fives[True]["cv"] < 0.01
    assert {row["method"] for row in rows.values()} == {"counter"}


def test_spreads_are_of_a_points_sampling() -> None:
    # 50 to 100 ms apart are 75 on average, and each is the first look after it was due, 3.3 ms later on average: 20 s hold about 256.
    looks = tuple(PowerSample(t_s=0.0065 * i, instant_w=None if i % 7 == 0 else 500.0) for i in range(3077))
    taken = as_a_point_samples(PowerTrace(source="nvml", kind="measured", sensor_accuracy=None, samples=looks), (0.05, 0.1)).samples
    assert len(taken) == pytest.approx(256, abs=12)
    gaps = [b.t_s - a.t_s for a, b in pairwise(taken)]
    assert min(gaps) >= 0.05
    assert max(gaps) <= 0.1 + 2 * 0.0065 + 1e-9  # a look that answered nothing may come between
    assert all(s.readable for s in taken)


def test_a_board_without_a_counter() -> None:
    recording = spread_recording()
    without = replace(recording, trace=replace(recording.trace, samples=tuple(replace(s, counter_j=None) for s in recording.trace.samples)))
    found = sensor_findings(replace(without, stretches=(*without.stretches, stretch(STAGE, "bf16", 20.0, 36.0))))
    assert found["counter"] == {"tick_s": None, "tick_j": None, "resolution_j": None}
    (row,) = found["stages"]
    assert (row["counter_w"], row["counter_over_instant"]) == (None, None)
    assert row["instant_w"] == pytest.approx(630.0)
    cold = next(w for w in found["windows"] if w["window_s"] == 2.0 and not w["soaked"])
    # The sensor shows what was up to 0.2 s before, so up to a tenth of each 2 s is its neighbour's: 80 to 100 % of the 5.09 % above are seen.
    assert cold["method"] == "instant"
    assert 0.8 * 0.0509 <= cold["cv"] <= 0.0509
    assert "no energy counter that ticks" in shown(found)


def unreliable(nvml: Any, share: float) -> Callable[[str], None]:
    """An NVML that answers `share` of calls for power and energy with an unknown error (999), each at random."""
    rng, call = random.Random(5), nvml._call

    def answer(name: str) -> None:
        if name in ("nvmlDeviceGetTotalEnergyConsumption", "nvmlDeviceGetFieldValues") and rng.random() < share:
            raise nvml.NVMLError(999)
        call(name)

    return answer


def test_a_board_whose_looks_fail_three_times_of_ten(fake_nvml: Any) -> None:
    board, sound = squares()
    source = board.plug_into(fake_nvml)
    fake_nvml._call = unreliable(fake_nvml, 0.3)
    fake_nvml.errors["nvmlDeviceGetPowerUsage"] = 3
    trace = board.recorded(source, from_s=0.5, until_s=sound.trace.samples[-1].t_s, period_s=LOOK_S)
    found = sensor_findings(replace(sound, trace=trace, call_s=(0.001,)))
    assert found["failed_looks"]["counter_j"] == pytest.approx(0.3, abs=0.03)
    assert found["failed_looks"]["instant_w"] == pytest.approx(0.3, abs=0.03)
    assert found["failed_looks"]["sm_hz"] == 0.0
    assert "memory_w" not in found["failed_looks"]  # this board tells none: no failure
    assert found["counter"]["tick_s"]["median"] == pytest.approx(0.1, abs=2 * LOOK_S[1])
    assert found["lag_s"]["average_w"]["rise50"]["median"] == pytest.approx(0.5, abs=2 * LOOK_S[1])
    assert found["lag_s"]["instant_w"]["rise50"]["median"] < 0.1
    assert found["stages"][0]["counter_over_instant"] == pytest.approx(1.0, abs=0.03)
    assert re.search(r"unanswered: counter (29|3\d)%", " ".join(shown(found).split()))


def test_a_look_that_raises_answers_nothing_and_is_timed() -> None:
    class Broken:
        name, kind, device, boundary, most_gap_s, sensor_accuracy, notes, invalid_reasons = "nvml", "measured", "gpu0", "board", 0.5, 0.05, {}, ()

        def sample(self) -> PowerSample:
            raise ValueError("a binding that met an answer it does not know")

        def close(self) -> None: ...

    times = iter([1.0, 1.002, 1.003])  # asked, the failed look's stamp, done
    looks = TimedSource(Broken(), clock=lambda: next(times))
    assert looks.sample() == PowerSample(t_s=1.002)
    assert looks.call_s == [pytest.approx(0.003)]


EMPTY = PowerTrace(source="nvml", kind="measured", sensor_accuracy=0.05)


@pytest.mark.parametrize(
    "recording",
    [
        Recording(trace=PowerTrace(source="none", kind=None, sensor_accuracy=None)),
        Recording(trace=EMPTY, stretches=steady(seconds=3.0)[1].stretches),
        Recording(trace=EMPTY, stretches=squares()[1].stretches + spread_recording().stretches),
        Recording(trace=replace(EMPTY, samples=tuple(PowerSample(t_s=0.01 * i) for i in range(300))), stretches=(stretch(STAGE, "idle", 0.5, 2.5),)),
    ],
    ids=["nothing", "no samples", "no samples, all loads", "looks without an answer"],
)
def test_nothing_seen_is_nothing_said(recording: Recording) -> None:
    found = sensor_findings(recording)
    assert found["counter"] == {"tick_s": None, "tick_j": None, "resolution_j": None}
    assert (found["update_s"], found["lag_s"]) == (dict.fromkeys(("instant_w", "average_w", "memory_w")), dict.fromkeys(("instant_w", "average_w")))
    assert (found["failed_looks"], found["windows"]) == ({}, [])
    for row in found["stages"]:
        assert {value for name, value in row.items() if name.endswith("_w") or name in ("counter_over_instant", "sm_hz", "temperature_c")} == {None}
        assert row["event_share"] == {}
    json.dumps(found, allow_nan=False)
    assert "no energy counter that ticks" in shown(found)


def shown(found: dict[str, Any], width: int = 100) -> str:
    console = Console(width=width, highlight=False, color_system=None)
    with console.capture() as capture:
        print_sensors({**MACHINE, **found, "left_out": found.get("left_out", [])}, console)
    return capture.get()


def whole() -> Recording:
    """Every part of a trial, on one board."""
    t, steps, stretches = 3.0, [(0.0, 80.0)], [stretch(STAGE, "idle", 0.6, 3.0)]
    loads = (("bf16", 690.0), ("read", 430.0), ("copy", 450.0), ("fp8", 695.0))
    for part, load, watts, seconds in [
        *((STAGE, *load, 8.0) for load in loads),
        (STEADY, "bf16", 690.0, 62.5),
        (STEADY, "qwen3-30b-a3b decode 32x4k", 560.0, 62.5),
    ]:
        marks = tuple((t + 0.02 * i, 14.0 * i) for i in range(round(seconds * 50) + 1))
        stretches.append(stretch(part, load, t, t + seconds, unit="FLOP/s" if "8" in load or "16" in load else "bytes/s", per_call=1.1e12, marks=marks))
        steps += [*noisy(watts, t, t + seconds), (t + seconds, 80.0)]
        t += seconds + 3.0
    for i in range(9):
        stretches.append(stretch(LOW if i % 2 == 0 else HIGH, "bf16", t, t + 1.53))
        steps += [(t, 80.0)] if i % 2 == 0 else noisy(690.0, t, t + 1.53)
        t += 1.53
    board = FakeBoard(load=Load(steps=tuple(steps)))
    return Recording(trace=seen(board, t + 0.5), stretches=tuple(stretches), call_s=(0.001, 0.001, 0.003))


def test_the_screen_and_the_file() -> None:
    recording = whole()
    found = document(recording, MACHINE, [f"part {i}: a reason" for i in range(9)])
    text = shown(found)
    assert len(text.splitlines()) <= 35
    assert max(map(len, text.splitlines())) <= 100
    flowing = " ".join(text.split())
    for words in (
        "NVIDIA H200, driver 580.65.06, power limit 700 W", "ticks every 100 ms", "in steps of 1.00 mJ", "instant every 100 ms", "up 50 % after 50",
        "(8 steps)", "counter over integrated instant power: idle", "this board tells no memory power", "and 6 more: --json names them", "bf16, soaked",
        "(15)",
    ):  # fmt: skip
        assert words in flowing, words
    # The model's step has a row beside the loads; the long bf16 load, which has one already, has none.
    assert [row["name"] for row in found["stages"]] == ["idle", "bf16", "read", "copy", "fp8", "square", "qwen3-30b-a3b decode 32x4k"]
    assert set(found) == {
        "schema_version", "gpu", "driver", "device", "note", "sample_call_s", "look_s", "failed_looks", "counter", "update_s", "stages", "lag_s",
        "windows", "left_out",
    }  # fmt: skip
    assert found["sample_call_s"] == {"median": 0.001, "p99": pytest.approx(0.00296), "n": 3}  # 0.98 of the way from the second to the third


def test_a_recording_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    recording, path = spread_recording(), tmp_path / "sensors.jsonl.gz"
    write_recording(path, recording, machine=MACHINE, left_out=["fp8: none"])
    again, machine, left_out = read_recording(path)
    assert (again, machine, left_out) == (recording, MACHINE, ["fp8: none"])


@pytest.mark.parametrize("what", ["absent", "text", "cut", "other", "times", "words", "backwards"])
def test_any_other_file_is_refused_in_one_line(tmp_path: Path, what: str) -> None:
    path = tmp_path / "sensors.jsonl.gz"
    _, recording = steady(seconds=3.0)
    write_recording(path, recording, machine=MACHINE, left_out=[])
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    if what == "absent":
        path.unlink()
    elif what == "text":
        path.write_text("no gzip")
    elif what == "cut":
        path.write_bytes(path.read_bytes()[:-50])
    else:
        header = json.loads(lines[0])
        header |= {"sensors": 2} if what == "other" else {"times": {"settle_s": 1}} if what == "times" else {}
        looks = {"words": ['{"t_s": 1.0, "instant_w": "much"}'], "backwards": lines[2:0:-1]}.get(what, lines[1:])
        path.write_bytes(gzip.compress("\n".join([json.dumps(header), *looks]).encode()))
    with pytest.raises(TokenmillError, match=r"^--replay ") as refused:
        read_recording(path)
    assert "\n" not in str(refused.value)
