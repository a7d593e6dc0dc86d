"""The closed list of reasons: each planted alone in an otherwise sound point flips exactly its own, and the method prints them all."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from profiler.economics.points import derive_point
from profiler.measure.judge import judge
from profiler.measure.observe import Observed, _metered
from profiler.measure.reasons import REASONS, name_of
from profiler.measure.session import said_of_formats
from profiler.measure.statistics import summarise
from profiler.measure.timing import TimedWindow, WarmUp
from profiler.power.clock import ClockAnchor
from profiler.power.declared import NoPower
from profiler.power.meter import meter_trace
from profiler.power.nvml import open_nvml
from profiler.power.nvml_device import GpuState
from profiler.power.point_power import NodeTraces, point_power
from profiler.power.sampler import Lateness
from profiler.power.source import PowerSample, PowerTrace, trace_of
from workloads.deployment import Deployment

ROOT = Path(__file__).parents[2]
STEP_S, WATTS = 0.01, 500.0
CLOCKS = (ClockAnchor(monotonic_s=0.0, unix_s=1.7e9), ClockAnchor(monotonic_s=14.0, unix_s=1.7e9 + 14.0))
STATE = GpuState(power_limit_w=700.0, ecc_uncorrected=0, compute_processes=1, temperature_c=60.0, uuid_hash="a1", xids=())


def sampled(change: Callable[[int, PowerSample], PowerSample] = lambda i, s: s, **changes: Any) -> PowerTrace:
    """Fourteen seconds at 500 W: a counter that ticks every 0.1 s, seen every 0.05 s."""
    taken = []
    for i in range(281):
        t_s = 0.05 * i
        counter_j = WATTS * (i // 2) * 0.1
        taken.append(change(i, PowerSample(t_s=t_s, counter_j=counter_j, instant_w=WATTS, sm_hz=1.7e9, temperature_c=60.0, event_reasons=0)))
    return PowerTrace(**({"source": "nvml", "kind": "measured", "sensor_accuracy": 0.05, "samples": tuple(taken)} | changes))


def windows(step_s: tuple[float, ...] = (STEP_S,) * 5, length_s: float = 2.0) -> list[TimedWindow]:
    """Back to back from 1 s on."""
    return [
        TimedWindow(t_start_s=1 + length_s * i, t_end_s=1 + length_s * (i + 1), steps=round(length_s / step), busy_s=length_s, samples_s=(step,) * 20)
        for i, step in enumerate(step_s)
    ]


def sound(**changes: Any) -> Observed:
    """A GPU's point that nothing speaks against."""
    base = {
        "device": "cuda", "warm": WarmUp(step_s=STEP_S, block_steps=8, steps=100, settled=True, spread=0.001), "windows": windows(), "board": sampled(),
        "host": (), "meter": None, "idle": None, "states": (STATE, STATE), "mismatch": None, "others": 0.0,
        "lateness": Lateness(largest_s=0.01, share=0.0, n=200), "phases": (), "clocks": CLOCKS,
    }  # fmt: skip
    return Observed(**(base | changes))


def said(seen: Observed, **node: Any) -> tuple[set[str], set[str]]:
    """The names against a point and the names of its warnings."""
    spans = seen.spans
    traces = NodeTraces(host=seen.host, meter=seen.meter, gpus=1, **node)
    power = point_power(seen.board, spans, steps=[w.steps for w in seen.windows], node=traces)
    summary = summarise([s for w in seen.windows for s in w.samples_s], [w.step_s for w in seen.windows])
    verdict = judge(seen, power, summary)
    assert len(verdict.invalid_reasons) == len(set(verdict.invalid_reasons))
    return set(verdict.invalid_reasons), set(map(name_of, verdict.warnings))


def test_nothing_speaks_against_a_sound_point() -> None:
    assert said(sound()) == (set(), set())


def without(figure: str) -> PowerTrace:
    return sampled(lambda i, s: replace(s, **{figure: None}))


def gap(first: int, last: int, **figures: Any) -> PowerTrace:
    """Nobody looked between two samples."""
    trace = sampled(lambda i, s: replace(s, **figures))
    return replace(trace, samples=(*trace.samples[:first], *trace.samples[last:]))


