"""The data of the timeline: power, clock and temperature of one point, with the windows that its figures are of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from statistics import median
from typing import Any

from profiler.power.source import MOST_GAP_S
from profiler.record.rows import Recorded, read_rows

BUCKETS = 400
BOARD = "board"
Samples = list[tuple[float, float]]

# Panel of the chart -> the fields of a sample that it shows, the best that is there first, with the factor to the panel's unit.
PANELS = (
    ("power", "W", ("instant_w", "average_w"), 1.0),
    ("SM clock", "MHz", ("sm_hz",), 1e-6),
    ("temperature", "deg C", ("temperature_c",), 1.0),
)


def timeline_data(run: Recorded, point: Mapping[str, Any], buckets: int = BUCKETS) -> dict[str, Any] | None:
    """{"point_id", "windows": [[start, end]], "phases": [{"name", "start", "end"}], "panels": [{"label", "unit", "lines": [{"device", "boundary", "field", "t",
    "v"}]}]}: seconds from the first window's start. None where no sensor was sampled. TokenmillError for rows that were changed or cut short.
    Watts that were declared are no sensor's.

    Lines hold the least and the greatest sample of each of `buckets` stretches of time, so that no peak is lost; null where nothing was sampled for a while.
    A source that only counts joules (RAPL) gets the mean power between its samples.
    """
    declared = point.get("power_source") == "declared"
    rows = [row for row in read_rows(run, point, "series") if not (declared and (row.get("boundary") or BOARD) == BOARD)]
    windows = [(float(window["t_start_s"]), float(window["t_end_s"])) for window in point.get("windows") or ()]
    if not rows:
        return None
    first, last = (edge(float(row["t_s"]) for row in rows) for edge in (min, max))
    zero = windows[0][0] if windows else first
    grid = (first, (last - first) / buckets or 1.0)
    panels = []
    for label, unit, names, factor in PANELS:
        lines = [_line(source, field, samples, factor, zero, grid) for source, field, samples in _sources(rows, names, counted=unit == "W")]
        if lines:
            panels.append({"label": label, "unit": unit, "lines": lines})
    return {
        "point_id": point.get("point_id"),
        "windows": [[start - zero, end - zero] for start, end in windows],
        "phases": [
            {"name": str(phase["name"]), "start": float(phase["t_start_s"]) - zero, "end": float(phase["t_end_s"]) - zero}
            for phase in point.get("phases") or ()
        ],
        "panels": panels,
    }  # fmt: skip


def _sources(rows: Sequence[Mapping[str, Any]], names: Sequence[str], *, counted: bool) -> Iterable[tuple[tuple[str, str], str, Samples]]:
    """(device, boundary), the field shown, and its samples; of each device the first of `names` that it has."""
    by_source: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        by_source.setdefault((str(row.get("device") or "gpu0"), str(row.get("boundary") or BOARD)), []).append(row)
    for source, found in by_source.items():
        for name in names:
            samples = _field(found, name)
            if samples:
                yield source, name, samples
                break
        else:
            between = _power_between(_field(found, "counter_j")) if counted else []
            if between:
                yield source, "counter_j", between


def _field(rows: Iterable[Mapping[str, Any]], name: str) -> Samples:
    return sorted((float(row["t_s"]), float(row[name])) for row in rows if row.get(name) is not None)


def _power_between(counter: Samples) -> Samples:
    """Watts between looks at an energy counter, each at the later look. A counter that fell was reset, and says nothing of that stretch."""
    return [(t, (joules - before) / (t - at)) for (at, before), (t, joules) in pairwise(counter) if t > at and joules >= before]


def _line(source: tuple[str, str], field: str, samples: Samples, factor: float, zero: float, grid: tuple[float, float]) -> dict[str, Any]:
    most_gap = max(MOST_GAP_S, 5 * median(after - at for (at, _), (after, _) in pairwise(samples))) if len(samples) > 1 else MOST_GAP_S
    times: list[float] = []
    values: list[float | None] = []
    for piece in _pieces(samples, most_gap):
        if times:
            times.append((times[-1] + piece[0][0] - zero) / 2)
            values.append(None)
        for t, value in _extremes(piece, *grid):
            times.append(t - zero)
            values.append(value * factor)
    return {"device": source[0], "boundary": source[1], "field": field, "t": times, "v": values}


def _pieces(samples: Samples, most_gap: float) -> Iterable[Samples]:
    """Stretches without a gap of more than `most_gap` seconds."""
    piece: Samples = []
    for sample in samples:
        if piece and sample[0] - piece[-1][0] > most_gap:
            yield piece
            piece = []
        piece.append(sample)
    if piece:
        yield piece


def _extremes(samples: Samples, first: float, width: float) -> Samples:
    """The least and the greatest sample of each stretch of `width` seconds from `first`, in the order of time."""
    buckets: dict[int, Samples] = {}
    for sample in samples:
        buckets.setdefault(int((sample[0] - first) / width), []).append(sample)
    kept: Samples = []
    for found in buckets.values():
        kept += sorted({min(found, key=lambda sample: sample[1]), max(found, key=lambda sample: sample[1])})
    return kept
