"""The thread that samples power while a step runs. It only appends; what the samples mean is worked out afterwards in `energy`."""

from __future__ import annotations

import random
import threading
import time

from profiler.power.source import PowerSample, PowerSource, PowerTrace, trace_of

# Polling NVML faster than 50 ms may return errors or zeros (Zeus, PowerMonitor); the period is jittered so that it never beats with a periodic load.
PERIOD_S = (0.05, 0.1)


class Sampler:
    """Samples `source` from `start` to `stop` on a daemon thread. The measuring thread never calls the sensor."""

    def __init__(self, source: PowerSource, *, period_s: tuple[float, float] = PERIOD_S, seed: int = 0) -> None:
        shortest_s, longest_s = period_s
        assert 0 < shortest_s <= longest_s, period_s
        self._source = source
        self._period_s = period_s
        self._random = random.Random(seed)
        self._samples: list[PowerSample] = []
        self._stopping = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="power-sampler", daemon=True)

    def start(self) -> None:
        """Returns once the first sample is there, so that whatever follows is bracketed."""
        self._samples.append(self._source.sample())
        self._thread.start()

    def stop(self) -> PowerTrace:
        """Ends the thread, takes one last sample so that the last window is bracketed, and returns the whole trace."""
        self._stopping.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure
        self._samples.append(self._source.sample())
        return self.trace()

    def trace(self) -> PowerTrace:
        """All samples so far."""
        return trace_of(self._source, tuple(self._samples))

    def wait_past(self, t_s: float, *, most_s: float = 1.0) -> None:
        """Waits until a sample later than `t_s` is there, at most `most_s`."""
        until_s = time.monotonic() + most_s
        while self._samples[-1].t_s <= t_s and time.monotonic() < until_s and self._failure is None:
            time.sleep(0.005)

    def _run(self) -> None:
        try:
            while not self._stopping.wait(self._random.uniform(*self._period_s)):
                self._samples.append(self._source.sample())
        except BaseException as e:  # kept for `stop`, which raises it on the thread that asked
            self._failure = e
