"""The iceberg for the page: bars of the headline's mix and of the others that a reader may choose, which the page prices again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from profiler.economics.derive import Derived
from profiler.explain.bar import Bar
from profiler.explain.explanation import Explanation, Reported, explain
from profiler.explain.waterfall import Explained, Waterfall
from profiler.report.charts.waterfall import LAYERS
from profiler.report.html.items import Item, device_of, label, source_of
from profiler.report.html.items import Reported as Runs
from profiler.report.html.packing import Strings, rounded
from profiler.report.numbers import percent

MOST = 100  # lines with a waterfall in one page: the cheapest first
_DIGITS = 10  # dollars are summed from them

# What a layer of bars is, for the legend. Bars that take less than their floor have a tone of their own.
TONES = {
    "floor": "what the hardware needs", "parts": "operations above their floor", "kernels": "slower than a library", "gaps": "between operations",
    "links": "links between GPUs", "idle": "idle hours", "site": "host and site", "saved": "less than its floor",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Falling:
    """One waterfall of the page. `node`: whether the site's joules follow from a PUE. `idle_w`: watts of an idle GPU-second; None: not measured."""

    item: Item
    name: str
    of: str | None  # its run and mix, where a page has several runs
    waterfall: Waterfall
    node: bool
    idle_w: float | None

    @property
    def answer(self) -> str:
        """The largest causes of a token's GPU time, which are those of its dollars."""
        busy = self.waterfall.busy["gpu_s"]
        timed = sorted((bar for bar in self.waterfall.bars if bar.name != "idle" and (bar.gpu_s or 0.0) > 0), key=lambda bar: -(bar.gpu_s or 0.0))
        if not busy or not timed:
            return "What this token's time went to is not known."
        shares = [f"{bar.label} {percent((bar.gpu_s or 0.0) / busy)}" for bar in timed[:3]]
        return f"Of a busy {device_of([self.item])}'s time{f' ({self.of})' if self.of else ''}, and so of the dollars: {', '.join(shares)}."


def waterfalls_of(reported: Runs, items: Sequence[Item], names: Sequence[str], best: Item | None) -> list[Falling]:
    """The waterfalls, the headline's first, then valid lines by price. TokenmillError for rows of operations that were changed."""
    shown = sorted(items, key=lambda item: _order(item, best))[:MOST]
    explanation = explain([Reported(run=run, price=price, derived=_only(shown, n)) for n, (run, price, _) in enumerate(reported)])
    return [falling for item in shown for falling in _of_item(explanation, item, names, len(reported))]


def _only(items: Sequence[Item], run: int) -> Derived:
    """What a run's waterfalls are made of, and no more: a sweep has hundreds of points that nobody looks at."""
    rows = [item.row for item in items if item.run == run]
    points = {str(point["point_id"]): dict(point) for row in rows for point in row.points}
    return Derived(points=list(points.values()), mixes=[dict(row.mix) for row in rows if row.mix is not None])


def _order(item: Item, best: Item | None) -> tuple[bool, bool, float, int]:
    usd = (item.figures().get("usd_per_mtok") or {}).get("value")
    return item is not best, not item.fit, usd if usd is not None else float("inf"), item.place


def _of_item(explanation: Explanation, item: Item, names: Sequence[str], runs: int) -> Iterator[Falling]:
    """The whole request's where both phases ran, else each point's own."""
    name, of = label(item, names) + (f", run {item.run + 1}" if runs > 1 else ""), source_of(item, runs)
    decode, prefill = ((item.row.run_id, str(point["point_id"])) if point is not None else None for point in (item.row.decode, item.row.prefill))
    if decode is not None and prefill is not None and decode in explanation.mixes:
        yield _falling(item, f"{name}: request", of, explanation.mixes[decode], [explanation.found[prefill], explanation.found[decode]])
        return
    for key, phase in ((decode, "decode alone"), (prefill, "prefill alone")):
        if key is not None and key in explanation.points and (key == decode or decode is None):
            yield _falling(item, f"{name}: {phase}", of, explanation.points[key], [explanation.found[key]])


def _falling(item: Item, name: str, of: str | None, waterfall: Waterfall, phases: Sequence[Explained]) -> Falling:
    node = all(phase.step.watts.node is not None and phase.step.energy_j is not None for phase in phases) and waterfall.busy["energy_j"] is not None
    return Falling(item=item, name=name, of=of, waterfall=waterfall, node=node, idle_w=_idle_w(phases))


def _idle_w(phases: Sequence[Explained]) -> float | None:
    """Idle watts per GPU of both phases, each for its share of the busy time."""
    terms = [(phase.point.get("idle_board_w"), phase.step.measured_gpus, sum(b.gpu_s or 0.0 for b in phase.bars if b.name != "idle")) for phase in phases]
    whole = sum(seconds for _, _, seconds in terms)
    if not whole or any(watts is None for watts, _, _ in terms):
        return None
    return sum(float(watts) / gpus * seconds for watts, gpus, seconds in terms if watts is not None) / whole


def tone(bar: Bar) -> str:
    """What colour a bar has."""
    return "saved" if (bar.gpu_s or 0.0) < 0 else LAYERS.get(bar.name, "parts")


def packed(falling: Falling, strings: Strings) -> dict[str, Any]:
    """A waterfall as the page's script reads it. A bar: name, label, GPU-seconds, joules, the kind of both, note, why a figure is missing."""
    place = strings.place
    texts = ("kind", "energy_kind", "note", "why_null")
    bars = [
        [place(bar.name), place(bar.label), rounded(bar.gpu_s, _DIGITS), rounded(bar.energy_j, _DIGITS), *(place(getattr(bar, name)) for name in texts)]
        for bar in falling.waterfall.bars
    ]
    invalid = ", ".join(falling.waterfall.invalid_reasons) or "no reason was recorded"
    return {
        "item": falling.item.place, "unit": falling.waterfall.unit, "boundary": falling.waterfall.boundary, "bars": bars,
        "node": falling.node, "idle_w": rounded(falling.idle_w, _DIGITS), "answer": place(falling.answer),
        "invalid": None if falling.waterfall.valid else place(invalid),
    }  # fmt: skip


def layers(waterfalls: Sequence[Falling]) -> dict[str, str]:
    """The layer of each bar that is in some waterfall."""
    return {bar.name: LAYERS.get(bar.name, "parts") for falling in waterfalls for bar in falling.waterfall.bars}


def geometry(bars: Sequence[Bar]) -> dict[str, Mapping[str, float]]:
    """By its name, where each bar begins and how long it is, in thousandths of the furthest that the running sum of GPU time reaches."""
    at, spans = 0.0, {}
    for bar in bars:
        spans[bar.name] = (at, at + (bar.gpu_s or 0.0))
        at = spans[bar.name][1]
    reached = max((max(span) for span in spans.values()), default=0.0) or 1.0
    return {name: {"x": round(min(span) / reached * 1000, 1), "width": round(abs(span[1] - span[0]) / reached * 1000, 1)} for name, span in spans.items()}
