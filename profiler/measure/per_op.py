"""Seconds and joules of one call of each operation of a step, each run alone: in rounds of shuffled order, settled, long enough for the energy counter."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from profiler.measure.library import Counterpart, HasLibraries, first_that_runs, library_fields, ratio_of_step
from profiler.measure.memory import ran_out
from profiler.measure.method import Method
from profiler.measure.observe import Progress, silent
from profiler.measure.statistics import mean_interval, median
from profiler.measure.timing import Iterations, TimedWindow, keep_busy, run_window, warm_up
from profiler.power.energy import Window, point_energy
from profiler.power.sampler import PERIOD_S, Sampler
from profiler.power.source import PowerSource, PowerTrace, has_sensor

STAGE = "operations"


class Alone(Iterations, HasLibraries, Protocol):
    """One operation alone: workloads.operation_runner.OperationRunner, or a test's stand-in."""

    entry: int  # place in the plan's calls
    op: str
    part: str
    count: int  # calls in one step
    why_not: str | None  # it cannot be run

    @property
    def rotated(self) -> int: ...
    @property
    def calls_per_iteration(self) -> int: ...

    def capture(self, pool: Any) -> None: ...


@dataclass(frozen=True, kw_only=True)
class MeasuredOperations:
    """Rows of the record's `ops/`, one per operation in the plan's order; the power samples taken on the way; a line for each operation left out."""

    rows: list[dict[str, Any]]
    series: list[dict[str, Any]]
    left_out: list[str]

    @property
    def measured(self) -> int:
        return sum(row["call_s"] is not None for row in self.rows)

    @property
    def kernel_ratio(self) -> float | None:
        """The point's: profiler.measure.library.ratio_of_step."""
        return ratio_of_step(self.rows)

    def json(self) -> dict[str, Any]:
        """The point's `per_op`."""
        return {"measured": self.measured, "left_out": self.left_out}


@dataclass(kw_only=True, slots=True)
class _Turn:
    """What runs when it is its turn in a round, how long, and its windows so far. `iteration_s`: of one iteration at a first look."""

    runner: Iterations
    iteration_s: float
    window_s: float
    tail_s: float
    windows: list[TimedWindow] = field(default_factory=list)

    def round_s(self, method: Method) -> float:
        """Seconds of its share of a round, as the first look promises them."""
        return max(method.settle_s, 2 * self.iteration_s) + max(self.window_s, self.iteration_s) + self.tail_s

    def run(self, method: Method) -> None:
        """One window more."""
        warm = warm_up(self.runner, least_s=method.settle_s, most_s=method.settle_s)
        self.windows.append(run_window(self.runner, warm.steps, warm, self.window_s))
        if self.tail_s and self.runner.device.type == "cuda":
            keep_busy(self.runner, warm.steps + self.windows[-1].steps, warm, self.tail_s)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Look:
    """An operation that ran at a first look, and what it is compared with (None: nothing is asked for)."""

    operation: Alone
    turns: tuple[_Turn, ...]  # its own, then its counterpart's where there is one
    counterpart: Counterpart | None

    @property
    def call_s(self) -> float:
        return self.turns[0].iteration_s / self.operation.calls_per_iteration

    @property
    def in_step_s(self) -> float:
        """All its calls of one step together."""
        return self.operation.count * self.call_s


def measure_operations(
    operations: Sequence[Alone],
    source: PowerSource,
    method: Method,
    *,
    pool: Any = None,
    period_s: tuple[float, float] = PERIOD_S,
    progress: Progress | None = None,
) -> MeasuredOperations:
    """Measures each operation in `method.repeats` windows. What does not fit into the budget is left out, the smallest shares of the step first.

    `pool`: the memory that the operations' graphs share. Raises what an operation raises; one that memory does not hold is left out.
    """
    began_s = time.monotonic()
    deadline_s = float("inf") if method.budget_s is None else began_s + method.budget_s
    tell = progress or silent
    sampler = Sampler(source, period_s=period_s, seed=method.seed) if has_sensor(source) else None
    trace = None
    if sampler is not None:
        sampler.start()
    try:
        looks, why_not = _first_looks(operations, pool, method, deadline_s, tell)
        chosen, beyond = _affordable(looks, method, deadline_s - time.monotonic())
        _run_rounds(chosen, method, deadline_s, tell)
        if sampler is not None:
            sampler.wait_past(time.monotonic())
    finally:
        trace = _stopped(sampler)
    why_not |= beyond
    measured = {look.operation.entry: look for look in looks}
    rows = [_row(operation, measured.get(operation.entry), trace, why_not.get(operation.entry)) for operation in operations]
    left_out = [f"{row['part']} ({row['op']}): {row['why_not']}" for row in rows if row["call_s"] is None]
    return MeasuredOperations(rows=rows, series=[] if trace is None else trace.rows(), left_out=left_out)


def _stopped(sampler: Sampler | None) -> PowerTrace | None:
    """The whole trace; None without a sensor, and where its thread failed: times stand alone then."""
    if sampler is None:
        return None
    try:
        return sampler.stop()
    except Exception:
        return None


