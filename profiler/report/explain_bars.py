"""The waterfall on a terminal: a row per cause, its bar beginning where the one before ended."""

from __future__ import annotations

from rich.bar import Bar as Block
from rich.table import Table

from profiler.explain.around import SITE
from profiler.explain.bar import Bar
from profiler.explain.places import GROUPS
from profiler.explain.waterfall import Waterfall
from profiler.report.kinds import short
from profiler.report.notes import Notes
from profiler.report.numbers import NONE, fixed
from profiler.report.text import printable

# What lies under water is the hardware's, then ours, then the fleet's.
_COLOURS = {
    **dict.fromkeys(("peak", "memory", "ceilings"), "cyan"),
    **dict.fromkeys((*GROUPS, "operations", "not_measured_alone"), "yellow"),
    "our_kernels": "magenta",
    **dict.fromkeys(("launch_gaps", "overlap", "slow_steps"), "red"),
    "collectives": "blue",
    "idle": "bright_black",
}
_SAVED = "green"  # what took less than its floor


def waterfall_table(waterfall: Waterfall, notes: Notes, width: int) -> Table:
    """The table at a width; joules in mJ below one joule per token. Reasons go to `notes`."""
    joules = _joules_unit(waterfall)
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim", show_edge=False, width=width)
    table.add_column(f"per {waterfall.unit}", no_wrap=True)
    table.add_column("", ratio=1)
    for heading in ("µs GPU", joules[0], "$/Mtok"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("kind", no_wrap=True)
    money = "" if waterfall.price.provenance is None else f"×{short(waterfall.price.provenance)}"
    table.add_row("", "", "", _energy_kinds(waterfall), money, "", style="dim italic")
    at, size = 0.0, _size(waterfall)
    for bar in waterfall.bars:
        if bar.name == "idle":
            _total(table, "busy GPU", waterfall.busy, joules[1])
        _row(table, bar, at, size, joules[1], notes)
        at += bar.gpu_s or 0.0
    _total(table, "delivered token", waterfall.delivered, joules[1])
    return table


def _row(table: Table, bar: Bar, at: float, size: float, joules: float, notes: Notes) -> None:
    missing = None if bar.why_null is None else notes.mark(bar.why_null)

    def cell(value: float | None, scale: float) -> str:
        return f"{NONE}{missing or ''}" if value is None else _nil(bar, value) or _number(value * scale)

    begin, end = sorted((at, at + (bar.gpu_s or 0.0)))
    colour = _SAVED if (bar.gpu_s or 0.0) < 0 else _COLOURS.get(bar.name, "yellow")
    block = Block(size=size, begin=max(begin, 0.0), end=end, color=colour) if size > 0 and end > begin else ""
    label = printable(bar.label) + (notes.mark(bar.note) if bar.note else "")
    # Without a price the column is empty for every bar, and the footer says why.
    dollars = NONE if bar.usd_per_mtok is None else _nil(bar, bar.usd_per_mtok) or _number(bar.usd_per_mtok)
    nothing = bar.gpu_s is None and bar.energy_j is None
    kind = "" if bar.kind is None else short(bar.kind)
    table.add_row(label, block, cell(bar.gpu_s, 1e6), cell(bar.energy_j, joules), dollars, kind, style="dim" if nothing else "")


def _nil(bar: Bar, value: float) -> str:
    """A dot where a bar adds nothing by its nature, such as GPU time of a facility."""
    return "·" if value == 0 and (bar.name in SITE or bar.name in ("idle", "collectives")) else ""


def _total(table: Table, label: str, sums: dict[str, float | None], joules: float) -> None:
    def cell(value: float | None, scale: float = 1.0) -> str:
        return NONE if value is None else _number(value * scale)

    table.add_row(label, "", cell(sums["gpu_s"], 1e6), cell(sums["energy_j"], joules), cell(sums["usd_per_mtok"]), "", style="bold")


def _number(value: float) -> str:
    """Three digits; what is too small to matter in a column of this width is said so and not rounded to 0."""
    if 0 < abs(value) < 0.0005:
        return "<0.001" if value > 0 else ">-0.001"
    return fixed(value) if abs(value) >= 0.1 else f"{value:.3f}"


def _joules_unit(waterfall: Waterfall) -> tuple[str, float]:
    whole = waterfall.delivered["energy_j"]
    return ("J", 1.0) if whole is not None and whole >= 1 else ("mJ", 1e3)


def _energy_kinds(waterfall: Waterfall) -> str:
    """The kind of the joules: that of the step's residue where there is one, which is all sensor and no model."""
    kinds = {bar.name: bar.energy_kind for bar in waterfall.bars if bar.energy_kind is not None}
    found = next((kinds[name] for name in ("launch_gaps", "overlap", "slow_steps") if name in kinds), None)
    return "" if found is None else short(found)


def _size(waterfall: Waterfall) -> float:
    """The furthest that the running sum reaches."""
    reached, at = 0.0, 0.0
    for bar in waterfall.bars:
        at += bar.gpu_s or 0.0
        reached = max(reached, at)
    return reached
