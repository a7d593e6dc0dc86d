"""What stands below every chart: whose figures they are, of which tokens, at which price."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from profiler.economics.prices import price_summary
from profiler.pareto.operating import Reported
from profiler.report.kinds import LEGEND, short
from profiler.report.numbers import NONE

_MOST = 3  # runs or prices named; of more their number


def caption_lines(reported: Reported, *, priced: bool = True) -> list[str]:
    """Runs, then mixes with the kinds of source, then prices (where the chart shows money). Not yet safe to print."""
    points = [point for _, _, derived in reported for point in derived.points]
    mixes = dict.fromkeys(str(point["mix"]) for point in points if point.get("mix"))
    kinds = dict.fromkeys(short(kind) for point in points if (kind := _kind(point)) is not None)
    machines = dict.fromkeys(str(name) for point in points if (name := point.get("gpu")))
    lines = [f"runs: {_some([run.run_id for run, _, _ in reported])}" + (f"; on {_some(machines)}" if machines else "")]
    lines.append("; ".join(part for part in (f"mix {_some(mixes)}" if mixes else "no mix", *(f"{name}: {LEGEND.get(name, name)}" for name in kinds)) if part))
    if priced:
        lines.append(f"price: {_some(dict.fromkeys(price_summary(price) for _, price, _ in reported), most=2) or NONE}")
    return lines


def _kind(point: Mapping[str, Any]) -> str | None:
    """The kind of a point's rate, else of its time; None where it has neither."""
    kinds = point.get("provenance") or {}
    found: str | None = kinds.get("output_tokens_per_s_per_gpu") or kinds.get("step_s")
    return found


def _some(names: Iterable[str], most: int = _MOST) -> str:
    found = list(names)
    return ", ".join(found[:most]) + (f" and {len(found) - most} more" if len(found) > most else "")
