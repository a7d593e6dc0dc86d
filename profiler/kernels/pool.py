"""The parent's end: workers share the variants of a request, each taking the next one when it is done. Importable without torch."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from profiler.sweep.worker_process import InterruptedRunError, WorkerLostError, WorkerProcess
from triton_kernels.errors import TokenmillError

COMMAND = (sys.executable, "-P", "-m", "profiler.kernels.worker")
_SILENCE_S = 600.0  # ptxas alone takes half a minute over the largest kernels on a busy machine
_MOST_WORKERS = 8

Row = dict[str, Any]


def workers_here() -> int:
    return max(1, min(_MOST_WORKERS, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1))


class Pool:
    """Inspects everything that a request lists. `progress(done, of)` is called from the workers' threads, one at a time."""

    def __init__(self, request: Row, *, interrupted: Callable[[], bool], progress: Callable[[int, int], None], workers: int | None = None) -> None:
        self._request, self._progress, self._workers = request, progress, workers or workers_here()
        self._stop = threading.Event()
        self._interrupted = lambda: interrupted() or self._stop.is_set()
        self._lock = threading.Lock()
        self._next = 0
        self._rows: dict[int, Row] = {}

    def rows(self) -> list[Row]:
        """In the request's order. TokenmillError for what the user can fix, InterruptedRunError when asked to stop."""
        with ThreadPoolExecutor(max_workers=self._workers) as threads:
            errors = [error for future in [threads.submit(self._work) for _ in range(self._workers)] if (error := future.exception()) is not None]
        if errors:  # the others only stopped because of the first
            raise next((e for e in errors if not isinstance(e, InterruptedRunError)), errors[0])
        return [self._rows[i] for i in sorted(self._rows)]

    def _work(self) -> None:
        worker = WorkerProcess(self._interrupted, COMMAND)
        try:
            of = int(_ask(worker, {"do": "list", **self._request})["variants"])
            while (index := self._taken(of)) is not None:
                row = _ask(worker, {"do": "inspect", "index": index})["row"]
                with self._lock:
                    self._rows[index] = row
                    self._progress(len(self._rows), of)
            worker.stop()
        except BaseException:
            self._stop.set()
            worker.kill()
            raise

    def _taken(self, of: int) -> int | None:
        with self._lock:
            if self._next >= of:
                return None
            self._next += 1
            return self._next - 1


def _ask(worker: WorkerProcess, request: Row) -> Row:
    try:
        answer = worker.ask(request, lambda event: None, silence_s=_SILENCE_S)
    except WorkerLostError as e:
        raise TokenmillError(f"a compiling process was lost: {e}", exit_code=1) from e
    if answer["event"] == "error":
        if answer["kind"] == "user":
            raise TokenmillError(answer["message"])
        raise RuntimeError(answer["message"])
    return answer
