"""What a planner asked, on a terminal: margin and break-even, a site, a target, ways to pay, and which input matters most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Column, Table

from profiler.report.kinds import short
from profiler.report.numbers import NONE, count, fixed, percent
from profiler.report.text import dollars, printable

_LABELS = {
    "revenue_usd_per_mtok": "revenue per Mtok of output, with its input",
    "margin": "margin, of the revenue",
    "profit_over_cost": "profit over cost",
    "revenue_usd_per_gpu_hour": "revenue per GPU-hour, idle hours in it",
    "revenue_usd_per_mw_year": "revenue per planned MW and year",
    "break_even_utilisation": "break-even: busy share that pays the hours",
    "break_even_usd_per_gpu_hour": "break-even: dearest GPU-hour that revenue pays",
    "break_even_sell_factor": "break-even: price list times",
    "target_output_tokens_per_s": "rate that the target price needs, per GPU",
    "target_speed_up": "times today's rate",
    "site_gpus": "GPUs of the site, at the planned kW each",
    "site_output_tokens_per_s": "output tokens/s of the site, idle hours in it",
    "site_usd_per_year": "cost of the site's GPU-hours per year",
    "site_revenue_usd_per_year": "revenue of the site per year",
    "gco2_per_mtok": "carbon per Mtok of output, electricity alone",
}
_OUTPUT_ALONE = "revenue per Mtok of output alone"
_SHARES = ("margin", "profit_over_cost", "break_even_utilisation")
_BAR = 10
_ENDS = {"measured, 95 % interval": "ci95", "sources disagree": "sources", "assumed spread": "assumed", "10 % either way": "±10 %", "kinds of price": "prices"}


def print_decisions(document: Mapping[str, Any], console: Console) -> None:
    """The parts of `cost`'s document that were asked for, and the machine that the GPU comes in."""
    if document.get("per_system"):
        console.print(f"[dim]{printable(_system_line(document['per_system']))}[/]")
    if document.get("decisions"):
        _print_figures(document["decisions"], console)
    if document.get("ways_to_pay"):
        _print_ways(document["ways_to_pay"], console)
    if "sensitivity" in document:
        _print_tornado(document["sensitivity"], console)


def _system_line(system: Mapping[str, Any]) -> str:
    rate, watts, bought = system["output_tokens_per_s"], system["provisioned_w"], system["capex_usd"]
    parts = [
        f"{dollars(system['usd_per_hour'])} an hour",
        *([] if rate is None else [f"{count(rate)} output tokens/s"]),
        *([] if watts is None else [f"{watts / 1000:.4g} kW planned"]),
        *([] if bought is None else [f"{dollars(bought)} to buy"]),
    ]
    return f"{system['system']}, {system['meaning']}: {', '.join(parts)}."


def shown(name: str, value: float, unit: str) -> str:
    """A figure with its unit, as a person reads it."""
    if name in _SHARES:
        return f"{value:.1%}"
    if name == "site_gpus":
        return f"{int(value):,} GPUs"  # whole ones
    if unit.startswith("USD"):
        return f"{dollars(value)}{unit.removeprefix('USD').replace('/', ' / ')}"
    return f"{count(value) if abs(value) >= 100 else fixed(value)} {unit}".rstrip()


def _print_figures(decisions: Mapping[str, Any], console: Console) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, figure in decisions["figures"].items():
        value = figure["value"]
        ends = figure["ci95"]
        interval = "" if ends is None else f"{shown(name, ends[0], figure['unit'])} to {shown(name, ends[1], figure['unit'])}"
        label = _OUTPUT_ALONE if name == "revenue_usd_per_mtok" and decisions["output_alone"] else _LABELS[name]
        table.add_row(NONE if value is None else shown(name, value, figure["unit"]), label, f"[dim]{short(figure['provenance'])}[/]", f"[dim]{interval}[/]")
    console.print()
    console.print(table)
    sold = decisions["price_list"]
    if decisions["output_alone"]:
        console.print("[yellow]The input that belongs to the output was not given: revenue, margin and break-even are of output tokens alone.[/]")
    if sold is not None:
        cited = ", ".join(str(part) for part in (sold["source"], sold["date"]) if part)
        console.print(f"[dim]Sold at: {printable(sold['name'])} ({printable(cited)}).[/]")
    if decisions["grid"] is not None:
        watts = "planned kW, since the node's watts are not known" if decisions["carbon_by_plan"] else "node x PUE"
        console.print(f"[dim]Grid: {decisions['grid']['value']:g} g/kWh ({printable(decisions['grid']['source'])}); watts: {watts}.[/]")
    for reason in dict.fromkeys(decisions["why_null"].values()):
        console.print(f"[yellow]{NONE}: {printable(reason)}.[/]")


def _print_ways(ways: Sequence[Mapping[str, Any]], console: Console) -> None:
    used = any(way["break_even_utilisation"] is not None for way in ways)
    headings = ("way to pay", "$/GPU-h", "spread", "$/busy h", "$/Mtok", *(("wins from",) if used else ()), "kind")
    table = Table(*(Column(heading, no_wrap=True) for heading in headings), box=None, pad_edge=False, header_style="bold")
    for way in ways:
        spread = f"${way['low']:.2f}-{way['high']:.2f}" if way["low"] is not None and way["low"] != way["high"] else ""
        share = way["break_even_utilisation"]
        from_share = () if not used else ("" if share is None else "never" if share > 1 else f"{percent(share)} busy",)
        cells = (way["way"], dollars(way["usd_per_gpu_hour"]), spread, dollars(way["usd_per_busy_gpu_hour"]), _per_mtok(way["usd_per_mtok"]))
        table.add_row(*(printable(cell) for cell in (*cells, *from_share, way["provenance"] or NONE)))
    console.print()
    console.print(table)
    console.print("[dim]Every way but `hours used` pays idle hours too. Spread: every figure of owning at its cheap and at its dear end.[/]")
    for note in dict.fromkeys(way["note"] for way in ways if way["note"]):
        console.print(f"[yellow]{printable(note)}[/]")


def _per_mtok(value: float | None) -> str:
    return NONE if value is None else f"${fixed(value)}"


def _print_tornado(swings: Sequence[Mapping[str, Any]], console: Console) -> None:
    console.print()
    if not swings:
        console.print("[yellow]No price of a token, so nothing moves it.[/]")
        return
    headings = ("input", "from", "to", "$/Mtok", "ends", "")
    table = Table(*(Column(heading, no_wrap=True) for heading in headings), box=None, pad_edge=False, header_style="bold")
    most = swings[0]["swing"]
    for swing in swings:
        ends = sorted((swing["usd_at_low"], swing["usd_at_high"]))
        bar = "█" * max(1, round(_BAR * swing["swing"] / most))
        cells = (swing["name"], fixed(swing["low"]), fixed(swing["high"]), f"${fixed(ends[0])}-{fixed(ends[1])}", _ENDS.get(swing["why"], swing["why"]), bar)
        table.add_row(*(printable(cell) for cell in cells))
    console.print(table)
    console.print("[dim]Ends: ci95 measured; sources that disagree; assumed, where no source was found; kinds of price; else ±10 %.[/]")