def from_there_on(first: int) -> PowerTrace:
    return sampled(lambda i, s: s if i < first else PowerSample(t_s=s.t_s), notes={"counter_j": "the GPU fell off the bus"})


def reset(i: int, sample: PowerSample) -> PowerSample:
    return sample if i < 100 else replace(sample, counter_j=(sample.counter_j or 0.0) - WATTS * 5.0)


def unsteady(i: int, sample: PowerSample) -> PowerSample:
    """500, 540, 400, 600, 460 W in five windows, by counter and power alike: joules per step are known to +/- 19 %."""
    levels = (500.0, 500.0, 540.0, 400.0, 600.0, 460.0, 500.0)
    watts = levels[min(6, int((sample.t_s + 1) // 2))]
    ticks = [levels[min(6, int((0.1 * k + 0.05 + 1) // 2))] * 0.1 for k in range(i // 2)]
    return replace(sample, instant_w=watts, counter_j=sum(ticks))


def states(**after: Any) -> tuple[GpuState, GpuState]:
    return STATE, replace(STATE, **after)


def with_module(module_w: float, counted_w: float) -> PowerTrace:
    return sampled(lambda i, s: replace(s, module_w=module_w, counter_j=(s.counter_j or 0.0) / WATTS * counted_w))


def late_windows() -> list[TimedWindow]:
    """Twenty blocks of each of five windows, two of which waited for the host: 2 %."""
    first, *rest = windows()
    return [replace(first, late_blocks=2), *rest]


def zone(**changes: Any) -> PowerTrace:
    samples = tuple(PowerSample(t_s=0.05 * i, counter_j=5.0 * i) for i in range(281))
    base = {"source": "rapl", "kind": "measured", "sensor_accuracy": None, "device": "package-0", "boundary": "cpu", "samples": samples}
    return PowerTrace(**(base | changes))


def meter(path: Path, drift_s: float = 0.0) -> PowerTrace:
    end = replace(CLOCKS[1], unix_s=CLOCKS[1].unix_s + drift_s)
    return meter_trace(path, sound().spans, CLOCKS[0], end, most_s=0.0)


def refused(nvml: Any) -> PowerTrace:
    source = open_nvml(nvml=nvml, environ={})
    return trace_of(source, (source.sample(),))


def mig(nvml: Any) -> PowerTrace:
    nvml.mig = [1, 1]
    return refused(nvml)


def vgpu(nvml: Any) -> PowerTrace:
    nvml.virtualization = 2
    return refused(nvml)


NO_POWER = NoPower("no sensor here")
# Name -> (the planted fault, other warnings that the same fault rightly brings along). A fault of a GPU's point unless it says otherwise.
PLANTED: dict[str, tuple[Callable[[], Observed], set[str]]] = {
    "not_settled": (lambda: sound(warm=WarmUp(step_s=STEP_S, block_steps=8, steps=100, settled=False, spread=0.2)), set()),
    "noise_above_limit": (lambda: sound(windows=windows((0.01, 0.012, 0.01, 0.014, 0.01)), board=NO_TRACE), {"noise", "no_power"}),
    "energy_noise_above_limit": (lambda: sound(board=sampled(unsteady)), {"noise"}),
    "not_repeated": (lambda: sound(windows=windows((STEP_S,), 10.0)), {"few_windows"}),
    "host_late": (lambda: sound(windows=late_windows()), set()),
    "facts_mismatch": (lambda: sound(mismatch="facts_mismatch: lengths of set 2 differ"), set()),
    "throttled_thermal": (lambda: sound(board=sampled(lambda i, s: replace(s, event_reasons=0x20 if i == 80 else 0))), set()),
    "throttled_hw_power_brake": (lambda: sound(board=sampled(lambda i, s: replace(s, event_reasons=0x80 if i == 80 else 0))), set()),
    "power_limit_changed": (lambda: sound(states=states(power_limit_w=500.0)), set()),
    "gpu_identity_changed": (lambda: sound(states=states(uuid_hash="b2")), set()),
    "ecc_uncorrected": (lambda: sound(states=states(ecc_uncorrected=1)), set()),
    "xid": (lambda: sound(states=states(xids=(79,))), set()),
    "foreign_process_on_gpu": (lambda: sound(states=states(compute_processes=2)), set()),
    "window_too_short": (lambda: sound(windows=windows(length_s=1.5)), set()),
    "energy_power_mismatch": (lambda: sound(board=sampled(lambda i, s: replace(s, instant_w=WATTS * 1.05))), set()),
    "counter_reset": (lambda: sound(board=sampled(reset)), set()),
    "sample_gap_exceeded": (lambda: sound(board=gap(90, 105, counter_j=None)), {"counter_unsupported", "no_power"}),
    "window_not_bracketed": (lambda: sound(board=gap(200, 281, counter_j=None)), {"counter_unsupported", "no_power"}),
    "scope_unknown": (lambda: sound(board=with_module(900.0, 700.0)), set()),
    "power_lost": (lambda: sound(board=from_there_on(120)), set()),
    "sampler_late": (lambda: sound(lateness=Lateness(largest_s=0.9, share=0.1, n=200)), set()),
    "noise": (lambda: sound(device="cpu", windows=windows((0.01, 0.012, 0.01, 0.014, 0.01)), board=NO_TRACE), {"no_power"}),
    "few_windows": (lambda: sound(windows=windows((STEP_S,) * 3)), set()),
    "other_load": (lambda: sound(device="cpu", others=0.2), set()),
    "clock_changed": (lambda: sound(board=sampled(lambda i, s: replace(s, sm_hz=1.7e9 if s.t_s < 7 else 1.6e9))), set()),
    "sw_power_cap": (lambda: sound(board=sampled(lambda i, s: replace(s, event_reasons=0x4))), set()),
    "counter_unsupported": (lambda: sound(board=without("counter_j")), set()),
    "counter_too_few_ticks": (lambda: sound(board=sampled(lambda i, s: replace(s, counter_j=WATTS * (i // 50) * 2.5))), {"counter_unchecked"}),
    "counter_too_coarse": (lambda: sound(board=replace(sampled(), samples=sampled().samples[::8])), set()),  # a look every 0.4 s: edges open by 0.4 of 1.6 s
    "instant_w_missing": (lambda: sound(board=without("instant_w")), set()),
    "average_power_lags": (
        lambda: sound(board=sampled(lambda i, s: replace(s, counter_j=None, instant_w=None, average_w=WATTS))), {"counter_unsupported"},
    ),
    "counter_unchecked": (lambda: sound(board=gap(90, 101)), set()),
    "no_power": (lambda: sound(board=NO_TRACE), set()),
    "module_counter": (lambda: sound(board=with_module(900.0, 900.0)), set()),
}  # fmt: skip
NO_TRACE = trace_of(NO_POWER, (NO_POWER.sample(),))
# Planted elsewhere in this file: they need a file, a driver, a node, a recipe or a derived point.
ELSEWHERE = {
    "clock_skew", "meter", "mig_instance_unsupported", "vgpu_unsupported", "host_share", "host_unread", "no_network", "untuned_kernels", "unproven_kernels",
    "emulated_format", "checkpoint",
}  # fmt: skip


def test_every_reason_is_planted() -> None:
    assert set(PLANTED) | ELSEWHERE == set(REASONS)
    assert not set(PLANTED) & ELSEWHERE


@pytest.mark.parametrize("name", PLANTED)
def test_each_planted_alone_flips_exactly_its_reason(name: str) -> None:
    plant, also = PLANTED[name]
    invalid, warned = said(plant())
    if REASONS[name].verdict == "warning":
        assert (invalid, warned - also) == (set(), {name})
    else:
        assert (invalid, warned - also - {name}) == ({name}, set())


def test_a_counter_reset_between_windows_is_seen() -> None:
    first, second = windows()[:2]
    apart = [first, replace(second, t_start_s=second.t_start_s + 1.0, t_end_s=second.t_end_s + 1.0)]  # from 1 to 3 s and from 4 to 6 s; it resets at 3.5 s
    trace = sampled(lambda i, s: s if s.t_s < 3.5 else replace(s, counter_j=(s.counter_j or 0.0) - WATTS * 3.0))
    assert said(sound(windows=apart, board=trace))[0] == {"counter_reset"}


@pytest.mark.parametrize("name", [r.name for r in REASONS.values() if r.verdict == "gpu"])
def test_what_invalidates_on_a_gpu_warns_on_a_cpu(name: str) -> None:
    invalid, warned = said(replace(PLANTED[name][0](), device="cpu"))
    assert (invalid, name in warned) == (set(), True)


def test_a_meter_s_reasons(tmp_path: Path) -> None:
    log = tmp_path / "node.csv"
    log.write_text("unix_s,watts\n" + "".join(f"{1.7e9 + i},1200\n" for i in range(16)))
    assert said(sound(meter=meter(log))) == (set(), set())
    assert said(sound(meter=meter(log, drift_s=1.0)))[0] == {"clock_skew"}
    log.write_text("unix_s,watts\n" + "".join(f"{1.7e9 + i},1200\n" for i in range(4)))  # ends in the second window
    assert said(sound(meter=meter(log))) == (set(), {"meter"})
    assert said(sound(meter=_metered(tmp_path / "absent.csv", sound().spans, CLOCKS))) == (set(), {"meter"})


def test_parts_of_gpus_are_refused_by_name(fake_nvml: Any) -> None:
    assert said(sound(board=mig(fake_nvml)))[0] == {"mig_instance_unsupported"}
    fake_nvml.mig = [0, 0]
    assert said(sound(board=vgpu(fake_nvml)))[0] == {"vgpu_unsupported"}


def test_a_host_s_warnings() -> None:
    assert said(sound(host=(zone(),))) == (set(), set())
    assert said(sound(), host_unread="the CPU's energy counters need root") == (set(), {"host_unread"})
    power = point_power(sampled(), sound().spans, steps=[200] * 5, node=NodeTraces(host=(zone(),), measured_gpus=1, gpus=8))
    # 5 J in each 0.05 s are 100 W, of which an eighth is this GPU's.
    assert (power.cpu_w, power.host_share, power.board_cpu_w) == (pytest.approx(100.0), 0.125, pytest.approx(WATTS + 12.5, rel=1e-3))
    assert [name_of(w) for w in power.warnings] == ["host_share"]


def test_warnings_of_formats_are_of_the_list() -> None:
    class Noted:
        notes = ("experts.down: encoded twice",)

    names = [name_of(w) for w in said_of_formats(Deployment(precision="mxfp4", arch=90), Noted())]  # type: ignore[arg-type]
    assert names == ["emulated_format", "unproven_kernels", "checkpoint"]
    assert [name_of(w) for w in said_of_formats(Deployment(precision="bf16", arch=90), Noted())] == ["checkpoint"]  # type: ignore[arg-type]
    assert [name_of(w) for w in said_of_formats(Deployment(precision="nvfp4", arch=100), Noted())] == ["unproven_kernels", "checkpoint"]  # type: ignore[arg-type]


def test_warnings_made_when_reading_are_of_the_list() -> None:
    point = {"device": "cuda", "kernel_ratio": 0.8, "deployment_gpus": 1, "step_s": {"median": 0.01}, "provenance": {}}
    assert derive_point(point, None, None)["warnings"] == ["untuned_kernels"]
    emulated = point | {"deployment_gpus": 8, "energy_j": 5.0, "provenance": {"step_s": "emulated"}, "span": "nvl8", "kernel_ratio": 1.0}
    found = derive_point(emulated, {"calls": []}, None)["warnings"]
    assert [name_of(w) for w in found] == ["no_network"]


def test_the_method_prints_the_list() -> None:
    rows = [f"| `{r.name}` | {r.verdict} | {r.of} | {r.meaning} | {r.remedy} |" for r in REASONS.values()]
    text = (ROOT / "docs" / "method.md").read_text()
    assert "\n".join(rows) in text, "docs/method.md, Validity: " + "\n".join(rows)


def test_every_reason_has_a_verdict_and_a_remedy() -> None:
    for reason in REASONS.values():
        assert reason.verdict in ("invalid", "gpu", "warning"), reason.name
        assert reason.meaning, reason.name
        assert reason.remedy, reason.name
