"""Power replayed from a recorded trace: how tests and demonstrations have power on a machine without a sensor."""

from __future__ import annotations

import gzip
import json
import math
import time
import zlib
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from profiler.power.source import MOST_GAP_S, PowerSample
from triton_kernels.errors import TokenmillError

MOST_BYTES = 64 << 20  # days of samples; a larger file is no trace
MOST_W = 1e6  # as of a meter's file: no board or node draws it
_FIELDS = tuple(f.name for f in fields(PowerSample) if f.name != "t_s")


def read_trace(path: Path, *, device: str | None = None) -> tuple[PowerSample, ...]:
    """The samples of a `series/*.jsonl[.gz]` file or of one written by hand: one JSON object per line with `t_s` and any of PowerSample's fields.

    Of several devices' samples those of `device`, else of the first board's. TokenmillError when the file cannot be read, is no such trace, its clock runs
    backwards, or it lies in a run's folder and is not what was recorded there.
    """
    text = _text(path)
    _check_recorded(path, text)
    samples: list[PowerSample] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as e:
            raise TokenmillError(f"{path}: line {number} is not JSON; expected one sample per line") from e
        sample = _sample(path, number, values)
        of, boundary = values.get("device", "gpu0"), values.get("boundary", "board")
        device = of if device is None and boundary == "board" else device
        if of != device:
            continue
        if samples and sample.t_s <= samples[-1].t_s:
            raise TokenmillError(f"{path}: line {number}: t_s does not grow; a trace's clock must run forward")
        samples.append(sample)
    if len(samples) < 2:
        raise TokenmillError(f"{path}: holds {len(samples)} samples of {str(device or 'a board')[:40]}; a power trace needs at least 2")
    return tuple(samples)


def _text(path: Path) -> str:
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as e:
        raise TokenmillError(f"{path}: cannot be read as a power trace ({getattr(e, 'strerror', None) or e})") from e
    if len(data) > MOST_BYTES:
        raise TokenmillError(f"{path}: over {MOST_BYTES >> 20} MiB is no power trace")
    try:
        return data.decode()
    except UnicodeDecodeError as e:
        raise TokenmillError(f"{path}: is not text; expected one JSON sample per line") from e


def _check_recorded(path: Path, text: str) -> None:
    """A trace that a run holds must be the one that its point was recorded with; others, and points from before there were digests, have none to compare."""
    run, point_id = path.resolve().parent.parent, path.name.partition(".")[0]
    if path.resolve().parent.name != "series" or not (run / "run.json").is_file():
        return
    from profiler.record.rows import digest
    from profiler.record.store import read_run

    recorded = next((p for p in read_run(run).points if p.get("point_id") == point_id), {})
    wanted = (recorded.get("digests") or {}).get("series")
    if wanted is not None and digest(text) != wanted:
        raise TokenmillError(f"{path}: was changed after it was recorded (its digest differs); replay a trace as it was recorded, or a copy outside the run")


def _sample(path: Path, number: int, values: Any) -> PowerSample:
    if not isinstance(values, dict) or not _is_number(values.get("t_s")):
        raise TokenmillError(f"{path}: line {number}: expected an object with the number t_s (seconds)")
    read: dict[str, Any] = {}
    for name in _FIELDS:
        value = values.get(name)
        if value is not None and not _is_number(value):
            raise TokenmillError(f"{path}: line {number}: {name} should be a number or null")
        if value is not None and name.endswith("_w") and not 0 <= value <= MOST_W:
            raise TokenmillError(f"{path}: line {number}: {name} should be watts, from 0 to {MOST_W:,.0f}")
        read[name] = value
    return PowerSample(t_s=float(values["t_s"]), **read)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


class ReplayPower:
    """A recorded trace on its own clock: its first sample happens when the source is made, and the trace begins again when it ends.

    The energy counter carries on through the repetitions. Every figure made from it is `replayed`.
    """

    name = "replay"
    kind = "replayed"
    device, boundary = "gpu0", "board"
    most_gap_s = MOST_GAP_S
    sensor_accuracy: float | None = None
    invalid_reasons: tuple[str, ...] = ()

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._samples = read_trace(path)
        self._times = [s.t_s for s in self._samples]
        self._clock = clock
        self._began_s = clock()
        self.notes: Mapping[str, str] = {}

    def sample(self) -> PowerSample:
        now_s = self._clock()
        length_s = self._times[-1] - self._times[0]
        rounds, into_s = divmod(now_s - self._began_s, length_s)
        # What a sensor would have shown: its latest recorded value at that moment.
        seen = self._samples[bisect_right(self._times, self._times[0] + into_s) - 1]
        first_j, last_j = self._samples[0].counter_j, self._samples[-1].counter_j
        counter_j = seen.counter_j
        if counter_j is not None and first_j is not None and last_j is not None:
            counter_j += rounds * (last_j - first_j)
        return replace(seen, t_s=now_s, counter_j=counter_j)

    def close(self) -> None:
        """Nothing to close: the trace was read whole."""
