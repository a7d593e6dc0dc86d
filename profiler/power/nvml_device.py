"""One GPU as NVML shows it. Reads only: nothing here sets a clock, a limit or a mode.

NVML errors become `None` and a reason in words. Sources of names and codes: NVIDIA's nvml.h through nvidia-ml-py.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from profiler.power.hardware_id import hashed
from profiler.power.xid import XidWatch

T = TypeVar("T")

INVALID_ARGUMENT, NOT_FOUND = 2, 6
NOT_SUPPORTED, NO_PERMISSION, DRIVER_NOT_LOADED, LIBRARY_NOT_FOUND, FUNCTION_NOT_FOUND, GPU_IS_LOST = 3, 4, 9, 12, 13, 15
MEANINGS = {
    NOT_SUPPORTED: "not supported by this GPU or driver",
    NO_PERMISSION: "no permission (ask the administrator, or run outside the restricted container)",
    NOT_FOUND: "no such GPU",
    DRIVER_NOT_LOADED: "the NVIDIA driver is not loaded (load it, or start the container with GPU access)",
    10: "timed out",
    LIBRARY_NOT_FOUND: "libnvidia-ml.so was not found (install the NVIDIA driver, or start the container with the `utility` capability)",
    FUNCTION_NOT_FOUND: "the driver is too old for it",
    GPU_IS_LOST: "the GPU fell off the bus (reboot the node)",
    18: "driver and library versions differ (reboot after the driver update)",
}
# These answers do not change while a process runs: the figure is not asked for again.
_FINAL = (NOT_SUPPORTED, NO_PERMISSION, FUNCTION_NOT_FOUND)

MIG_REASON, VGPU_REASON = "mig_instance_unsupported", "vgpu_unsupported"
_VGPU_MODE = 2  # NVML_GPU_VIRTUALIZATION_MODE_VGPU


class PowerRefusedError(Exception):
    """Why NVML gives no power for this GPU. `invalid_reason`: the name of the reason when figures would be another device's."""

    def __init__(self, text: str, *, invalid_reason: str | None = None) -> None:
        super().__init__(text)
        self.invalid_reason = invalid_reason


@dataclass(frozen=True, kw_only=True)
class GpuState:
    """What should stay as it is while a point is measured. `None`: could not be read."""

    power_limit_w: float | None
    ecc_uncorrected: int | None
    compute_processes: int | None
    temperature_c: float | None
    uuid_hash: str | None = None
    xids: tuple[int, ...] | None = None  # critical errors since the state before this one was taken


def meaning(error: Any) -> str:
    """An NVML error in words."""
    return MEANINGS.get(getattr(error, "value", None) or 0, str(error))


def visible_gpus(environ: Mapping[str, str]) -> list[str] | None:
    """The entries of CUDA_VISIBLE_DEVICES, or None when it hides nothing. CUDA ignores everything from the first -1 on."""
    text = environ.get("CUDA_VISIBLE_DEVICES")
    if text is None:
        return None
    entries = [entry.strip() for entry in text.split(",") if entry.strip()]
    return entries[: entries.index("-1")] if "-1" in entries else entries


