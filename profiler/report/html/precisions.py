"""Number formats side by side: for each the cheapest valid line of one workload on one machine, with what the format does to the numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from profiler.economics.formulas import BOUNDARIES
from profiler.report.html.figures import JOULES, PER_MW, RATE, USD, Figure, figure_of, value_of
from profiler.report.html.items import Item
from profiler.report.numbers import NONE, percent, si
from profiler.report.precisions import precision_lines
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
    def cheapest(self) -> Line | None:
        """None where nothing has a price."""
        return min((line for line in self.lines if line.ratio is not None), key=lambda line: line.ratio or 0.0, default=None)


def groups_of(items: Sequence[Item], names: Sequence[str]) -> list[Group]:
    """Only groups of two formats or more: a single one has nothing beside it."""
    found: dict[tuple[str, ...], dict[tuple[str, str], list[Item]]] = {}
    for item in items:
        if item.fit:
            found.setdefault(tuple(item.named(n) for n in _SAME), {}).setdefault((item.named("precision"), item.named("kv_cache")), []).append(item)
    return [_group(key, formats, names) for key, formats in found.items() if len(formats) > 1]


def _group(key: tuple[str, ...], formats: Mapping[tuple[str, str], Sequence[Item]], names: Sequence[str]) -> Group:
    chosen = {name: min(lines, key=_cost) for name, lines in formats.items()}
    base = chosen[max(chosen, key=lambda name: (_weight_bytes(chosen[name]), name))]  # the least compressed
    caches = len({cache for _, cache in chosen}) > 1
    boundary = next((b for b in BOUNDARIES if all(value_of(item, f"{PER_MW}.{b}") is not None for item in chosen.values())), None)
    lines = [_line(name, item, base, boundary, caches=caches) for name, item in sorted(chosen.items(), key=lambda each: -_weight_bytes(each[1]))]
    said = [value for name, value in zip(_SAME, key, strict=True) if name in names or name in ("model", "gpu")]
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


def format_lines(items: Sequence[Item]) -> list[str]:
    """What each recipe is made of, a line each; with terminal markup."""
    return precision_lines([point for item in items for point in item.row.points])
