"""A board that knows the truth: what it draws, what its sensors make of that, and how they fail. On a virtual clock, so that minutes take milliseconds.

Behaviour and figures are those of boards in public recordings: sensors that look at 25 ms of every 100 ms (A100, H100: arXiv 2312.02741), power averaged over
1 s or following exponentially, an energy counter that steps every 10 to 100 ms, in whole millijoules, and a gain that is off by some per cent.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

from profiler.power.nvml import NvmlPower, open_nvml
from profiler.power.source import PowerSample, PowerTrace, trace_of
from profiler.power.window import Window


@dataclass(frozen=True, kw_only=True)
class Load:
    """Watts over time: steps (from a time on so many watts), and from `wave_from_s` on a square wave of `wave_w` more for `duty` of each period."""

    steps: tuple[tuple[float, float], ...]  # (from t_s, watts), in order; the first begins at 0
    wave_w: float = 0.0
    period_s: float = 1.0
    duty: float = 0.5
    wave_from_s: float = 0.0
    shifts: tuple[tuple[float, float], ...] = ()  # (from t_s, the wave's phase from then on): work that paused between windows
    _energies: list[float] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        spans = [(b - a) * w for (a, w), (b, _) in zip(self.steps, self.steps[1:], strict=False)]
        self._energies.extend(accumulate(spans, initial=0.0))

    def energy_j(self, t: float) -> float:
        """Joules since 0, in closed form; before 0 the first step's watts."""
        i = max(0, bisect_right(self.steps, (t, math.inf)) - 1)
        joules = self._energies[i] + (t - self.steps[i][0]) * self.steps[i][1]
        return joules + self.wave_w * self._on_s(t) if self.wave_w and t > self.wave_from_s else joules

    def _on_s(self, t: float) -> float:
        """Seconds that the wave was on until t."""
        begins = [(self.wave_from_s, 0.0), *self.shifts]
        total_s = 0.0
        for i, (start_s, phase_s) in enumerate(begins):
            if t <= start_s:
                break
            end_s = min(t, begins[i + 1][0]) if i + 1 < len(begins) else t
            total_s += self._wave(end_s - start_s + phase_s) - self._wave(phase_s)
        return total_s

    def _wave(self, t: float) -> float:
        whole, part = divmod(t, self.period_s)
        return whole * self.duty * self.period_s + min(part, self.duty * self.period_s)


