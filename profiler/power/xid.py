"""Critical errors (Xid) that the driver reports of one GPU while it is measured. Reads only: an event set is the driver's queue for one listener."""

from __future__ import annotations

from typing import Any

_TIMEOUT = 10  # NVML_ERROR_TIMEOUT: nothing happened
_XID_CRITICAL_ERROR = 0x8  # nvml.h, nvmlEventTypeXidCriticalError
_MOST = 64  # of one look: a GPU in trouble may report without end


class XidWatch:
    """Listens from its making on. Raises NVMLError where the driver has no such events."""

    def __init__(self, nvml: Any, handle: Any) -> None:
        self._nvml = nvml
        self._set = nvml.nvmlEventSetCreate()
        try:
            nvml.nvmlDeviceRegisterEvents(handle, _XID_CRITICAL_ERROR, self._set)
        except nvml.NVMLError:
            self.close()
            raise

    def seen(self) -> tuple[int, ...]:
        """Xid numbers since the last look, in order. Does not wait."""
        found: list[int] = []
        while len(found) < _MOST:
            try:
                event = self._nvml.nvmlEventSetWait_v2(self._set, 0)
            except self._nvml.NVMLError as e:
                if getattr(e, "value", None) == _TIMEOUT or found:  # a GPU that fell off the bus said why just before
                    break
                raise
            found.append(int(event.eventData))
        return tuple(found)

    def close(self) -> None:
        self._nvml.nvmlEventSetFree(self._set)
