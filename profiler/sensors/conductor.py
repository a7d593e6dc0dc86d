"""The parent's end of a sensor trial: starts the process that touches the GPU, keeps what it recorded, ends it. Importable without torch."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from profiler.power.source import PowerSample, PowerTrace
from profiler.sensors.file import trace_of_json
from profiler.sensors.findings import sensor_findings
from profiler.sensors.recording import Recording, Stretch, Times, stretch_of
from profiler.sweep.worker_process import InterruptedRunError, WorkerLostError, WorkerProcess
from triton_kernels.errors import TokenmillError

SCHEMA_VERSION = 1
COMMAND = (sys.executable, "-P", "-m", "profiler.sensors.trial")
_SILENCE_S = 300.0  # a model's kernels being compiled
_GRACE_S = 60.0  # beyond the time budget: importing torch from a cold disk, and a model that took longer to build than anybody guessed

_NOTHING = PowerTrace(source="none", kind=None, sensor_accuracy=None)
_NOWHERE = {"gpu": None, "driver": None, "device": None, "note": None}


class Display(Protocol):
    """Who is told how the trial goes."""

    def stage(self, label: str, event: dict[str, Any]) -> None: ...
    def remaining(self, done: int, total: int, seconds_left: float) -> None: ...
    def note(self, text: str) -> None: ...


@dataclass(kw_only=True)
class Gathered:
    """What a trial's process told so far. `failed`: what went wrong, a line each; `interrupted`: the user ended it."""

    machine: dict[str, Any] = field(default_factory=lambda: dict(_NOWHERE))
    left_out: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    interrupted: bool = False
    _times: Times = field(default_factory=Times)
    _trace: PowerTrace = _NOTHING
    _samples: list[PowerSample] = field(default_factory=list)
    _stretches: list[Stretch] = field(default_factory=list)
    _call_s: list[float] = field(default_factory=list)
    _waiting: list[str] = field(default_factory=list)

    def take(self, add: Mapping[str, Any]) -> None:
        """One event's `add`."""
        if "machine" in add:
            self.machine, self._waiting = add["machine"], list(add["plan"])
            self._times = Times(**{**add["times"], "windows_s": tuple(add["times"]["windows_s"])})
        if "trace" in add:
            self._trace = trace_of_json(add["trace"], ())
        self._samples += [PowerSample(**values) for values in add.get("samples", ())]
        self._stretches += map(stretch_of, add.get("stretches", ()))
        self._call_s += add.get("call_s", ())
        self.left_out += add.get("left_out", ())
        self.failed += add.get("failed", ())
        self._waiting = [name for name in self._waiting if name not in add.get("done", ())]

    def ended(self, why: str) -> None:
        """It ended before its last part: names each that is missing."""
        self.left_out += [f"{name}: {why}" for name in self._waiting] if self._waiting or self._stretches else [f"everything: {why}"]
        self._waiting = []

    @property
    def recording(self) -> Recording:
        trace = replace(self._trace, samples=tuple(self._samples))
        return Recording(trace=trace, stretches=tuple(self._stretches), call_s=tuple(self._call_s), times=self._times)


def run_trial(request: dict[str, Any], display: Display, interrupted: Callable[[], bool], *, lines: bool = False, command: Sequence[str] = COMMAND) -> Gathered:
    """Runs a whole trial. However it ends, nothing of it is left running, and what was recorded is returned. TokenmillError when nothing was, and the user can
    mend that. `lines`: tell the display a line per part, where it shows no live one."""
    gathered = Gathered()
    now: dict[str, Any] = {"stage": "starting"}

    def heard(event: dict[str, Any]) -> None:
        gathered.take(event["add"])
        if "left_s" in event:
            now["stage"] = event["stage"]
            display.remaining(event["at"], event["of"], event["left_s"])
            if lines:
                minutes, seconds = divmod(round(event["left_s"]), 60)
                display.note(f"{event['stage']}: about {minutes}:{seconds:02d} left")

    def asked() -> bool:  # ten times a second while waiting, so that the time left is seen to fall
        display.stage("sensors", now)
        return interrupted()

    worker = WorkerProcess(asked, command)
    try:
        answer = worker.ask(request, heard, silence_s=_SILENCE_S, most_s=request["budget_s"] + _GRACE_S)
        if answer["event"] == "error":
            if answer["kind"] == "user" and not gathered.recording.stretches:
                raise TokenmillError(f"doctor --sensors: {answer['message']}")
            gathered.failed.append(str(answer["message"]))
            gathered.ended("the measuring process failed")
        worker.stop()
    except InterruptedRunError:
        gathered.interrupted = True
        gathered.ended("interrupted")
    except WorkerLostError as e:
        gathered.failed.append(str(e))
        gathered.ended("the measuring process was lost")
    finally:
        worker.stop(patience_s=0.0)
    return gathered


def document(recording: Recording, machine: Mapping[str, Any], left_out: Sequence[str]) -> dict[str, Any]:
    """What `doctor --sensors --json` prints: {"schema_version", "gpu", "driver", "device", "note", ...profiler.sensors.findings, "left_out"}."""
    return {"schema_version": SCHEMA_VERSION, **machine, **sensor_findings(recording), "left_out": list(left_out)}
