"""Processes that end: in time, when the user asks, and with what they had found until then."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from profiler.evidence.text import ROOT

OUT_OF_TIME, INTERRUPTED = "out of time", "interrupted"
_LOOK_S = 0.2
_GRACE_S = 8.0  # after SIGTERM: a run commits its finished points and writes how it ended


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a process ended. `why`: what ended it before its own end, OUT_OF_TIME or INTERRUPTED; None: nobody did."""

    code: int
    out: str
    err: str
    why: str | None


class Leash:
    """Ends a process that is the leader of its group: SIGTERM at `deadline_s` (monotonic) or when the user asks, SIGKILL where it does not listen."""

    def __init__(self, process: subprocess.Popen[bytes], deadline_s: float, interrupted: Callable[[], bool]) -> None:
        self._process, self._deadline_s, self._interrupted = process, deadline_s, interrupted
        self._kill_s = float("inf")
        self.why: str | None = None

    def look(self) -> None:
        """Called now and then while the process runs."""
        now_s = time.monotonic()
        if self.why is None and (self._interrupted() or now_s > self._deadline_s):
            self.why = INTERRUPTED if self._interrupted() else OUT_OF_TIME
            self._kill_s = now_s + _GRACE_S
            self._signal(signal.SIGTERM)
        elif now_s > self._kill_s:
            self._signal(signal.SIGKILL)

    def _signal(self, signum: signal.Signals) -> None:
        if self._process.poll() is None:  # not reaped, so the group's number is still its own
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signum)


def run(
    command: Sequence[str], *, seconds: float, interrupted: Callable[[], bool], cwd: Path = ROOT, variables: Mapping[str, str] | None = None,
    quiet: bool = False,
) -> Ended:  # fmt: skip
    """Runs `command` for at most `seconds` with this tree's packages importable. Its stderr goes to ours, or with `quiet` into what is returned."""
    process = subprocess.Popen(
        list(command), cwd=cwd, env=environment_of(variables or {}), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if quiet else None, start_new_session=True,
    )  # fmt: skip
    leash = Leash(process, time.monotonic() + seconds, interrupted)
    while True:
        try:
            out, err = process.communicate(timeout=_LOOK_S)
        except subprocess.TimeoutExpired:
            leash.look()
        else:
            return Ended(code=process.returncode, out=out.decode(errors="replace"), err=(err or b"").decode(errors="replace"), why=leash.why)


def environment_of(variables: Mapping[str, str]) -> dict[str, str]:
    """The environment of a child: this tree's packages first, and none from the folder it happens to run in."""
    paths = [str(ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONSAFEPATH": "1", **variables}


def tokenmill(*arguments: str) -> list[str]:
    """The command line of tokenmill, from the tree as it is."""
    return [sys.executable, "-m", "tokenmill", *arguments]


def module(name: str, *arguments: str) -> list[str]:
    """A module of this package as a process of its own."""
    return [sys.executable, "-m", f"profiler.evidence.{name}", *arguments]


def json_rows(text: str) -> list[dict[str, Any]]:
    """The JSON objects among the lines of `text`; one that was torn by the end of its process is none."""
    rows = []
    for line in text.splitlines():
        if line.startswith("{"):
            with suppress(ValueError):
                rows.append(json.loads(line))
    return rows
