"""What a run's recipes are made of, weigh, and do to the numbers: a line each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from profiler.report.numbers import NONE, percent, si
from profiler.report.rows import Figures
from profiler.report.text import printable


def precision_lines(points: Sequence[Figures]) -> list[str]:
    """One line for each recipe and cache format that ran; none where a single plain one did."""
    first: dict[tuple[str, str], Figures] = {}
    for point in points:
        if point.get("formats"):
            first.setdefault((str(point.get("precision")), str(point.get("kv_cache"))), point)
    if len(first) == 1 and not _quantised(next(iter(first.values()))["formats"]):
        return []
    return [_line(precision, cache, point) for (precision, cache), point in first.items()]


def _line(precision: str, cache: str, point: Figures) -> str:
    name = printable(precision) + (f", {printable(cache)} cache" if cache == "fp8" else "")
    return f"[bold]{name}[/]: {si(point.get('weight_bytes'), 'B')}; {_formats(point['formats'])}{_numerics(point.get('numerics'))}"


def _quantised(formats: Mapping[str, Any]) -> dict[str, list[str]]:
    """Parts by what they are multiplied as, where that is not the plain format."""
    plain = formats.get("plain") or {}
    by_use: dict[str, list[str]] = {}
    for part, use in formats.items():
        if part != "plain" and use.get("weight") != plain.get("weight"):
            kind = f" ({printable(use['kind'])})" if use.get("kind") else ""
            by_use.setdefault(f"{printable(use.get('weight'))} × {printable(use.get('takes'))}{kind}", []).append(printable(part))
    return by_use


def _formats(formats: Mapping[str, Any]) -> str:
    plain = printable((formats.get("plain") or {}).get("weight"))
    by_use = _quantised(formats)
    if not by_use:
        return f"all {plain}"
    return ", ".join(f"{', '.join(parts)} {use}" for use, parts in by_use.items()) + f", the rest {plain}"


def _numerics(numerics: Mapping[str, Any] | None) -> str:
    if not numerics:
        return ""
    parts = numerics.get("parts") or {}
    worst = max(parts, key=lambda part: parts[part], default=None)
    kl = numerics.get("kl_nats")
    return (
        f"; against {printable(numerics.get('against'))}: logits {percent(numerics.get('logits_relative_error'))} off, "
        f"KL {NONE if kl is None else f'{kl:.2g}'} nats, top-1 {percent(numerics.get('top1_agreement'))} of {numerics.get('tokens')}"
        + (f", worst {printable(worst)} {percent(parts[worst])}" if worst is not None else "")
        + " (meas)"
    )
