"""Measuring one point: idle power, warm-up, capture, windows with power beside them, and the verdict."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from profiler.measure.other_load import cpu_times, load_warnings, others_share
from profiler.measure.point_spec import PointSpec
from profiler.measure.statistics import Summary, noise_gate, summarise
from profiler.measure.timing import Iterations, TimedWindow, WarmUp, keep_busy, run_window, warm_up
from profiler.measure.validity import Verdict, clocks_settled, judge_clocks, judge_states, sm_clock
from profiler.power.energy import SHORTEST_GPU_WINDOW_S, PointEnergy, Window, idle_watts, point_energy
from profiler.power.nvml import NvmlPower
from profiler.power.nvml_device import GpuState
from profiler.power.sampler import PERIOD_S, Sampler
from profiler.power.source import PowerSource, PowerTrace, trace_of

if TYPE_CHECKING:
    from triton_kernels.operation import StepFacts

# Power sensors average over up to 1 s and boards take about 2 s to settle (GPU_Power_Benchmark: H100 rises in 0.9 s).
_GPU_WARM_UP_S = (2.0, 10.0)
_CPU_WARM_UP_S = (0.5, 3.0)
_IDLE_SETTLE_S, _IDLE_S = 0.3, 0.7
_TAIL_S = 0.3  # load after the last window, so that the sample which brackets it still sees the load


class Progress(Protocol):
    """Told how a point goes. `step_s`: seconds per step as far as is known, for a first look before the point is finished."""

    def __call__(self, stage: str, fraction: float | None, note: str, *, step_s: float | None = None) -> None: ...


class Plan(Protocol):
    def json(self, facts: list[StepFacts]) -> dict[str, Any]: ...


class Runner(Iterations, Protocol):
    """What is measured: workloads.steps.StepRunner, or a test's stand-in."""

    @property
    def plan(self) -> Plan: ...

    def capture(self) -> None: ...
    def all_facts(self) -> list[StepFacts]: ...
    def facts_mismatch(self) -> str | None: ...


@dataclass(frozen=True, kw_only=True)
class MeasuredPoint:
    """What the clocks and sensors said of one point. `fields` are the record's flat names; `series` its power samples; `plan` the step's calls."""

    fields: dict[str, Any]
    series: list[dict[str, Any]]
    plan: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class _Run:
    """Everything observed, before it is judged."""

    warm: WarmUp
    windows: list[TimedWindow]
    trace: PowerTrace
    idle: Window | None
    states: tuple[GpuState | None, GpuState | None]
    mismatch: str | None
    others: float | None  # share of the CPUs that other processes took during the windows


def _silent(stage: str, fraction: float | None, note: str, *, step_s: float | None = None) -> None:
    """For callers without a progress display."""


def measure(
    runner: Runner,
    spec: PointSpec,
    source: PowerSource,
    *,
    idle_w: float | None = None,
    period_s: tuple[float, float] = PERIOD_S,
    progress: Progress = _silent,
) -> MeasuredPoint:
    """Measures `spec.windows` windows of `spec.window_s` seconds each.

    `idle_w`: the board's idle watts where already known; measured first otherwise. Raises what the runner raises (torch.OutOfMemoryError among it).
    """
    run = _observe(runner, spec, source, measure_idle=idle_w is None, period_s=period_s, progress=progress)
    spans = [Window(t_start_s=w.t_start_s, t_end_s=w.t_end_s) for w in run.windows]
    on_gpu = runner.device.type == "cuda"
    energy = point_energy(run.trace, spans, shortest_s=SHORTEST_GPU_WINDOW_S if on_gpu else 0.0)
    samples = [s for w in run.windows for s in w.samples_s]
    summary = summarise(samples, [w.step_s for w in run.windows])
    verdict = _judge(run, spans, energy, summary, runner.device.type)
    if idle_w is None and run.idle is not None:
        idle_w = idle_watts(run.trace, run.idle)
    plan = runner.plan.json(runner.all_facts())
    fields = _fields(spec, run, energy, summary, verdict) | {"idle_board_w": idle_w}
    fields["provenance"] = _provenance(fields, run.trace.kind)
    fields["environment"] = {
        "sm_hz": sm_clock(run.trace, spans),
        "temperature_c": max((s.temperature_c for s in run.trace.samples if s.temperature_c is not None), default=None),
        "power_limit_w": run.states[1].power_limit_w if run.states[1] else None,
    }
    return MeasuredPoint(fields=fields, series=[s.json() for s in run.trace.samples], plan=plan)


def _observe(runner: Runner, spec: PointSpec, source: PowerSource, *, measure_idle: bool, period_s: tuple[float, float], progress: Progress) -> _Run:
    """Runs the whole point. The sampler's thread reads the sensors; this thread only enqueues steps."""
    sampler = Sampler(source, period_s=period_s, seed=spec.seed) if source.kind in ("measured", "replayed") else None
    before = source.state() if isinstance(source, NvmlPower) else None
    idle, stopped = None, None
    if sampler is not None:
        sampler.start()
    try:
        if sampler is not None and measure_idle:
            progress("idle power", None, "")
            idle = _idle_window(runner, sampler, spec.window_s)
        progress("capture", None, "")
        runner.capture()
        progress("warm-up", None, "")
        warm = _warm_up(runner, spec, sampler)
        cpu_before = cpu_times()
        windows, done = _windows(runner, spec, warm, progress)
        others = others_share(cpu_before, cpu_times(), os.cpu_count() or 1)
        if sampler is not None and runner.device.type == "cuda":
            done += keep_busy(runner, done, warm, _TAIL_S)
        if sampler is not None:
            sampler.wait_past(windows[-1].t_end_s)
        for i in range(done, runner.sets):  # a set that never ran has nothing to compare
            runner.iteration(i)
        mismatch = runner.facts_mismatch()
    finally:
        if sampler is not None:
            stopped = sampler.stop()
    after = source.state() if isinstance(source, NvmlPower) else None
    trace = stopped or trace_of(source, (source.sample(),))
    return _Run(warm=warm, windows=windows, trace=trace, idle=idle, states=(before, after), mismatch=mismatch, others=others)


