"""Which known loads a sensor trial runs, for how long, and what goes when time is short. Importable without torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from profiler.sensors.recording import Times

IDLE, SQUARE, STEADY, DECODE = "idle", "square steps", "bf16 spread", "decode spread"
RATED = ("bf16", "read", "copy", "fp8")  # each a stage of its own, of most use first


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """Seconds of a whole trial's parts, and the sizes of its loads."""

    look_s: tuple[float, float]  # between looks at the sensors: shortest and longest
    quiet_s: float  # without any work, a context made
    rest_s: float  # idle before each load
    load_s: float
    step_s: float  # of each half of a square step, and
    jitter_s: float  # up to so much more, so that steps come at all phases of a sensor's cycle
    steps: int  # up, and as many down
    cold_s: float  # idle before the long steady load
    steady_s: float
    build_s: float  # of a model: weights, compilation, graphs; a guess
    decode: tuple[int, int]  # batch, context
    times: Times = field(default_factory=Times)

    @property
    def square_s(self) -> float:
        return (2 * self.steps + 1) * (self.step_s + self.jitter_s / 2)


# cuda: 60 s of windows in two halves hold three of 10 s each; 8 s of load leave 6 s of settled watts, 60 ticks of a counter of 100 ms. Looks of 5 to 8 ms place
# a tick to 4 ms. cpu: a rehearsal.
SCHEDULES = {
    "cuda": Schedule(
        look_s=(0.005, 0.008), quiet_s=8.0, rest_s=3.0, load_s=8.0, step_s=1.5, jitter_s=0.1, steps=10, cold_s=10.0, steady_s=62.5, build_s=45.0,
        decode=(32, 4096),
    ),
    "cpu": Schedule(
        look_s=(0.005, 0.008), quiet_s=0.3, rest_s=0.05, load_s=0.3, step_s=0.1, jitter_s=0.02, steps=2, cold_s=0.1, steady_s=1.0, build_s=1.0,
        decode=(2, 64), times=Times(settle_s=0.05, level_s=0.05, burst_s=0.05, tail_s=0.05, windows_s=(0.1, 0.2, 0.4)),
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """A part of the trial. `fixed_s`: before it can begin; `full_s`: all that it can use then; `least`: the share of `full_s` below which it says nothing."""

    name: str
    full_s: float
    least: float
    fixed_s: float = 0.0

    @property
    def least_s(self) -> float:
        return self.fixed_s + self.least * self.full_s


def items(schedule: Schedule, *, model: bool) -> list[Item]:
    """All parts, the most valuable first: in this order they run, and from the other end they are left out."""
    stages = [Item(name=name, full_s=schedule.rest_s + schedule.load_s, least=0.45) for name in RATED]
    long_s = schedule.cold_s + schedule.steady_s
    return [
        Item(name=IDLE, full_s=schedule.quiet_s, least=0.5),
        stages[0],
        Item(name=SQUARE, full_s=schedule.square_s, least=0.4),
        *stages[1:],
        Item(name=STEADY, full_s=long_s, least=0.3),
        *([Item(name=DECODE, full_s=long_s, least=0.3, fixed_s=schedule.build_s)] if model else []),
    ]


def shares(wanted: Sequence[Item], left_s: float) -> list[float]:
    """The share of its `full_s` that each gets; 0: it is left out. From the last on they go until what is left holds the least of all others; what is then over
    goes to the first until it is full, then to the next."""
    kept = len(wanted)
    while kept and sum(item.least_s for item in wanted[:kept]) > left_s:
        kept -= 1
    over_s = left_s - sum(item.least_s for item in wanted[:kept])
    found = []
    for item in wanted[:kept]:
        more_s = min(over_s, item.full_s * (1 - item.least))
        over_s -= more_s
        found.append(item.least + more_s / item.full_s)
    return found + [0.0] * (len(wanted) - kept)
