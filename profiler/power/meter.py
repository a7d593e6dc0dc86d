"""A wall meter's or BMC's watts of the whole node, from a file: the only source of the boundary `node` beside what a user declares.

CSV with a header, or JSON lines: a time (`unix_s`, `timestamp` or `time`; seconds since 1970, or ISO 8601 with its zone) and watts (`watts`, `power_w` or
`node_w`). The file may still grow while a point is measured. It is on the wall clock, and joined with the windows through one moment on both clocks.
"""

from __future__ import annotations

import csv
import io
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from profiler.power.source import PowerSample, PowerTrace
from profiler.power.window import Window
from triton_kernels.errors import TokenmillError

MOST_METER_GAP_S = 5.0  # meters and BMCs log every 1 to 2 s; MLPerf Power asks for 1 s
MOST_CLOCK_SKEW_S = 0.8  # MLPerf Power's limit between the meter's clock and the system's
MOST_BYTES = 64 << 20
_TIMES, _WATTS = ("unix_s", "timestamp", "time"), ("watts", "power_w", "node_w")


def read_meter(path: Path) -> list[tuple[float, float]]:
    """(seconds since 1970, watts) in the order of time. TokenmillError names the line and the fix; a last line that is still being written is left out."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as e:
        raise TokenmillError(f"--node-power {path}: cannot be read ({e.strerror})") from e
    if len(data) > MOST_BYTES:
        raise TokenmillError(f"--node-power {path}: over {MOST_BYTES >> 20} MiB is no power log")
    text = data.decode(errors="replace")
    lines = text[: text.rfind("\n") + 1].splitlines()
    rows = [_row(path, number, values) for number, values in _values(path, lines)]
    for number, (before, after) in enumerate(pairwise(rows), start=2):
        if after[0] <= before[0]:
            raise TokenmillError(f"--node-power {path}: reading {number}: time does not grow; a log's clock must run forward")
    return rows


def _values(path: Path, lines: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    if lines and lines[0].lstrip().startswith("{"):
        for number, line in enumerate(lines, start=1):
            try:
                values = json.loads(line)
            except (ValueError, RecursionError):
                values = None
            if not isinstance(values, dict):
                raise TokenmillError(f"--node-power {path}: line {number} is no JSON object")
            yield number, values
        return
    try:
        for number, row in enumerate(csv.DictReader(io.StringIO("\n".join(lines))), start=2):
            yield number, {str(name).strip().lower(): value for name, value in row.items()}
    except csv.Error as e:
        raise TokenmillError(f"--node-power {path}: is no CSV ({e})") from e


def _row(path: Path, number: int, values: dict[str, Any]) -> tuple[float, float]:
    where = f"--node-power {path}: line {number}"
    told, watts = (next((values[name] for name in names if values.get(name) not in (None, "")), None) for names in (_TIMES, _WATTS))
    if told is None or watts is None:
        raise TokenmillError(f"{where}: needs a time ({', '.join(_TIMES)}) and watts ({', '.join(_WATTS)})")
    value = _float(watts)
    if value is None or not 0 <= value <= 1e7:
        raise TokenmillError(f"{where}: watts {str(watts)[:40]!r} should be a number from 0 to 10,000,000")
    return _unix_s(where, told), value


def _unix_s(where: str, told: Any) -> float:
    seconds = _float(told)
    if seconds is not None:
        if not 1e9 <= seconds < 1e10:
            raise TokenmillError(f"{where}: time {str(told)[:40]!r} should be in seconds since 1970")
        return seconds
    try:
        moment = datetime.fromisoformat(str(told))
    except ValueError:
        raise TokenmillError(f"{where}: time {str(told)[:40]!r} should be seconds since 1970, or ISO 8601 with its zone") from None
    if moment.tzinfo is None:
        raise TokenmillError(f"{where}: time {str(told)[:40]!r} has no zone; log it in UTC as 2026-11-25T12:00:00+00:00")
    return moment.timestamp()


def _float(value: Any) -> float | None:
    try:
        number = float(value) if not isinstance(value, bool) else math.nan
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Clock:
    """One moment on both clocks, and by how much they came apart until the point's end: NTP steps the wall clock, never the monotonic one."""

    monotonic_s: float
    unix_s: float
    drift_s: float = 0.0


class MeterFile:
    """The meter's trace around windows, on the monotonic clock."""

    def __init__(self, path: Path, *, most_wait_s: float = 5.0, sleep: Callable[[float], None] = time.sleep) -> None:
        self.path = path
        self._most_wait_s, self._sleep = most_wait_s, sleep

    def trace(self, clock: Clock, windows: Sequence[Window]) -> PowerTrace:
        """What the file says of the windows and a little around them. Waits a little for the reading that ends the last window. A file that cannot be read,
        or clocks that came apart, are said in the trace: the point's time stands."""
        if abs(clock.drift_s) > MOST_CLOCK_SKEW_S:
            why = f"the wall clock moved by {clock.drift_s:+.1f} s against the monotonic one during the point"
            return self._trace((), {"clock_skew": why}, ("clock_skew",))
        offset_s, waited_s = clock.monotonic_s - clock.unix_s, 0.0
        while True:
            try:
                readings = read_meter(self.path)
            except TokenmillError as e:
                return self._trace((), {"meter": str(e)})
            if waited_s >= self._most_wait_s or (readings and readings[-1][0] + offset_s >= windows[-1].t_end_s):
                break
            self._sleep(0.5)
            waited_s += 0.5
        first_s, last_s = windows[0].t_start_s - 2 * MOST_METER_GAP_S, windows[-1].t_end_s + 2 * MOST_METER_GAP_S
        around = tuple(PowerSample(t_s=t + offset_s, instant_w=watts) for t, watts in readings if first_s <= t + offset_s <= last_s)
        notes = {} if around else {"meter": f"{self.path} holds no reading around the windows"}
        return self._trace(around, notes)

    def _trace(self, samples: tuple[PowerSample, ...], notes: dict[str, str], invalid_reasons: tuple[str, ...] = ()) -> PowerTrace:
        return PowerTrace(
            source="meter", kind="measured", sensor_accuracy=None, device="node", boundary="node", most_gap_s=MOST_METER_GAP_S, samples=samples, notes=notes,
            invalid_reasons=invalid_reasons,
        )  # fmt: skip
