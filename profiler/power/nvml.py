"""Power of NVIDIA GPUs through NVML: the total energy counter, power by scope, clocks, temperature, event reasons with their time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from profiler.power.declared import NoPower
from profiler.power.nvml_device import INVALID_ARGUMENT, GpuState, NvmlDevice, PowerRefusedError, import_nvml, visible_gpus
from profiler.power.source import MOST_GAP_S, PowerSample

# nvml.h. Since Ampere nvmlDeviceGetPowerUsage is a 1 s average; these two fields say which is which. Both in milliwatts.
POWER_AVERAGE, POWER_INSTANT = 185, 186
# nvmlPowerScopeType_t. The GPU scope is the board's GPU; the module's (GH200, GB200, GB300) holds the CPU too; GB300 has the memory's average only.
GPU, MODULE, MEMORY = 0, 1, 2
# nvml.h, NVML_FI_DEV_CLOCKS_EVENT_REASON_*: time that clocks were held back, in nanoseconds. 74 is NVML_FI_DEV_PERF_POLICY_POWER of older headers.
_HELD_BACK = {"sw_power_cap_s": 74, "sw_thermal_s": 269, "hw_thermal_s": 270, "hw_power_brake_s": 271}
# Everything that one nvmlDeviceGetFieldValues is asked for: (figure, field, scope). Of two rows with one figure the first that answers counts.
_WANTED = (
    ("instant_w", POWER_INSTANT, GPU),
    ("average_w", POWER_AVERAGE, GPU),
    ("module_w", POWER_INSTANT, MODULE),
    ("module_w", POWER_AVERAGE, MODULE),
    ("memory_w", POWER_INSTANT, MEMORY),
    ("memory_w", POWER_AVERAGE, MEMORY),
    *((figure, field, 0) for figure, field in _HELD_BACK.items()),
)
_EXPECTED = ("instant_w", "average_w")  # of every board; who lacks another figure lacks nothing that needs a note
_SM_CLOCK, _GPU_SENSOR = 1, 0
# The union member that holds a field's value, by nvmlValueType_t.
_MEMBERS = {0: "dVal", 1: "uiVal", 2: "ulVal", 3: "ullVal", 4: "sllVal", 5: "siVal", 6: "usVal"}


class NvmlPower:
    """The sensors of one GPU. A sensor that fails gives None, with the reason in `notes`; a GPU that falls off gives None for all from then on."""

    name = "nvml"
    kind = "measured"
    boundary = "board"
    most_gap_s = MOST_GAP_S
    sensor_accuracy: float | None = 0.05  # steady error of the class, arXiv 2312.02741: within 5 % on most boards

    def __init__(self, gpu: NvmlDevice, *, device: str = "gpu0", clock: Callable[[], float] = time.monotonic) -> None:
        self.gpu = gpu
        self.device = device
        self._clock = clock
        self._wanted = list(_WANTED)
        self._uuids: set[str] = set()

    @property
    def notes(self) -> Mapping[str, str]:
        return self.gpu.notes

    @property
    def invalid_reasons(self) -> tuple[str, ...]:
        """Another board answering under this handle would give the figures of another board."""
        return ("gpu_identity_changed",) if len(self._uuids) > 1 else ()

    def sample(self) -> PowerSample:
        n, handle, ask = self.gpu.nvml, self.gpu.handle, self.gpu.ask
        before_s = self._clock()
        counter_mj = ask("counter_j", lambda: n.nvmlDeviceGetTotalEnergyConsumption(handle))
        t_s = (before_s + self._clock()) / 2  # the counter is what must be placed in time
        figures = self._fields()
        if "instant_w" not in figures and "average_w" not in figures:  # drivers before 530 have neither field
            milliwatts = ask("power_usage", lambda: n.nvmlDeviceGetPowerUsage(handle))
            if milliwatts:
                figures["average_w"] = milliwatts / 1000
        sm_mhz = ask("sm_hz", lambda: n.nvmlDeviceGetClockInfo(handle, _SM_CLOCK))
        temperature = ask("temperature_c", lambda: n.nvmlDeviceGetTemperature(handle, _GPU_SENSOR))
        if (uuid := self.gpu.uuid()) is not None:
            self._uuids.add(uuid)
        return PowerSample(
            t_s=t_s,
            counter_j=None if counter_mj is None else counter_mj / 1000,
            sm_hz=None if sm_mhz is None else sm_mhz * 1e6,
            temperature_c=None if temperature is None else float(temperature),
            event_reasons=self._event_reasons(),
            **figures,
        )

    def _fields(self) -> dict[str, float]:
        """Watts by scope and seconds by event reason, those that answered. What the board lacks is asked once and then never again."""
        wanted = list(self._wanted)
        fields = self.gpu.ask("power_fields", lambda: self.gpu.nvml.nvmlDeviceGetFieldValues(self.gpu.handle, [(field, scope) for _, field, scope in wanted]))
        found: dict[str, float] = {}
        for row, answer in zip(wanted, () if fields is None else fields, strict=False):
            figure = row[0]
            if answer.nvmlReturn != 0:
                self._refused(row, answer.nvmlReturn)
                continue
            value = getattr(answer.value, _MEMBERS.get(answer.valueType, ""), None)
            if figure in _HELD_BACK:
                if value is not None:
                    found[figure] = value / 1e9
            elif value:  # a powered board never draws 0 W; polled too fast, drivers answer 0 (Zeus, PowerMonitor)
                found.setdefault(figure, value / 1000)
        return found

    def _refused(self, row: tuple[str, int, int], code: int) -> None:
        error = self.gpu.nvml.NVMLError(code)
        optional = row[0] not in _EXPECTED
        final = self.gpu.refused(row[0], error, quiet=optional)
        if final or (optional and code == INVALID_ARGUMENT):  # drivers answer so where they do not know the scope
            self._wanted.remove(row)

    def _event_reasons(self) -> int | None:
        """Drivers before 535 know the same bits as throttle reasons only."""
        n, handle, ask = self.gpu.nvml, self.gpu.handle, self.gpu.ask
        mask: int | None = ask("event_reasons", lambda: n.nvmlDeviceGetCurrentClocksEventReasons(handle))
        return ask("throttle_reasons", lambda: n.nvmlDeviceGetCurrentClocksThrottleReasons(handle)) if mask is None else mask

    def state(self) -> GpuState:
        """What should stay as it is while a point is measured. Not for the measuring thread inside a window."""
        return self.gpu.state()

    def close(self) -> None:
        self.gpu.close()


def open_nvml(
    *,
    uuid: str | None = None,
    position: int = 0,
    nvml: Any = None,
    environ: Mapping[str, str] = os.environ,
    clock: Callable[[], float] = time.monotonic,
) -> NvmlPower | NoPower:
    """The power of the GPU with this UUID, or at this position among CUDA's visible ones; NoPower with the reason when NVML has none to give."""
    label = f"gpu{position}"
    try:
        return NvmlPower(NvmlDevice(nvml=nvml, uuid=uuid, position=position, environ=environ), device=label, clock=clock)
    except PowerRefusedError as e:
        return NoPower(str(e), device=label, invalid_reasons=(e.invalid_reason,) if e.invalid_reason else ())


