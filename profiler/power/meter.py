"""Power of the whole node from a wall meter's or BMC's file: the only measured source of the boundary `node`.

CSV with a header line, or one JSON object per line, with a time on the wall clock and watts; it may still grow while it is read.
"""

from __future__ import annotations

import csv
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from profiler.power.clock import MOST_SKEW_S, ClockAnchor, drift_s
from profiler.power.source import PowerSample, PowerTrace
from profiler.power.window import Window, stretch
from triton_kernels.errors import TokenmillError

TIME_NAMES, WATTS_NAMES = ("time", "timestamp", "unix_s"), ("watts", "power_w", "node_w")
MOST_BYTES = 64 << 20
MOST_GAP_S = 5.0  # meters and BMCs tell once in 1 to 5 s
_WAIT_S = 2 * MOST_GAP_S  # for the sample that brackets the last window


def read_meter(path: Path) -> list[tuple[float, float]]:
    """(unix seconds, watts) in the order of the file. TokenmillError for a file that cannot be read, and for times that do not grow or tell no zone.

    A last line without its end is still being written and left out.
    """
    text = _text(path)
    whole, newline, rest = text.rpartition("\n")
    lines = (whole if newline and rest else text).splitlines()
    found: list[tuple[float, float]] = []
    for number, row in _rows(path, lines):
        unix_s, watts = _seconds(path, number, _named(path, number, row, TIME_NAMES)), _watts(path, number, _named(path, number, row, WATTS_NAMES))
        if found and unix_s <= found[-1][0]:
            raise TokenmillError(f"{path}: line {number}: its time does not grow; a meter's clock must run forward")
        found.append((unix_s, watts))
    return found


def meter_trace(
    path: Path,
    windows: Sequence[Window],
    start: ClockAnchor,
    end: ClockAnchor,
    *,
    most_s: float = _WAIT_S,
    wall: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> PowerTrace:
    """The node's watts around the windows on the monotonic clock, of which `start` and `end` are two moments. Waits up to `most_s` for the sample after the
    last window. `clock_skew` where the clocks came apart, or the meter's is ahead of this machine's, by more than 0.8 s."""
    offset_s = (start.offset_s + end.offset_s) / 2
    whole = stretch(windows)
    until_s = wall() + most_s
    while True:
        rows = read_meter(path)
        if (rows and rows[-1][0] >= whole.t_end_s + offset_s) or wall() >= until_s:
            break
        sleep(0.2)
    near = [(t - offset_s, watts) for t, watts in rows if whole.t_start_s - MOST_GAP_S <= t - offset_s <= whole.t_end_s + MOST_GAP_S]
    notes = {"meter": f"has no sample within {MOST_GAP_S:g} s of the windows"} if not near else {}
    if skew := _skew(drift_s(start, end), rows[-1][0] - wall() if rows else 0.0):
        notes = {"clock_skew": skew}
    return PowerTrace(
        source="meter",
        kind="measured",
        sensor_accuracy=None,  # the meter's own class, which its file does not tell
        device="node",
        boundary="node",
        most_gap_s=MOST_GAP_S,
        samples=tuple(PowerSample(t_s=t, instant_w=watts) for t, watts in near),
        notes=notes,
        invalid_reasons=("clock_skew",) if skew else (),
    )


def _skew(drifted_s: float, ahead_s: float) -> str | None:
    if abs(drifted_s) > MOST_SKEW_S:
        return f"the wall clock moved by {drifted_s:+.1f} s during the point"
    if ahead_s > MOST_SKEW_S:
        return f"the meter's clock is {ahead_s:.1f} s ahead of this machine's"
    return None


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as e:
        raise TokenmillError(f"{path}: cannot be read as a meter's file ({e.strerror})") from e
    if len(data) > MOST_BYTES:
        raise TokenmillError(f"{path}: over {MOST_BYTES >> 20} MiB; begin a new file for each run")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        raise TokenmillError(f"{path}: is not text; expected CSV or JSON lines with a time and watts") from e


def _rows(path: Path, lines: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, column -> value)."""
    filled = [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    if filled and filled[0][1].lstrip().startswith("{"):
        for number, line in filled:
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as e:
                raise TokenmillError(f"{path}: line {number} is not JSON; expected an object with a time and watts") from e
            if not isinstance(row, dict):
                raise TokenmillError(f"{path}: line {number}: expected an object with a time and watts")
            yield number, row
        return
    names: list[str] = []
    for number, line in filled:
        try:
            cells = next(csv.reader([line]))
        except csv.Error as e:
            raise TokenmillError(f"{path}: line {number} is not CSV ({e})") from e
        if names:
            yield number, dict(zip(names, cells, strict=False))
        names = names or [cell.strip().lower() for cell in cells]


def _named(path: Path, number: int, row: dict[str, Any], names: tuple[str, ...]) -> Any:
    found = next((row[name] for name in names if name in row), None)
    if found is None:
        raise TokenmillError(f"{path}: line {number}: has no {names[0]}; name the column {', '.join(names[:-1])} or {names[-1]}")
    return found


def _seconds(path: Path, number: int, value: Any) -> float:
    if (seconds := _number(value)) is not None:
        return seconds
    try:
        moment = datetime.fromisoformat(str(value).strip())
    except ValueError as e:
        raise TokenmillError(f"{path}: line {number}: {str(value)[:40]!r} is no time; expected unix seconds or 2026-01-31T12:00:00+00:00") from e
    if moment.tzinfo is None:
        raise TokenmillError(f"{path}: line {number}: {str(value)[:40]!r} does not tell its zone; write 2026-01-31T12:00:00+00:00, ...Z, or unix seconds")
    return moment.timestamp()


def _watts(path: Path, number: int, value: Any) -> float:
    watts = _number(value)
    if watts is None or not 0 <= watts <= 1e6:
        raise TokenmillError(f"{path}: line {number}: {str(value)[:40]!r} should be watts (0 to 1,000,000)")
    return watts


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
