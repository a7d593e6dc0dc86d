"""The process that touches the GPU: takes requests as JSON lines on stdin, answers with events as JSON lines on stdout.

Requests: {"do": "measure", "spec": {...}} | {"do": "ceilings"} | {"do": "environment"} | {"do": "quit"}; the middle two take an optional "device".
Events: progress (its `so_far`: the result, should the rest of the point be lost), result, ceilings, environment, error (kind: oom, user, cuda, bug; traceback);
`sticky` in the last answer: this process can measure no more. Free text goes to stderr. Ends with its parent: when stdin ends, whatever it is doing.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Any

from triton_kernels.errors import TokenmillError

if TYPE_CHECKING:
    from profiler.measure.point_spec import PointSpec
    from profiler.measure.session import Session


_TRACEBACK_CHARS = 4000  # of its end, where the cause is


class Events:
    """The protocol's own stdout. Whatever a library prints goes to stderr instead."""

    def __init__(self) -> None:
        self._fd = os.dup(1)
        os.dup2(2, 1)

    def send(self, event: str, **fields: Any) -> None:
        view = memoryview(json.dumps({"event": event, **fields}, allow_nan=False).encode() + b"\n")
        while view:
            view = view[os.write(self._fd, view) :]

    def progress(self, stage: str, fraction: float | None, note: str, *, step_s: float | None = None) -> None:
        self.send("progress", stage=stage, fraction=fraction, note=note, step_s=step_s)

    def so_far(self, result: dict[str, Any]) -> None:
        self.send("progress", stage="operations", fraction=None, note="", step_s=None, so_far=result)


def _read_requests(requests: queue.SimpleQueue[str]) -> None:
    """Also notices the parent's death in the middle of a measurement: the process ends at once, and the driver frees the GPU."""
    for line in sys.stdin:
        requests.put(line)
    os._exit(0)


def serve() -> None:
    """Answers requests until told to quit."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides what becomes of it
    events = Events()
    requests: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read_requests, args=(requests,), name="requests", daemon=True).start()
    session = None
    while True:
        request = json.loads(requests.get())
        if request["do"] == "quit":
            return
        if session is None:
            from profiler.measure.session import Session

            session = Session(events.progress, events.so_far)
        _answer(session, events, request)


def _answer(session: Session, events: Events, request: dict[str, Any]) -> None:
    """One request, one answer. A failure is an answer too."""
    failure: tuple[str, str, str | None] | None = None
    try:
        if request["do"] == "environment":
            events.send("environment", **session.environment(request.get("device", "auto")))
        elif request["do"] == "ceilings":
            events.send("ceilings", **session.ceilings(request.get("device", "auto")))
        else:
            from profiler.measure.point_spec import point_spec

            spec = point_spec(request["spec"])
            events.send("result", **_measured(session, spec))
    except TokenmillError as e:
        failure = ("user", str(e), None)
    except Exception as e:
        traceback.print_exc()
        failure = (_kind(e), _one_line(e), traceback.format_exc()[-_TRACEBACK_CHARS:])
    if failure is not None:  # outside the handler: there, the traceback still holds the tensors
        kind, message, trace = failure
        session.release()
        events.send("error", kind=kind, message=message, traceback=trace, sticky=kind == "cuda" or not session.device_works())


def _measured(session: Session, spec: PointSpec) -> dict[str, Any]:
    """A measured point, or an out-of-memory one: the edge of what fits is a result, not a failure."""
    try:
        return session.measure(spec)
    except Exception as e:
        if _kind(e) != "oom":
            raise
        message = _one_line(e)
    session.release()
    return session.out_of_memory(spec, message)


def _kind(error: Exception) -> str:
    from profiler.measure.memory import ran_out

    text = str(error)
    if ran_out(error):
        return "oom"
    if isinstance(error, RuntimeError) and ("CUDA error" in text or "CUDA driver error" in text or type(error).__name__ == "AcceleratorError"):
        return "cuda"
    return "bug"


def _one_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:300]}" if text else type(error).__name__


if __name__ == "__main__":
    serve()
    sys.stderr.flush()
    os._exit(0)  # the reader thread sits in a blocking read, and a poisoned CUDA context must not hang the exit