@dataclass(kw_only=True)
class FakeBoard:
    """One GPU. `sees_s` of every `cycle_s` are sampled, by power and by the counter alike; `gain` multiplies both (`power_gain` the powers alone)."""

    load: Load
    tick_s: float = 0.1
    tick_phase_s: float = 0.0
    cycle_s: float = 0.1
    sees_s: float = 0.025
    cycle_phase_s: float = 0.0
    gain: float = 1.0
    power_gain: float = 1.0
    average: str = "boxcar"  # or "exponential"
    average_s: float = 1.0
    rest_w: Callable[[float], float] | None = None  # the module's other part; its counter then counts the module
    module_counter: bool = False
    reset_at_s: float | None = None
    now_s: float = 0.0

    def true_j(self, window: Window) -> float:
        return self.load.energy_j(window.t_end_s) - self.load.energy_j(window.t_start_s)

    def _mean_w(self, t: float, width_s: float) -> float:
        return (self.load.energy_j(t) - self.load.energy_j(t - width_s)) / width_s

    def _look(self, t: float) -> int:
        """The number of the sensor's last finished look before t."""
        return math.floor((t - self.cycle_phase_s) / self.cycle_s + 1e-9)

    def _seen_w(self, look: int) -> float:
        return self._mean_w(look * self.cycle_s + self.cycle_phase_s, self.sees_s)

    def instant_w(self, t: float) -> float:
        return self.gain * self.power_gain * self._seen_w(self._look(t))

    def average_w(self, t: float) -> float:
        if self.average == "boxcar":
            return self.gain * self.power_gain * self._mean_w(t, self.average_s)
        weights = [math.exp(-age * 0.02 / self.average_s) for age in range(250)]
        return self.gain * self.power_gain * sum(w * self._mean_w(t - 0.02 * age, 0.02) for age, w in enumerate(weights)) / sum(weights)

    def counter_j(self, t: float) -> float:
        """What the counter has counted at its last tick: exact where the sensor never looks away, else each look for its whole cycle."""
        tick_s = math.floor((t - self.tick_phase_s) / self.tick_s + 1e-9) * self.tick_s + self.tick_phase_s
        joules = self._counted_j(tick_s)
        if self.module_counter and self.rest_w is not None:
            joules += self.rest_w(tick_s) * tick_s
        if self.reset_at_s is not None and tick_s >= self.reset_at_s:
            joules -= self._counted_j(self.reset_at_s)
        return self.gain * joules

    def _counted_j(self, t: float) -> float:
        if self.sees_s >= self.cycle_s:
            return self.load.energy_j(t)
        cached, last = self._sums, self._look(t)
        while len(cached) <= last:
            cached.append(cached[-1] + self.cycle_s * self._seen_w(len(cached) - 1))
        since_s = t - (last * self.cycle_s + self.cycle_phase_s)
        return cached[max(last, 0)] + since_s * self._seen_w(max(last, 0))

    def __post_init__(self) -> None:
        self._sums = [0.0]

    def plug_into(self, nvml: Any, *, lost_at_s: float | None = None, locked_at_s: float | None = None, swapped_at_s: float | None = None) -> NvmlPower:
        """This board behind the scripted NVML of conftest.py, on this board's clock. From `lost_at_s` on it is off the bus, from `locked_at_s` on nobody has
        permission, at `swapped_at_s` another board takes its place."""
        nvml.clock = lambda: self.now_s
        nvml.counter_mj = lambda t: round(self.counter_j(t) * 1000)
        nvml.fields = {(186, 0): lambda t: round(self.instant_w(t) * 1000), (185, 0): lambda t: round(self.average_w(t) * 1000)}
        if self.rest_w is not None:
            nvml.fields[186, 1] = lambda t: round((self.instant_w(t) + self.rest_w(t)) * 1000)
        call = nvml._call

        def guarded(name: str) -> None:
            if swapped_at_s is not None and self.now_s >= swapped_at_s:
                nvml.uuids[0] = "GPU-another"
            for at_s, code in ((lost_at_s, 15), (locked_at_s, 4)):
                if at_s is not None and self.now_s >= at_s:
                    raise nvml.NVMLError(code)
            call(name)

        nvml._call = guarded
        source = open_nvml(nvml=nvml, environ={})
        assert isinstance(source, NvmlPower)
        source._clock = lambda: self.now_s
        return source

    def recorded(self, source: NvmlPower, *, until_s: float, from_s: float = 1.0, seed: int = 0, period_s: tuple[float, float] = (0.05, 0.1)) -> PowerTrace:
        """A trace through the real source, sampled as the sampler's thread would."""
        rng, taken = random.Random(seed), []
        self.now_s = from_s
        while self.now_s < until_s:
            taken.append(source.sample())
            self.now_s += rng.uniform(*period_s)
        return trace_of(source, (*taken, source.sample()))

    def trace(self, *, until_s: float, from_s: float = 1.0, seed: int = 0, period_s: tuple[float, float] = (0.05, 0.1)) -> PowerTrace:
        """The same without NVML in between: for hundreds of seeds."""
        rng, taken, t = random.Random(seed), [], from_s
        while t < until_s + period_s[1]:
            module_w = None if self.rest_w is None else self.instant_w(t) + self.rest_w(t)
            taken.append(PowerSample(t_s=t, counter_j=round(self.counter_j(t), 3), instant_w=round(self.instant_w(t), 3), module_w=module_w))
            t += rng.uniform(*period_s)
        return PowerTrace(source="nvml", kind="measured", sensor_accuracy=0.05, samples=tuple(taken))


def rapl_tree(root: Path, zones: dict[str, tuple[str, int, int]]) -> Path:
    """A /sys with powercap zones: folder name -> (name, energy in uJ, range in uJ)."""
    for folder, (name, energy_uj, range_uj) in zones.items():
        place = root / "class" / "powercap" / folder
        place.mkdir(parents=True, exist_ok=True)
        (place / "name").write_text(f"{name}\n")
        (place / "energy_uj").write_text(f"{energy_uj}\n")
        (place / "max_energy_range_uj").write_text(f"{range_uj}\n")
    return root


def hwmon_tree(root: Path, name: str, files: dict[str, str], *, number: int = 0) -> Path:
    """A /sys with one hwmon device."""
    place = root / "class" / "hwmon" / f"hwmon{number}"
    place.mkdir(parents=True, exist_ok=True)
    (place / "name").write_text(f"{name}\n")
    for file, text in files.items():
        (place / file).parent.mkdir(exist_ok=True)
        (place / file).write_text(f"{text}\n")
    return root
