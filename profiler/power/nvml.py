"""Power of one NVIDIA GPU through NVML: the total energy counter, instant and average power, clocks, temperature, event reasons."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from profiler.power.declared import NoPower
from profiler.power.nvml_device import GpuState, NvmlDevice, PowerRefusedError
from profiler.power.source import MOST_GAP_S, PowerSample

# nvml.h. Since Ampere nvmlDeviceGetPowerUsage is a 1 s average; these two fields say which is which. Both in milliwatts.
POWER_AVERAGE, POWER_INSTANT = 185, 186
_GPU_SCOPE = 0  # the board's GPU, not the module (which on GH200 and GB200 holds a CPU too)
_SM_CLOCK, _GPU_SENSOR = 1, 0
# The union member that holds a field's value, by nvmlValueType_t.
_MEMBERS = {0: "dVal", 1: "uiVal", 2: "ulVal", 3: "ullVal", 4: "sllVal", 5: "siVal", 6: "usVal"}


class NvmlPower:
    """The sensors of one GPU. A sensor that fails gives None, with the reason in `notes`."""

    name = "nvml"
    kind = "measured"
    boundary = "board"
    most_gap_s = MOST_GAP_S
    sensor_accuracy: float | None = 0.05  # steady error of the class, arXiv 2312.02741: within 5 % on most boards
    invalid_reasons: tuple[str, ...] = ()

    def __init__(self, gpu: NvmlDevice, *, device: str = "gpu0", clock: Callable[[], float] = time.monotonic) -> None:
        self.gpu = gpu
        self.device = device
        self._clock = clock

    @property
    def notes(self) -> Mapping[str, str]:
        return self.gpu.notes

    def sample(self) -> PowerSample:
        n, handle, ask = self.gpu.nvml, self.gpu.handle, self.gpu.ask
        before_s = self._clock()
        counter_mj = ask("counter_j", lambda: n.nvmlDeviceGetTotalEnergyConsumption(handle))
        t_s = (before_s + self._clock()) / 2  # the counter is what must be placed in time
        instant_w, average_w = self._powers()
        sm_mhz = ask("sm_hz", lambda: n.nvmlDeviceGetClockInfo(handle, _SM_CLOCK))
        temperature = ask("temperature_c", lambda: n.nvmlDeviceGetTemperature(handle, _GPU_SENSOR))
        return PowerSample(
            t_s=t_s,
            counter_j=None if counter_mj is None else counter_mj / 1000,
            instant_w=instant_w,
            average_w=average_w,
            sm_hz=None if sm_mhz is None else sm_mhz * 1e6,
            temperature_c=None if temperature is None else float(temperature),
            event_reasons=ask("event_reasons", lambda: n.nvmlDeviceGetCurrentClocksEventReasons(handle)),
        )

    def _powers(self) -> tuple[float | None, float | None]:
        n, handle, ask = self.gpu.nvml, self.gpu.handle, self.gpu.ask
        wanted = [(POWER_INSTANT, _GPU_SCOPE), (POWER_AVERAGE, _GPU_SCOPE)]
        fields = ask("power_fields", lambda: n.nvmlDeviceGetFieldValues(handle, wanted))
        instant_w = self._field("instant_w", fields, 0)
        average_w = self._field("average_w", fields, 1)
        if instant_w is None and average_w is None:  # drivers before 530 have neither field
            milliwatts = ask("power_usage", lambda: n.nvmlDeviceGetPowerUsage(handle))
            average_w = milliwatts / 1000 if milliwatts else None
        return instant_w, average_w

    def _field(self, figure: str, fields: Any, place: int) -> float | None:
        if fields is None:
            return None
        field = fields[place]
        if field.nvmlReturn != 0:
            self.gpu.refused(figure, self.gpu.nvml.NVMLError(field.nvmlReturn))
            return None
        milliwatts = getattr(field.value, _MEMBERS[field.valueType])
        # A powered board never draws 0 W; polled too fast, drivers answer 0 (Zeus, PowerMonitor).
        return milliwatts / 1000 if milliwatts else None

    def state(self) -> GpuState:
        """What should stay as it is while a point is measured. Not for the measuring thread inside a window."""
        return self.gpu.state()

    def close(self) -> None:
        self.gpu.close()


def open_nvml(*, uuid: str | None = None, position: int = 0, nvml: Any = None, environ: Mapping[str, str] = os.environ) -> NvmlPower | NoPower:
    """The power of the GPU with this UUID, or at this position among CUDA's visible ones; NoPower with the reason when NVML has none to give."""
    try:
        return NvmlPower(NvmlDevice(nvml=nvml, uuid=uuid, position=position, environ=environ))
    except PowerRefusedError as e:
        return NoPower(str(e), invalid_reasons=(e.invalid_reason,) if e.invalid_reason else ())
