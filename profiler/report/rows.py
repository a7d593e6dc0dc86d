"""A run's rows: what belongs on one line of a table. A row is a decode point with the prefill and the mix that go with it; either may be missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from profiler.economics.derive import Derived

Figures = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line. `mix` has been composed from `decode` and `prefill`; a point that serves no mix stands alone. At least one point is there.

    A serving point, which has both phases in it, stands in the place of `decode`.
    """

    run_id: str
    decode: Figures | None
    prefill: Figures | None
    mix: Figures | None

    @property
    def subject(self) -> Figures:
        """The point that names the row: its formats, batch and model."""
        found = self.decode if self.decode is not None else self.prefill
        assert found is not None, self.run_id
        return found

    @property
    def points(self) -> tuple[Figures, ...]:
        return tuple(point for point in (self.decode, self.prefill) if point is not None)

    @property
    def invalid_reasons(self) -> tuple[str, ...]:
        """Why this row must not be believed; () when every point is valid. A server's whole rate is its mix, so that has to be valid too."""
        found = [r for point in self.points if not point.get("valid") and ok(point) for r in point.get("invalid_reasons") or ("no reason was recorded",)]
        if not found and self.mix is not None and not self.mix.get("valid") and "serving" in (self.mix.get("points") or {}):
            found = [*(self.mix.get("invalid_reasons") or (self.mix.get("why_null") or "no reason was recorded",))]
        return tuple(dict.fromkeys(found))

    @property
    def group(self) -> tuple[Any, ...]:
        """Rows of one group differ in their batch alone."""
        same = ("model", "precision", "kv_cache", "context", "mix", "tp", "ep", "dp", "span", "rank", "mtp", "routing")
        return (self.run_id, *(self.subject.get(name) for name in same))


def size_of(figures: Figures) -> str:
    """`batch 32` of a step, `concurrency 64` of a server; "" where neither is known."""
    return next((f"{name} {figures[name]}" for name in ("batch", "concurrency") if figures.get(name) is not None), "")


def ok(point: Figures) -> bool:
    """Whether the point ran at all: an out-of-memory or failed point has no figures."""
    return bool(point.get("status", "ok") == "ok")


def rows_of(derived: Derived, run_id: str = "") -> list[Row]:
    """Rows by format and batch; every point of the run is on at least one."""
    by_id = {point.get("point_id"): point for point in derived.points}
    rows: list[Row] = []
    used: set[Any] = set()
    for mix in derived.mixes:
        ids = mix.get("points") or {}
        row = Row(run_id=run_id, decode=by_id.get(ids.get("decode", ids.get("serving"))), prefill=by_id.get(ids.get("prefill")), mix=mix)
        if row.points:
            rows.append(row)
            used.update(ids.values())
    for point in derived.points:
        if point.get("point_id") not in used:
            decode = point.get("phase") == "decode" or point.get("kind") == "serving"
            rows.append(Row(run_id=run_id, decode=point if decode else None, prefill=None if decode else point, mix=None))
    return sorted(rows, key=lambda row: (str(row.group[1:]), row.subject.get("batch") or row.subject.get("concurrency") or 0, row.decode is None))


def priced(rows: Sequence[Row]) -> list[Row]:
    """The rows fit for a headline: a valid mix. Those with a price, or all when none has one."""
    valid = [row for row in rows if row.mix is not None and row.mix.get("valid") and not row.invalid_reasons]
    return [row for row in valid if row.mix is not None and row.mix.get("usd_per_mtok")] or valid


def cheapest(rows: Sequence[Row]) -> Row | None:
    """The valid row with the lowest all-in price. At no price: the one with most tokens per GPU, which is the cheapest at any price of that GPU."""
    return min(priced(rows), key=_cost_order, default=None)


def _cost_order(row: Row) -> float:
    assert row.mix is not None
    price = row.mix.get("usd_per_mtok")
    return float(price["value"]) if price else -float(row.mix.get("output_tokens_per_s_per_gpu") or 0.0)
