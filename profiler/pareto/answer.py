"""A planner's question in one line: the cheapest valid operating point at a least number of tokens/s per user."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from profiler.economics.prices import check_positive
from profiler.pareto.front import RATE, USD, Front, Point, fronts_of, non_dominated
from profiler.pareto.interpolate import Interpolated, at
from profiler.pareto.operating import Operating, Reported, operating_points
from profiler.report.kinds import short
from profiler.report.numbers import NONE, count, plus_minus
from profiler.report.text import plain


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What is known of one workload of one model at a speed. `best` is None where nothing valid is as fast, or where unlike GPUs have no price."""

    model: str
    workload: str
    at_least: float
    figure: str  # what "cheapest" went by: usd_per_mtok, or tokens/s per GPU where one GPU has no price: most of those is the cheapest at any price
    best: Point | None
    next_cheaper: Point | None  # the fastest of those that are cheaper and too slow
    between: Interpolated | None  # at exactly that speed, where it lies between two points of one deployment: the cheapest of all fronts
    fastest: Point | None
    why_none: str | None

    def json(self) -> dict[str, Any]:
        return {
            "model": self.model, "workload": self.workload, "at_least_tokens_per_s_per_user": self.at_least, "figure": self.figure,
            "best": _json(self.best), "next_cheaper": _json(self.next_cheaper), "interpolated": None if self.between is None else self.between.json(),
            "fastest": _json(self.fastest), "why_none": self.why_none,
        }  # fmt: skip


def cheapest_line(reported: Reported, at_least: float) -> str:
    """The answer for each model and mix, a line each, without markup and safe to print. TokenmillError for a speed that is no number above 0."""
    return lines_of(answers(operating_points(reported), at_least))


def lines_of(found: Sequence[Answer]) -> str:
    """Answers in words."""
    return "\n".join(_line(answer) for answer in found) if found else f"{NONE} no point has tokens/s per user: only decodes that ran have"


def cheapest_at(reported: Reported, at_least: float) -> dict[str, Any]:
    """The same as data: {"at_least_tokens_per_s_per_user", "answers": [...], "reached": whether every workload has a point that fast}."""
    found = answers(operating_points(reported), at_least)
    reached = bool(found) and all(answer.best is not None for answer in found)
    return {"at_least_tokens_per_s_per_user": at_least, "reached": reached, "answers": [answer.json() for answer in found]}


def answers(operating: Iterable[Operating], at_least: float) -> list[Answer]:
    """One answer per model and workload: tokens of unlike work have no common price."""
    check_positive("tokens/s per user", at_least)
    workloads: dict[tuple[str, str], list[Operating]] = {}
    for point in operating:
        if point.x is not None:
            workloads.setdefault((point.group.model, point.group.workload), []).append(point)
    return [_answer(model, workload, found, at_least) for (model, workload), found in workloads.items()]


def _answer(model: str, workload: str, found: Sequence[Operating], at_least: float) -> Answer:
    valid = [point for point in found if point.valid]
    figure = USD if any(point.figure(USD) is not None for point in valid) else RATE
    fronts = fronts_of(found, figure)
    merged = non_dominated([point for front in fronts for point in front.front])
    fastest = merged[-1] if merged else None
    comparable = figure == USD or len({point.group.gpu for point in valid}) == 1
    reaching = [point for point in merged if (point.x or 0.0) >= at_least]
    best = reaching[0] if reaching and comparable else None  # on a front, dearer is faster: the slowest that is fast enough is the cheapest
    slower = [point for point in merged if (point.x or 0.0) < at_least]
    return Answer(
        model=model, workload=workload, at_least=at_least, figure=figure, best=best, next_cheaper=slower[-1] if slower and best is not None else None,
        between=_between(fronts, at_least) if comparable else None, fastest=fastest, why_none=_why_none(best, fastest, comparable=comparable),
    )  # fmt: skip


def _between(fronts: Sequence[Front], x: float) -> Interpolated | None:
    found = [between for front in fronts if (between := at(front, x)) is not None]
    return min(found, key=lambda between: between.y if between.slower.figure == USD else -between.y, default=None)


