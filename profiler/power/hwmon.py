"""Power of CPUs where there is no RAPL: AMD's socket counters, and the meters of Grace superchips. /sys/class/hwmon, both read only."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from profiler.power.rapl import number_in, text_in
from profiler.power.running_counter import RunningCounter
from profiler.power.source import MOST_GAP_S, PowerSample

# amd_energy (Documentation/hwmon/amd_energy.rst): a 32-bit register of 2^-16 J, shown in uJ; the driver sums it up, older ones do not.
_AMD_RANGE_J = 2.0**32 / 2**16
# NVIDIA Grace Performance Tuning Guide, power telemetry: of a socket, "Grace Power Socket" holds "CPU Power Socket" and "SysIO Power Socket".
# "Module Power Socket" holds the GPU too: it is no CPU's and never added.
_WHOLE, _CORES = "Grace Power Socket", "CPU Power Socket"
_GRACE = re.compile(rf"({_WHOLE}|{_CORES}) (\d+)", re.ASCII)


class HwmonSocket:
    """One socket: an energy counter in uJ or mean power in uW."""

    name = "hwmon"
    kind = "measured"
    boundary = "cpu"
    most_gap_s = MOST_GAP_S
    sensor_accuracy: float | None = None
    invalid_reasons: tuple[str, ...] = ()

    def __init__(self, file: Path, device: str, *, is_energy: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self.device = device
        self.notes: Mapping[str, str] = {}
        self._file = file
        self._counter = RunningCounter(_AMD_RANGE_J) if is_energy else None
        self._clock = clock

    def sample(self) -> PowerSample:
        before_s = self._clock()
        micro = number_in(self._file)
        t_s = (before_s + self._clock()) / 2
        if micro is None:
            self.notes = {"power": f"{self._file} could not be read"}
            return PowerSample(t_s=t_s)
        if self._counter is not None:
            return PowerSample(t_s=t_s, counter_j=self._counter.total_j(micro / 1e6, t_s))
        return PowerSample(t_s=t_s, instant_w=micro / 1e6)

    def close(self) -> None:
        """Nothing to close: the file is opened for each look."""


def hwmon_sockets(root: Path = Path("/sys"), *, clock: Callable[[], float] = time.monotonic) -> list[HwmonSocket]:
    """Every socket's counter or meter, each watt once; those that cannot be read are left out with all of their kind."""
    devices = sorted((root / "class" / "hwmon").glob("hwmon*"))
    amd = [found for device in devices if text_in(device / "name") == "amd_energy" for found in _amd_files(device)]
    files = amd or _grace_files([device for device in devices if text_in(device / "name") == "power_meter"])
    if any(number_in(file) is None for file, _ in files):
        return []
    return [HwmonSocket(file, label, is_energy=bool(amd), clock=clock) for file, label in files]


def _amd_files(device: Path) -> list[tuple[Path, str]]:
    """Of `Esocket0` and `Ecore000` only the sockets: cores are parts of them."""
    found = []
    for label_file in sorted(device.glob("energy*_label")):
        label = text_in(label_file) or ""
        if (socket := re.fullmatch(r"Esocket(\d+)", label, re.ASCII)) is not None:
            found.append((label_file.with_name(label_file.name.replace("_label", "_input")), f"socket-{int(socket[1])}"))
    return found


def _grace_files(devices: list[Path]) -> list[tuple[Path, str]]:
    """Of each socket its whole power, or that of its cores where only this is shown."""
    by_socket: dict[int, dict[str, Path]] = {}
    for device in devices:
        for folder in (device, device / "device"):  # the driver's files lie under either, by kernel
            told = _GRACE.fullmatch(text_in(folder / "power1_oem_info") or "")
            if told is not None:
                by_socket.setdefault(int(told[2]), {}).setdefault(told[1], folder / "power1_average")
    return [(meters.get(_WHOLE, meters.get(_CORES, Path())), f"socket-{socket}") for socket, meters in sorted(by_socket.items())]
