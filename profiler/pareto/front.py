"""Pareto fronts against tokens/s per user: the operating points that no other valid one beats in both. An operator picks among these, and among no others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from profiler.economics.formulas import BOUNDARIES
from profiler.pareto.operating import Group, Operating, Reported, operating_points
from triton_kernels.errors import unknown

RATE, USD, PER_MW = "output_tokens_per_s_per_gpu", "usd_per_mtok", "tokens_per_s_per_mw"
PER_MW_DRAWN = tuple(f"{PER_MW}.{boundary}" for boundary in ("facility", "node", "board_cpu", "board"))  # widest first, what was drawn; provisioned is planned
FIGURES = (RATE, USD, *(f"{PER_MW}.{boundary}" for boundary in BOUNDARIES))


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """An operating point at one `figure`, whose value is `y` (None: not known). `x`: tokens/s per user."""

    at: Operating
    figure: str
    y: float | None

    @property
    def ci95(self) -> tuple[float, float] | None:
        return self.at.ci95(self.figure)

    @property
    def kind(self) -> str | None:
        return self.at.kind(self.figure)

    @property
    def x(self) -> float | None:
        return self.at.x

    @property
    def valid(self) -> bool:
        return self.at.valid

    @property
    def invalid_reasons(self) -> tuple[str, ...]:
        return self.at.invalid_reasons

    @property
    def run_id(self) -> str:
        return self.at.run_id

    @property
    def point_ids(self) -> Mapping[str, str]:
        return self.at.point_ids

    @property
    def batch(self) -> int | None:
        return self.at.batch

    @property
    def concurrency(self) -> int | None:
        return self.at.concurrency

    @property
    def name(self) -> str:
        return self.at.name

    @property
    def why_null(self) -> str | None:
        """Why `y` is not known; None where it is."""
        return None if self.y is not None else str(self.at.figures.get("why_null") or "not known at this boundary or for this point")

    def json(self) -> dict[str, Any]:
        return {
            "run_id": self.run_id, "points": dict(self.point_ids), "batch": self.batch, "concurrency": self.concurrency, "tokens_per_s_per_user": self.x,
            "y": self.y, "ci95": None if self.ci95 is None else list(self.ci95), "kind": self.kind, "valid": self.valid,
            "invalid_reasons": list(self.invalid_reasons), "why_null": self.why_null,
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Front:
    """One group's points at the figure `y`, in the order of x, and those of them that no other valid one beats."""

    group: Group
    y: str
    points: tuple[Point, ...]
    front: tuple[Point, ...]

    @property
    def higher_is_better(self) -> bool:
        return self.y != USD

    def json(self) -> dict[str, Any]:
        group = {name: getattr(self.group, name) for name in Group.__slots__}
        place = {id(point): n for n, point in enumerate(self.points)}
        return {**group, "y": self.y, "points": [point.json() for point in self.points], "front": [place[id(point)] for point in self.front]}


def fronts(reported: Reported, y: str) -> list[Front]:
    """One front per GPU, model, mix, formats, routing and kind of its rates (provenance) at the figure `y` (of FIGURES), against tokens/s per user.

    Only valid points that have both figures can be on a front. O(n log n). TokenmillError for another figure.
    """
    return fronts_of(operating_points(reported), y)


def fronts_of(operating: Iterable[Operating], y: str) -> list[Front]:
    """`fronts`, of operating points that were found before."""
    if y not in FIGURES:
        raise unknown("figure of a front", y, FIGURES)
    found = []
    for group, here in grouped(operating):
        points = tuple(Point(at=at, figure=y, y=at.figure(y)) for at in here)
        found.append(Front(group=group, y=y, points=points, front=non_dominated(points)))
    return found


def grouped(operating: Iterable[Operating]) -> list[tuple[Group, list[Operating]]]:
    """Groups in the order of their names, their points in the order of x."""
    groups: dict[Group, list[Operating]] = {}
    for at in operating:
        groups.setdefault(at.group, []).append(at)
    return [(group, sorted(groups[group], key=lambda at: at.x or 0.0)) for group in sorted(groups, key=_order)]


def _order(group: Group) -> tuple[str, ...]:
    return tuple("" if (value := getattr(group, name)) is None else str(value) for name in Group.__slots__)


def non_dominated(points: Sequence[Point]) -> tuple[Point, ...]:
    """By x, the valid points with both figures that no other of them equals or beats in both and beats in one. Equal points stay together."""
    placed = []
    for n, point in enumerate(points):
        at, y = point.at, point.y
        if y is not None and at.valid and at.x is not None:
            placed.append((-at.x, y if point.figure == USD else -y, n))
    kept: list[tuple[float, float, int]] = []
    for x, cost, n in sorted(placed):  # from the fastest down: a slower point is worth having only for a better y
        if not kept or cost < kept[-1][1] or (x, cost) == kept[-1][:2]:
            kept.append((x, cost, n))
    return tuple(points[n] for _, _, n in sorted(kept, key=lambda each: (-each[0], each[2])))
