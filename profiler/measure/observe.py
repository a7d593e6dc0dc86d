"""Running one point: idle power, warm-up, capture, windows with power beside them. Everything observed, nothing judged."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from profiler.measure.instrument import Instrument
from profiler.measure.other_load import cpu_times, others_share
from profiler.measure.point_spec import PointSpec
from profiler.measure.timing import Iterations, TimedWindow, WarmUp, keep_busy, run_window, warm_up
from profiler.measure.validity import settled
from profiler.power.clock import ClockAnchor, anchor
from profiler.power.meter import meter_trace
from profiler.power.nvml import NvmlPower
from profiler.power.nvml_device import GpuState
from profiler.power.phases import pause_s
from profiler.power.sampler import Lateness, Sampler
from profiler.power.source import PowerTrace, has_sensor, trace_of
from profiler.power.window import Window
from triton_kernels.errors import TokenmillError

if TYPE_CHECKING:
    from triton_kernels.operation import StepFacts

# Power sensors average over up to 1 s and boards take about 2 s to settle (GPU_Power_Benchmark: H100 rises in 0.9 s). A cold one warms by a degree and more
# a second at first.
_GPU_WARM_UP_S = (2.0, 20.0)
_CPU_WARM_UP_S = (0.5, 3.0)
_IDLE_SETTLE_S, _IDLE_S = 0.3, 0.7
# Load around the pause between two windows, so that no sample which brackets a window shows it: one is taken up to 0.1 s before a window and shows a look
# of the sensor up to 0.125 s older; another up to 0.1 s after it.
LEAD_S, TRAIL_S = 0.25, 0.15
_TAIL_S = 0.3  # load after the last window, so that the sample which brackets it still sees the load


class Progress(Protocol):
    """Told how a point goes. `step_s`: seconds per step as far as is known, for a first look before the point is finished."""

    def __call__(self, stage: str, fraction: float | None, note: str, *, step_s: float | None = None) -> None: ...


def silent(stage: str, fraction: float | None, note: str, *, step_s: float | None = None) -> None:
    """For callers without a progress display."""


class Plan(Protocol):
    def json(self, facts: list[StepFacts]) -> dict[str, Any]: ...


class Runner(Iterations, Protocol):
    """What is measured: workloads.steps.StepRunner, or a test's stand-in."""

    @property
    def plan(self) -> Plan: ...

    def capture(self) -> None: ...
    def all_facts(self) -> list[StepFacts]: ...
    def facts_mismatch(self) -> str | None: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Phase:
    """What ran when, on the monotonic clock."""

    name: str
    t_start_s: float
    t_end_s: float


@dataclass(kw_only=True)
class Phases:
    """Written down as they end."""

    done: list[Phase] = field(default_factory=list)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        start_s = time.monotonic()
        yield
        self.done.append(Phase(name=name, t_start_s=start_s, t_end_s=time.monotonic()))


@dataclass(frozen=True, kw_only=True)
class Observed:
    """Everything observed of a point."""

    device: str  # "cuda" or "cpu"
    warm: WarmUp
    windows: list[TimedWindow]
    board: PowerTrace
    host: tuple[PowerTrace, ...]
    meter: PowerTrace | None
    idle: Window | None
    states: tuple[GpuState | None, GpuState | None]
    mismatch: str | None
    others: float | None  # share of the CPUs that other processes took during the windows
    lateness: Lateness | None  # of the power samples in the windows; None: there were none
    phases: tuple[Phase, ...]
    clocks: tuple[ClockAnchor, ClockAnchor]  # at the point's beginning and end

    @property
    def spans(self) -> list[Window]:
        return [Window(t_start_s=w.t_start_s, t_end_s=w.t_end_s) for w in self.windows]