def _why_none(best: Point | None, fastest: Point | None, *, comparable: bool) -> str | None:
    if best is not None:
        return None
    if fastest is None:
        return "no valid point"
    return "nothing valid is as fast" if comparable else "no price, and GPUs that differ have no common cost: give --usd-per-gpu-hour or --price-book"


def _line(answer: Answer) -> str:
    asked = f"{answer.at_least:g} tokens/s/user"
    if answer.best is None:
        if answer.fastest is None or answer.why_none != "nothing valid is as fast":
            return f"cheapest at ≥ {asked}: {NONE} {plain(answer.model)}, {plain(answer.workload)}: {answer.why_none}"
        fastest = f"{_name(answer.fastest)}, at {_speed(answer.fastest)}, {_cost(answer.fastest)}"
        return f"nothing reaches {asked}, {plain(answer.workload)}: the fastest valid point is {fastest}"
    rate = answer.best.at.figure(RATE)
    known = f", {count(rate)} tok/s/{answer.best.at.device}" if answer.figure == USD else ""
    said = [f"cheapest at ≥ {asked}: {_name(answer.best)}, {plain(answer.workload)}, {_cost(answer.best)}{known}"]
    if answer.next_cheaper is not None:
        said.append(f"the next cheaper point, {_short_name(answer.next_cheaper, answer.best)}, has {_speed(answer.next_cheaper)}")
    if answer.between is not None and _cheaper(answer.between, answer.best, answer.figure):
        said.append(f"at exactly {answer.at_least:g}: {_modelled(answer.between, answer.best)}")
    return "; ".join(said)


def _name(point: Point) -> str:
    group = point.at.group
    return f"{plain(group.model)} {plain(group.precision)} {plain(point.name)} on {plain(group.gpu)}"


def _short_name(point: Point, beside: Point) -> str:
    """The batch alone where the rest is the same."""
    return plain(point.name) if point.at.group == beside.at.group else _name(point)


def _speed(point: Point) -> str:
    return f"{count(point.x)} tokens/s/user"


def _cost(point: Point) -> str:
    if point.at.figure(USD) is None:
        rate = plus_minus(point.at.figure(RATE), point.at.ci95(RATE))
        return f"{rate} output tok/s/{point.at.device}, the cheapest at any price ({short(point.at.kind(RATE))})"
    price = point.at.price.provenance
    kinds = short(point.at.kind(USD)) + (f"×{short(price)}" if price is not None else "")
    return f"${plus_minus(point.at.figure(USD), point.at.ci95(USD))} per Mtok ({kinds})"


def _cheaper(between: Interpolated, best: Point, figure: str) -> bool:
    return best.y is not None and (between.y < best.y if figure == USD else between.y > best.y)


def _modelled(between: Interpolated, beside: Point) -> str:
    """The figure in between, whose batch nobody measured."""
    slower, faster = between.slower, between.faster
    device, figure = slower.at.device, slower.figure
    shown = f"${plus_minus(between.y, between.ci95)} per Mtok" if figure == USD else f"{plus_minus(between.y, between.ci95)} output tok/s/{device}"
    size, ends = ("concurrency", (slower.concurrency, faster.concurrency)) if slower.batch is None else ("batch", (slower.batch, faster.batch))
    low, high = sorted(ends, key=lambda end: end or 0)
    group = slower.at.group
    elsewhere = "" if group == beside.at.group else f" of {plain(group.model)} {plain(group.precision)} on {plain(group.gpu)}"
    return f"{shown} (model), at a {size} between {low} and {high}{elsewhere}, were a step's time linear in it"


def _json(point: Point | None) -> dict[str, Any] | None:
    if point is None:
        return None
    usd = point.at.figures.get("usd_per_mtok")
    group = point.at.group
    return point.json() | {
        "model": group.model, "gpu": group.gpu, "precision": group.precision, "kv_cache": group.kv_cache, "mix": group.mix, "usd_per_mtok": usd,
        "output_tokens_per_s_per_gpu": point.at.figure(RATE), "price_kind": point.at.price.provenance,
    }  # fmt: skip
