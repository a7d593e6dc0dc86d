"""Number formats side by side: for each the cheapest valid line of one workload on one machine, with what the format does to the numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from profiler.economics.formulas import BOUNDARIES
from profiler.report.html.figures import JOULES, PER_MW, RATE, USD, Figure, figure_of, value_of
from profiler.report.html.items import Item
from profiler.report.html.words import cut, joined
from profiler.report.numbers import NONE, percent, si
from profiler.report.rows import Figures

_SAME = ("model", "gpu", "mix", "routing")


@dataclass(frozen=True, kw_only=True)
class Line:
    """One format. `base`: the line that the ratios are over, the first of its group."""

    name: str
    item: Item
    base: Item
    weights: str
    figures: tuple[Figure, ...]
    quality: str
    ratio: float | None  # of dollars, over the base's; of GPU time where neither has a price


@dataclass(frozen=True, kw_only=True)
class Group:
    """One workload on one machine, its formats by falling size. `boundary`: of the tokens/s per MW, the first that all know."""

    name: str
    lines: tuple[Line, ...]
    boundary: str | None

    @property
    def by(self) -> str:
        """What its lines were chosen by: a batch, of servers a concurrency."""
        return "batch" if any(line.item.row.subject.get("batch") is not None for line in self.lines) else "concurrency"

    @property
    def cheapest(self) -> Line | None:
        """None where nothing has a price."""
        return min((line for line in self.lines if line.ratio is not None), key=lambda line: line.ratio or 0.0, default=None)


def groups_of(items: Sequence[Item], names: Sequence[str]) -> list[Group]:
    """Groups that are alike in all but their format and its best size: deployment, server and kind of figures too. Only of two formats or more."""
    found: dict[tuple[Any, ...], dict[tuple[str, str], list[Item]]] = {}
    for item in items:
        if item.fit:
            found.setdefault(_alike(item), {}).setdefault((item.named("precision"), item.named("kv_cache")), []).append(item)
    return [_group(key, formats, names) for key, formats in found.items() if len(formats) > 1]


def _alike(item: Item) -> tuple[Any, ...]:
    deployment = item.operating.deployment if item.operating is not None else ()
    return (*(item.named(name) for name in _SAME), _kind(item), *deployment)


def _kind(item: Item) -> str:
    """The kind of a line's tokens/s."""
    return item.operating.group.provenance if item.operating is not None else "assumed"


def why_none(items: Sequence[Item]) -> str:
    """Why no format stands beside another; what formats there are, by the kind of their figures."""
    formats: dict[str, list[str]] = {}
    for item in items:
        name, of_kind = cut(item.named("precision")), formats.setdefault(_VERBS.get(_kind(item), _kind(item)), []) if item.fit else []
        if name and name not in of_kind:
            of_kind.append(name)
    said = ", ".join(f"{kind} ({joined(names)})" for kind, names in formats.items() if names)
    many = len({name for names in formats.values() for name in names})
    if not many:
        return "No valid line states its number format, so there is nothing to compare."
    if many == 1:
        return f"One number format, {said}, so there is nothing to compare."
    return f"{_NUMBERS.get(many, many)} formats, {said}: no two of one model, machine, mix, deployment and server, so none is compared."


_VERBS = {"reference": "cited", "assumed": "declared"}
_NUMBERS = {2: "Two", 3: "Three", 4: "Four", 5: "Five"}


def _group(key: tuple[Any, ...], formats: Mapping[tuple[str, str], Sequence[Item]], names: Sequence[str]) -> Group:
    chosen = {name: min(lines, key=_cost) for name, lines in formats.items()}
    base = chosen[max(chosen, key=lambda name: (_weight_bytes(chosen[name]), name))]  # the least compressed
    caches = len({cache for _, cache in chosen}) > 1
    boundary = next((b for b in BOUNDARIES if all(value_of(item, f"{PER_MW}.{b}") is not None for item in chosen.values())), None)
    lines = [_line(name, item, base, boundary, caches=caches) for name, item in sorted(chosen.items(), key=lambda each: -_weight_bytes(each[1]))]
    said = [cut(value) for name, value in zip(_SAME, key, strict=False) if name in names or name in ("model", "gpu")]
    said += [_VERBS.get(kind, kind) for kind in (key[len(_SAME)],) if kind != "measured"]
    return Group(name=" · ".join(said), lines=tuple(lines), boundary=boundary)


def _line(name: tuple[str, str], item: Item, base: Item, boundary: str | None, *, caches: bool) -> Line:
    wanted = [USD, RATE, JOULES] + ([f"{PER_MW}.{boundary}"] if boundary else [])
    return Line(
        name=f"{name[0]}, {name[1]} cache" if caches else name[0], item=item, base=base, weights=si(item.row.subject.get("weight_bytes"), "B"),
        figures=tuple(figure_of(item, each) for each in wanted), quality=_quality(item.row.points), ratio=ratio_of(item, base),
    )  # fmt: skip


def _cost(item: Item) -> float:
    usd = value_of(item, USD)
    return usd if usd is not None else 1 / (value_of(item, RATE) or 1e-9)


def ratio_of(item: Item, base: Item) -> float | None:
    """Dollars per token over the base's, at each one's price."""
    usd, whole = value_of(item, USD), value_of(base, USD)
    return None if usd is None or not whole else usd / whole


def _weight_bytes(item: Item) -> float:
    return float(item.row.subject.get("weight_bytes") or 0.0)


def _quality(points: Sequence[Figures]) -> str:
    numerics: Mapping[str, Any] | None = next((point["numerics"] for point in points if point.get("numerics")), None)
    if numerics is None:
        return NONE
    kl = numerics.get("kl_nats")
    said = [
        f"logits {percent(numerics.get('logits_relative_error'))} off", f"KL {NONE if kl is None else f'{kl:.2g}'} nats",
        f"top-1 {percent(numerics.get('top1_agreement'))}",
    ]  # fmt: skip
    return f"{', '.join(said)}, against {numerics.get('against')}"