def _idle_window(runner: Runner, sampler: Sampler, window_s: float) -> Window:
    """A stretch with weights in place and nothing running; as short as the windows where those are short."""
    if runner.device.type == "cuda":
        import torch

        torch.cuda.synchronize(runner.device)
    time.sleep(min(_IDLE_SETTLE_S, window_s))
    start_s = time.monotonic()
    time.sleep(min(_IDLE_S, window_s))
    end_s = time.monotonic()
    sampler.wait_past(end_s)
    return Window(t_start_s=start_s, t_end_s=end_s)


def _warm_up(runner: Runner, spec: PointSpec, sampler: Sampler | None) -> WarmUp:
    if runner.device.type == "cuda":
        least_s, most_s = _GPU_WARM_UP_S
        settled = (lambda: clocks_settled(sampler.trace())) if sampler is not None else (lambda: True)
        return warm_up(runner, least_s=least_s, most_s=most_s, clocks_settled=settled)
    least_s, most_s = (min(limit, scale * spec.window_s) for limit, scale in zip(_CPU_WARM_UP_S, (1, 6), strict=True))
    return warm_up(runner, least_s=least_s, most_s=most_s)


def _windows(runner: Runner, spec: PointSpec, warm: WarmUp, progress: Progress) -> tuple[list[TimedWindow], int]:
    """The windows back to back, and how many steps have run in all."""
    windows: list[TimedWindow] = []
    done = warm.steps
    for i in range(spec.windows):
        step_s = windows[-1].step_s if windows else warm.step_s
        progress("window", i / spec.windows, f"{i + 1}/{spec.windows}", step_s=step_s)
        windows.append(run_window(runner, done, warm, spec.window_s))
        done += windows[-1].steps
    return windows, done


def _judge(run: _Run, spans: list[Window], energy: PointEnergy, summary: Summary, device: str) -> Verdict:
    verdict = Verdict()
    if run.mismatch is not None:
        verdict.add(["facts_mismatch"], [run.mismatch])
    if not run.warm.settled:
        spread = "too few steps to tell" if run.warm.spread is None else f"the last steps of the warm-up differ by {run.warm.spread:.1%}"
        # On a CPU other processes come and go; the spread between windows says whether that mattered.
        verdict.add(["not_settled"] if device == "cuda" else [], [f"not_settled: {spread}"])
    if device == "cpu":  # a GPU's graphs are replayed whatever the CPUs do
        verdict.add([], load_warnings(run.others))
    verdict.add(*noise_gate(summary, device))
    verdict.add(energy.invalid_reasons, energy.warnings)
    judge_clocks(verdict, run.trace, spans)
    judge_states(verdict, *run.states)
    return verdict


def _fields(spec: PointSpec, run: _Run, energy: PointEnergy, summary: Summary, verdict: Verdict) -> dict[str, Any]:
    steps = sum(w.steps for w in run.windows)
    prefill = spec.phase == "prefill"
    declared = energy.power_source == "declared"
    return {
        "step_s": summary.json(),
        "windows": [_window_json(i, w, energy, declared) for i, w in enumerate(run.windows)],
        # The token that ends a prefill is counted with the request's output, where decode produces it.
        "output_tokens": 0 if prefill else steps * spec.batch,
        "input_tokens": steps * spec.batch * spec.context if prefill else 0,
        "cached_tokens": 0,
        "tokens_per_step": spec.batch * (spec.context if prefill else 1),
        "window_s": sum(w.t_end_s - w.t_start_s for w in run.windows),
        "energy_j": energy.energy_j,
        "energy_spread_j": energy.spread_j,
        "energy_disagreement": energy.disagreement,
        # Declared watts are the node's: no sensor saw a board.
        "board_w": None if declared else energy.board_w,
        "node_w": energy.board_w if declared else None,
        "board_w_p99": None if declared else energy.board_w_p99,
        "power_source": energy.power_source,
        "sensor_accuracy": run.trace.sensor_accuracy if energy.energy_j is not None else None,
        "valid": not verdict.invalid_reasons,
        "invalid_reasons": verdict.invalid_reasons,
        "warnings": verdict.warnings,
    }


def _window_json(i: int, window: TimedWindow, energy: PointEnergy, declared: bool) -> dict[str, Any]:
    energy_j = energy.windows_j[i] if energy.windows_j is not None else None
    duration_s = window.t_end_s - window.t_start_s
    return {
        "step_s": window.step_s,
        "steps": window.steps,
        "t_start_s": window.t_start_s,
        "t_end_s": window.t_end_s,
        "energy_j": energy_j,
        "board_w": None if energy_j is None or declared else energy_j / duration_s,
    }


def _provenance(fields: dict[str, Any], power_kind: str | None) -> dict[str, str]:
    """Where each figure comes from; a figure that is None has no origin."""
    measured = ("step_s", "output_tokens", "input_tokens", "cached_tokens", "window_s")
    powered = ("energy_j", "board_w", "board_w_p99", "node_w", "idle_board_w")
    origins = dict.fromkeys(measured, "measured")
    return origins | {name: power_kind for name in powered if power_kind is not None and fields[name] is not None}
