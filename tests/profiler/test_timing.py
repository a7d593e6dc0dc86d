"""Windows and warm-up on the CPU, and a whole measurement of a stand-in whose steps have a known length."""

import time
from pathlib import Path
from typing import Any

import pytest
import torch

from profiler.measure.instrument import Instrument
from profiler.measure.measure import measure
from profiler.measure.point_spec import PointSpec, point_spec
from profiler.measure.timing import WarmUp, block_steps, run_window, warm_up
from profiler.measure.validity import Verdict, clocks_settled, judge_clocks, judge_states, temperature_settled
from profiler.power.declared import DeclaredPower, NoPower
from profiler.power.nvml import open_nvml
from profiler.power.nvml_device import GpuState
from profiler.power.replay import ReplayPower
from profiler.power.source import PowerSample, PowerTrace
from profiler.power.window import Window
from triton_kernels.errors import TokenmillError


class Plan:
    def json(self, facts: list[Any]) -> dict[str, Any]:
        return {"calls": [{"op": "nap", "count": len(facts)}]}


class Napper:
    """Each step sleeps; which step ran is written down."""

    sets = 4
    device = torch.device("cpu")
    plan = Plan()

    def __init__(self, step_s: float = 0.002, mismatch: str | None = None) -> None:
        self.step_s, self.mismatch = step_s, mismatch
        self.ran: list[int] = []
        self.captured = 0

    def capture(self) -> None:
        self.captured += 1

    def iteration(self, i: int) -> None:
        self.ran.append(i)
        time.sleep(self.step_s)

    def all_facts(self) -> list[Any]:
        return [None] * self.sets

    def facts_mismatch(self) -> str | None:
        assert set(range(self.sets)) <= {i % self.sets for i in self.ran}, "a set that never ran has nothing to compare"
        return self.mismatch


def spec(**changes: Any) -> PointSpec:
    values = {
        "model": "tiny-moe", "phase": "decode", "precision": "fp32", "kv_cache": "fp32", "batch": 8, "context": 64, "window_s": 0.1, "windows": 3,
    }  # fmt: skip
    return PointSpec(**(values | changes))


WARM = WarmUp(step_s=0.002, block_steps=1, steps=0, settled=True, spread=0.0)


@pytest.mark.parametrize(
    "step_s, sets, steps",
    # 75 ms / 1.5 ms is 50 steps, 6.25 rounds of 8: 6 rounds. 75 ms / 30 ms is 2 (2.5 rounds to even), less than a round. A long step is its own block.
    [(0.0015, 8, 48), (0.03, 8, 2), (0.5, 8, 1), (0.01, 8, 8)],
)
def test_block_sizes(step_s: float, sets: int, steps: int) -> None:
    assert block_steps(step_s, sets) == steps


def test_cpu_window_is_whole_rounds_of_at_least_its_length() -> None:
    napper = Napper()
    before = time.monotonic()
    window = run_window(napper, 5, WARM, 0.1)
    after = time.monotonic()
    assert before <= window.t_start_s < window.t_end_s <= after
    assert window.t_end_s - window.t_start_s >= 0.1
    assert window.steps == len(napper.ran) == len(window.samples_s)
    assert napper.ran == list(range(5, 5 + window.steps))
    assert window.steps % 4 == 0
    assert sum(window.samples_s) == pytest.approx(window.busy_s)
    assert window.step_s >= 0.002


def test_long_steps_do_not_stretch_a_cpu_window_for_a_round() -> None:
    window = run_window(Napper(0.06), 0, WARM, 0.05)
    assert window.steps in (2, 3)  # a round of 4 would take 0.24 s; twice the window is enough


def test_warm_up_ends_when_steps_agree_and_not_before_its_least() -> None:
    napper = Napper(0.004)
    warm = warm_up(napper, least_s=0.08, most_s=5.0)
    assert warm.settled
    assert warm.steps == len(napper.ran)
    assert sum([0.004] * warm.steps) >= 0.06
    assert warm.step_s >= 0.004


def test_warm_up_gives_up_and_says_so() -> None:
    class Restless(Napper):
        def iteration(self, i: int) -> None:
            super().iteration(i)
            time.sleep(0.01 * (i % 2))

    warm = warm_up(Restless(), least_s=0.05, most_s=0.3)
    assert not warm.settled
    assert warm.spread is not None
    assert warm.spread > 0.5
    assert not warm_up(Napper(), least_s=0.01, most_s=0.2, clocks_settled=lambda: False).settled


