"""Power that no sensor of this machine gives: declared by the user, or absent with a reason."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping

from profiler.power.source import MOST_GAP_S, PowerSample
from triton_kernels.errors import TokenmillError


class DeclaredPower:
    """A constant number of watts that the user states (`--watts`). Every figure made from it is `assumed`."""

    name = "declared"
    kind = "assumed"
    device, boundary = "node", "node"
    most_gap_s = MOST_GAP_S
    sensor_accuracy: float | None = None
    invalid_reasons: tuple[str, ...] = ()

    def __init__(self, watts: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        if not math.isfinite(watts) or not 0 < watts <= 1e6:
            raise TokenmillError(f"--watts {watts:g}: should be a positive number of watts (at most 1,000,000)")
        self.watts = watts
        self.notes: Mapping[str, str] = {}
        self._clock = clock

    def sample(self) -> PowerSample:
        return PowerSample(t_s=self._clock(), instant_w=self.watts)

    def close(self) -> None:
        """Nothing to close."""


class NoPower:
    """No power at all. `reason` says why, and goes into the point's warnings."""

    name = "none"
    kind = None
    boundary = "board"
    most_gap_s = MOST_GAP_S
    sensor_accuracy: float | None = None

    def __init__(self, reason: str, *, device: str = "gpu0", invalid_reasons: tuple[str, ...] = (), clock: Callable[[], float] = time.monotonic) -> None:
        self.reason = reason
        self.device = device
        self.notes: Mapping[str, str] = {"power": reason}
        self.invalid_reasons = invalid_reasons
        self._clock = clock

    def sample(self) -> PowerSample:
        return PowerSample(t_s=self._clock())

    def close(self) -> None:
        """Nothing to close."""
