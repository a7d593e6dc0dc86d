"""Energy of CPU packages and their memory by RAPL, as Linux shows it for Intel and AMD alike: /sys/class/powercap/intel-rapl:*.

Packages and their DRAM subzones are read. Not added are `core` and `uncore`, which are parts of their package, and `psys`, the whole platform, which holds
everything (Documentation/power/powercap in the Linux sources). The `intel-rapl-mmio` zones show the same packages again.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from profiler.power.running_counter import RunningCounter
from profiler.power.source import MOST_GAP_S, PowerSample

_ZONE = re.compile(r"intel-rapl:(\d+)(?::(\d+))?", re.ASCII)
_PACKAGE = re.compile(r"package-\d+(?:-die-\d+)?", re.ASCII)
UNREAD = "the CPU's energy counters need root (since CVE-2020-8694): chmod a+r /sys/class/powercap/intel-rapl*/energy_uj (administrator, until the next boot)"


class RaplZone:
    """One package or its memory. Its counter moves every millisecond; in microjoules."""

    name = "rapl"
    kind = "measured"
    boundary = "cpu"
    most_gap_s = MOST_GAP_S
    sensor_accuracy: float | None = None  # vendors state none for the counters
    invalid_reasons: tuple[str, ...] = ()

    def __init__(self, folder: Path, device: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.device = device
        self.notes: Mapping[str, str] = {}
        self._file = folder / "energy_uj"
        self._clock = clock
        range_uj = number_in(folder / "max_energy_range_uj")
        self._counter = RunningCounter(None if range_uj is None else range_uj / 1e6)

    def sample(self) -> PowerSample:
        before_s = self._clock()
        register_uj = number_in(self._file)
        t_s = (before_s + self._clock()) / 2
        if register_uj is None:
            self.notes = {"counter_j": f"{self._file} could not be read"}
            return PowerSample(t_s=t_s)
        return PowerSample(t_s=t_s, counter_j=self._counter.total_j(register_uj / 1e6, t_s))

    def close(self) -> None:
        """Nothing to close: the file is opened for each look."""


def rapl_zones(root: Path = Path("/sys"), *, clock: Callable[[], float] = time.monotonic) -> tuple[list[RaplZone], str | None]:
    """Every package and its DRAM; and, where there are some that may not be read, none and the reason with its fix."""
    powercap = root / "class" / "powercap"
    zones, labels = [], {}
    for folder in sorted(powercap.glob("intel-rapl:*")):
        zone, name = _ZONE.fullmatch(folder.name), text_in(folder / "name")
        if zone is None or name is None:
            continue
        if zone[2] is None and _PACKAGE.fullmatch(name):
            labels[zone[1]] = name
            zones.append((folder, name))
        elif zone[2] is not None and name == "dram" and zone[1] in labels:
            zones.append((folder, f"{labels[zone[1]]}-dram"))
    if any(number_in(folder / "energy_uj") is None for folder, _ in zones):
        return [], UNREAD
    return [RaplZone(folder, device, clock=clock) for folder, device in zones], None


def text_in(path: Path) -> str | None:
    """A sysfs file's one line; None where it is not there or may not be read."""
    try:
        with path.open("rb") as file:
            return file.read(256).decode(errors="replace").strip()
    except OSError:
        return None


def number_in(path: Path) -> int | None:
    """A sysfs file's whole number; None where it holds none."""
    text = text_in(path)
    return int(text) if text is not None and text.isascii() and text.isdigit() else None
