"""The lines of a page: every point of every run is on one. What tables show, charts draw and scripts compute refers to a line by its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from profiler.economics.derive import Derived
from profiler.economics.equations import solve
from profiler.economics.hour import hour_inputs
from profiler.economics.points import point_watts
from profiler.economics.prices import PricePick
from profiler.pareto.operating import Operating, machine, operating_points
from profiler.record.store import Run
from profiler.report.html.words import cut
from profiler.report.rows import Row, ok, rows_of, size_of

Reported = Sequence[tuple[Run, PricePick, Derived]]

# Fields that lines may differ in besides their size, and so have to be told apart by.
_NAMES = ("model", "gpu", "mix", "precision", "kv_cache", "routing")
_JOULES = "energy_j_per_output_token"


@dataclass(frozen=True, kw_only=True)
class Item:
    """One line. `run`: its place among the runs. `operating`: what a planner compares; None for a prefill alone and for what did not run."""

    place: int
    run: int
    row: Row
    price: PricePick
    gpu: str
    operating: Operating | None

    @property
    def fit(self) -> bool:
        """Whether it may be in a headline: a valid mix."""
        return bool(self.row.mix is not None and self.row.mix.get("valid") and not self.row.invalid_reasons)

    @property
    def valid(self) -> bool:
        """Whether all of it ran and may be believed; a server's rate is its mix, which has to be valid too."""
        return not self.row.invalid_reasons and all(map(ok, self.row.points))

    @property
    def size(self) -> str:
        """`batch 32`, `concurrency 64`."""
        if self.operating is not None:
            return self.operating.name
        return size_of(self.row.subject) or str(self.row.subject.get("point_id"))

    def named(self, name: str) -> str:
        """A field of `_NAMES` in words; "" for what another tool's result does not say, and for routing as nobody skewed it."""
        if name == "gpu":
            return self.gpu
        value = self.row.subject.get(name)
        return "" if value is None or (name, value) == ("routing", "uniform") else str(value)

    @property
    def whole(self) -> bool:
        """Whether its figures are of whole requests, and not of a phase alone."""
        return bool(self.row.mix is not None and self.row.mix.get("output_tokens_per_s_per_gpu"))

    def figures(self) -> Mapping[str, Any]:
        """The mix where one was composed, else the point."""
        return self.row.mix if self.row.mix is not None and self.whole else self.row.subject

    def inputs(self) -> dict[str, float | None]:
        """What the table of equations is given for this line. A decode alone has a rate and watts, and no request to price."""
        given = (self.row.mix or {}).get("equation_inputs")
        if self.row.mix is not None and given:
            known = self.row.mix.get(_JOULES)  # a server's are recorded whole: no phase has its own to sum up
            return dict(given) if known is None or solve(_JOULES, given) is not None else {**given, _JOULES: known}
        point = self.row.decode
        rate = (point or {}).get("output_tokens_per_s_per_gpu")
        if point is None or not rate:
            return {}
        watts = point_watts(point, self.price)
        return hour_inputs(self.price, node_w=watts.node) | {
            "output_tokens_per_s": rate, "board_w": watts.board, "board_cpu_w": watts.board_cpu, "by_joules": 0.0,
            _JOULES: point.get(_JOULES),
        }  # fmt: skip


def items_of(reported: Reported) -> list[Item]:
    """The lines of all runs, in the order of the runs and of `tokenmill report`'s tables."""
    operating = {(at.run_id, at.decode_id): at for at in operating_points(reported)}
    found: list[Item] = []
    for number, (run, price, derived) in enumerate(reported):
        for row in rows_of(derived, run.run_id):
            at = operating.get((run.run_id, str((row.decode or {}).get("point_id"))))
            found.append(Item(place=len(found), run=number, row=row, price=price, gpu=_machine(run, row.subject), operating=at))
    return found


def _machine(run: Run, point: Mapping[str, Any]) -> str:
    """What it ran on. A file of another tool that names no machine is not of a CPU for that."""
    unstated = point.get("source_format") and not any(point.get(name) for name in ("gpu", "gpu_key", "device"))
    return "a GPU that was not stated" if unstated else machine(run, point)


def device_of(items: Sequence[Item]) -> str:
    """What rates are per: CPU where nothing else was measured."""
    return "CPU" if items and all(item.row.subject.get("device") == "cpu" for item in items) else "GPU"


def differing(items: Sequence[Item]) -> list[str]:
    """The fields that the lines differ in. The cache's format is one where lines of one format differ in it."""
    found = [name for name in _NAMES if name != "kv_cache" and len({item.named(name) for item in items}) > 1]
    caches = {(item.named("precision"), item.named("kv_cache")) for item in items if item.named("kv_cache")}
    return [*found, *(["kv_cache"] if len(caches) > len({precision for precision, _ in caches}) else [])]


def label(item: Item, names: Sequence[str]) -> str:
    """What tells a line from the others in few words: `fp8, batch 32`; the format is always said."""
    return ", ".join(part for part in (what(item, names), at_size(item, names)) if part)


def what(item: Item, names: Sequence[str]) -> str:
    """The part of `label` before the format: model, machine, mix and routing, where lines differ in them; long names cut."""
    said = [cut(item.named(name)) for name in names if name not in ("precision", "kv_cache", "routing")]
    said += [f"{cut(item.named('routing'))} routing"] if "routing" in names and item.named("routing") else []
    return ", ".join(part for part in said if part)


def at_size(item: Item, names: Sequence[str]) -> str:
    """The part of `label` from the format on: `fp8, batch 32`."""
    cache = f"{cut(item.named('kv_cache'))} cache" if "kv_cache" in names and item.named("kv_cache") else ""
    return ", ".join(part for part in (cut(item.named("precision")), cache, item.size) if part)


def source_of(item: Item, runs: int) -> str | None:
    """`run 2, h200-fp8, mix 8k/1k`: which of several runs a line is of, and its mix; None where there is one run."""
    mix = item.named("mix")
    return f"run {item.run + 1}, {cut(item.row.run_id)}{f', mix {cut(mix)}' if mix else ''}" if runs > 1 else None
