"""One point again and again: how far its step and its joules move."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from profiler.evidence.page.folder import Folder
from profiler.evidence.page.points import milliseconds
from profiler.report.numbers import NONE, percent, plus_minus, si

FIRST, AGAIN = "operations", "repeat"
LENGTHS = (AGAIN, "repeat-w5", "repeat-w10")


def repeats(folder: Folder) -> list[str]:
    """What a second run minutes after found, and the spread of windows of each length."""
    runs = [(name, folder.runs[name]) for name in (FIRST, *LENGTHS) if name in folder.runs]
    found = {name: point for name, run in runs for point in run.points if point.get("status") == "ok"}
    first, again = found.get(FIRST), found.get(AGAIN)
    if again is None:
        return []
    before = "Not measured before." if first is None else _apart(first, again)
    lines = [f"Batch {again['batch']} at {again['context']}: {_figures(first or again)}. {before}"]
    spreads = [f"{_length(found[name])} {percent(_spread_j(found[name]))}" for name in LENGTHS if name in found]
    lines.append(f"Standard deviation over mean of J/step between windows of {', '.join(spreads)}.{_invalid(found)}")
    return ["## One point again", " ".join(lines)]


def _figures(point: Mapping[str, Any]) -> str:
    energy = point.get("energy_per_step_j") or {}
    return f"{milliseconds(point['step_s'])} ms, {plus_minus(energy.get('mean'), energy.get('ci95'))} J a step"


def _apart(first: Mapping[str, Any], again: Mapping[str, Any]) -> str:
    minutes = (again["clock"]["unix_s"] - first["clock"]["unix_s"]) / 60
    time = again["step_s"]["median"] / first["step_s"]["median"] - 1
    joules = [(point.get("energy_per_step_j") or {}).get("mean") for point in (first, again)]
    energy = f"{joules[1] / joules[0] - 1:+.2%} in joules" if joules[0] and joules[1] else "no joules"
    return f"Again {minutes:.1f} minutes after: {_figures(again)}, {time:+.2%} in time, {energy}."


def _length(point: Mapping[str, Any]) -> str:
    lengths_s = [window["t_end_s"] - window["t_start_s"] for window in point["windows"]]
    return si(sum(lengths_s) / len(lengths_s), "s") if lengths_s else NONE


def _spread_j(point: Mapping[str, Any]) -> float | None:
    return spread([w["energy_j"] / w["steps"] for w in point["windows"] if w.get("energy_j") is not None and w.get("steps")])


def spread(values: Sequence[float]) -> float | None:
    """Standard deviation over the mean; None of fewer than two."""
    if len(values) < 2:
        return None
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)) / mean


def _invalid(found: Mapping[str, Mapping[str, Any]]) -> str:
    reasons = dict.fromkeys(f"{name} ({', '.join(point['invalid_reasons'])})" for name, point in found.items() if not point.get("valid"))
    return f" ✗ not valid: {'; '.join(reasons)}." if reasons else ""
