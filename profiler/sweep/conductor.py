"""Runs a sweep through worker processes: one point costs at most itself, whatever becomes of the worker. Importable without torch."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from profiler.measure.point_fields import UNMEASURED, point_environment, subject_fields
from profiler.measure.point_spec import PointSpec
from profiler.measure.statistics import median
from profiler.record.schema import SCHEMA_VERSION
from profiler.record.store import Run, RunWriter
from profiler.report.text import plain
from profiler.sweep.expand import cannot_fit, point_ids
from profiler.sweep.worker_process import COMMAND, InterruptedRunError, WorkerLostError, WorkerProcess
from triton_kernels.errors import TokenmillError

# Beside the windows of a point, until the first one tells: guesses, of a run's first point, which makes weights and compiles every kernel, and of one behind.
_FIRST_S = {"cuda": 30.0, "cpu": 3.0}
_BEHIND_S = {"cuda": 12.0, "cpu": 3.0}
# Each operation of a step alone, likewise: about 20 of them in 5 windows, of 2.7 s on a GPU and a second for a library's, of 0.12 s on a CPU.
_OPERATIONS_S = {"cuda": 320.0, "cpu": 12.0}


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience:
    """When a worker counts as hung. Seconds."""

    start_s: float = 120.0  # importing torch from a cold network disk
    silence_s: float = 300.0  # no event: compiling every kernel of a model is the longest quiet stretch
    most_s: float = 900.0  # one point in all, beside four times its windows


class Display(Protocol):
    """Who is told how the sweep goes."""

    def stage(self, label: str, event: dict[str, Any]) -> None: ...
    def remaining(self, done: int, total: int, seconds_left: float) -> None: ...
    def first_look(self, label: str, run: Run) -> None: ...
    def committed(self, point: dict[str, Any], run: Run) -> None: ...
    def note(self, text: str) -> None: ...


@dataclass(kw_only=True)
class Outcome:
    """What became of the sweep's points besides being measured."""

    skipped: list[str] = field(default_factory=list)  # why, one line each
    failed: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)  # failed for a reason that the user can fix

    def lines(self) -> list[str]:
        """All that was not measured, and why."""
        named = (("skipped", self.skipped), ("failed", self.failed), ("failed", self.refused))
        return [f"{name} {plain(line)}" for name, lines in named for line in lines]