def observe(runner: Runner, spec: PointSpec, instrument: Instrument, *, measure_idle: bool, progress: Progress) -> Observed:
    """Runs the whole point. The sampler's thread reads the sensors; this thread only enqueues steps."""
    began, board = anchor(), instrument.board
    sampler = Sampler(board, *instrument.host, period_s=instrument.period_s, seed=spec.seed) if any(map(has_sensor, (board, *instrument.host))) else None
    before = board.state() if isinstance(board, NvmlPower) else None
    phases, idle = Phases(), None
    if sampler is not None:
        sampler.start()
    try:
        if sampler is not None and measure_idle:
            progress("idle power", None, "")
            with phases.phase("idle"):
                idle = _idle_window(runner, sampler, spec.window_s)
        progress("capture", None, "")
        with phases.phase("capture"):
            runner.capture()
        progress("warm-up", None, "")
        with phases.phase("warm-up"):
            warm = _warm_up(runner, spec, sampler)
        cpu_before = cpu_times()
        windows, done = _windows(runner, spec, warm, progress, phases, shift=sampler is not None)
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
            sampler.stop()
    after = board.state() if isinstance(board, NvmlPower) else None
    clocks = (began, anchor())
    traces = sampler.traces() if sampler is not None else (trace_of(board, (board.sample(),)),)
    spans = [Window(t_start_s=w.t_start_s, t_end_s=w.t_end_s) for w in windows]
    return Observed(
        device=runner.device.type,
        warm=warm,
        windows=windows,
        board=traces[0],
        host=traces[1:],
        meter=None if instrument.meter is None else _metered(instrument.meter, spans, clocks),
        idle=idle,
        states=(before, after),
        mismatch=mismatch,
        others=others,
        lateness=None if sampler is None else sampler.lateness(spans),
        phases=tuple(phases.done),
        clocks=clocks,
    )


def _metered(path: Path, spans: list[Window], clocks: tuple[ClockAnchor, ClockAnchor]) -> PowerTrace:
    """What a meter's file says of the windows; a file that cannot be read says why, and the point stands without it."""
    try:
        return meter_trace(path, spans, *clocks)
    except TokenmillError as e:
        return PowerTrace(source="meter", kind="measured", sensor_accuracy=None, device="node", boundary="node", notes={"meter": str(e)})


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
        calm = (lambda: settled(sampler.trace())) if sampler is not None else (lambda: True)
        return warm_up(runner, least_s=least_s, most_s=most_s, clocks_settled=calm)
    least_s, most_s = (min(limit, scale * spec.window_s) for limit, scale in zip(_CPU_WARM_UP_S, (1, 6), strict=True))
    return warm_up(runner, least_s=least_s, most_s=most_s)


def _pause(runner: Runner, done: int, warm: WarmUp, how_long: Callable[[float], float]) -> int:
    """A pause on a GPU with load around it; how many steps that took."""
    import torch

    steps = keep_busy(runner, done, warm, TRAIL_S)
    torch.cuda.synchronize(runner.device)
    time.sleep(how_long(time.monotonic()))
    return steps + keep_busy(runner, done + steps, warm, LEAD_S)


def _windows(runner: Runner, spec: PointSpec, warm: WarmUp, progress: Progress, phases: Phases, *, shift: bool) -> tuple[list[TimedWindow], int]:
    """The windows one after the other, and how many steps have run in all. `shift`: each begins elsewhere in the power sensor's cycle."""
    windows: list[TimedWindow] = []
    done = warm.steps
    for i in range(spec.windows):
        step_s = windows[-1].step_s if windows else warm.step_s
        progress("window", i / spec.windows, f"{i + 1}/{spec.windows}", step_s=step_s)
        if shift and runner.device.type == "cuda":
            done += _pause(runner, done, warm, partial(pause_s, window=i, windows=spec.windows, seed=spec.seed))
        with phases.phase(f"window {i + 1}"):
            windows.append(run_window(runner, done, warm, spec.window_s))
        done += windows[-1].steps
    return windows, done
