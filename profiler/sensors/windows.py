"""How far joules per step of one steady load are apart from window to window, by the length of the windows, on a board just idle and on one that is warm."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from operator import itemgetter
from statistics import fmean, stdev
from typing import Any

from profiler.power.energy import PointEnergy, point_energy
from profiler.power.probe import Probe
from profiler.power.source import PowerTrace
from profiler.power.window import Window
from profiler.sensors.recording import STEADY, Recording, Stretch, around, known
from profiler.sensors.ticks import update_spread

LEAST_WINDOWS = 3  # for a spread


def window_rows(recording: Recording) -> list[dict[str, Any]]:
    """A row per steady load, window length, and half of the load: the first, whose board had been idle before, and the second, soaked by the first.

    `j_per_step`: the mean over the windows; `cv`: their standard deviation over it, None below three windows; `temperature_c`: when the first began and the
    last ended, None where it was not read. A length of which no window has joules has no row.
    """
    steady = recording.parts(STEADY)
    trace = recording.trace
    if not steady or trace.kind is None:
        return []
    period_s = _point_period_s(trace)
    rows = []
    for load in steady:
        seen = as_a_point_samples(around(trace, load.window), period_s)
        for soaked, half in enumerate(_halves(load, recording)):
            rows += [row for length_s in recording.times.windows_s if (row := _row(seen, load, half, length_s, soaked=bool(soaked))) is not None]
    return rows


def _point_period_s(trace: PowerTrace) -> tuple[float, float]:
    """The sampling period that a run would choose for this board (profiler.power.probe)."""
    found = {figure: update_spread(trace.samples, figure) for figure in ("counter_j", "instant_w")}
    counter_s, power_s = (None if spread is None else spread["median"] for spread in found.values())
    return Probe(counter_s=counter_s, power_s=power_s, samples=()).period_s


def as_a_point_samples(trace: PowerTrace, period_s: tuple[float, float], *, seed: int = 0) -> PowerTrace:
    """The looks that a point's sampler would have taken, one each jittered `period_s`: spreads are to be those of points, not of looks ten times as dense.
    Where a look answered nothing, the next that did counts."""
    rng, due_s, taken = random.Random(seed), float("-inf"), []
    for sample in trace.samples:
        if sample.t_s >= due_s and sample.readable:
            taken.append(sample)
            due_s = sample.t_s + rng.uniform(*period_s)
    return replace(trace, samples=tuple(taken))


def _halves(load: Stretch, recording: Recording) -> tuple[Window, Window]:
    """What follows the settling, in two equal parts; the end that no window counts left out."""
    start_s, end_s = load.window.t_start_s + recording.times.settle_s, load.window.t_end_s - recording.times.tail_s
    middle_s = (start_s + end_s) / 2
    return Window(t_start_s=start_s, t_end_s=middle_s), Window(t_start_s=middle_s, t_end_s=end_s)


def _row(trace: PowerTrace, load: Stretch, half: Window, length_s: float, *, soaked: bool) -> dict[str, Any] | None:
    n = int(half.duration_s / length_s + 1e-9)
    windows = [Window(t_start_s=half.t_start_s + i * length_s, t_end_s=half.t_start_s + (i + 1) * length_s) for i in range(n)]
    energy = point_energy(trace, windows) if windows else PointEnergy(power_source="none")
    if energy.windows_j is None:
        return None
    joules = [j / steps for j, w in zip(energy.windows_j, windows, strict=True) if (steps := _steps(load, w)) > 0]
    if not joules:
        return None
    mean_j = fmean(joules)
    degrees = [celsius for t_s, celsius in known(trace.samples, "temperature_c") if half.holds(t_s)]
    return {
        "load": load.load,
        "window_s": length_s,
        "soaked": soaked,
        "n": len(joules),
        "j_per_step": mean_j,
        "cv": stdev(joules) / mean_j if len(joules) >= LEAST_WINDOWS and mean_j > 0 else None,
        "method": energy.method,
        "temperature_c": [degrees[0], degrees[-1]] if degrees else None,
    }


def _steps(load: Stretch, window: Window) -> float:
    return _done(load.marks, window.t_end_s) - _done(load.marks, window.t_start_s)


def _done(marks: Sequence[tuple[float, float]], t_s: float) -> float:
    """Calls done by then, those under way by their share of a block."""
    after = bisect_right(marks, t_s, key=itemgetter(0))
    if after == 0 or after == len(marks):
        return 0.0 if after == 0 else marks[-1][1]
    (early_s, early), (late_s, late) = marks[after - 1], marks[after]
    return early + (late - early) * (t_s - early_s) / (late_s - early_s)