class Conductor:
    """Holds the worker of a run, and replaces it when it is lost."""

    def __init__(self, display: Display, interrupted: Callable[[], bool], *, command: Sequence[str] = COMMAND, patience: Patience | None = None) -> None:
        self._display = display
        self._interrupted = interrupted
        self._command = command
        self._patience = patience or Patience()
        self._worker: WorkerProcess | None = None
        self._spent_s: list[float] = []  # seconds per point beside its windows and its operations
        self._operations_s: list[float] = []  # seconds that its operations took
        self._so_far: dict[str, Any] | None = None  # the point in progress, once its windows are measured
        self._points: list[dict[str, Any]] = []
        self._plans: dict[str, dict[str, Any]] = {}
        self.environment: dict[str, Any] | None = None
        self.ceilings: dict[str, Any] | None = None

    def _ask(
        self, request: dict[str, Any], label: str, *, most_s: float | None = None, on_progress: Callable[[dict[str, Any]], None] | None = None
    ) -> dict[str, Any]:
        silence_s = self._patience.silence_s
        if self._worker is None:
            self._worker = WorkerProcess(self._interrupted, self._command)
            silence_s = max(silence_s, self._patience.start_s)
        show = on_progress or (lambda progress: self._display.stage(label, progress))
        event = self._worker.ask(request, show, silence_s=silence_s, most_s=most_s)
        if event.get("sticky"):
            self.stop(patience_s=0.0)
        return event

    def learn(self, device: str) -> dict[str, Any]:
        """The machine's environment, kept for the points. TokenmillError when the worker says what the user should fix."""
        event = self._required({"do": "environment", "device": device}, "machine")
        self.environment = {name: value for name, value in event.items() if name != "event"}
        return self.environment

    def measure_ceilings(self, device: str) -> None:
        """Measures the ceilings. Without them a run goes on: floors are then at the datasheet's rates."""
        self._display.stage("ceilings", {"stage": "ceilings", "fraction": None, "note": ""})
        try:
            event = self._ask({"do": "ceilings", "device": device}, "ceilings", most_s=self._patience.silence_s)
        except WorkerLostError as e:
            self.stop(patience_s=0.0)
            event = {"event": "error", "message": str(e)}
        if event["event"] == "ceilings":
            self.ceilings = {name: value for name, value in event.items() if name != "event"}
        else:
            self._display.note(f"ceilings were not measured: {event.get('message')}")

    def _required(self, request: dict[str, Any], label: str) -> dict[str, Any]:
        try:
            event = self._ask(request, label, most_s=self._patience.start_s)
        except WorkerLostError as e:
            raise TokenmillError(f"the measuring process cannot start: {e}; `tokenmill doctor` looks for the cause", exit_code=1) from e
        if event["event"] == "error":
            raise TokenmillError(str(event["message"]), exit_code=2 if event["kind"] == "user" else 1)
        return event

    def sweep(self, specs: Sequence[PointSpec], writer: RunWriter, *, budget_s: float | None) -> Outcome:
        """Measures and commits every point it can. Raises TokenmillError when the record cannot be written or every worker is lost."""
        began_s = time.monotonic()
        outcome = Outcome()
        too_large: list[PointSpec] = []
        for place, (name, spec) in enumerate(zip(point_ids(specs), specs, strict=True)):
            left_s = float("inf") if budget_s is None else budget_s - (time.monotonic() - began_s)
            self._display.remaining(place, len(specs), max(0.0, min(left_s, sum(self._expected_s(s, behind=i > 0) for i, s in enumerate(specs[place:])))))
            if cannot_fit(spec, too_large):
                outcome.skipped.append(f"{name}: a smaller point of these formats was out of memory already")
            elif self._step_s(spec) > left_s:
                outcome.skipped.append(f"{name}: about {self._step_s(spec):.0f} s, more than is left of --time-budget")
            else:
                if self._worker is None:
                    self._replace_worker(spec.device)
                if spec.per_op and budget_s is not None:
                    spec = replace(spec, per_op_budget_s=self._for_operations(left_s, specs[place:]))
                if self._commit(self._point(spec, name, outcome, writer), name, writer)["status"] == "oom":
                    too_large.append(spec)
        return outcome

    def _for_operations(self, left_s: float, specs: Sequence[PointSpec]) -> float:
        """Seconds of the budget for the operations of the first of these points: the steps of all come first, and what is left is shared evenly."""
        return max(0.0, left_s - self._step_s(specs[0]) - sum(self._step_s(spec, behind=True) for spec in specs[1:])) / len(specs)

    def _commit(self, answer: dict[str, Any], name: str, writer: RunWriter) -> dict[str, Any]:
        """Writes a point down, tells the display, and returns it."""
        point = self._completed(answer["point"], name, writer)
        writer.commit(point, series=answer["series"], ops=answer.get("ops", ()), plan=answer["plan"])
        self._points.append(point)
        if answer["plan"] is not None:
            self._plans[point["plan"]] = answer["plan"]
        self._display.committed(point, self._run(writer))
        return point

    def _replace_worker(self, device: str) -> None:
        """A new worker, asked for the device first: a GPU that is gone ends the run here instead of failing point after point."""
        try:
            self._required({"do": "environment", "device": device}, "new worker")
        except TokenmillError as e:
            raise TokenmillError(f"the {'GPU' if device == 'cuda' else 'worker'} was lost: {e}; points finished before are kept", exit_code=1) from e

    def _completed(self, point: dict[str, Any], name: str, writer: RunWriter) -> dict[str, Any]:
        envelope = {"schema_version": SCHEMA_VERSION, "run_id": writer.header["run_id"], "point_id": name}
        return envelope | point | {"ceilings": self.ceilings}

    def _step_s(self, spec: PointSpec, *, behind: bool = False) -> float:
        """What a point is expected to take without its operations alone; `behind`: others come before it."""
        return spec.windows * spec.window_s + self._learned_s(self._spent_s, _BEHIND_S if behind else _FIRST_S)

    def _expected_s(self, spec: PointSpec, *, behind: bool = False) -> float:
        return self._step_s(spec, behind=behind) + (self._learned_s(self._operations_s, _OPERATIONS_S) if spec.per_op else 0.0)

    def _learned_s(self, seen_s: Sequence[float], guess_s: dict[str, float]) -> float:
        """The median of what points took until now, which the first of a recipe (weights, compilation) does not move; before there is any, a guess."""
        device = (self.environment or {}).get("device", "cpu")
        return median(seen_s) if seen_s else guess_s.get(device, guess_s["cpu"])

    def _run(self, writer: RunWriter, *more: dict[str, Any]) -> Run:
        """The run so far, as reading it would give it."""
        return Run(path=writer.path, header=writer.header, points=[*self._points, *more], plans=self._plans)

    def _first_look(self, spec: PointSpec, name: str, step_s: float) -> dict[str, Any]:
        """A point as its first steps promise it: shown while its windows run, never recorded."""
        prefill = spec.phase == "prefill"
        return UNMEASURED | subject_fields(spec, self.environment) | {
            "point_id": name, "status": "ok", "valid": True, "step_s": {"median": step_s, "ci95": None}, "window_s": step_s, "cached_tokens": 0,
            "output_tokens": 0 if prefill else spec.batch, "input_tokens": spec.batch * spec.context if prefill else 0,
            "provenance": {"step_s": "emulated"} if spec.emulated else {},
        }  # fmt: skip

    def _point(self, spec: PointSpec, name: str, outcome: Outcome, writer: RunWriter) -> dict[str, Any]:
        """The worker's result, or a failed point in its place: a point is never tried twice in silence."""
        began_s = time.monotonic()
        windows_s, operations_s = spec.windows * spec.window_s, self._expected_s(spec) - self._step_s(spec)
        self._so_far = None

        def show(progress: dict[str, Any]) -> None:
            self._so_far = progress.pop("so_far", self._so_far)
            self._display.stage(name, progress)
            if progress.get("step_s"):
                self._display.first_look(name, self._run(writer, self._first_look(spec, name, progress["step_s"])))

        most_s = self._patience.most_s + 4 * (windows_s + max(operations_s, spec.per_op_budget_s or 0.0))
        try:
            event = self._ask({"do": "measure", "spec": spec.json()}, name, most_s=most_s, on_progress=show)
        except WorkerLostError as e:
            log = self._worker.log_tail() if self._worker is not None else ""
            self.stop(patience_s=0.0)
            event = self._kept(str(e)) or {"event": "error", "kind": "lost", "message": str(e), "traceback": log}
            if event["event"] == "result":
                self._display.note(f"{name}: its operations were not measured: {plain(str(e))}")
        except InterruptedRunError:
            if kept := self._kept("interrupted"):
                self._commit(kept, name, writer)
            raise
        if event["event"] == "result":
            if event["point"]["status"] == "ok":
                self._learn_times(event["point"], time.monotonic() - began_s - windows_s)
            return event
        message = str(event.get("message") or f"unexpected answer {event['event']!r}")
        for line in str(event.get("traceback") or "").splitlines():  # the record has one line; whoever mends it needs the place
            self._display.note(f"  {line}")
        (outcome.refused if event.get("kind") == "user" else outcome.failed).append(f"{name}: {message}")
        environment = self.environment or {}
        failed = UNMEASURED | subject_fields(spec, environment) | {"status": "failed", "error": message}
        return {"point": failed | {"environment": point_environment(environment, {})}, "series": [], "plan": None}

    def _kept(self, why: str) -> dict[str, Any] | None:
        """The point in progress as its windows left it, where those were measured; its operations were lost, and `why` is said."""
        if self._so_far is None:
            return None
        return {"event": "result"} | self._so_far | {"point": self._so_far["point"] | {"per_op": {"measured": 0, "left_out": [why]}}}

    def _learn_times(self, point: dict[str, Any], beside_windows_s: float) -> None:
        operations_s = [phase["t_end_s"] - phase["t_start_s"] for phase in point.get("phases") or () if phase["name"] == "operations"]
        self._operations_s += operations_s
        self._spent_s.append(max(0.0, beside_windows_s - sum(operations_s)))

    def stop(self, *, patience_s: float = 2.0) -> None:
        """Ends the worker, if there is one."""
        if self._worker is not None:
            self._worker.stop(patience_s=patience_s)
            self._worker = None
