"""The wall clock beside the monotonic one: only a meter's file needs it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

MOST_SKEW_S = 0.8  # MLPerf Power: the clocks of the meter and of the system under test agree within 800 ms


@dataclass(frozen=True, kw_only=True, slots=True)
class ClockAnchor:
    """One moment on both clocks."""

    monotonic_s: float
    unix_s: float

    @property
    def offset_s(self) -> float:
        return self.unix_s - self.monotonic_s


def anchor(*, monotonic: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time) -> ClockAnchor:
    """Now, on both clocks; the wall clock is read between two looks at the other, which are nearest together of a few."""
    looks = [(monotonic(), wall(), monotonic()) for _ in range(3)]
    before_s, unix_s, after_s = min(looks, key=lambda look: look[2] - look[0])
    return ClockAnchor(monotonic_s=(before_s + after_s) / 2, unix_s=unix_s)


def drift_s(start: ClockAnchor, end: ClockAnchor) -> float:
    """By how much the wall clock moved against the monotonic one: NTP steps the one and never the other."""
    return end.offset_s - start.offset_s