def test_measured_point_without_power() -> None:
    napper = Napper()
    point = measure(napper, spec(), Instrument(board=NoPower("no sensor here"))).fields
    steps = sum(w["steps"] for w in point["windows"])
    assert len(point["windows"]) == 3
    assert (point["output_tokens"], point["input_tokens"], point["tokens_per_step"]) == (steps * 8, 0, 8)
    assert point["step_s"]["median"] >= 0.002
    assert point["window_s"] >= 0.3
    assert point["step_s"]["n"] == steps
    for figure in ("energy_j", "board_w", "board_w_p99", "idle_board_w", "sensor_accuracy"):
        assert point[figure] is None
    assert (point["power_source"], point["warnings"][-1]) == ("none", "no_power: no sensor here")
    assert set(point["provenance"].values()) == {"measured"}
    assert "energy_j" not in point["provenance"]
    assert napper.captured == 1
    assert napper.ran == list(range(len(napper.ran)))  # one count through warm-up and windows, so that input sets rotate evenly


def test_prefill_counts_input_tokens() -> None:
    point = measure(Napper(), spec(phase="prefill", batch=2, context=64), Instrument(board=NoPower("none"))).fields
    steps = sum(w["steps"] for w in point["windows"])
    assert (point["output_tokens"], point["input_tokens"], point["tokens_per_step"]) == (0, steps * 128, 128)


def test_declared_watts_are_assumed() -> None:
    point = measure(Napper(), spec(), Instrument(board=DeclaredPower(65.0))).fields
    assert (point["node_w"], point["board_w"]) == (65.0, None)  # what was declared is the node's; no sensor saw a board
    assert point["energy_j"] == pytest.approx(65.0 * point["window_s"])
    assert (point["power_source"], point["provenance"]["energy_j"], point["provenance"]["step_s"]) == ("declared", "assumed", "measured")
    assert point["idle_board_w"] is None


