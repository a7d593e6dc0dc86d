"""What a trial of a board's sensors recorded: every look at them, and which known load ran when. On one monotonic clock."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from operator import attrgetter
from typing import Any

from profiler.power.source import PowerSample, PowerTrace
from profiler.power.window import Window

STAGE, HIGH, LOW, STEADY = "stage", "high", "low", "steady"  # a stretch's part in the trial
_AROUND_S = 1.0  # more than the longest gap that a reading allows


@dataclass(frozen=True, kw_only=True, slots=True)
class Times:
    """How a trial's stretches are read. Seconds."""

    settle_s: float = 2.0  # of a load, before its watts count: sensors average over up to 1 s, boards take about 2 s (GPU_Power_Benchmark: H100 rises in 0.9 s)
    level_s: float = 0.4  # of a square step's end: the level that it settled at, whatever an average of 1 s still remembers
    burst_s: float = 0.5  # of a load's beginning: its burst rate
    tail_s: float = 0.15  # of a load's end that no window counts, so that the sample which brackets the last one still sees the load
    windows_s: tuple[float, ...] = (2.0, 5.0, 10.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Stretch:
    """One load from its beginning to its end. `marks`: (time, calls done by then), the first with 0. `per_call`: bytes, FLOP or steps of one call."""

    part: str  # STAGE, HIGH or LOW (square steps: load and none in turn), STEADY
    load: str  # "idle", "read", "copy", "bf16", "fp8", or a model's step
    window: Window
    unit: str | None = None  # of the rate: "bytes/s", "FLOP/s", "step/s"
    per_call: float | None = None
    marks: tuple[tuple[float, float], ...] = ()

    def json(self) -> dict[str, Any]:
        return asdict(self)


def stretch_of(values: Mapping[str, Any]) -> Stretch:
    """The Stretch whose `json` this is."""
    marks = tuple((float(t_s), float(calls)) for t_s, calls in values["marks"])
    window = Window(t_start_s=float(values["window"]["t_start_s"]), t_end_s=float(values["window"]["t_end_s"]))
    return Stretch(**{**values, "window": window, "marks": marks})


@dataclass(frozen=True, kw_only=True)
class Recording:
    """A trial as far as it went. `call_s`: seconds that each look took, whatever it answered."""

    trace: PowerTrace
    stretches: tuple[Stretch, ...] = ()
    call_s: tuple[float, ...] = ()
    times: Times = Times()

    def parts(self, *names: str) -> list[Stretch]:
        """The stretches of these parts, in their order of time."""
        return [s for s in self.stretches if s.part in names]


def around(trace: PowerTrace, window: Window) -> PowerTrace:
    """The trace with no more samples than a reading of this window looks at: minutes of looks every few milliseconds are many."""
    first = bisect_left(trace.samples, window.t_start_s - _AROUND_S, key=attrgetter("t_s"))
    last = bisect_right(trace.samples, window.t_end_s + _AROUND_S, key=attrgetter("t_s"))
    return replace(trace, samples=trace.samples[first:last])


def known(samples: Sequence[PowerSample], figure: str) -> list[tuple[float, float]]:
    """(time, value) of the looks that this figure answered."""
    return [(s.t_s, float(value)) for s in samples if (value := getattr(s, figure)) is not None]
