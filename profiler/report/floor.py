"""`tokenmill floor` on a terminal: the model's sizes, a row per GPU and shape, and where the floor of the largest shape goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from profiler.report.numbers import count, percent, si
from profiler.report.text import printable

if TYPE_CHECKING:
    from workloads.model_spec import ModelSpec

_PARTS_SHOWN = 8


def print_floor(spec: ModelSpec, rows: Sequence[dict[str, Any]], console: Console | None = None) -> None:
    """Prints rows of `profiler.modelled.floor.floor_row`, all of one model."""
    console = console or Console(highlight=False)
    first = rows[0]
    console.print(
        f"[bold]{printable(spec.name)}[/]  {first['total_params'] / 1e9:.2f} B parameters, {first['active_params'] / 1e9:.2f} B active"
        f" ({first['active_params_without_embedding'] / 1e9:.2f} B without the embedding)"
    )
    weights = ", ".join(dict.fromkeys(f"{si(row['weight_bytes'], 'B')} in {row['precision']}" for row in rows))
    console.print(f"{spec.layers} layers, {_experts(spec)}; weights {weights}; KV cache {first['kv_bytes_per_token']:,} bytes per token in {first['kv_cache']}")
    console.print(_rows_table(rows))
    largest = max(rows, key=lambda row: (row["floor_s"] or 0.0))
    console.print(_parts_table(largest))
    rates = largest["ceilings"]
    shown = ", ".join(f"{name} {si(rate, 'B/s' if name == 'bandwidth' else 'FLOP/s')}" for name, rate in rates.items())
    console.print(f"[dim]Modelled, not measured: sum over operations of max(FLOP / rate, bytes / bandwidth), {largest['routing']} routing, one GPU.[/]")
    console.print(f"[dim]Ceilings of {largest['gpu']}: {shown} ({printable(largest['ceilings_source'])}).[/]")


def _experts(spec: ModelSpec) -> str:
    return f"{spec.experts} experts, {spec.top_k} per token" if spec.experts else "dense"


def _table(title: str | None, left: Sequence[str], right: Sequence[str]) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim", title=title, title_justify="left", title_style="dim")
    for name in left:
        table.add_column(name, no_wrap=True)
    for name in right:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _rows_table(rows: Sequence[dict[str, Any]]) -> Table:
    table = _table(None, ("gpu", "step", "format"), ("batch", "context", "cache", "fits", "floor", "tok/s/user", "tok/s/GPU"))
    for row in rows:
        floor_s = row["floor_s"]
        rate = row["ceiling_output_tokens_per_s_per_gpu"] or row["ceiling_input_tokens_per_s_per_gpu"]
        per_user = count(1 / floor_s) if floor_s and row["phase"] == "decode" else "–"
        fits = "yes" if row["fits"] else "[red]no[/]"
        numbers = (str(row["batch"]), f"{row['context']:,}", si(row["kv_cache_bytes"], "B"), fits, si(floor_s, "s"), per_user, count(rate))
        table.add_row(row["gpu"], row["phase"], row["precision"], *numbers)
    return table


def _parts_table(row: dict[str, Any]) -> Table:
    title = f"where the floor goes: {row['gpu']}, {row['phase']}, batch {row['batch']}, {row['precision']}"
    table = _table(title, ("part",), ("calls", "arithmetic", "traffic", "floor", "share", "bound by"))
    ops = sorted((op for op in row["ops"] if op["floor_s"] is not None), key=lambda op: -op["floor_s"])
    for op in ops[:_PARTS_SHOWN]:
        arithmetic = si(op["flops"], "FLOP") if op["flops"] else "–"
        numbers = (str(op["count"]), arithmetic, si(op["bytes"], "B"), si(op["floor_s"], "s"), percent(op["floor_s"] / row["floor_s"]), op["bound"])
        table.add_row(op["part"], *numbers)
    rest = ops[_PARTS_SHOWN:]
    if rest:
        seconds = sum(op["floor_s"] for op in rest)
        table.add_row(f"{len(rest)} more", str(sum(op["count"] for op in rest)), "", "", si(seconds, "s"), percent(seconds / row["floor_s"]), "")
    return table
