"""What `explain` explains where nobody said: the headline's mix, else the best decode, else what ran."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from profiler.explain.explanation import Explanation, Key
from profiler.explain.waterfall import Waterfall
from profiler.report.rows import Row, cheapest, rows_of
from triton_kernels.errors import TokenmillError


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A point, or the whole request that its decode is part of, and why it was taken."""

    key: Key
    whole_request: bool
    waterfall: Waterfall
    why: str


def subject_of(explanation: Explanation, point_id: str | None) -> Subject:
    """The subject. A TokenmillError where there is nothing to explain, or no point of that name ran."""
    if point_id is not None:
        return _named(explanation, point_id)
    rows = [row for each in explanation.reported for row in rows_of(each.derived, each.run.run_id)]
    best = cheapest([row for row in rows if row.decode is not None and _key(row) in explanation.mixes])
    if best is not None:
        priced = bool(best.mix and best.mix.get("usd_per_mtok"))
        key = _key(best)
        why = "the cheapest valid mix" if priced else "the valid mix with most tokens per GPU, the cheapest at any price"
        return Subject(key=key, whole_request=True, waterfall=explanation.mixes[key], why=why)
    valid = [key for key, found in explanation.found.items() if found.point.get("phase") == "decode" and found.point.get("valid")]
    if valid:
        fastest = max(valid, key=lambda key: explanation.found[key].point.get("output_tokens_per_s_per_gpu") or 0.0)
        return _point(explanation, fastest, "no valid mix; the valid decode with most tokens per GPU")
    if explanation.found:
        return _point(explanation, next(iter(explanation.found)), "nothing valid; the first point that ran")
    raise TokenmillError("no point of this run has a measured step, so there is nothing to explain: `tokenmill report` says what became of its points")


def _named(explanation: Explanation, point_id: str) -> Subject:
    key = next((key for key in explanation.found if key[1] == point_id), None)
    if key is None:
        known: Sequence[str] = [key[1] for key in explanation.found]
        some = ", ".join(known[:6]) + (f" and {len(known) - 6} more" if len(known) > 6 else "")
        raise TokenmillError(f"--point {point_id[:80]!r}: no such point ran; there are {some or 'none'}")
    return _point(explanation, key, "asked for by --point")


def _point(explanation: Explanation, key: Key, why: str) -> Subject:
    return Subject(key=key, whole_request=False, waterfall=explanation.points[key], why=why)


def _key(row: Row) -> Key:
    return row.run_id, str((row.decode or {}).get("point_id"))