def test_replayed_power_is_integrated_over_the_windows(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    path.write_text("".join(f'{{"t_s": {0.02 * i}, "instant_w": 80.0}}\n' for i in range(100)))
    measured = measure(Napper(), spec(), Instrument(board=ReplayPower(path), period_s=(0.005, 0.01)))
    point = measured.fields
    assert point["energy_j"] == pytest.approx(80.0 * point["window_s"], rel=1e-6)
    assert (point["power_source"], point["provenance"]["board_w"], point["idle_board_w"]) == ("replay", "replayed", pytest.approx(80.0))
    assert sum(w["energy_j"] for w in point["windows"]) == pytest.approx(point["energy_j"])
    times = [s["t_s"] for s in measured.series]
    assert times[0] <= point["windows"][0]["t_start_s"]
    assert times[-1] >= point["windows"][-1]["t_end_s"]
    assert measured.plan == {"calls": [{"op": "nap", "count": 4}]}


def test_a_sensor_that_vanishes_mid_window_costs_the_joules_and_not_the_time(fake_nvml: Any) -> None:
    began_s = time.monotonic()
    fake_nvml.clock = lambda: time.monotonic() - began_s
    source = open_nvml(nvml=fake_nvml, environ={})
    napper = Napper()
    iteration = napper.iteration

    def until_the_third_window(i: int) -> None:
        if i == 150:  # of 50 steps a window and some to warm up
            fake_nvml.errors |= dict.fromkeys((name for name in dir(fake_nvml) if name.startswith("nvmlDevice")), 15)
        iteration(i)

    napper.iteration = until_the_third_window  # type: ignore[method-assign]
    measured = measure(napper, spec(windows=5), Instrument(board=source, period_s=(0.005, 0.01)))
    point = measured.fields
    assert point["step_s"]["median"] >= 0.002
    assert point["output_tokens"] == sum(w["steps"] for w in point["windows"]) * 8
    for figure in ("energy_j", "board_w", "energy_per_step_j", "dynamic_energy_j"):
        assert point[figure] is None, figure
        assert figure not in point["provenance"]
    assert (point["valid"], point["invalid_reasons"]) == (False, ["power_lost"])
    assert any(w.startswith("power_lost: ") and "fell off the bus" in w for w in point["warnings"])
    assert measured.series[0]["instant_w"] == 500.0  # what was seen is kept
    assert measured.series[-1]["instant_w"] is None


def test_facts_mismatch_makes_the_point_invalid() -> None:
    point = measure(Napper(mismatch="facts_mismatch: lengths of set 2 differ"), spec(), Instrument(board=NoPower("none"))).fields
    assert not point["valid"]
    assert "facts_mismatch" in point["invalid_reasons"]


def clocked(hz: list[float], reasons: int = 0) -> PowerTrace:
    taken = tuple(PowerSample(t_s=0.1 * i, sm_hz=value, event_reasons=reasons) for i, value in enumerate(hz))
    return PowerTrace(source="nvml", kind="measured", sensor_accuracy=0.05, samples=taken)


SPANS = [Window(t_start_s=0.0, t_end_s=0.5), Window(t_start_s=0.55, t_end_s=1.0)]


@pytest.mark.parametrize(
    "bits, invalid",
    [
        (0x4, []),
        (0x20, ["throttled_thermal"]),
        (0x40 | 0x8, ["throttled_thermal"]),
        (0x80 | 0x8, ["throttled_hw_power_brake"]),
        (0x8, ["throttled_hw_power_brake"]),
        (0x1, []),
    ],
)
def test_throttling_in_a_sample(bits: int, invalid: list[str]) -> None:
    verdict = Verdict()
    judge_clocks(verdict, clocked([1.7e9] * 11, bits), SPANS, {})
    assert (verdict.invalid_reasons, verdict.warnings) == (invalid, [])


def test_throttling_between_samples_is_in_the_board_s_own_counters() -> None:
    verdict = Verdict()
    judge_clocks(verdict, clocked([1.7e9] * 11), SPANS, {"sw_power_cap": 0.93, "sw_thermal": 0.0, "hw_thermal": 0.001})
    assert verdict.invalid_reasons == ["throttled_thermal"]
    assert verdict.warnings == ["sw_power_cap: 93% of the windows' time at the board's power limit"]


def test_clocks_that_change_between_windows() -> None:
    verdict = Verdict()
    judge_clocks(verdict, clocked([1.8e9] * 6 + [1.6e9] * 5), SPANS, {})
    # 0.2 GHz of a median 1.7 GHz.
    assert verdict.warnings == ["clock_changed: the windows' SM clocks differ by 11.8%"]


def test_settled_clocks() -> None:
    assert clocks_settled(clocked([1.2e9] * 10 + [1.75e9] * 15))
    assert not clocks_settled(clocked([1.2e9] * 10 + [1.75e9] * 6))
    assert not clocks_settled(clocked([1.75e9] * 2))
    assert clocks_settled(PowerTrace(source="nvml", kind="measured", sensor_accuracy=None, samples=(PowerSample(t_s=0.0),)))


def test_settled_temperature() -> None:
    def warming(degrees: list[float]) -> PowerTrace:
        taken = tuple(PowerSample(t_s=0.1 * i, temperature_c=value) for i, value in enumerate(degrees))
        return PowerTrace(source="nvml", kind="measured", sensor_accuracy=None, samples=taken)

    assert temperature_settled(warming([60.0] * 10 + [61.5] * 10))
    assert not temperature_settled(warming([50.0] * 10 + [53.0] * 10))
    assert not temperature_settled(warming([50.0] * 5))
    assert temperature_settled(clocked([1.7e9] * 5))  # never read: nothing to wait for


def state(**changes: Any) -> GpuState:
    return GpuState(**({"power_limit_w": 700.0, "ecc_uncorrected": 0, "compute_processes": 1, "temperature_c": 50.0, "uuid_hash": "a1", "xids": ()} | changes))


@pytest.mark.parametrize(
    "after, reasons",
    [
        ({}, []),
        ({"power_limit_w": 500.0}, ["power_limit_changed"]),
        ({"ecc_uncorrected": 2}, ["ecc_uncorrected"]),
        ({"compute_processes": 3}, ["foreign_process_on_gpu"]),
        ({"compute_processes": None, "ecc_uncorrected": None}, []),
        ({"uuid_hash": "b2"}, ["gpu_identity_changed"]),
        ({"uuid_hash": None, "xids": None}, []),
        ({"xids": (79,)}, ["xid"]),
    ],
)
def test_states_before_and_after(after: dict[str, Any], reasons: list[str]) -> None:
    verdict = Verdict()
    judge_states(verdict, state(), state(**after))
    assert verdict.invalid_reasons == reasons


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"phase": "train"}, "phase"),
        ({"batch": 0}, "--batch 0"),
        ({"context": 0}, "--context 0"),
        ({"precision": "fp31"}, "fp31"),
        ({"routing": "random"}, "--routing"),
        ({"kernels": "best"}, "--kernels"),
        ({"device": "tpu"}, "--device"),
        ({"ep": 8}, "--ep 8"),
        ({"window_s": 0.0}, "--window"),
        ({"window_s": float("nan")}, "--window"),
        ({"windows": 1}, "--windows"),
        ({"watts": -1.0}, "--watts"),
        ({"watts": 5.0, "power_replay": "x"}, "--power-replay"),
        ({"seed": -1}, "--seed"),
    ],
)
def test_point_specs_are_checked(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(TokenmillError, match=words):
        spec(**changes)


def test_point_spec_survives_the_protocol() -> None:
    original = spec(watts=65.0, mix="512/128")
    assert point_spec(original.json()) == original
    with pytest.raises(TokenmillError, match="unknown field 'surprise'"):
        point_spec(original.json() | {"surprise": 1})
