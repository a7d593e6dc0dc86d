"""Power of the host's CPUs as Linux tells it: RAPL zones, else the energy counters or power meters of hwmon. Boundary `cpu`, never a node's.

RAPL (docs.kernel.org/power/powercap): package-N zones and the dram zones below them; `core` and `uncore` lie inside a package, and `psys` holds packages and
more, so that adding them would count twice. AMD's CPUs show the same names. hwmon: `amd_energy` counts sockets (energyN_input, Esocket*); ACPI power meters of
Grace superchips name what they see in power1_oem_info, of which only the Grace or CPU socket is the host's: "Module Power Socket" holds the GPU too.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from profiler.power.source import PowerSample

SYSFS = Path("/sys/class")
MOST_CPU_GAP_S = 1.0  # the counters run on by themselves: a late sample loses only the edge's place
_WRAPS_AT_UJ = 1 << 32  # assumed of a zone that does not say its range


@dataclass(frozen=True, kw_only=True, slots=True)
class Counter:
    """Where one zone or socket is read. `range_uj`: where its microjoules begin again; None: the file holds microwatts."""

    name: str  # "rapl" or "hwmon"
    device: str
    file: Path
    range_uj: int | None


class CpuPower:
    """One counter or meter. A counter's wraps are taken out: its joules only grow."""

    kind = "measured"
    boundary = "cpu"
    most_gap_s = MOST_CPU_GAP_S
    sensor_accuracy: float | None = None  # nobody states one for the class
    invalid_reasons: tuple[str, ...] = ()

    def __init__(self, counter: Counter, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.name, self.device = counter.name, counter.device
        self.notes: dict[str, str] = {}
        self._file, self._range_uj, self._clock = counter.file, counter.range_uj, clock
        self._last_uj: int | None = None
        self._wrapped_uj = 0

    def sample(self) -> PowerSample:
        before_s = self._clock()
        value = _number(self._file)
        t_s = (before_s + self._clock()) / 2
        if value is None:
            self.notes["counter_j"] = f"{self._file} could not be read"
            return PowerSample(t_s=t_s)
        if self._range_uj is None:
            return PowerSample(t_s=t_s, instant_w=value / 1e6)
        if self._last_uj is not None and value < self._last_uj:
            self._wrapped_uj += self._range_uj
        self._last_uj = value
        return PowerSample(t_s=t_s, counter_j=(self._wrapped_uj + value) / 1e6)

    def close(self) -> None:
        """Nothing stays open."""


@dataclass(frozen=True, kw_only=True)
class Host:
    """What the host's CPUs can be read with. `unread`: why counters that are there cannot be; None where there are none."""

    sources: tuple[CpuPower, ...] = ()
    unread: str | None = None


def host_power(root: Path = SYSFS, *, clock: Callable[[], float] = time.monotonic) -> Host:
    """RAPL where it can be read, else hwmon. A counter that refuses is all counters': a sum without it would be too small."""
    unread = None
    for found in (list(_rapl(root / "powercap")), list(_hwmon(root / "hwmon"))):
        closed = [counter.file for counter in found if not os.access(counter.file, os.R_OK)]
        if closed:
            unread = unread or f"{closed[0]} may not be read; chmod a+r as administrator, or run as root"
        elif found:
            return Host(sources=tuple(CpuPower(counter, clock=clock) for counter in found))
    return Host(unread=unread)


def _rapl(powercap: Path) -> Iterator[Counter]:
    """Zones intel-rapl:N named package-N, and their dram zones intel-rapl:N:M. The same packages show a second time as intel-rapl-mmio, which is left."""
    for zone in sorted(powercap.glob("intel-rapl:*")):
        label = _text(zone / "name")
        if label.startswith("package-") or (label == "dram" and zone.name.count(":") == 2):
            device = label if label != "dram" else f"dram-{zone.name.split(':')[1]}"
            range_uj = _number(zone / "max_energy_range_uj") or _WRAPS_AT_UJ
            yield Counter(name="rapl", device=device, file=zone / "energy_uj", range_uj=range_uj)


def _hwmon(hwmon: Path) -> Iterator[Counter]:
    for chip in sorted(hwmon.glob("hwmon*")):
        name = _text(chip / "name")
        if name == "amd_energy":
            for label in sorted(chip.glob("energy*_label")):
                if _text(label).startswith("Esocket"):
                    file = label.with_name(label.name.replace("_label", "_input"))
                    yield Counter(name="hwmon", device=f"package-{_text(label).removeprefix('Esocket')}", file=file, range_uj=1 << 64)
        elif name == "power_meter":
            folder = chip if (chip / "power1_average").exists() else chip / "device"
            info = _text(folder / "power1_oem_info")
            if info.startswith("Grace Power Socket"):  # "CPU Power Socket" and "SysIO Power Socket" are parts of it
                yield Counter(name="hwmon", device=f"package-{info.rpartition(' ')[2]}", file=folder / "power1_average", range_uj=None)


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")[:200].strip()
    except OSError:
        return ""


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text.isascii() and text.isdecimal() else None
