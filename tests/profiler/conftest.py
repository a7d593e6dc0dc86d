"""A small NVML for tests: scripted power, counter, events and errors, no driver."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest


class FakeNvmlError(Exception):
    def __init__(self, value: int) -> None:
        super().__init__(f"NVML error {value}")
        self.value = value


class FakeNvml:
    """The functions that tokenmill calls, on one or more GPUs. `errors`: function name -> code it fails with; `field_errors`: field id -> code.

    `fields`: (field id, scope) -> its value at a time, in NVML's unit; GPU-scope power is `watts`, and what is nowhere is not supported.
    """

    NVMLError = FakeNvmlError

    def __init__(self) -> None:
        self.errors: dict[str, int] = {}
        self.field_errors: dict[int, int] = {}
        self.calls: list[str] = []
        self.uuids = ["GPU-aaaa1111", "GPU-bbbb2222"]
        self.clock: Callable[[], float] = lambda: 0.0
        self.watts: Callable[[float], float] = lambda t: 500.0
        self.counter_mj: Callable[[float], int] = lambda t: int(t / 0.1 + 1e-6) * 50_000
        self.mig = [0, 0]
        self.virtualization = 0
        self.processes = 0
        self.limit_mw, self.default_limit_mw = 700_000, 700_000
        self.persistence = 1
        self.reasons = 0
        self.fields: dict[tuple[int, int], Callable[[float], int]] = {}
        self.xids: list[int] = []
        self.name = "NVIDIA H200"

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if name in self.errors:
            raise FakeNvmlError(self.errors[name])

    def __getattribute__(self, name: str) -> Any:
        found = object.__getattribute__(self, name)
        if name.startswith("nvml"):

            def call(*arguments: Any) -> Any:
                self._call(name)
                return found(*arguments)

            return call
        return found

    def nvmlInit(self) -> None: ...
    def nvmlShutdown(self) -> None: ...

    def nvmlSystemGetDriverVersion(self) -> str:
        return "580.65.06"

    def nvmlDeviceGetCount(self) -> int:
        return len(self.uuids)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        if index >= len(self.uuids):
            raise FakeNvmlError(2)
        return index

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> int:
        if uuid not in self.uuids:
            raise FakeNvmlError(6)
        return self.uuids.index(uuid)

    def nvmlDeviceGetUUID(self, handle: int) -> str:
        return self.uuids[handle]

    def nvmlDeviceGetName(self, handle: int) -> str:
        return self.name

    def nvmlDeviceGetMigMode(self, handle: int) -> list[int]:
        return self.mig

    def nvmlDeviceGetVirtualizationMode(self, handle: int) -> int:
        return self.virtualization

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: int) -> int:
        return self.counter_mj(self.clock())

    def nvmlDeviceGetFieldValues(self, handle: int, wanted: list[tuple[int, int]]) -> list[Any]:
        return [self._field(field, scope) for field, scope in wanted]

    def _field(self, field: int, scope: int) -> Any:
        t = self.clock()
        if (field, scope) in self.fields:
            value = self.fields[field, scope](t)
        elif field in (185, 186) and scope == 0:
            value = round(self.watts(t) * 1000)
        else:
            return SimpleNamespace(nvmlReturn=self.field_errors.get(field, 3), valueType=1, value=SimpleNamespace())
        return SimpleNamespace(nvmlReturn=self.field_errors.get(field, 0), valueType=3, value=SimpleNamespace(ullVal=value))

    def nvmlEventSetCreate(self) -> object:
        return object()

    def nvmlDeviceRegisterEvents(self, handle: int, types: int, events: object) -> None:
        assert types == 8  # critical Xids and nothing else

    def nvmlEventSetWait_v2(self, events: object, timeout_ms: int) -> Any:
        assert timeout_ms == 0  # a measuring process does not wait
        if not self.xids:
            raise FakeNvmlError(10)
        return SimpleNamespace(eventType=8, eventData=self.xids.pop(0))

    def nvmlEventSetFree(self, events: object) -> None: ...

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:
        return round(self.watts(self.clock()) * 1000)

    def nvmlDeviceGetClockInfo(self, handle: int, kind: int) -> int:
        return 1755

    def nvmlDeviceGetMaxClockInfo(self, handle: int, kind: int) -> int:
        return 1980

    def nvmlDeviceGetTemperature(self, handle: int, sensor: int) -> int:
        return 54

    def nvmlDeviceGetCurrentClocksEventReasons(self, handle: int) -> int:
        return self.reasons

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle: int) -> int:
        return self.reasons

    def nvmlDeviceGetEnforcedPowerLimit(self, handle: int) -> int:
        return self.limit_mw

    def nvmlDeviceGetPowerManagementDefaultLimit(self, handle: int) -> int:
        return self.default_limit_mw

    def nvmlDeviceGetTotalEccErrors(self, handle: int, kind: int, counter: int) -> int:
        return 0

    def nvmlDeviceGetComputeRunningProcesses(self, handle: int) -> list[int]:
        return list(range(self.processes))

    def nvmlDeviceGetPersistenceMode(self, handle: int) -> int:
        return self.persistence


@pytest.fixture
def fake_nvml() -> FakeNvml:
    return FakeNvml()
