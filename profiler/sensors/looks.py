"""A power source looked at every few milliseconds: how long each look took, and no single look's failure ends the recording."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from profiler.power.source import PowerSample, PowerSource


class TimedSource:
    """`source`, each `sample()` timed into `call_s` (seconds). A look that raises answers nothing."""

    def __init__(self, source: PowerSource, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._clock = clock
        self.call_s: list[float] = []

    @property
    def name(self) -> str:
        return self._source.name

    @property
    def kind(self) -> str | None:
        return self._source.kind

    @property
    def device(self) -> str:
        return self._source.device

    @property
    def boundary(self) -> str:
        return self._source.boundary

    @property
    def most_gap_s(self) -> float:
        return self._source.most_gap_s

    @property
    def sensor_accuracy(self) -> float | None:
        return self._source.sensor_accuracy

    @property
    def notes(self) -> Mapping[str, str]:
        return self._source.notes

    @property
    def invalid_reasons(self) -> tuple[str, ...]:
        return self._source.invalid_reasons

    def sample(self) -> PowerSample:
        before_s = self._clock()
        try:
            sample = self._source.sample()
        except Exception:  # hasty polling may break what a driver or its bindings promise; the share of unanswered looks says so
            sample = PowerSample(t_s=self._clock())
        self.call_s.append(self._clock() - before_s)
        return sample

    def close(self) -> None:
        self._source.close()
