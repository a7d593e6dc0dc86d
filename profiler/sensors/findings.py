"""What a board's sensors really do, from one recording of known loads. Pure functions: no sensor, no clock, the same answer every time."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from profiler.sensors.lag import LAGGING, lag_findings
from profiler.sensors.recording import Recording
from profiler.sensors.stages import stage_rows
from profiler.sensors.ticks import UPDATED, call_spread, counter_findings, failed_looks, spread_of, update_spread
from profiler.sensors.windows import window_rows


def sensor_findings(recording: Recording) -> dict[str, Any]:
    """Plain JSON values; whatever was not seen is None, or has no entry.

    `sample_call_s`: seconds of one look at all sensors; `look_s`: between looks, which no period below is finer than; `failed_looks`: figure -> share of looks
    without an answer; `counter`: tick_s, tick_j, resolution_j; `update_s`: of instant, average and memory power; `stages`: a row per load (watts, Hz, degrees
    C, shares of time, rates in rate_unit); `lag_s`: of instant and average power behind a step of the load; `windows`: joules per step.
    """
    samples = recording.trace.samples
    return {
        "sample_call_s": call_spread(recording.call_s),
        "look_s": spread_of([after.t_s - before.t_s for before, after in pairwise(samples)]),
        "failed_looks": failed_looks(samples),
        "counter": counter_findings(samples),
        "update_s": {figure: update_spread(samples, figure) for figure in UPDATED},
        "stages": stage_rows(recording),
        "lag_s": {figure: lag_findings(recording, figure) for figure in LAGGING},
        "windows": window_rows(recording),
    }