def _first_looks(operations: Sequence[Alone], pool: Any, method: Method, deadline_s: float, tell: Progress) -> tuple[list[_Look], dict[int, str]]:
    """Every operation captured and run for a moment; why not, by entry, for those that were not."""
    looks: list[_Look] = []
    why_not: dict[int, str] = {}
    for operation in operations:
        if operation.why_not is not None:
            why_not[operation.entry] = operation.why_not
        elif time.monotonic() + method.look_s > deadline_s:
            why_not[operation.entry] = "time budget: over before a first look at it"
        else:
            tell(STAGE, 0.0, f"first look at {operation.part}")
            try:
                operation.capture(pool)
                looks.append(_look(operation, pool, method))
            except Exception as e:
                if not ran_out(e):
                    raise
                why_not[operation.entry] = "out of memory"
    return looks, why_not


def _look(operation: Alone, pool: Any, method: Method) -> _Look:
    ours_s = warm_up(operation, least_s=method.look_s, most_s=method.look_s).step_s
    turns = [_Turn(runner=operation, iteration_s=ours_s, window_s=method.window_s, tail_s=method.tail_s)]
    if method.library_window_s is None:
        return _Look(operation=operation, turns=tuple(turns), counterpart=None)
    counterpart = first_that_runs(operation, method.look_s)
    if counterpart.library is not None:
        turns.append(_Turn(runner=counterpart.library, iteration_s=counterpart.iteration_s, window_s=method.library_window_s, tail_s=0.0))
    return _Look(operation=operation, turns=tuple(turns), counterpart=counterpart)


def _affordable(looks: Sequence[_Look], method: Method, left_s: float) -> tuple[list[_Look], dict[int, str]]:
    """The operations with the largest shares of the step that fit into `left_s`, in the plan's order; of the others why not."""
    whole_s = sum(look.in_step_s for look in looks)
    chosen: list[_Look] = []
    beyond: dict[int, str] = {}
    for look in sorted(looks, key=lambda look: look.in_step_s, reverse=True):
        need_s = method.repeats * sum(turn.round_s(method) for turn in look.turns)
        if need_s <= left_s:
            left_s -= need_s
            chosen.append(look)
        else:
            share, call_us = look.in_step_s / whole_s, look.call_s * 1e6
            beyond[look.operation.entry] = f"time budget: {share:.1%} of the operations' time, {call_us:.4g} us a call at a first look"
    return sorted(chosen, key=lambda look: look.operation.entry), beyond  # a seed's orders must not depend on what the looks' noise ranked


def _run_rounds(looks: Sequence[_Look], method: Method, deadline_s: float, tell: Progress) -> None:
    """Windows of each operation. Each round in an order of its own, so that heat and neighbours' leftovers fall on all alike."""
    shuffle = random.Random(method.seed).shuffle
    round_s = 0.0
    for number in range(method.repeats):
        began_s = time.monotonic()
        if number and began_s + round_s > deadline_s:  # slower than the first look promised: fewer windows each, and their number is recorded
            break
        order = list(looks)
        shuffle(order)
        for place, look in enumerate(order):
            tell(STAGE, (number + place / len(order)) / method.repeats, f"{look.operation.part} {number + 1}/{method.repeats}")
            turns = list(look.turns)
            shuffle(turns)
            for turn in turns:
                turn.run(method)
        round_s = time.monotonic() - began_s


def _row(operation: Alone, look: _Look | None, trace: PowerTrace | None, why_not: str | None) -> dict[str, Any]:
    """`look`: None where not even a first look was had."""
    windows, *theirs = [turn.windows for turn in look.turns] if look is not None else [[]]
    calls = [window.steps * operation.calls_per_iteration for window in windows]
    joules, no_joules = _joules(trace, windows)
    return {
        "entry": operation.entry,
        "op": operation.op,
        "part": operation.part,
        "count": operation.count,
        "call_s": _figure("median", [window.busy_s / n for window, n in zip(windows, calls, strict=True)]),
        "call_j": _figure("mean", [energy_j / n for energy_j, n in zip(joules, calls, strict=True) if energy_j is not None]),
        "rotated": operation.rotated,
        "windows": [
            {"t_start_s": window.t_start_s, "t_end_s": window.t_end_s, "calls": n, "energy_j": energy_j}
            for window, n, energy_j in zip(windows, calls, joules, strict=True)
        ],
        "why_not": why_not or no_joules,
        **library_fields(look.counterpart if look is not None else None, windows, operation.calls_per_iteration, theirs[0] if theirs else ()),
    }


def _figure(middle: str, values: Sequence[float]) -> dict[str, Any] | None:
    """One value per window in short; None where there is none. `ci95` is of the mean."""
    if not values:
        return None
    interval = mean_interval(values)
    found = median(values) if middle == "median" else sum(values) / len(values)
    return {middle: found, "ci95": None if interval is None else list(interval), "n": len(values)}


def _joules(trace: PowerTrace | None, windows: Sequence[TimedWindow]) -> tuple[list[float | None], str | None]:
    """The board's energy in each window, idle power included, by one method for all of them. Where the recording failed: None each, and why."""
    nothing: list[float | None] = [None] * len(windows)
    if trace is None or not windows:
        return nothing, None
    energy = point_energy(trace, [Window(t_start_s=window.t_start_s, t_end_s=window.t_end_s) for window in windows])
    if energy.invalid_reasons:
        return nothing, f"no joules: {', '.join(energy.invalid_reasons)}"
    return nothing if energy.windows_j is None else list(energy.windows_j), None
