"""Operating points: what a deployment does at one batch or concurrency, as a planner compares them. A mix where it was measured, else a decode alone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from profiler.economics.derive import Derived
from profiler.economics.prices import PricePick
from profiler.gpus import GPUS
from profiler.record.store import Run

Figures = Mapping[str, Any]
Reported = Sequence[tuple[Run, PricePick, Derived]]

_DEPLOYMENT = ("deployment_gpus", "tp", "ep", "dp", "span", "rank", "mtp", "framework")


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """What points of one front have in common. Routing is what traffic does and no operator chooses it, so it is among them; batch and deployment are choices.

    `gpu`: the catalogue's name, else the driver's, else the CPU's. `mix` is None where only a decode was measured, which `context` then describes.
    """

    model: str
    mix: str | None
    context: int | None
    gpu: str
    precision: str
    kv_cache: str  # "" and routing "": not stated
    routing: str
    provenance: str  # the kind of its tokens/s: measured, emulated, replayed, reference, modelled or assumed, which also stands for one that nobody stated

    @property
    def workload(self) -> str:
        """What the tokens are of: `mix 8k/1k`, or `decode alone, context 8704`."""
        if self.mix is not None:
            return f"mix {self.mix}"
        return "decode alone" + (f", context {self.context}" if self.context is not None else "")


@dataclass(frozen=True, kw_only=True, slots=True)
class Operating:
    """One operating point. `figures`: the mix's derived figures, or the decode point's. `x`: tokens/s per user, None where it was not measured."""

    group: Group
    run_id: str
    figures: Figures = field(repr=False)
    point: Figures = field(repr=False)  # the decode or serving point
    point_ids: Mapping[str, str]
    price: PricePick = field(repr=False)
    x: float | None
    valid: bool
    invalid_reasons: tuple[str, ...]

    @property
    def batch(self) -> int | None:
        """Sequences in the step, per data-parallel rank."""
        found: int | None = self.figures.get("batch")
        return found

    @property
    def concurrency(self) -> int | None:
        """Requests in flight, of a server that was measured from outside."""
        found: int | None = self.point.get("concurrency")
        return found

    @property
    def name(self) -> str:
        """`batch 32`, `concurrency 64`, with the size of the deployment where that is more than a GPU and the server where one is stated."""
        size = f"batch {self.batch}" if self.batch is not None else f"concurrency {self.concurrency}" if self.concurrency is not None else self.decode_id
        gpus = self.figures.get("deployment_gpus") or 1
        server = f", {self.point['framework']}" if self.point.get("framework") else ""
        return f"{size}{f' on {gpus} GPUs' if gpus != 1 else ''}{server}"

    @property
    def device(self) -> str:
        """What its rates are per: `GPU` or `CPU`."""
        return "CPU" if self.point.get("device") == "cpu" else "GPU"

    @property
    def deployment(self) -> tuple[Any, ...]:
        """What stays as it is while more or fewer users share a step, and in what they are counted."""
        return (self.batch is None, self.concurrency is None, *(self.figures.get(name, self.point.get(name)) for name in _DEPLOYMENT))

    @property
    def decode_id(self) -> str:
        """The id of the decode or serving point."""
        return str(self.point.get("point_id"))

    def figure(self, name: str) -> float | None:
        """A figure above 0 by its name (`usd_per_mtok`, `tokens_per_s_per_mw.board`); None where it is not known."""
        head, _, tail = name.partition(".")
        value = self.figures.get(head)
        if isinstance(value, Mapping):
            value = value.get(tail or "value")
        return positive(value)

    def ci95(self, name: str) -> tuple[float, float] | None:
        """The interval of a figure from the noise of the windows. A rate's is its price's upside down: dollars per token are one over it."""
        found = (self.figures.get("ci95") or {}).get(name)
        usd = self.figures.get("usd_per_mtok") or {}
        if name == "usd_per_mtok":
            found = usd.get("ci95")
        elif name == "output_tokens_per_s_per_gpu" and found is None and usd.get("ci95") and usd["ci95"][0] > 0:
            whole = float(usd["value"]) * float(self.figures["output_tokens_per_s_per_gpu"])
            found = [whole / usd["ci95"][1], whole / usd["ci95"][0]]
        return None if found is None else (float(found[0]), float(found[1]))

    def kind(self, name: str) -> str | None:
        """measured, emulated, ... of a figure; None where nobody says."""
        found: str | None = (self.figures.get("provenance") or {}).get(name)
        return found


def operating_points(reported: Reported) -> Iterator[Operating]:
    """Every mix, and every decode or serving point that no priced mix is composed from. Points that did not run are left out: they are nowhere."""
    for run, price, derived in reported:
        of_run = _OfRun(run=run, price=price)
        by_id = {point.get("point_id"): point for point in derived.points}
        used: set[Any] = set()
        for mix in derived.mixes:
            ids = mix.get("points") or {}
            decode = by_id.get(ids.get("decode", ids.get("serving")))
            if decode is None or mix.get("output_tokens_per_s_per_gpu") is None:
                continue
            used.update(ids.values())
            yield of_run.operating(mix, decode, ids, mix.get("mix"))
        for point in derived.points:
            if point.get("point_id") in used or point.get("phase") == "prefill" or point.get("status", "ok") != "ok":
                continue
            if point.get("output_tokens_per_s_per_gpu"):
                yield of_run.operating(point, point, {point.get("phase") or "serving": point["point_id"]}, None)


@dataclass(frozen=True, kw_only=True)
class _OfRun:
    """Makes the operating points of one run. A fleet's run has tens of thousands in a few groups, so each group is made once."""

    run: Run
    price: PricePick
    groups: dict[tuple[Any, ...], Group] = field(default_factory=dict)

    def operating(self, figures: Figures, point: Figures, ids: Mapping[str, str], mix: str | None) -> Operating:
        reasons = figures.get("invalid_reasons")
        return Operating(
            group=self._group(figures, point, mix), run_id=self.run.run_id, figures=figures, point=point, point_ids=ids, price=self.price,
            x=positive(figures.get("tokens_per_s_per_user")), valid=bool(figures.get("valid")),
            invalid_reasons=tuple(str(reason) for reason in reasons) if reasons else (),
        )  # fmt: skip

    def _group(self, figures: Figures, point: Figures, mix: str | None) -> Group:
        kind = (figures.get("provenance") or {}).get("output_tokens_per_s_per_gpu")
        key = (kind, mix, None if mix is not None else point.get("context"), *_group_fields(figures))
        if key not in self.groups:
            self.groups[key] = Group(
                model=str(figures.get("model") or "a model that was not named"), mix=mix, context=key[2], gpu=machine(self.run, figures),
                precision=str(figures.get("precision") or "formats not stated"), kv_cache=str(figures.get("kv_cache") or ""),
                routing=str(figures.get("routing") or ""), provenance=str(kind or "assumed"),
            )  # fmt: skip
        return self.groups[key]


def _group_fields(figures: Figures) -> tuple[Any, ...]:
    return tuple(map(figures.get, ("model", "precision", "kv_cache", "routing", "gpu_key", "gpu")))


def machine(run: Run, figures: Figures) -> str:
    """What a figure is of: the GPU's name in the catalogue, else the driver's name, else the CPU."""
    gpu = GPUS.get(str(figures.get("gpu_key")))
    if gpu is not None:
        return gpu.name
    cpu = (run.header.get("environment") or {}).get("cpu")
    unknown = "a GPU that was not stated" if (figures.get("points") or {}).get("serving") or figures.get("source_format") else "CPU"
    return str(figures.get("gpu") or cpu or unknown)


def devices(points: Iterable[Operating]) -> str:
    """What rates of points together are per: CPU where nothing else was measured, else GPU."""
    return "CPU" if {point.device for point in points} == {"CPU"} else "GPU"


def positive(value: Any) -> float | None:
    """A finite number above 0; None for anything else: a rate or a price of 0 is a missing one, and nothing can be divided by it."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 < value < math.inf else None
