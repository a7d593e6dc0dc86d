"""What one run says of one row: a point, or a request composed of two. Small, so that thousands of runs may be held."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from sys import intern
from typing import Any

from profiler.compare.figures import FIGURES, PER_MW
from profiler.compare.measured import JOULES, Measured, Point, measured, of_request
from profiler.compare.spread import Noise
from profiler.compare.warned import bearing
from profiler.economics.derive import DAMAGE, Derived, damaged
from profiler.economics.prices import PricePick
from profiler.explain.alike import SAME
from profiler.record.store import Run

REQUEST = "request"

# What makes two rows like each other, the machine apart: what alike() goes by, and what another tool's load is described with.
KEY = tuple(name for name in SAME if name != "gpu")
SERVING = ("isl", "osl", "cached_tokens", "concurrency", "workers", "deployment_gpus")

_RATES = ("output_tokens_per_s_per_gpu", "input_tokens_per_s_per_gpu", "tokens_per_s_per_user")


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """One row of a run. `figures` holds those that were measured, in SI units and dollars per million tokens; `noise` what each scatters by, () unknown."""

    run: str  # its name, as the comparison calls it
    key: Mapping[str, Any]
    joined_by: str  # equal for like rows
    machine: str | None
    driver: str | None
    recipe: str | None  # the resolved formats as JSON
    boundary: str | None  # whose joules
    figures: Mapping[str, float]
    noise: Mapping[str, Noise]
    kinds: Mapping[str, str]
    reasons: tuple[str, ...]  # why it takes part in no verdict; () for a valid row
    points: Mapping[str, str]  # phase -> point id
    warnings: tuple[str, ...]  # those that bear on a comparison, as they were recorded

    @property
    def is_request(self) -> bool:
        return self.key.get("phase") == REQUEST


def subjects_of(run: Run, price: PricePick, derived: Derived, name: str | None = None) -> list[Subject]:
    """Every point and every request of a run. TokenmillError where a field is not what it should be. `name`: what to call the run, its id where left out."""
    try:
        return _subjects(run, price, derived, name or run.run_id)
    except DAMAGE as error:
        raise damaged(run, "a point or a window", error) from error


def _subjects(run: Run, price: PricePick, derived: Derived, name: str) -> list[Subject]:
    by_id = {str(point["point_id"]): (point, measured(point, price)) for point in derived.points}
    # A mix without a rate lacks a phase that ran; its points are here all the same.
    header = run.header.get("environment") or {}
    found = [_of_request(mix, by_id, header) for mix in derived.mixes if mix.get("output_tokens_per_s_per_gpu")]
    inside = {subject.points.get("serving") for subject in found}  # a load that was measured whole is the request
    points = [_of_point(point, noise, header) for point_id, (point, noise) in by_id.items() if point_id not in inside]
    return [replace(subject, run=name) for subject in (*found, *points)]


def _of_point(point: Point, noise: Measured, header: Mapping[str, Any]) -> Subject:
    figures: dict[str, Any] = {name: point.get(name) for name in _RATES}
    figures["step_s"] = noise.step.mean_s + (noise.step.collective_s or 0.0) if noise.step else None
    joules = next((name for name in JOULES if point.get(name) is not None), JOULES[0])
    figures[joules] = point.get(joules)
    kinds = dict(point.get("provenance") or {})
    if noise.step and noise.step.collective_s:
        kinds["step_s"] = "emulated"
    phase = str(point.get("phase") or point.get("kind"))
    return _subject(point, header, figures, noise, key=_key(point), points={phase: str(point["point_id"])}, reasons=_reasons(point), kinds=kinds)


def _of_request(mix: Mapping[str, Any], by_id: Mapping[str, tuple[Point, Measured]], header: Mapping[str, Any]) -> Subject:
    ids = {str(phase): str(point_id) for phase, point_id in (mix.get("points") or {}).items()}
    last = next((ids[phase] for phase in ("decode", "serving") if phase in ids), None)
    point, noise = by_id[last] if last is not None else ({}, Measured(step=None, time=(), joules=(), boundary=None, declared=False))
    if "prefill" in ids:
        prefill, read = by_id[ids["prefill"]]
        noise = of_request(mix, prefill, point, (read, noise))
    figures = {name: mix.get(name) for name in ("output_tokens_per_s_per_gpu", "energy_j_per_output_token")}
    figures["usd_per_mtok"] = (mix.get("usd_per_mtok") or {}).get("value")
    figures |= {name: point.get(name) for name in _RATES} if "serving" in ids else {}
    reasons = () if mix.get("valid") else tuple(str(r) for r in mix.get("invalid_reasons") or ()) or (str(mix.get("why_null") or "no reason was recorded"),)
    key = _key(point) | {"phase": REQUEST, "query_len": None}
    rated = {**mix, "gpu_key": point.get("gpu_key"), "gpu": point.get("gpu"), "environment": point.get("environment"), "formats": point.get("formats")}
    return _subject(rated, header, figures, noise, key=key, points=ids, reasons=reasons, kinds=mix.get("provenance") or {})


def _subject(
    of: Mapping[str, Any], header: Mapping[str, Any], figures: dict[str, Any], noise: Measured, *, key: Mapping[str, Any], points: Mapping[str, str],
    reasons: tuple[str, ...], kinds: Mapping[str, Any],
) -> Subject:  # fmt: skip
    figures |= {f"{PER_MW}.{boundary}": value for boundary, value in (of.get(PER_MW) or {}).items()}
    known = {name: _figure(name, figures[name]) for name in FIGURES if figures.get(name)}
    driver, formats = (of.get("environment") or {}).get("driver") or header.get("driver"), of.get("formats")
    machine = of.get("gpu_key") or of.get("gpu") or header.get("cpu")
    return Subject(
        run="", key=key, joined_by=intern(json.dumps(list(key.items()), sort_keys=True, default=str)),
        machine=None if machine is None else str(machine), driver=None if driver is None else str(driver),
        recipe=None if formats is None else intern(json.dumps(formats, sort_keys=True)), boundary=noise.boundary, figures=known,
        noise={name: noise.of(name) for name in known}, kinds={name: str(kinds.get(name) or "assumed") for name in known}, reasons=reasons, points=points,
        warnings=bearing(of.get("warnings") or ()),
    )  # fmt: skip


def _key(point: Point) -> dict[str, Any]:
    names: Sequence[str] = (*KEY, *SERVING) if point.get("kind") == "serving" else KEY
    return {name: point.get(name) for name in names}


def _figure(name: str, value: Any) -> float:
    if isinstance(value, bool) or not math.isfinite(value) or value < 0:
        raise ValueError(f"{name} {value!r} is not a figure")
    return float(value)


def _reasons(point: Point) -> tuple[str, ...]:
    status = point.get("status", "ok")
    if status != "ok":
        return (f"{status}: {point['error']}" if point.get("error") else str(status),)
    return () if point.get("valid") else tuple(str(r) for r in point.get("invalid_reasons") or ()) or ("no reason was recorded",)
