"""The measured points, priced as `tokenmill report` prices them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from profiler.economics.derive import derive_run, price_for_run
from profiler.economics.price_book import load_price_book
from profiler.economics.prices import price_summary
from profiler.evidence.packing import label
from profiler.evidence.page.folder import Folder
from profiler.evidence.page.table import table
from profiler.record.store import Run
from profiler.report.flat import mix_point
from profiler.report.inert_markdown import md
from profiler.report.kinds import short
from profiler.report.numbers import NONE, count, percent, plus_minus
from profiler.report.rows import ok

SHOWN = (".", "released", "rank", "operations")  # runs whose points stand in the table; what the others are for is told elsewhere on the page
_HEADINGS = ("run", "model", "format", "phase", "batch", "context", "step ms", "tok/s/GPU", "W", "J/token", "roofline", "$/Mtok", "valid")
_WORDS = (
    "Rates of decode are of output, of prefill of input tokens; W and J are the board's; roofline: floor at the run's own ceilings over the step; $ all-in of "
    "the mix per output token, measured time at a cited price; ± 95 %; emul: one rank, its link modelled. Not in the table: the newcomer's points, repeats, "
    "and runs in windows that are long enough for times only (operations-more)."
)


def points(folder: Folder) -> list[str]:
    book = load_price_book(None)
    lines, prices = [], dict[str, None]()
    for name in SHOWN:
        if name in folder.runs:
            run = folder.runs[name]
            price = price_for_run(run, book)
            derived = derive_run(run, price)
            mixes = {mix_point(mix): mix for mix in derived.mixes}
            lines += [_line(label(name), run, point, mixes.get(point.get("point_id"))) for point in derived.points]
            prices[md(price_summary(price))] = None
    if not lines:
        return []
    words = f"{_WORDS} Price: {'; '.join(prices)}."
    return ["## Points", *table(_HEADINGS, lines, left=4), "", words]


def _line(name: str, run: Run, point: Mapping[str, Any], mix: Mapping[str, Any] | None) -> list[str]:
    prefill, ci95 = point.get("phase") == "prefill", point.get("ci95") or {}
    ranks = f" ep {point['ep']}" if (point.get("ep") or 1) > 1 else ""
    emulated = " emul" if short((point.get("provenance") or {}).get("step_s")) == "emul" else ""
    rate = point.get("input_tokens_per_s_per_gpu" if prefill else "output_tokens_per_s_per_gpu")
    energy = "energy_j_per_total_token" if prefill else "energy_j_per_output_token"
    usd = (mix or {}).get("usd_per_mtok")
    return [
        name,
        md(f"{point.get('model')}{ranks}"),
        md(point.get("precision")),
        md(point.get("phase")),
        md(point.get("batch")),
        NONE if point.get("context") is None else f"{point['context']:,}",
        milliseconds(point.get("step_s")),
        count(rate) + (emulated if rate is not None else ""),
        NONE if point.get("board_w") is None else f"{point['board_w']:.0f}",
        plus_minus(point.get(energy), ci95.get(energy)),
        percent(point.get("share_of_roofline")),
        NONE if usd is None else plus_minus(usd["value"], usd["ci95"]),
        _verdict(point),
    ]


def milliseconds(step_s: Mapping[str, Any] | None) -> str:
    """The median step with the interval of its mean, in ms."""
    if not step_s or step_s.get("median") is None:
        return NONE
    interval = step_s.get("ci95")
    return plus_minus(1e3 * step_s["median"], None if interval is None else [1e3 * edge for edge in interval])


def _verdict(point: Mapping[str, Any]) -> str:
    if not ok(point):
        return md(f"✗ {point.get('status')}: {str(point.get('error') or '')[:80]}")
    return "yes" if point.get("valid") else md(f"✗ {', '.join(point.get('invalid_reasons') or ['no reason was recorded'])}")
