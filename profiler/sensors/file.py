"""A sensor trial's recording in one file, so that what its board showed can be worked out again without the board: gzipped JSON lines, a header first.

Header: {"sensors": 1, "machine": {...}, "left_out": [...], "times": {...}, "trace": {...}, "stretches": [...], "call_s": [...]}; then one line per look at the
sensors, as in a run's `series/`, what it did not answer left out.
"""

from __future__ import annotations

import gzip
import json
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from itertools import pairwise
from pathlib import Path
from typing import Any

from profiler.power.source import PowerSample, PowerTrace
from profiler.record.rows import MOST_BYTES, compressed, text_of
from profiler.sensors.recording import Recording, Times, stretch_of
from triton_kernels.errors import TokenmillError

VERSION = 1
_TRACE = ("source", "kind", "sensor_accuracy", "device", "boundary", "most_gap_s", "notes", "invalid_reasons")
_FIGURES = {f.name for f in fields(PowerSample)}


def trace_json(trace: PowerTrace) -> dict[str, Any]:
    """What a trace's source says of itself, without the samples."""
    return {name: getattr(trace, name) for name in _TRACE}


def sample_json(sample: PowerSample) -> dict[str, Any]:
    """One look, without what it did not answer."""
    return {figure: value for figure, value in sample.json().items() if value is not None}


def trace_of_json(values: Mapping[str, Any], samples: Sequence[PowerSample]) -> PowerTrace:
    """The trace whose `trace_json` this is."""
    return PowerTrace(**{**values, "invalid_reasons": tuple(values["invalid_reasons"])}, samples=tuple(samples))


def write_recording(path: Path, recording: Recording, *, machine: Mapping[str, Any], left_out: Sequence[str]) -> None:
    """TokenmillError where the file cannot be written."""
    header = {
        "sensors": VERSION, "machine": dict(machine), "left_out": list(left_out), "times": asdict(recording.times), "trace": trace_json(recording.trace),
        "stretches": [s.json() for s in recording.stretches], "call_s": list(recording.call_s),
    }  # fmt: skip
    try:
        path.write_bytes(compressed(text_of([header, *map(sample_json, recording.trace.samples)])))
    except OSError as e:
        raise TokenmillError(f"--trace {path}: cannot be written ({e.strerror}); choose another file") from e


def read_recording(path: Path) -> tuple[Recording, dict[str, Any], list[str]]:
    """(recording, machine, what was left out) as `write_recording` wrote them. TokenmillError for any other file."""
    try:
        with gzip.open(path, "rb") as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise ValueError(f"over {MOST_BYTES >> 20} MiB")
        header, *rows = (json.loads(line) for line in data.decode().splitlines())
        if header["sensors"] != VERSION:
            raise ValueError(f"version {header['sensors']}, not {VERSION}")
        return _recording(header, [_sample(row) for row in rows]), _machine(header["machine"]), [str(line) for line in header["left_out"]]
    except OSError as e:
        raise TokenmillError(f"--replay {path}: cannot be read ({e.strerror or e})") from e
    except (EOFError, zlib.error, ValueError, TypeError, KeyError, AttributeError, RecursionError) as e:
        raise TokenmillError(f"--replay {path}: is no recording of `doctor --sensors --trace` ({type(e).__name__}: {str(e)[:80]})") from e


def _recording(header: Mapping[str, Any], samples: Sequence[PowerSample]) -> Recording:
    if any(after.t_s <= before.t_s for before, after in pairwise(samples)):
        raise ValueError("its clock runs backwards")
    times = header["times"]
    return Recording(
        trace=trace_of_json(header["trace"], samples),
        stretches=tuple(stretch_of(values) for values in header["stretches"]),
        call_s=tuple(float(seconds) for seconds in header["call_s"]),
        times=Times(**{**times, "windows_s": tuple(float(seconds) for seconds in times["windows_s"])}),
    )


def _sample(row: Mapping[str, Any]) -> PowerSample:
    if any(figure not in _FIGURES or not _finite(value) for figure, value in row.items()):
        raise ValueError("a look holds what is no figure")
    return PowerSample(**row)


def _machine(values: Mapping[str, Any]) -> dict[str, Any]:
    gpu = values["gpu"]
    if gpu is not None and not (isinstance(gpu, dict) and (gpu.get("power_limit_w") is None or _finite(gpu["power_limit_w"]))):
        raise ValueError("its GPU is none")
    return {name: values[name] for name in ("gpu", "driver", "device", "note")}


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
