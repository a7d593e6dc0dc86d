"""How much of the CPUs others used beside us. A steady neighbour is no noise: windows agree, and are all slow."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

# /proc/stat, first line, in ticks: user nice system idle iowait irq softirq steal (then guest times, which user and nice hold already). proc(5).
_IDLE, _IOWAIT, _COUNTED = 3, 4, 8
NOTICEABLE = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class CpuTimes:
    """Seconds of CPU time since boot: all that was busy or stolen, and this process's own, at one moment."""

    t_s: float
    busy_s: float
    own_s: float


def cpu_times(stat: Path = Path("/proc/stat"), clock: Callable[[], float] = time.monotonic) -> CpuTimes | None:
    """The times now; None where the system does not tell (no /proc)."""
    try:
        ticks = [int(word) for word in stat.read_text().split("\n", 1)[0].split()[1 : 1 + _COUNTED]]
    except (OSError, ValueError):
        return None
    if len(ticks) < _COUNTED:
        return None
    busy = sum(ticks) - ticks[_IDLE] - ticks[_IOWAIT]
    own = os.times()
    return CpuTimes(t_s=clock(), busy_s=busy / os.sysconf("SC_CLK_TCK"), own_s=own.user + own.system)


def others_share(before: CpuTimes | None, after: CpuTimes | None, cpus: int) -> float | None:
    """Share of all CPUs' time that was not ours, 0 to 1. None where it was not read."""
    if before is None or after is None or after.t_s <= before.t_s:
        return None
    others_s = (after.busy_s - before.busy_s) - (after.own_s - before.own_s)
    return min(1.0, max(0.0, others_s / ((after.t_s - before.t_s) * cpus)))


def load_warnings(share: float | None) -> list[str]:
    """What to know of a CPU's point; nothing below 5 %."""
    return [f"other_load: other processes took {share:.0%} of the CPUs during the windows"] if share is not None and share >= NOTICEABLE else []
