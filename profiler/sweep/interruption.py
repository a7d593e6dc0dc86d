"""Ctrl-C and SIGTERM as a flag that a run looks at between its waits, so that nothing is torn in the middle of a write."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any


class Interruption:
    """While entered, the first SIGINT or SIGTERM sets `signum`; a second one ends the process at once (committed points are on disk already)."""

    def __init__(self) -> None:
        self.signum: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():  # only there may handlers be set
            self._before = {s: signal.signal(s, self._noticed) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)

    def _noticed(self, signum: int, frame: FrameType | None) -> None:
        if self.signum is not None:
            os._exit(128 + signum)
        self.signum = signum

    def __call__(self) -> bool:
        """Whether the user asked to stop."""
        return self.signum is not None

    @property
    def exit_code(self) -> int:
        """130 for SIGINT, 143 for SIGTERM."""
        return 128 + (self.signum or signal.SIGINT)
