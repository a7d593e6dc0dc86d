"""Part `newcomer`: `tokenmill run` without arguments on a terminal, and when what appears there -> newcomer.json; its record -> newcomer/.

First figure: the first moment at which anything on the terminal names tokens per second or dollars per million tokens, a first look included, in seconds from
the start of the process. Triton's cache is empty; tokenmill and torch are installed, and their files may lie in the system's memory already.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable
from typing import Any

from profiler.evidence import child
from profiler.evidence.call import Turn
from profiler.evidence.packing import pack, scratch
from profiler.evidence.runs import NOT_VALID
from profiler.evidence.terminal import Chunk, Watched, watch
from profiler.evidence.text import shown, without_paths

BARS = {"first_figure_s": 20.0, "end_s": 180.0}
_DRAWN = re.compile(r"[\u2500-\u259f\u2800-\u28ff]+")  # bars and spinners
FIGURE = re.compile(r"\d\s?[KMG]?\s(input |output )?tok/s|\$\d[\d.,]*/Mtok")
_REHEARSED = ("--device", "cpu", "--batch", "2", "--mix", "64/16", "--window", "0.05", "--windows", "2")
_MOST_LINES = 200


def newcomer(turn: Turn) -> bool:
    """Whether it came to its end; that it was slower than the bars is a finding."""
    command = child.tokenmill("run", *(_REHEARSED if turn.call.rehearsal else ()))
    print(f"$ {shown(command)}", flush=True)
    folder = scratch(turn.call.out)
    folder.mkdir()
    with tempfile.TemporaryDirectory() as cache:
        seen = watch(command, seconds=turn.left_s, interrupted=turn.call.interrupted, cwd=folder, variables={"TRITON_CACHE_DIR": cache})
    document = newcomer_document(seen, shown(command))
    turn.call.write("newcomer.json", document)
    print(f"newcomer: first figure after {_seconds(document['first_figure_s'])}, end after {_seconds(document['end_s'])}", flush=True)
    if seen.why:
        turn.left_out.append(f"the end of the newcomer's run ({seen.why}; finished points are kept)")
    packed = pack(folder / "runs", turn.call.out, "newcomer", turn.left_out)
    scratch(turn.call.out)
    return packed and seen.why is None and seen.code in (0, NOT_VALID)


def newcomer_document(seen: Watched, command: str) -> dict[str, Any]:
    """`end_s`: null where it was ended before its own end."""
    first = first_figure(seen.chunks)
    end_s = None if seen.why else round(seen.end_s, 2)
    found: dict[str, float | None] = {"first_figure_s": None if first is None else round(first[0], 2), "end_s": end_s}
    return {
        "command": command,
        "triton_cache": "empty",
        **found,
        "first_figure": None if first is None else first[1],
        "bars": BARS,
        "within": {name: None if (value := found[name]) is None else value <= bar for name, bar in BARS.items()},
        "exit_code": seen.code,
        "ended_by": seen.why,
        "lines": timeline(seen.chunks),
        "screen": [without_paths(line) for line in seen.stdout.splitlines()],
    }


def first_figure(chunks: Iterable[Chunk]) -> tuple[float, str] | None:
    """The moment, and the line that has it. A line may come in several pieces: it counts with the one that completes the figure."""
    line = {"stdout": "", "stderr": ""}
    for chunk in chunks:
        text = line[chunk.stream] + chunk.text
        for one in text.split("\n"):
            if FIGURE.search(one):
                return chunk.t_s, _said(one)
        line[chunk.stream] = text.rpartition("\n")[2][-1000:]
    return None


def timeline(chunks: Iterable[Chunk]) -> list[dict[str, Any]]:
    """What appeared when, without the repeats of a live line that only its spinner, bar and clock tell apart."""
    found: list[dict[str, Any]] = []
    last = {"stdout": "", "stderr": ""}
    for chunk in chunks:
        for line in filter(None, (line.strip() for line in chunk.text.split("\n"))):
            words = " ".join(re.findall(r"[^\W\d_]{2,}|\$[\d.,]+", re.sub(r"about \d+:\d+ left", "", line)))
            if words and words != last[chunk.stream] and len(found) < _MOST_LINES:
                found.append({"t_s": round(chunk.t_s, 2), "stream": chunk.stream, "text": _said(line)})
            last[chunk.stream] = words or last[chunk.stream]
    return found


def _said(line: str) -> str:
    """A line without what is drawn in it."""
    return " ".join(without_paths(_DRAWN.sub(" ", line)).split())[:200]


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"
