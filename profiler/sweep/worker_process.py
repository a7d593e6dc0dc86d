"""The parent's end of a worker: start it, ask it, notice that it died or hangs, end it. Importable without torch."""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, "-P", "-m", "profiler.worker")  # -P: a torch.py in the user's folder is not imported
_POLL_S = 0.1
# How often a thread of torch's OpenMP (libgomp) looks before it sleeps at a barrier. Its own 300,000 made a step beside one busy process up to 30 times
# slower (each spinning thread holds the core that the last one needs); 5,000 up to 3 times, for a quarter on an idle machine. Tried on 2 cores, tiny-moe.
_PATIENT = {"GOMP_SPINCOUNT": "5000"}


_ERROR = re.compile(r"[\w.]*(Error|Exception)\b.*:")


class WorkerLostError(Exception):
    """The worker died, hangs, or can measure no more. The text says how, with the last line it wrote."""


class InterruptedRunError(Exception):
    """The user asked to stop."""


class WorkerProcess:
    """One worker, in its own session: a Ctrl-C at the terminal reaches the parent alone."""

    def __init__(self, interrupted: Callable[[], bool], command: Sequence[str] = COMMAND) -> None:
        self._interrupted = interrupted
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  closed in stop()
        # An interpreted kernel is never what is to be measured, whatever the shell was last used for.
        kept = _PATIENT | {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
        paths = [str(ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
        self._process = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            start_new_session=True,
            env=kept | {"PYTHONPATH": os.pathsep.join(paths)},
        )
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, name="worker-events", daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def ask(self, request: dict[str, Any], on_progress: Callable[[dict[str, Any]], None], *, silence_s: float, most_s: float | None = None) -> dict[str, Any]:
        """The answer: any event but progress. Raises WorkerLostError when the worker ends, says nothing for `silence_s` or takes longer than `most_s`."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request, allow_nan=False).encode() + b"\n")
            self._process.stdin.flush()
        except OSError as e:
            raise WorkerLostError(self._obituary()) from e
        began_s = heard_s = time.monotonic()
        while True:
            if self._interrupted():
                raise InterruptedRunError
            try:
                line = self._lines.get(timeout=_POLL_S)
            except queue.Empty:
                now_s = time.monotonic()
                if now_s - heard_s > silence_s or (most_s is not None and now_s - began_s > most_s):
                    raise WorkerLostError(f"the worker gave no answer in {now_s - began_s:.0f} s and was ended{self._last_words()}") from None
                continue
            if line is None:
                raise WorkerLostError(self._obituary())
            event = self._parsed(line)
            heard_s = time.monotonic()
            if event["event"] != "progress":
                return event
            on_progress(event)

    def _parsed(self, line: bytes) -> dict[str, Any]:
        try:
            event = json.loads(line)
        except ValueError as e:
            raise WorkerLostError(f"the worker's answer was cut off{self._last_words()}") from e
        if not isinstance(event, dict) or not isinstance(event.get("event"), str):
            raise WorkerLostError("the worker's answer is not an event")
        return event

    def _obituary(self) -> str:
        try:
            code = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return f"the worker closed its answers{self._last_words()}"
        how = f"was killed by signal {-code} ({signal.strsignal(-code)})" if code < 0 else f"ended with exit code {code}"
        return f"the worker {how}{self._last_words()}"

    def _last_words(self) -> str:
        """The last line of its stderr in which a Python error names itself (CUDA's go on for lines after it), else the last line."""
        lines = self.log_tail().splitlines()
        named = [line for line in lines if _ERROR.match(line)]
        return f": {(named or lines)[-1].strip()[:300]}" if lines else ""

    def log_tail(self) -> str:
        """The end of what it wrote to stderr; "" where that is gone."""
        with suppress(OSError, ValueError):
            self._log.seek(0, os.SEEK_END)
            self._log.seek(max(0, self._log.tell() - 4096))
            return self._log.read().decode(errors="replace").strip()
        return ""

    def stop(self, *, patience_s: float = 2.0) -> None:
        """Asks it to end by closing its stdin, then kills it."""
        if self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()
        try:
            self._process.wait(timeout=patience_s)
        except subprocess.TimeoutExpired:
            self.kill()
        self._log.close()

    def kill(self) -> None:
        """Ends it now, with whatever it started itself (a compiler, say)."""
        if self._process.poll() is None:  # not reaped, so the group's number is still its own
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