class NvmlDevice:
    """NVML opened for one GPU. Raises PowerRefusedError when there is none to open, or when it is a MIG instance or vGPU."""

    def __init__(self, *, nvml: Any = None, uuid: str | None = None, position: int = 0, environ: Mapping[str, str] = os.environ) -> None:
        self.nvml = nvml if nvml is not None else import_nvml()
        self.notes: dict[str, str] = {}
        self._final: set[str] = set()
        self._lost = False
        self._xids: XidWatch | None = None
        try:
            self.nvml.nvmlInit()
        except self.nvml.NVMLError as e:
            raise PowerRefusedError(f"NVML: {meaning(e)}") from e
        try:
            self.handle = self._open(uuid, position, visible_gpus(environ))
            self._refuse_shared()
        except self.nvml.NVMLError as e:
            self.close()
            raise PowerRefusedError(f"NVML: {meaning(e)}") from e
        except PowerRefusedError:
            self.close()
            raise

    def _open(self, uuid: str | None, position: int, visible: list[str] | None) -> Any:
        if visible is not None:
            if position >= len(visible):
                raise PowerRefusedError("CUDA_VISIBLE_DEVICES hides this GPU; unset it or name the GPU in it")
            if visible[position].startswith("MIG-"):
                raise PowerRefusedError("a MIG instance has no power sensor of its own; measure on a whole GPU", invalid_reason=MIG_REASON)
        if uuid is not None:
            try:
                return self.nvml.nvmlDeviceGetHandleByUUID(uuid)
            except self.nvml.NVMLError as e:
                if getattr(e, "value", None) not in (INVALID_ARGUMENT, NOT_FOUND):
                    raise  # otherwise: a MIG instance's UUID, which the whole GPU's handle below will tell
        entry = str(position) if visible is None else visible[position]
        if entry.isdecimal():
            return self.nvml.nvmlDeviceGetHandleByIndex(int(entry))
        for index in range(self.nvml.nvmlDeviceGetCount()):  # CUDA accepts any unambiguous beginning of a UUID
            handle = self.nvml.nvmlDeviceGetHandleByIndex(index)
            if _text(self.nvml.nvmlDeviceGetUUID(handle)).startswith(entry):
                return handle
        raise PowerRefusedError(f"CUDA_VISIBLE_DEVICES names {entry[:60]!r}, which NVML does not show")

    def _refuse_shared(self) -> None:
        mig = self.ask("mig", lambda: self.nvml.nvmlDeviceGetMigMode(self.handle))
        if mig is not None and mig[0]:
            raise PowerRefusedError("this GPU is split by MIG, whose instances all show the parent's watts; measure on a whole GPU", invalid_reason=MIG_REASON)
        mode = self.ask("virtualization", lambda: self.nvml.nvmlDeviceGetVirtualizationMode(self.handle))
        if mode == _VGPU_MODE:
            raise PowerRefusedError("this is a vGPU, whose sensors are the host's; measure on a whole GPU", invalid_reason=VGPU_REASON)
        self.notes.clear()  # most GPUs have neither; that is no news

    def ask(self, figure: str, call: Callable[[], T]) -> T | None:
        """The call's answer, or None with the reason in `notes[figure]`."""
        if figure in self._final or self._lost:
            return None
        try:
            return call()
        except self.nvml.NVMLError as e:
            self.refused(figure, e)
            return None

    def refused(self, figure: str, error: Any, *, quiet: bool = False) -> bool:
        """Notes why a figure is missing (`quiet`: not where the board simply lacks it) and says whether asking again is pointless."""
        code = getattr(error, "value", None)
        final = code in _FINAL
        if not (quiet and (final or code == INVALID_ARGUMENT)):
            self.notes[figure] = meaning(error)
        if final and not quiet:
            self._final.add(figure)
        if code == GPU_IS_LOST:  # it does not come back, and every further call may hang
            self._lost = True
        return final

    def uuid(self) -> str | None:
        text = self.ask("uuid", lambda: self.nvml.nvmlDeviceGetUUID(self.handle))
        return None if text is None else _text(text)

    def state(self) -> GpuState:
        """Limit, ECC errors, processes, temperature and identity now; critical errors since it was asked before."""
        n, handle = self.nvml, self.handle
        limit_mw = self.ask("power_limit", lambda: n.nvmlDeviceGetEnforcedPowerLimit(handle))
        # 1: uncorrected errors; 0: since the driver was loaded (nvmlMemoryErrorType_t, nvmlEccCounterType_t).
        ecc = self.ask("ecc", lambda: n.nvmlDeviceGetTotalEccErrors(handle, 1, 0))
        processes = self.ask("processes", lambda: n.nvmlDeviceGetComputeRunningProcesses(handle))
        temperature = self.ask("temperature_c", lambda: n.nvmlDeviceGetTemperature(handle, 0))
        uuid = self.uuid()
        return GpuState(
            uuid_hash=None if uuid is None else hashed(uuid),
            xids=self.ask("xids", self._seen_xids),
            power_limit_w=None if limit_mw is None else limit_mw / 1000,
            ecc_uncorrected=ecc,
            compute_processes=None if processes is None else len(processes),
            temperature_c=None if temperature is None else float(temperature),
        )

    def _seen_xids(self) -> tuple[int, ...]:
        if self._xids is None:
            self._xids = XidWatch(self.nvml, self.handle)
        return self._xids.seen()

    def close(self) -> None:
        for end in (self._xids.close if self._xids else None, self.nvml.nvmlShutdown):
            try:
                if end is not None:
                    end()
            except self.nvml.NVMLError as e:
                self.notes["shutdown"] = meaning(e)


def import_nvml() -> Any:
    """The module pynvml; PowerRefusedError with the fix where it is not installed."""
    try:
        import pynvml
    except ImportError as e:
        raise PowerRefusedError("the package nvidia-ml-py is not installed (pip install nvidia-ml-py)") from e
    return pynvml


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