def open_boards(
    uuids: Sequence[str] | None = None, *, nvml: Any = None, environ: Mapping[str, str] = os.environ, clock: Callable[[], float] = time.monotonic
) -> tuple[NvmlPower | NoPower, ...]:
    """Every GPU that CUDA may use, in CUDA's order: gpu0, gpu1, ... By UUID where they are known (PyTorch tells them), else as CUDA_VISIBLE_DEVICES names
    them, else by NVML's order, which is CUDA's on nodes of equal GPUs. One NoPower where there is none."""
    if uuids is not None:
        return tuple(open_nvml(uuid=uuid, position=i, nvml=nvml, environ=environ, clock=clock) for i, uuid in enumerate(uuids))
    visible = visible_gpus(environ)
    count = node_gpus(nvml=nvml) or 0 if visible is None else len(visible)
    return tuple(open_nvml(position=i, nvml=nvml, environ=environ, clock=clock) for i in range(max(1, count)))


def node_gpus(*, nvml: Any = None) -> int | None:
    """All GPUs of the node that the driver shows, those hidden from CUDA with them: the host's power is shared by all. None where NVML does not answer."""
    try:
        n = nvml if nvml is not None else import_nvml()
    except PowerRefusedError:
        return None
    try:
        n.nvmlInit()
    except n.NVMLError:
        return None
    try:
        return int(n.nvmlDeviceGetCount())
    except n.NVMLError:
        return None
    finally:
        n.nvmlShutdown()
