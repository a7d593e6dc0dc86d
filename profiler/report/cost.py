"""`tokenmill cost` on a terminal: what was priced, with units, provenance and what the price includes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from profiler.economics.formulas import BOUNDARIES
from profiler.economics.prices import price_from_json, price_summary, spread_of
from profiler.report.decisions import print_decisions
from profiler.report.numbers import NONE
from profiler.report.text import dollars, printable, quantity

_MEANING = {
    "board": "measured",
    "board_cpu": "measured",
    "node": "declared",
    "facility": "node x PUE",
    "provisioned": "planned all-in kW per GPU",
}


def print_cost(document: Mapping[str, Any], console: Console | None = None) -> None:
    """Prints the document of `cost --json`: of given figures, or of a run's mixes."""
    console = console or Console(highlight=False)
    table = _mixes_table(document["mixes"], document.get("cheapest")) if "mixes" in document else _given_table(document)
    if table.row_count:
        console.print(table)
    if "mixes" in document and not document["mixes"]:
        console.print("[yellow]This run has no mix: record one with `tokenmill run --phase both --mix 8k/1k`.[/]")
    elif "mixes" in document and document["cheapest"] is None:
        wanted = document["at_least_tokens_per_s_per_user"]
        console.print(f"[yellow]No valid mix{'' if wanted is None else f' reaches {wanted:g} tokens/s per user'}.[/]")
    price = price_from_json(document["price"])
    console.print(f"[dim]Price: {printable(price_summary(price))}.[/]")
    hours = {mix["usd_per_gpu_hour"] for mix in document.get("mixes", ())} | {document.get("usd_per_gpu_hour")} - {None}
    if price.usd_per_gpu_hour is not None and len(hours) == 1 and (hour := hours.pop()) is not None and hour != price.usd_per_gpu_hour:
        console.print(f"[dim]Used: {dollars(hour)}/GPU-h, of which electricity {dollars(hour - price.usd_per_gpu_hour)}.[/]")
    for note in sorted({m["price_note"] for m in document.get("mixes", ()) if m["price_note"]} | {document.get("price_note") or ""} - {""}):
        console.print(f"[yellow]{printable(note)}[/]")
    if price.node_w is not None:
        pue = "unknown" if price.pue is None else f"{price.pue:g} ({printable(price.pue_provenance)})"
        console.print(f"[dim]Power: {price.node_w:g} W per GPU at the node (assumed); PUE {pue}.[/]")
    for note in sorted({mix["by_class_why_null"] for mix in document.get("mixes", ()) if mix.get("by_class_why_null")}):
        console.print(f"[yellow]No price by class: {printable(note)}.[/]")
    why = document.get("why_null") or {}
    print_decisions(document, console)
    if "usd_per_mtok" in why:
        console.print(f"[yellow]No $ per Mtok of a mix: {printable(why['usd_per_mtok'])}.[/]")


def _given_table(document: Mapping[str, Any]) -> Table:
    rows: list[tuple[str, str, str]] = []
    usd, by_class, bill = document["usd_per_mtok"], document["usd_per_mtok_by_class"], document["bill_usd"]
    for phase, label in (("prefill_only", "input tokens, prefill only"), ("decode_only", "output tokens, decode only")):
        if document[f"{phase}_usd_per_mtok"] is not None:
            rows.append((f"{dollars(document[f'{phase}_usd_per_mtok'])} / Mtok", label, "assumed"))
    if usd is not None:
        label, spread = "output tokens, all-in" if by_class else "tokens as counted in the rate given", usd["price_range"]
        if spread and spread[0] != spread[1]:
            label += f"; {dollars(spread[0])} to {dollars(spread[1])} {spread_of(document['price']['owned'] is not None)}"
        rows.append((f"{dollars(usd['value'])} / Mtok", label, "assumed"))
    if bill is not None:
        held = f" + {dollars(bill['cached'])} cached" if bill["cached"] else ""
        rows.append((dollars(bill["total"]), f"bill: {dollars(bill['input'])} input{held} + {dollars(bill['output'])} output", "assumed"))
    if by_class:
        rows += [(f"{dollars(value)} / Mtok", f"{name} tokens, by their GPU-time", "assumed") for name, value in by_class.items() if value is not None]
        habit = document["whole_hour_usd_per_mtok"]
        rows.append(
            (f"{dollars(habit['input'])} and {dollars(habit['output'])}", "whole hour charged to input, and again to output: the public habit", "assumed")
        )
    if document["prefill_share_of_gpus"] is not None:
        share = document["prefill_share_of_gpus"]
        rows.append((f"{share:.1%} : {1 - share:.1%}", "prefill : decode GPUs", "assumed"))
    for boundary in BOUNDARIES:
        value, watts = document["tokens_per_s_per_mw"][boundary], document["watts_per_gpu"][boundary]
        if value is not None:
            rows.append((f"{quantity(value, digits=4)} tokens/s/MW", f"{boundary}: {_MEANING[boundary]}, {watts:,.0f} W", "assumed"))
    return _table(("figure", "of what", "provenance"), rows)


def _mixes_table(mixes: Sequence[Mapping[str, Any]], cheapest: Mapping[str, Any] | None) -> Table:
    cached = any((mix["usd_per_mtok_by_class"] or {}).get("cached") is not None for mix in mixes)
    headings = ("mix", "format", "batch", "$ per Mtok out, all-in", "input", *(("cached",) if cached else ()), "output", "J/token out", "tok/s/MW", "kind")
    rows = []
    for mix in mixes:
        usd, by_class = mix["usd_per_mtok"], mix["usd_per_mtok_by_class"] or {}
        mw = next(((b, v) for b, v in mix["tokens_per_s_per_mw"].items() if v is not None), None)
        joules = mix["energy_j_per_output_token"]
        rows.append(
            (
                f"{mix['mix']}{' ←' if mix['points'] == cheapest else ''}",
                str(mix["precision"] or NONE) if mix["kv_cache"] in (None, mix["precision"]) else f"{mix['precision']}/{mix['kv_cache']} cache",
                str(mix["batch"]) if mix["batch"] is not None else f"c{mix.get('concurrency')}",
                _money(usd) if usd else f"- ({mix['why_null']})",
                dollars(by_class.get("input")),
                *((dollars(by_class.get("cached")),) if cached else ()),
                dollars(by_class.get("output")),
                "-" if joules is None else f"{joules:.3g}",
                f"{quantity(mw[1])} ({mw[0]})" if mw else "-",
                _kind(mix["provenance"]) + ("" if mix["valid"] else " ✗ not valid"),
            )
        )
    return _table(headings, rows)


def _kind(provenance: Mapping[str, Any]) -> str:
    """Of the money: the kind of its time, times the kind of its price."""
    kinds = [provenance.get(name) for name in ("usd_per_mtok", "usd_per_gpu_hour")]
    return " × ".join(kind for kind in kinds if kind) or "-"


def _money(usd: Mapping[str, Any]) -> str:
    noise = usd["ci95"]
    return dollars(usd["value"]) + (f" ({dollars(noise[0])} to {dollars(noise[1])})" if noise else "")


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(*headings, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(printable(cell) for cell in row))
    return table
