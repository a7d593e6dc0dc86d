"""A table's claims beside what a recorded run measured on the same GPU. Invalid points are never used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from profiler.audit.claims import Cell, Claims, Column
from profiler.audit.interval import Interval, exact, product
from profiler.audit.read_claims import LANES
from profiler.audit.readings import Reading
from profiler.audit.verdicts import AGREES, DISAGREES, NOT_CHECKABLE, UNLIKE
from profiler.economics.derive import Derived
from profiler.economics.formulas import weakest
from profiler.modelled.mix import parse_mix
from workloads.catalogue import CATALOGUE

# With a GPU-hour of one dollar, $ per Mtok is 1e6 / (3600 x output tokens/s): its interval is the rate's.
USD_OF_THE_RUN = 1.0

# row -> what the run is where its figure is smaller than the claim, and where it is larger
_FIGURES = {"tokens_per_s_per_gpu": ("less", "more"), "usd_per_mtok": ("cheaper", "dearer"), "tokens_per_s_per_mw": ("less", "more")}
_WORSE = ("less", "dearer")


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """The best valid mix of a run: its figures, and what it was."""

    mix: Mapping[str, Any]
    output_tokens_per_s: Interval
    has_interval: bool


def against_run(claims: Claims, readings: Sequence[Reading], run_id: str, derived: Derived) -> dict[str, Any]:
    """The "run" of `audit --json`. `derived`: at `USD_OF_THE_RUN` per GPU-hour."""
    mixes = derived.mixes
    valid = [mix for mix in mixes if mix.get("valid") and mix.get("output_tokens_per_s_per_gpu") and mix.get("usd_per_mtok")]
    gpus = sorted({str(point["gpu_key"]) for point in derived.points if point.get("gpu_key")})
    return {
        "run_id": run_id,
        "gpu_keys": gpus,
        "valid_mixes": len(valid),
        "invalid_mixes": len(mixes) - len(valid),
        "columns": [_of_column(claims, column, readings, valid, gpus) for column in claims.columns.values()],
    }


def _of_column(claims: Claims, column: Column, readings: Sequence[Reading], valid: Sequence[Mapping[str, Any]], gpus: Sequence[str]) -> dict[str, Any]:
    key = column.gpu.key if column.gpu else None
    same = [mix for mix in valid if key is not None and mix.get("gpu_key") == key]
    found: dict[str, Any] = {"column": column.key, "gpu_key": key, "verdict": NOT_CHECKABLE, "note": "", "measured": None, "comparisons": []}
    if not same:
        on_it = key in gpus
        why = "the run has no valid mix: --phase both --mix 8k/1k measures one"
        whose = f"the run's GPU is {', '.join(gpus) or 'none of the catalogue'}, the claim's {key or 'not named'}"
        return found | {"verdict": NOT_CHECKABLE if on_it else UNLIKE, "note": why if on_it else whose}
    measured = _best(same, claims, column)
    unlike = _unlike(claims, column, measured.mix)
    comparisons = [c for reading in readings for c in _comparisons(claims, column, reading, measured)]
    _verdicts(comparisons, bool(unlike))
    kinds = [c["verdict"] for c in comparisons]
    verdict = UNLIKE if unlike else next((kind for kind in (DISAGREES, AGREES) if kind in kinds), NOT_CHECKABLE)
    shown = {name: measured.mix.get(name) for name in ("model", "precision", "kv_cache", "batch", "mix", "deployment_gpus", "points")}
    return found | {"verdict": verdict, "note": "; ".join(unlike), "measured": shown | {"has_interval": measured.has_interval}, "comparisons": comparisons}


def _best(mixes: Sequence[Mapping[str, Any]], claims: Claims, column: Column) -> Measured:
    """The mix most like the claim, and of those the one with the most output tokens/s."""
    mix = max(mixes, key=lambda m: (-len(_unlike(claims, column, m)), float(m["output_tokens_per_s_per_gpu"])))
    usd, rate = mix["usd_per_mtok"], float(mix["output_tokens_per_s_per_gpu"])
    edges = usd.get("ci95")
    around = Interval(value=rate, low=rate * usd["value"] / edges[1], high=rate * usd["value"] / edges[0]) if edges else exact(rate)
    return Measured(mix=mix, output_tokens_per_s=around, has_interval=bool(edges))


def _unlike(claims: Claims, column: Column, mix: Mapping[str, Any]) -> list[str]:
    """Why the run is not what the claim is about."""
    found = []
    if claims.model is not None and not _same_model(claims.model, str(mix.get("model"))):
        found.append(f"the run is of {mix.get('model')}, the claim of {claims.model}")
    lane = LANES.get(str(mix.get("precision")))
    if column.lane is not None and lane != column.lane:
        found.append(f"the run is in {mix.get('precision')}, the claim in {column.lane}")
    return found


def _same_model(claimed: str, measured: str) -> bool:
    """By name, or of one architecture: R1's configuration is V3's."""
    a, b = CATALOGUE.get(claimed), CATALOGUE.get(measured)
    return claimed == measured or (a is not None and b is not None and a.config == b.config)


def _comparisons(claims: Claims, column: Column, reading: Reading, measured: Measured) -> Iterator[dict[str, Any]]:
    kinds = measured.mix.get("provenance") or {}
    for row, (smaller, larger) in _FIGURES.items():
        cell = column.cells.get(row)
        figure = None if cell is None else _figure(row, column, reading, measured)
        if cell is None or figure is None:
            continue
        ratio = product(1.0, [(cell.interval, 1), (figure, -1)])
        word = smaller if ratio.value > 1 else larger
        kind = kinds.get("tokens_per_s_per_mw.provisioned" if row == "tokens_per_s_per_mw" else "output_tokens_per_s_per_gpu")
        yield {
            "cell": cell.id, "row": row, "basis": reading.basis, "claimed": cell.interval.json() | {"printed": cell.printed}, "measured": figure.json(),
            "claimed_over_measured": ratio.json(), "agrees": cell.interval.widened(claims.tolerance_of(cell)).overlaps(figure),
            "falls_short": word in _WORSE, "note": _said(ratio, word),
            "provenance": weakest(kind, *([_price(column).provenance] if row == "usd_per_mtok" else [])),  # of what was measured; the cell has its own
        }  # fmt: skip


def _price(column: Column) -> Cell:
    return column.cells["usd_per_gpu_hour"]


def _figure(row: str, column: Column, reading: Reading, measured: Measured) -> Interval | None:
    """The run's figure in the unit of the row, per token as the reading counts them (by the run's own mix)."""
    rate = measured.output_tokens_per_s
    if reading.basis == "total":
        if not measured.mix.get("mix"):
            return None
        own = parse_mix(str(measured.mix["mix"]))
        rate = rate.scaled((own.isl + own.osl) / own.osl)
    if row == "tokens_per_s_per_gpu":
        return rate
    if row == "usd_per_mtok":
        return product(1e6 / 3600, [(_price(column).interval, 1), (rate, -1)]) if "usd_per_gpu_hour" in column.cells else None
    per_mw = (measured.mix.get("tokens_per_s_per_mw") or {}).get("provisioned")
    return None if per_mw is None else rate.scaled(per_mw / measured.output_tokens_per_s.value)


def _verdicts(comparisons: Sequence[dict[str, Any]], unlike: bool) -> None:
    """A verdict for each; a claim fails where the run falls short of it under every reading of its tokens, and is like it."""
    for comparison in comparisons:
        agrees, short = comparison.pop("agrees"), comparison["falls_short"]
        comparison["falls_short"] = short and not agrees
        comparison["verdict"] = UNLIKE if unlike else AGREES if agrees else DISAGREES
        comparison["note"] = "as claimed" if agrees else comparison["note"]
    for comparison in comparisons:
        readings = [c for c in comparisons if c["cell"] == comparison["cell"]]
        comparison["fails"] = not unlike and all(c["falls_short"] for c in readings)


def _said(ratio: Interval, word: str) -> str:
    """`ratio`: claimed over measured; `word`: what the run's figure is beside the claim."""
    times = ratio if ratio.value >= 1 else product(1.0, [(ratio, -1)])
    return f"{times.value:.3g} ({times.low:.3g} to {times.high:.3g}) times {word}"
