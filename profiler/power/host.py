"""The power of the host's CPUs: whichever sensors this machine has."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from profiler.power.hwmon import hwmon_sockets
from profiler.power.rapl import rapl_zones
from profiler.power.source import PowerSource


@dataclass(frozen=True, kw_only=True)
class HostPower:
    """`sources`: one per zone or socket, to be summed. `unread`: why sensors that are there may not be read, with the fix; `reason`: why there are none."""

    sources: tuple[PowerSource, ...] = ()
    unread: str | None = None
    reason: str | None = None


def host_power(root: Path = Path("/sys"), *, clock: Callable[[], float] = time.monotonic) -> HostPower:
    """RAPL where it may be read, else hwmon. `root`: where /sys is."""
    zones, unread = rapl_zones(root, clock=clock)
    if zones:
        return HostPower(sources=tuple(zones))
    if sockets := hwmon_sockets(root, clock=clock):
        return HostPower(sources=tuple(sockets))
    return HostPower(unread=unread, reason=unread or "this CPU, kernel or container shows no RAPL zones and no hwmon sockets")
