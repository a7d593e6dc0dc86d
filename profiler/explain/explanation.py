"""Everything that `tokenmill explain` says of recorded runs, worked out once; it reads each file once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from profiler.economics.derive import DAMAGE, Derived, damaged
from profiler.economics.prices import PricePick
from profiler.explain.frontier import frontier_of
from profiler.explain.kernels import KernelLine, kernel_lines
from profiler.explain.operations import operations_of
from profiler.explain.skew import skew_of
from profiler.explain.step import step_of
from profiler.explain.vanity import vanity_of
from profiler.explain.waterfall import Explained, Waterfall, explained, of_mix, of_point
from profiler.gpus import GPUS
from profiler.modelled.mix import parse_mix
from profiler.record.rows import read_rows
from profiler.record.store import Run

Key = tuple[str, str]  # run, point


@dataclass(frozen=True, kw_only=True)
class Reported:
    """One run with its price and its derived figures."""

    run: Run
    price: PricePick
    derived: Derived


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Waterfalls of every point that ran and of every mix whose phases did, and what groups of them say together."""

    reported: Sequence[Reported]
    found: Mapping[Key, Explained]
    points: Mapping[Key, Waterfall]
    mixes: Mapping[Key, Waterfall]  # by its decode point
    prefill_of: Mapping[Key, Key]
    skew: Sequence[Mapping[str, Any]]
    frontier: Sequence[Mapping[str, Any]]

    def price_of(self, run_id: str) -> PricePick:
        return next(each.price for each in self.reported if each.run.run_id == run_id)

    def kernels(self, key: Key, *, whole_request: bool = False) -> list[KernelLine]:
        """Operations of a point, or of both phases of its mix, by what they would save of that token."""
        found, waterfall = self.found[key], self.mixes[key] if whole_request else self.points[key]
        phases = [(found, 1.0)]
        if whole_request:
            request = parse_mix(str(found.point["mix"]))
            phases.append((self.found[self.prefill_of[key]], request.fresh / request.osl))
        busy = sum(bar.gpu_s or 0.0 for bar in waterfall.bars if bar.name != "idle")
        hour = waterfall.price.usd_per_gpu_hour if waterfall.price.usd_per_mtok is not None else None
        plans = next(each.run.plans for each in self.reported if each.run.run_id == found.run_id)
        return kernel_lines(phases, plans, busy, None if hour is None else hour / self.price_of(found.run_id).utilisation)

    def vanity(self, key: Key) -> dict[str, Any] | None:
        """FLOPS per dollar of a point's machine."""
        found, point = self.found[key], self.found[key].point
        plans = next(each.run.plans for each in self.reported if each.run.run_id == found.run_id)
        hour = self.price_of(found.run_id).usd_per_gpu_hour
        return vanity_of(point, plans.get(str(point.get("plan"))), GPUS.get(str(point.get("gpu_key"))), hour)


def explain(reported: Sequence[Reported], site_mw: float | None = None) -> Explanation:
    """Explains runs that were read and derived. TokenmillError for a record whose fields are not what they should be, or whose rows were changed."""
    found: dict[Key, Explained] = {}
    for each in reported:
        try:
            found |= {(each.run.run_id, e.point["point_id"]): e for e in _of_run(each)}
        except DAMAGE as error:
            raise damaged(each.run, "a point, a plan or an operation", error) from error
    prices = {each.run.run_id: each.price for each in reported}
    try:
        points = {key: of_point(e, prices[key[0]]) for key, e in found.items()}
        mixes, prefill_of, figures = _mixes(reported, found)
        first = reported[0].price if reported else None  # runs are compared at one price
        return Explanation(
            reported=reported, found=found, points=points, mixes=mixes, prefill_of=prefill_of, skew=skew_of(list(found.values()), first),
            frontier=frontier_of(list(found.values()), figures, first, site_mw),
        )  # fmt: skip
    except DAMAGE as error:
        raise damaged(reported[0].run, "a point", error) from error


def _of_run(each: Reported) -> list[Explained]:
    explained_points = []
    for point in each.derived.points:
        step = step_of(point, each.price) if point.get("status", "ok") == "ok" else None
        if step is None:
            continue
        plan = each.run.plans.get(str(point.get("plan")))
        rows = read_rows(each.run, point, "ops")
        operations = operations_of(point, plan, GPUS.get(str(point.get("gpu_key"))), rows)
        explained_points.append(explained(each.run.run_id, point, step, operations, each.price, rows))
    return explained_points


def _mixes(reported: Sequence[Reported], found: Mapping[Key, Explained]) -> tuple[dict[Key, Waterfall], dict[Key, Key], dict[Key, Mapping[str, Any]]]:
    waterfalls: dict[Key, Waterfall] = {}
    prefill_of: dict[Key, Key] = {}
    figures: dict[Key, Mapping[str, Any]] = {}
    for each in reported:
        for mix in each.derived.mixes:
            ids = mix.get("points") or {}
            prefill, decode = ((each.run.run_id, str(ids.get(phase))) for phase in ("prefill", "decode"))
            figures[decode] = mix
            if prefill in found and decode in found and mix.get("output_tokens_per_s_per_gpu"):
                waterfalls[decode] = of_mix(mix, found[prefill], found[decode], each.price)
                prefill_of[decode] = prefill
    return waterfalls, prefill_of, figures
