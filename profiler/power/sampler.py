"""The thread that samples power while a step runs. It only appends; what the samples mean is worked out afterwards in `energy`."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from profiler.power.source import PowerSample, PowerSource, PowerTrace, trace_of
from profiler.power.window import Window

# Polling NVML faster than 50 ms may return errors or zeros (Zeus, PowerMonitor); the period is jittered so that it never beats with a periodic load.
PERIOD_S = (0.05, 0.1)
LATE_S = 0.1  # a whole period of the slowest sampling
MOST_LATE_S = 0.5  # later than this the process was held back, and its clocks with it: the point is `sampler_late`


@dataclass(frozen=True, kw_only=True, slots=True)
class Lateness:
    """How far samples came behind their intended time: the largest delay, and the share of samples over LATE_S."""

    largest_s: float
    share: float
    n: int

    @property
    def too_late(self) -> bool:
        return self.largest_s > MOST_LATE_S


class Sampler:
    """Samples `board` and `others` in turn, each with its own stamps, from `start` to `stop` on a daemon thread. The measuring thread never calls a sensor."""

    def __init__(self, board: PowerSource, *others: PowerSource, period_s: tuple[float, float] = PERIOD_S, seed: int = 0) -> None:
        shortest_s, longest_s = period_s
        assert 0 < shortest_s <= longest_s, period_s
        self._sources = (board, *others)
        self._period_s = period_s
        self._random = random.Random(seed)
        self._samples: list[list[PowerSample]] = [[] for _ in self._sources]
        self._delays: list[tuple[float, float]] = []  # when a sample was due, and how long after that it came
        self._stopping = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="power-sampler", daemon=True)

    def start(self) -> None:
        """Returns once the first samples are there, so that whatever follows is bracketed."""
        self._sample()
        self._thread.start()

    def stop(self) -> PowerTrace:
        """Ends the thread, takes one last sample of each so that the last window is bracketed, and returns the board's whole trace."""
        self._stopping.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure
        self._sample()
        return self.trace()

    def trace(self) -> PowerTrace:
        """All samples of the board so far."""
        return self.traces()[0]

    def traces(self) -> tuple[PowerTrace, ...]:
        """All samples so far, of each source in the order given."""
        return tuple(trace_of(source, tuple(taken)) for source, taken in zip(self._sources, self._samples, strict=True))

    def lateness(self, windows: Sequence[Window] = ()) -> Lateness:
        """Of the samples that were due inside `windows`; of all without any."""
        delays = [late_s for due_s, late_s in self._delays if not windows or any(w.t_start_s <= due_s <= w.t_end_s for w in windows)]
        if not delays:
            return Lateness(largest_s=0.0, share=0.0, n=0)
        return Lateness(largest_s=max(delays), share=sum(late_s > LATE_S for late_s in delays) / len(delays), n=len(delays))

    def wait_past(self, t_s: float, *, most_s: float | None = None) -> None:
        """Waits until a sample of every source later than `t_s` is there, at most `most_s`: by default 1 s, or as long as the slowest source allows."""
        until_s = time.monotonic() + (max(1.0, *(s.most_gap_s for s in self._sources)) if most_s is None else most_s)
        while min(taken[-1].t_s for taken in self._samples) <= t_s and time.monotonic() < until_s and self._failure is None:
            time.sleep(0.005)

    def _run(self) -> None:
        try:
            due_s = time.monotonic()
            while True:
                # From when the last was due, or taken where it was late: a sensor that answers slowly is as late as one that is asked late.
                due_s += self._random.uniform(*self._period_s)
                if self._stopping.wait(max(0.0, due_s - time.monotonic())):
                    return
                late_s = time.monotonic() - due_s
                self._delays.append((due_s, late_s))
                due_s += late_s
                self._sample()
        except BaseException as e:  # kept for `stop`, which raises it on the thread that asked
            self._failure = e

    def _sample(self) -> None:
        for source, taken in zip(self._sources, self._samples, strict=True):
            sample = source.sample()
            if not taken or sample is not taken[-1]:  # a source without news gives its last sample again
                taken.append(sample)
