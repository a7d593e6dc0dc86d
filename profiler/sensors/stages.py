"""What the sensors say of each known load, and how fast it ran at its beginning and at its end. Pure functions of a recording."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from profiler.measure.statistics import median
from profiler.measure.validity import sm_clock
from profiler.power.event_share import event_share
from profiler.power.readings import counter_reading, mean_watts
from profiler.power.window import Window, stretch
from profiler.sensors.recording import HIGH, LOW, STAGE, STEADY, Recording, Stretch, around, known

SQUARE = "square"  # load and none in turn: about half of full load


def stage_rows(recording: Recording) -> list[dict[str, Any]]:
    """A row per load, and one for the square steps together. Watts, clock and event shares are of what follows the settling; `temperature_c` is its last;
    `seconds` are all of it."""
    rows = [_loaded(recording, s) for s in recording.parts(STAGE)]
    square = recording.parts(HIGH, LOW)
    if len(square) > 1:
        whole = stretch([s.window for s in square])
        rows.append(_row(recording, SQUARE, whole, whole, None))
    named = {row["name"] for row in rows}
    return rows + [_loaded(recording, s) for s in recording.parts(STEADY) if s.load not in named]


def _loaded(recording: Recording, ran: Stretch) -> dict[str, Any]:
    return _row(recording, ran.load, ran.window, _settled(ran.window, recording.times.settle_s), ran)


def _settled(window: Window, settle_s: float) -> Window:
    return Window(t_start_s=window.t_start_s + min(settle_s, window.duration_s / 2), t_end_s=window.t_end_s)


def _row(recording: Recording, name: str, whole: Window, settled: Window, ran: Stretch | None) -> dict[str, Any]:
    trace = around(recording.trace, settled)
    samples, gap_s = trace.samples, trace.most_gap_s
    counter_j = counter_reading(samples, settled, most_gap_s=gap_s).energy_j
    counter_w = None if counter_j is None else counter_j / settled.duration_s
    watts = {figure: mean_watts(samples, figure, [settled], most_gap_s=gap_s) for figure in ("instant_w", "average_w", "memory_w", "module_w")}
    instant_w = watts["instant_w"]
    degrees = [celsius for t_s, celsius in known(samples, "temperature_c") if settled.holds(t_s)]
    burst, sustained = (None, None) if ran is None else rates(ran, recording.times.burst_s)
    return {
        "name": name,
        "seconds": whole.duration_s,
        "counter_w": counter_w,
        **watts,
        "counter_over_instant": None if counter_w is None or not instant_w else counter_w / instant_w,
        "sm_hz": sm_clock(trace, [settled]),
        "temperature_c": degrees[-1] if degrees else None,
        "event_share": event_share(trace, [settled]),
        "burst": burst,
        "sustained": sustained,
        "rate_unit": None if ran is None or burst is None else ran.unit,
    }


def rates(ran: Stretch, burst_s: float) -> tuple[float | None, float | None]:
    """(burst, sustained) in the stretch's unit: the median of the blocks that ended within the first `burst_s` (the first block, where it is longer), and of
    those that began in the last third. None without marks."""
    if len(ran.marks) < 2 or ran.per_call is None:
        return None, None
    start_s, end_s = ran.marks[0][0], ran.marks[-1][0]
    blocks = [(a[0], b[0], (b[1] - a[1]) * ran.per_call / (b[0] - a[0])) for a, b in pairwise(ran.marks) if b[0] > a[0]]
    early = [rate for _, until_s, rate in blocks if until_s <= start_s + burst_s] or [rate for _, _, rate in blocks[:1]]
    late = [rate for from_s, _, rate in blocks if from_s >= start_s + (end_s - start_s) * 2 / 3]
    return median(early) if early else None, median(late) if late else None
