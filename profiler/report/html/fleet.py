"""The page of very many runs: what was measured, what of it is valid, and a row per configuration with its medians. Under a megabyte for any number of runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from profiler.fleet.groups import Group
from profiler.fleet.summary import Fleet
from profiler.measure.reasons import REASONS
from profiler.report.fleet import shown_groups
from profiler.report.html.method import KINDS
from profiler.report.html.packing import Strings, columns, rounded
from profiler.report.html.render import counted, file_text, rendered
from profiler.report.html.words import joined
from profiler.report.kinds import short
from profiler.report.numbers import NONE, count, fixed, usd

MOST_GROUPS = 1200  # rows of the table: half a megabyte
_MOST_NAMED = 20  # of prices and of runs that could not be read

_SCRIPTS = ("density.js", "vendor/uPlot.iife.min.js", "frame.js", "numbers.js", "charts.js", "fleet.js")
_STYLES = ("vendor/uPlot.min.css", "style.css")
_SECTIONS = (("headline", "Headline"), ("groups", "Configurations"), ("method", "Validity and prices"))

_NAMES = {
    "gpu": "machine", "model": "model", "precision": "format", "kv_cache": "cache", "mix": "mix", "tp": "tp", "ep": "ep", "dp": "dp", "basis": "of",
    "kind": "kind",
}  # fmt: skip
_FIGURES: tuple[tuple[str, str, str, Callable[[float], str]], ...] = (
    ("tokens_per_s_per_user", "speed", "tokens/s per user", count),
    ("decode_output_tokens_per_s_per_gpu", "decode", "tokens/s per GPU", count),
    ("output_tokens_per_s_per_gpu", "whole mix", "output tokens/s per GPU", count),
    ("energy_j_per_output_token", "energy", "J per output token", fixed),
    ("usd_per_mtok", "all-in", "$/Mtok out", usd),
)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """`sort`: what the column is ordered by; `spread`: the 10th to the 90th percentile."""

    text: str
    spread: str = ""
    sort: float | None = None


def fleet_html_text(fleet: Fleet) -> str:
    """The page of a fleet. Texts of records are inert in it, whatever they hold."""
    shown = [group for section in shown_groups(fleet.rows, MOST_GROUPS).values() for group in section] if fleet.rows else []
    names = [name for name in _NAMES if len({group[name] for group in shown}) > 1]
    best = min((group for group in shown if group["usd_per_mtok"]), key=lambda group: group["usd_per_mtok"]["median"], default=None)
    return rendered(
        "fleet.html.j2", _SCRIPTS, _STYLES, title=_title(fleet), sections=_SECTIONS, data=_data(shown, names), fleet=fleet,
        notice=file_text("vendor/LICENSE.uPlot"), when=_when(fleet), best=best, best_name=best and _label(best, names),
        headings=[_NAMES[name] for name in names], figures=_FIGURES, kinds=[_kinds(shown, figure) for figure, *_ in _FIGURES],
        rows=[_row(group, names) for group in shown], left_out=len(fleet.rows) - len(shown), reasons=_reasons(fleet),
        prices=list(fleet.prices.items())[:_MOST_NAMED], unreadable=fleet.unreadable[:_MOST_NAMED],
        more_unreadable=max(0, len(fleet.unreadable) - _MOST_NAMED), meanings=KINDS,
    )  # fmt: skip


def _title(fleet: Fleet) -> str:
    models, machines = (list(dict.fromkeys(str(group[name]) for group in fleet.rows)) for name in ("model", "gpu"))
    return f"{joined(models)} on {joined(machines)}" if fleet.rows else "No run could be read"


def _when(fleet: Fleet) -> str:
    began, ended = (time[:10] for time in fleet.created or ("", ""))
    when = "" if not began else f" · {began}" if began == ended else f" · {began} to {ended}"
    return f"{counted(fleet.runs, 'run')} · {counted(fleet.points, 'point')}{when}"


def _label(group: Group, names: Sequence[str]) -> str:
    said = [str(group[name]) for name in names if name != "precision" and group[name] is not None]
    return ", ".join([*said, str(group["precision"]), _size(group).text])


def _row(group: Group, names: Sequence[str]) -> list[Cell]:
    return [*(Cell(text=NONE if group[name] is None else str(group[name])) for name in names), _size(group), _points(group), *_cells(group)]


def _size(group: Group) -> Cell:
    size = group["batch"] if group["batch"] is not None else group["concurrency"]
    word = "batch" if group["batch"] is not None else "concurrency"
    return Cell(text=NONE if size is None else f"{word} {size}", sort=size)


def _points(group: Group) -> Cell:
    bad = [f"{group[name]:,} {word}" for name, word in (("invalid", "not valid"), ("not_run", "not run")) if group[name]]
    return Cell(text=f"{group['n']:,}", spread=", ".join(bad), sort=group["n"])


def _cells(group: Group) -> list[Cell]:
    found = []
    for figure, _, _, write in _FIGURES:
        spread = group[figure]
        if spread is None:
            found.append(Cell(text=NONE))
            continue
        low, high = write(spread["p10"]), write(spread["p90"])
        found.append(Cell(text=write(spread["median"]), spread="" if low == high else f"{low}–{high}", sort=rounded(spread["median"])))
    return found


def _kinds(groups: Sequence[Group], figure: str) -> str:
    found = "/".join(dict.fromkeys(short(group["provenance"][figure]) for group in groups if figure in group["provenance"]))
    prices = "/".join(dict.fromkeys(short(group["provenance"]["usd_per_gpu_hour"]) for group in groups if "usd_per_gpu_hour" in group["provenance"]))
    return f"{found}×{prices}" if figure == "usd_per_mtok" and found and prices else found


def _reasons(fleet: Fleet) -> list[tuple[str, int, str, str]]:
    """(reason, points, meaning, remedy) of what was not valid, then (status, points, ...) of what did not run."""
    found = []
    for name, points in fleet.invalid.items():
        known = REASONS.get(name)
        found.append((name, points, known.meaning if known else "a reason that this version does not know", known.remedy if known else "read the record"))
    return found + [(status, points, "did not run", "the record says why") for status, points in fleet.not_run.items()]


def _data(groups: Sequence[Group], names: Sequence[str]) -> dict[str, Any]:
    """What the chart shows: a mark per configuration, coloured by machine and format."""
    strings = Strings()
    rows = [
        {
            "name": strings.place(_label(group, names)), "series": strings.place(f"{group['gpu']}, {group['precision']}"),
            "x": _median(group, "tokens_per_s_per_user"), "usd": _median(group, "usd_per_mtok"), "rate": _median(group, "output_tokens_per_s_per_gpu"),
        }
        for group in groups
        if group["n"]
    ]  # fmt: skip
    return {"lines": len(rows), "points": columns(rows), "texts": strings.texts}


def _median(group: Group, figure: str) -> float | None:
    return rounded(group[figure]["median"]) if group[figure] else None
