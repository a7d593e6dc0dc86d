"""Recipes of number formats side by side: the same model, mix and batch on the same machine, each figure beside bf16's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from profiler.compare.subject import Subject

BASE = "bf16"
USUAL = (BASE, "fp8", "mxfp4", "nvfp4")  # shown in this order, then others
_SET = ("precision", "kv_cache")  # what a recipe sets
COLUMNS = ("output_tokens_per_s_per_gpu", "energy_j_per_output_token", "usd_per_mtok")

Numerics = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class PrecisionRow:
    """One recipe. `ratio`: over bf16's, None where either is missing, unlike in its joules or not valid. `why`: of every figure that is missing."""

    run: str
    precision: str
    kv_cache: str | None
    figures: Mapping[str, float | None]
    ratio: Mapping[str, float | None]
    why: Mapping[str, str]
    quality: Numerics | None
    why_no_quality: str | None
    reasons: tuple[str, ...]

    def json(self) -> dict[str, Any]:
        return {
            "run": self.run, "precision": self.precision, "kv_cache": self.kv_cache, **self.figures, "ratio_to_bf16": dict(self.ratio),
            "why_null": dict(self.why), "quality": self.quality, "why_no_quality": self.why_no_quality, "valid": not self.reasons,
            "invalid_reasons": list(self.reasons),
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class PrecisionTable:
    """Recipes of one work. `missing`: usual ones that no run has."""

    key: Mapping[str, Any]
    machine: str | None
    rows: Sequence[PrecisionRow]
    missing: tuple[str, ...]

    def json(self) -> dict[str, Any]:
        return {"key": dict(self.key), "machine": self.machine, "rows": [row.json() for row in self.rows], "missing": list(self.missing)}


def precision_tables(subjects: Sequence[Subject], numerics: Mapping[tuple[str, str], Numerics], why_no_price: Mapping[str, str | None]) -> list[PrecisionTable]:
    """A table for each work that was run in two recipes or more. `numerics`: by (run, point). `why_no_price`: by run."""
    groups: dict[str, list[Subject]] = {}
    for subject in subjects:
        if subject.is_request or subject.key.get("phase") == "decode":
            groups.setdefault(repr([subject.machine, [v for name, v in subject.key.items() if name not in _SET]]), []).append(subject)
    several = [group for group in groups.values() if len({s.key.get("precision") for s in group}) > 1]
    requests = [group for group in several if group[0].is_request]
    inside = {(s.run, s.points.get("decode")) for group in requests for s in group}
    alone = [group for group in several if not group[0].is_request and not all((s.run, s.points.get("decode")) in inside for s in group)]
    return [_table(group, numerics, why_no_price) for group in (*requests, *alone)]


def _table(group: Sequence[Subject], numerics: Mapping[tuple[str, str], Numerics], why_no_price: Mapping[str, str | None]) -> PrecisionTable:
    order = sorted(group, key=lambda s: (_rank(s), s.run != group[0].run))
    bases = [s for s in order if s.key.get("precision") == BASE and not s.reasons]
    rows = []
    for subject in order:
        base = next((b for b in bases if b.run == subject.run), bases[0] if bases else None)
        rows.append(_row(subject, base, numerics.get((subject.run, subject.points.get("decode", ""))), why_no_price.get(subject.run)))
    names = {row.precision for row in rows}
    key = {name: value for name, value in group[0].key.items() if name not in _SET}
    return PrecisionTable(key=key, machine=group[0].machine, rows=rows, missing=tuple(name for name in USUAL if name not in names))


def _rank(subject: Subject) -> tuple[int, str, bool]:
    name, cache = str(subject.key.get("precision")), subject.key.get("kv_cache")
    return USUAL.index(name) if name in USUAL else len(USUAL), name, cache == "fp8"


def _row(subject: Subject, base: Subject | None, numerics: Numerics | None, no_price: str | None) -> PrecisionRow:
    figures = {name: subject.figures.get(name) for name in COLUMNS}
    ratio: dict[str, float | None] = {}
    for name, value in figures.items():
        beside = base.figures.get(name) if base and not subject.reasons else None
        like = name != "energy_j_per_output_token" or (base is not None and base.boundary == subject.boundary)
        ratio[name] = None if value is None or beside is None or not like else value / beside
    plain = numerics is None and subject.key.get("precision") == BASE and subject.key.get("kv_cache") in (None, BASE)
    return PrecisionRow(
        run=subject.run, precision=str(subject.key.get("precision")), kv_cache=subject.key.get("kv_cache"), figures=figures, ratio=ratio,
        why={name: _why(name, subject, no_price) for name, value in figures.items() if value is None}, quality=numerics,
        why_no_quality="what the others are compared with" if plain else "not compared: run it with bf16 in one run" if numerics is None else None,
        reasons=subject.reasons,
    )  # fmt: skip


def _why(name: str, subject: Subject, no_price: str | None) -> str:
    if name == "usd_per_mtok":
        return (no_price or "no price") if subject.is_request else "a price needs a mix: --phase both --mix ISL/OSL"
    return "no joules were measured: no power source" if name == "energy_j_per_output_token" else "no tokens/s were recorded"
