"""What appears on a newcomer's terminal, and when."""

from __future__ import annotations

import sys
from pathlib import Path

from profiler.evidence.child import OUT_OF_TIME
from profiler.evidence.newcomer import first_figure, newcomer_document, timeline
from profiler.evidence.terminal import Chunk, Watched, plain, watch

LIVE = "⠋ 001-decode window 1/5 ━━━━╺━━━━ about 0:15 left  best about "


def chunk(t_s: float, text: str, stream: str = "stderr") -> Chunk:
    return Chunk(t_s=t_s, stream=stream, text=text)


def test_the_first_figure_is_the_first_rate_or_price_that_can_be_read() -> None:
    chunks = [chunk(1.0, "starting\n"), chunk(2.0, "12.3 ms per step, 4.1 K "), chunk(2.5, "tok/s\nmore"), chunk(3.0, "best $1.20/Mtok\n")]
    assert first_figure(chunks) == (2.5, "12.3 ms per step, 4.1 K tok/s")  # complete with the second piece
    assert first_figure([chunk(4.0, LIVE + "$0.31/Mtok")]) == (4.0, "001-decode window 1/5 about 0:15 left best about $0.31/Mtok")
    assert first_figure([chunk(1.0, "format batch tok/s $/Mtok\n"), chunk(2.0, "41 K input tok/s\n")]) == (2.0, "41 K input tok/s")  # a heading is none
    assert first_figure([chunk(1.0, "4.1 K to"), chunk(2.0, "k/s", "stdout")]) is None  # two streams are no line


def test_a_live_line_that_only_moves_is_told_once() -> None:
    live = ("⠋ ceilings ━━━━", "⠙ ceilings ╺━━━", "⠹ weights ━━━━ about 0:09 left", "⠸ weights ━━━━ about 0:08 left")
    lines = timeline([chunk(t_s, text) for t_s, text in zip((1.0, 1.1, 2.0, 2.1), live, strict=True)])
    assert [(line["t_s"], line["text"]) for line in lines] == [(1.0, "ceilings"), (2.0, "weights about 0:09 left")]


def test_times_stand_beside_the_bars() -> None:
    seen = Watched(code=0, end_s=181.0, chunks=(chunk(19.5, "12 tok/s\n"), chunk(180.0, "model tiny\n", "stdout")), why=None)
    found = newcomer_document(seen, "tokenmill run")
    assert (found["first_figure_s"], found["end_s"]) == (19.5, 181.0)
    assert found["within"] == {"first_figure_s": True, "end_s": False}  # 20 and 180 s
    assert found["screen"] == ["model tiny"]
    ended = newcomer_document(Watched(code=143, end_s=100.0, chunks=(), why=OUT_OF_TIME), "tokenmill run")
    assert (ended["first_figure_s"], ended["end_s"], ended["within"]) == (None, None, {"first_figure_s": None, "end_s": None})


def test_a_terminal_is_a_terminal_and_stdout_is_apart(tmp_path: Path) -> None:
    program = "import sys; print('live', sys.stderr.isatty(), file=sys.stderr); print('screen', sys.stdout.isatty()); sys.exit(3)"
    seen = watch([sys.executable, "-c", program], seconds=60, interrupted=lambda: False, cwd=tmp_path, variables={})
    assert (seen.code, seen.why, seen.stdout) == (3, None, "screen False\n")
    assert "".join(one.text for one in seen.chunks if one.stream == "stderr") == "live True\n"


def test_a_program_that_does_not_end_is_ended(tmp_path: Path) -> None:
    program = "import time; print('begun', flush=True); time.sleep(600)"
    seen = watch([sys.executable, "-c", program], seconds=1, interrupted=lambda: False, cwd=tmp_path, variables={})
    assert seen.why == OUT_OF_TIME
    assert seen.code == -15  # SIGTERM


def test_colours_and_moves_of_the_cursor_are_no_text() -> None:
    assert plain("\x1b[?25l\x1b[32mok\x1b[0m\r\x1b[2K12 tok/s\r\n") == "ok\n12 tok/s\n"
