"""A program run as a person runs it: its stderr on a terminal of its own, and every piece that appears with the moment at which it does."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import selectors
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from profiler.evidence.child import Leash, environment_of

COLUMNS, ROWS = 100, 40
_LOOK_S = 0.2
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[()][0-9A-B]")


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """What appeared at once, as it reads: without colours and moves of the cursor. `t_s`: since the program was started."""

    t_s: float
    stream: str  # "stdout" or "stderr"
    text: str


@dataclass(frozen=True, kw_only=True)
class Watched:
    """A program from its start to its end, both pipes closed. `why`: as of child.Ended."""

    code: int
    end_s: float
    chunks: tuple[Chunk, ...]
    why: str | None

    @property
    def stdout(self) -> str:
        return "".join(chunk.text for chunk in self.chunks if chunk.stream == "stdout")


def watch(command: Sequence[str], *, seconds: float, interrupted: Callable[[], bool], cwd: Path, variables: Mapping[str, str]) -> Watched:
    """Runs `command` for at most `seconds`. Its stdout is a pipe, so that the last screen can be told from the live line, which is erased."""
    terminal, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    started_s = time.monotonic()
    looks = {"TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "LINES": str(ROWS)}
    process = subprocess.Popen(
        list(command), cwd=cwd, env=environment_of({**looks, **variables}), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=slave,
        start_new_session=True,
    )  # fmt: skip
    os.close(slave)
    assert process.stdout is not None
    leash = Leash(process, started_s + seconds, interrupted)
    try:
        chunks = _chunks({terminal: "stderr", process.stdout.fileno(): "stdout"}, leash, started_s)
        code = process.wait()
    finally:
        os.close(terminal)
        process.stdout.close()
    return Watched(code=code, end_s=time.monotonic() - started_s, chunks=tuple(chunks), why=leash.why)


def _chunks(streams: Mapping[int, str], leash: Leash, started_s: float) -> list[Chunk]:
    """Until both streams are closed."""
    found: list[Chunk] = []
    with selectors.DefaultSelector() as ready:
        for fd, name in streams.items():
            ready.register(fd, selectors.EVENT_READ, name)
        while ready.get_map():
            for key, _ in ready.select(_LOOK_S):
                data = b""
                with suppress(OSError):  # a terminal whose last user is gone gives an error instead of an end
                    data = os.read(key.fd, 1 << 16)
                if not data:
                    ready.unregister(key.fd)
                    continue
                found.append(Chunk(t_s=time.monotonic() - started_s, stream=key.data, text=plain(data.decode(errors="replace"))))
            leash.look()
    return found


def plain(text: str) -> str:
    """What a terminal's text says, its returns as new lines."""
    return _ESCAPES.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
