"""A run as one timeline for Perfetto or chrome://tracing: phases, windows, operations, power, clocks, temperature.

Format: "Trace Event Format" (Google, 2016), the JSON object form: complete events (X), counters (C), instant events (i) and names (M). Times in microseconds
from the run's first moment. The same clock stamps windows and samples, so nothing is aligned afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from profiler.explain.explanation import Explanation, Reported
from profiler.explain.waterfall import Explained
from profiler.record.rows import read_rows
from profiler.report.text import plain

Event = dict[str, Any]

TRACKS = {"points": 1, "phases": 2, "windows": 3, "operations measured alone": 4, "one step, operations as measured alone (modelled order)": 5}
_POINTS, _PHASES, _WINDOWS, _OPERATIONS, _STEP = TRACKS.values()
# Counter -> the fields of a power sample that it shows.
COUNTERS = {"power (W)": ("instant_w", "average_w"), "SM clock (MHz)": ("sm_hz",), "temperature (deg C)": ("temperature_c",)}
_SCALE = {"sm_hz": 1e-6}
_NAME = 200


def trace_of(explanation: Explanation) -> dict[str, Any]:
    """The trace of all runs, one process each. TokenmillError where a power trace was changed, cut short or is missing."""
    events: list[Event] = []
    for pid, each in enumerate(explanation.reported, start=1):
        events += _run(each, pid, explanation)
    return {"traceEvents": events, "displayTimeUnit": "ms", "otherData": {"runs": [each.run.run_id for each in explanation.reported]}}


def _run(each: Reported, pid: int, explanation: Explanation) -> list[Event]:
    named = [_meta("process_name", pid, 0, plain(each.run.run_id)[:_NAME])] + [_meta("thread_name", pid, tid, name) for name, tid in TRACKS.items()]
    events: list[Event] = []
    for point in each.derived.points:
        found = explanation.found.get((each.run.run_id, str(point["point_id"])))
        events += _point(point, found, read_rows(each.run, point, "series"), pid)
    first = min((event["ts"] for event in events), default=0.0)
    return named + [event | {"ts": (event["ts"] - first) * 1e6} for event in sorted(events, key=lambda event: event["ts"])]


def _point(point: Mapping[str, Any], found: Explained | None, series: Sequence[Mapping[str, Any]], pid: int) -> list[Event]:
    """Events of one point; `ts` still in seconds of the recorded clock."""
    name, windows = str(point["point_id"]), point.get("windows") or ()
    spans = [_span(_PHASES, pid, str(phase["name"]), phase, point=name) for phase in point.get("phases") or ()]
    spans += [_span(_WINDOWS, pid, f"window {n}", window, steps=window.get("steps"), energy_j=window.get("energy_j")) for n, window in enumerate(windows, 1)]
    spans += [_span(_OPERATIONS, pid, f"{row.get('part')}: {row.get('op')}", w, calls=w.get("calls"), energy_j=w.get("energy_j")) for row, w in _alone(found)]
    if not spans:
        return list(_counters(series, pid))
    start, end = min(s["ts"] for s in spans), max(s["ts"] + s["dur"] * 1e-6 for s in spans)
    whole = {"t_start_s": start, "t_end_s": end}
    began = float(windows[0]["t_start_s"]) if windows else start
    invalid = [_instant(pid, f"not valid: {reason}", began, name) for reason in point.get("invalid_reasons") or ()]
    return [_span(_POINTS, pid, name, whole, valid=point.get("valid")), *spans, *_one_step(found, began, pid), *invalid, *_counters(series, pid)]


def _alone(found: Explained | None) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Each window in which one operation was measured alone."""
    for row in found.rows if found is not None else ():
        for window in row.get("windows") or ():
            yield row, window


def _one_step(found: Explained | None, began: float, pid: int) -> Iterator[Event]:
    """The operations of one step end to end in the plan's order, all calls of one entry together: the order is the plan's, the times are those alone."""
    at = began
    for op in found.operations.measured if found is not None and found.operations is not None else ():
        assert op.time_s is not None
        yield _span(_STEP, pid, f"{op.part}: {op.op}", {"t_start_s": at, "t_end_s": at + op.time_s}, group=op.group, floor_s=op.floor_s)
        at += op.time_s


def _counters(series: Iterable[Mapping[str, Any]], pid: int) -> Iterator[Event]:
    for sample in series:
        device = plain(sample.get("device") or "gpu0")[:_NAME]
        for counter, fields in COUNTERS.items():
            values = {name: float(sample[name]) * _SCALE.get(name, 1.0) for name in fields if sample.get(name) is not None}
            if values:
                yield {"ph": "C", "name": f"{device} {counter}", "ts": float(sample["t_s"]), "pid": pid, "tid": 0, "args": values}


def _span(tid: int, pid: int, name: str, when: Mapping[str, Any], **args: Any) -> Event:
    start, end = float(when["t_start_s"]), float(when["t_end_s"])
    said = {key: plain(value)[:_NAME] if isinstance(value, str) else value for key, value in args.items() if value is not None}
    return {"ph": "X", "name": plain(name)[:_NAME], "cat": "tokenmill", "ts": start, "dur": max(0.0, end - start) * 1e6, "pid": pid, "tid": tid, "args": said}


def _instant(pid: int, name: str, at: float, point: str) -> Event:
    return {"ph": "i", "name": plain(name)[:_NAME], "cat": "tokenmill", "ts": at, "pid": pid, "tid": _POINTS, "s": "p", "args": {"point": point}}


def _meta(what: str, pid: int, tid: int, name: str) -> Event:
    return {"ph": "M", "name": what, "ts": 0, "pid": pid, "tid": tid, "args": {"name": name}}
