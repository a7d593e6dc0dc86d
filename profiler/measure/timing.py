"""Timing steps: blocks of graph replays between CUDA events on a GPU, one iteration at a time on a CPU. All on the monotonic clock that power uses."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch

BLOCK_S = 0.075  # long enough that an event's half microsecond vanishes, short enough for a median over a 2 s window
SETTLED_BLOCKS = 5
# How far the last blocks of the warm-up may be apart. A GPU at settled clocks repeats within 1 %; a shared CPU does not.
SETTLED_SPREAD = {"cuda": 0.02, "cpu": 0.2}
_LONGEST_STRETCH = 2.0  # a CPU window ends on a whole round of input sets, but never later than this many times its length


class Iterations(Protocol):
    """What can be timed: workloads.steps.StepRunner, or a test's stand-in."""

    @property
    def sets(self) -> int: ...
    @property
    def device(self) -> torch.device: ...

    def iteration(self, i: int) -> None: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class TimedWindow:
    """Steps run back to back. `busy_s`: first to last event on a GPU, first start to last end on a CPU."""

    t_start_s: float
    t_end_s: float
    steps: int
    busy_s: float
    samples_s: tuple[float, ...]  # seconds per step: of each block on a GPU, of each step on a CPU
    late_blocks: int = 0  # those before which the GPU had run dry: its host was late

    @property
    def step_s(self) -> float:
        return self.busy_s / self.steps


@dataclass(frozen=True, kw_only=True, slots=True)
class WarmUp:
    """How the warm-up ended. `spread`: of the last blocks, (max - min) / median; None when there were too few."""

    step_s: float
    block_steps: int
    steps: int
    settled: bool
    spread: float | None


def block_steps(step_s: float, sets: int, block_s: float = BLOCK_S) -> int:
    """Steps of one block: about `block_s` long, and whole rounds of the input sets where a round fits, so that blocks differ by noise alone."""
    steps = max(1, round(block_s / step_s))
    return steps if steps < sets else max(1, round(steps / sets)) * sets


def run_window(runner: Iterations, first: int, warm: WarmUp, window_s: float) -> TimedWindow:
    """At least `window_s` seconds of steps, numbered from `first`. Nothing waits for the GPU inside."""
    if runner.device.type == "cuda":
        return _cuda_window(runner, first, warm, window_s)
    return _cpu_window(runner, first, window_s)


def _cpu_window(runner: Iterations, first: int, window_s: float) -> TimedWindow:
    samples: list[float] = []
    start_s = before_s = time.monotonic()
    while True:
        runner.iteration(first + len(samples))
        now_s = time.monotonic()
        samples.append(now_s - before_s)
        before_s = now_s
        elapsed_s = now_s - start_s
        whole_round = len(samples) % runner.sets == 0
        if elapsed_s >= window_s and (whole_round or elapsed_s >= _LONGEST_STRETCH * window_s):
            return TimedWindow(t_start_s=start_s, t_end_s=now_s, steps=len(samples), busy_s=elapsed_s, samples_s=tuple(samples))


def _cuda_window(runner: Iterations, first: int, warm: WarmUp, window_s: float) -> TimedWindow:
    """Every block of the window is enqueued before the first wait: the launch queue itself holds the host back, without the GIL."""
    import torch

    device, size = runner.device, warm.block_steps
    torch.cuda.synchronize(device)
    start_s = time.monotonic()
    events = [recorded_event()]
    wanted_s, late = window_s, 0
    while True:
        for block in range(max(1, math.ceil(wanted_s / (warm.step_s * size)))):
            late += block > 0 and bool(events[-1].query())  # type: ignore[no-untyped-call]  # the block before is over: nothing waited behind it
            _enqueue(runner, first + (len(events) - 1) * size, size)
            events.append(recorded_event())
        torch.cuda.synchronize(device)
        end_s = time.monotonic()
        wanted_s = window_s - (end_s - start_s)  # faster than the warm-up said: some more
        if wanted_s <= 0:
            break
    samples = tuple(seconds_between(a, b) / size for a, b in pairwise(events))
    busy_s = seconds_between(events[0], events[-1])
    return TimedWindow(t_start_s=start_s, t_end_s=end_s, steps=len(samples) * size, busy_s=busy_s, samples_s=samples, late_blocks=late)


def _enqueue(runner: Iterations, first: int, steps: int) -> None:
    for i in range(first, first + steps):
        runner.iteration(i)


def recorded_event() -> torch.cuda.Event:
    """A timing event at this place of the current stream."""
    import torch

    event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    event.record()
    return event


def seconds_between(start: torch.cuda.Event, end: torch.cuda.Event) -> float:
    """Device time between two events that have both happened."""
    return float(start.elapsed_time(end)) / 1e3


def warm_up(runner: Iterations, *, least_s: float, most_s: float, clocks_settled: Callable[[], bool] = lambda: True) -> WarmUp:
    """Runs blocks until the last ones agree and the clocks have settled: at least `least_s` and one block per settling rule, at most about `most_s`."""
    began_s = time.monotonic()
    on_gpu = runner.device.type == "cuda"
    most_spread = SETTLED_SPREAD[runner.device.type]
    steps, step_s = 1, _timed_block(runner, 0, 1)  # first touch of everything: says nothing of the speed
    blocks: list[float] = []
    while True:
        # A first guess of the size, doubled at most, so that a slow first step does not freeze it and a fast one does not overshoot.
        size = block_steps(step_s, runner.sets, BLOCK_S if len(blocks) > 1 else BLOCK_S / 10) if on_gpu else 1
        step_s = _timed_block(runner, steps, size)
        steps += size
        blocks.append(step_s)
        elapsed_s = time.monotonic() - began_s
        last = sorted(blocks[-SETTLED_BLOCKS:])
        spread = (last[-1] - last[0]) / last[len(last) // 2] if len(last) == SETTLED_BLOCKS else None
        settled = spread is not None and spread <= most_spread and clocks_settled()
        if (settled and elapsed_s >= least_s) or elapsed_s >= most_s:
            median_s = last[len(last) // 2]
            return WarmUp(step_s=median_s, block_steps=block_steps(median_s, runner.sets) if on_gpu else 1, steps=steps, settled=settled, spread=spread)


def _timed_block(runner: Iterations, first: int, steps: int) -> float:
    """Seconds per step of one block, waited for."""
    if runner.device.type != "cuda":
        start_s = time.monotonic()
        _enqueue(runner, first, steps)
        return (time.monotonic() - start_s) / steps
    start = recorded_event()
    _enqueue(runner, first, steps)
    end = recorded_event()
    end.synchronize()
    return seconds_between(start, end) / steps


def keep_busy(runner: Iterations, first: int, warm: WarmUp, seconds: float) -> int:
    """Enqueues about `seconds` of steps without waiting and returns their number: the load that a last power sample should still see."""
    steps = max(1, math.ceil(seconds / warm.step_s))
    _enqueue(runner, first, steps)
    return steps
