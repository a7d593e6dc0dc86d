"""What several points say together, on a terminal: where each one's time goes, what skew costs, tokens per megawatt against the power limit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from profiler.explain.explanation import Explanation
from profiler.explain.skew import MOVED
from profiler.explain.waterfall import Waterfall
from profiler.report.notes import Notes
from profiler.report.numbers import NONE, count, fixed, percent, si
from profiler.report.text import printable

_CAUSES = (
    ("floor", "floor"), ("ceilings", "ceil-\nings"), ("distance", "opera-\ntions"), ("kernels", "our\nkernels"), ("gaps", "gaps"), ("links", "links"),
    ("idle", "idle"),
)  # fmt: skip


def sweep_table(explanation: Explanation, notes: Notes) -> Table:
    """One line per mix, and per point that is in none: dollars, and each cause's share of the GPU time."""
    inside = {*explanation.mixes, *explanation.prefill_of.values()}
    shown = [*explanation.mixes.values(), *(w for key, w in explanation.points.items() if key not in inside)]
    names = [name for name in ("run_id", "routing") if len({_of(w, name) for w in shown}) > 1]
    left = (*(name.removesuffix("_id") for name in names), "of", "format", "batch")
    table = _table(*left, right=("µs GPU\n/token", "$/Mtok", *(heading for _, heading in _CAUSES)))
    for waterfall in shown:
        table.add_row(*_line(waterfall, names, notes), style="" if waterfall.valid else "dim")
    return table


def _of(waterfall: Waterfall, name: str) -> Any:
    return waterfall.run_id if name == "run_id" else waterfall.subject.get(name)


def _line(waterfall: Waterfall, names: Sequence[str], notes: Notes) -> list[str]:
    of, shares = waterfall.subject, waterfall.shares()
    name = of.get("mix") if of.get("phase") == "request" else f"{of.get('phase')} {of.get('context') or ''}".strip()
    mark = "" if waterfall.valid else f" ✗{notes.mark('✗ not valid: ' + (', '.join(waterfall.invalid_reasons) or 'no reason was recorded'))}"
    gpu_s = waterfall.delivered["gpu_s"]
    figures = [NONE if gpu_s is None else fixed(gpu_s * 1e6), _or(waterfall.price.usd_per_mtok, fixed)]
    told = [printable(_of(waterfall, name)) for name in names]
    return [*told, printable(name), printable(of.get("precision")), f"{printable(of.get('batch'))}{mark}", *figures, *(_share(shares[c]) for c, _ in _CAUSES)]


def _share(value: float | None) -> str:
    return "·" if value == 0 else percent(value)


def skew_table(skew: Mapping[str, Any]) -> Table:
    """What each routing costs beyond the baseline."""
    parts = any(row["parts"][group] for row in skew["rows"] for group in MOVED)
    joules, moved = f"J/{_token(skew)}", [f"{group}\nof a step" for group in MOVED if parts]
    table = _table("routing", right=("step", joules, "$/Mtok", "skew:\nstep", joules, "$/Mtok", *moved))
    for row in skew["rows"]:
        over, base = row["over"], row["routing"] == skew["baseline"]
        by_part = ["·" if base else _signed((over["parts"][group] or {}).get("s"), 1e6, " µs") for group in MOVED] if parts else []
        beyond = ["baseline", "", ""] if base else [_signed(over["step_s"], 1e6, " µs"), _signed(over["energy_j"]), _signed(over["usd_per_mtok"])]
        table.add_row(printable(row["routing"]), si(row["step_s"], "s"), _or(row["energy_j"], fixed), _or(row["usd_per_mtok"], fixed), *beyond, *by_part)
    return table


def _token(skew: Mapping[str, Any]) -> str:
    return "step" if skew["unit"] == "step" else "token"


def _signed(value: float | None, scale: float = 1.0, unit: str = "") -> str:
    return NONE if value is None else f"{'+' if value >= 0 else ''}{fixed(value * scale)}{unit}"


def frontier_table(frontier: Mapping[str, Any]) -> Table:
    """A row per power limit, lowest first."""
    per_mw = f"tok/s/MW\n{printable(frontier['boundary'] or '')}"
    usd = "$/Mtok\nall-in" if frontier["of"] == "mix" else "$/Mtok\ndecode only"
    table = _table("power\nlimit", right=("SM clock", "step", "board", "tok/s\n/GPU", per_mw, usd))
    for row in frontier["rows"]:
        best = frontier["best_per_mw"] is not None and row["power_limit_w"] == frontier["best_per_mw"]
        limit = si(row["power_limit_w"], "W") + ("" if row["valid"] else " ✗")
        rates = (count(row["output_tokens_per_s_per_gpu"]), count(row["tokens_per_s_per_mw"]), _or(row["usd_per_mtok"], fixed))
        table.add_row(limit, si(row["sm_hz"], "Hz", 4), si(row["step_s"], "s"), si(row["board_w"], "W"), *rates, style="bold" if best else "")
    return table


def frontier_lines(frontier: Mapping[str, Any]) -> list[str]:
    """The best limits, and what a site of some megawatts holds."""
    lines, site = [], frontier["site"]
    if frontier["best_per_mw"] is not None and len(frontier["rows"]) > 1:
        usd = "" if frontier["best_usd"] is None else f"; by $/Mtok {si(frontier['best_usd'], 'W')}"
        lines.append(f"best limit by tok/s/MW ({printable(frontier['boundary'])}): {si(frontier['best_per_mw'], 'W')}{usd}")
    if site is not None:
        limit = "" if site["power_limit_w"] is None else f" at a limit of {si(site['power_limit_w'], 'W')}"
        holds = f"{site['gpus']:,} GPUs of {si(site['watts_per_gpu'], 'W')} each ({site['boundary']})"
        lines.append(f"{site['mw']:g} MW hold {holds}{limit}: {count(site['output_tokens_per_s'])} output tok/s")
    return lines


def _table(*left: str, right: Sequence[str]) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim", show_edge=False)
    for heading in left:
        table.add_column(heading, vertical="bottom", overflow="fold")
    for heading in right:
        table.add_column(heading, justify="right", no_wrap=True, vertical="bottom")
    return table


def _or(value: float | None, shown: Any) -> str:
    return NONE if value is None else str(shown(value))
