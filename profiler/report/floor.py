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


def print_floor(spec: ModelSpec, rows: Sequence[dict[str, Any]], console: Console | None = None, *, planned_in: str | None = None) -> None:
    """Prints rows of `profiler.modelled.floor.floor_row`, all of one model in one deployment.

    `planned_in`: what to say of the formats where nobody chose them.
    """
    console = console or Console(highlight=False)
    first = rows[0]
    console.print(
        f"[bold]{printable(spec.name)}[/]  {first['total_params'] / 1e9:.2f} B parameters, {first['active_params'] / 1e9:.2f} B active"
        f" ({first['active_params_without_embedding'] / 1e9:.2f} B without the embedding)"
    )
    each = " of each GPU" if first["gpus"] > 1 else ""
    weights = ", ".join(dict.fromkeys(f"{si(row['weight_bytes'], 'B')} in {row['precision']}" for row in rows))
    cache = f"KV cache{each} {first['kv_bytes_per_token']:,} bytes per token in {first['kv_cache']}"
    console.print(f"{spec.layers} layers, {_experts(spec)}; weights{each} {weights}; {cache}")
    if planned_in is not None:
        console.print(planned_in)
    console.print(_rows_table(rows))
    for note in dict.fromkeys(row["emulation"] for row in rows if row["emulation"]):
        console.print(printable(note))
    if not all(row["fits"] for row in rows):
        console.print(f"smallest that fits: {'; '.join(dict.fromkeys(_smallest(row) for row in rows if not row['fits']))}")
    largest = max(rows, key=lambda row: row["floor_s"] or 0.0)
    console.print(_parts_table(largest))
    if largest["link"]:
        console.print(_links_table(largest))
    rates = largest["ceilings"]
    shown = ", ".join(f"{name} {si(rate, 'B/s' if name == 'bandwidth' else 'FLOP/s')}" for name, rate in rates.items())
    of = f"{printable(largest['routing'])} routing, {_deployment(largest)}"
    console.print(f"[dim]Modelled, not measured: sum over operations of max(FLOP / rate, bytes / bandwidth), {of}.[/]")
    if first["gpus"] > 1:
        console.print("[dim]links: latency + bytes / bandwidth of cited rows, beside the floor; tok/s are of floor + links, one after the other.[/]")
        for source in dict.fromkeys(link["source"] for link in largest["link"]):
            console.print(f"[dim]  {printable(source)}[/]")
    console.print(f"[dim]Ceilings of {largest['gpu']}: {shown} ({printable(largest['ceilings_source'])}).[/]")


def _deployment(row: dict[str, Any]) -> str:
    if row["gpus"] == 1:
        return "one GPU"
    rank = f"{row['rank']} rank" if row["rank"] in ("hottest", "mean") else f"rank {printable(row['rank'])}"
    return f"{rank} of {row['gpus']} GPUs (tp {row['tp']}, ep {row['ep']}, dp {row['dp']}; {row['span']})"


def _smallest(row: dict[str, Any]) -> str:
    found = row["smallest_deployment_that_fits"]
    of = f"{row['gpu']}, {row['precision']}, batch {row['batch']}, context {row['context']:,}"
    if found is None:
        return f"none ({of})"
    return f"{found['gpus']} GPU{'s' if found['gpus'] > 1 else ''} as --tp {found['tp']} --ep {found['ep']} --dp {found['dp']} ({of})"


def _experts(spec: ModelSpec) -> str:
    return "dense" if spec.moe is None else f"{spec.moe.experts} experts, {spec.moe.top_k} per token"


def _table(title: str | None, left: Sequence[str], right: Sequence[str]) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim", title=title, title_justify="left", title_style="dim")
    for name in left:
        table.add_column(name, no_wrap=True)
    for name in right:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _rows_table(rows: Sequence[dict[str, Any]]) -> Table:
    linked = any(row["collective_s"] for row in rows)
    table = _table(
        None,
        ("gpu", "step", "format"),
        ("batch", "context", *([] if linked else ["cache"]), "fits", "floor", *(["links"] if linked else []), "tok/s/user", "tok/s/GPU"),
    )
    for row in rows:
        step_s = (row["step_floor_s"] or {}).get("serial")
        rate = row["ceiling_output_tokens_per_s_per_gpu"] or row["ceiling_input_tokens_per_s_per_gpu"]
        per_user = count(1 / step_s) if step_s and row["phase"] == "decode" else "–"
        fits = "yes" if row["fits"] else "[red]no[/]"
        links = [si((row["collective_s"] or {}).get("serial"), "s")] if linked else []
        cache = [] if linked else [si(row["kv_cache_bytes"], "B")]  # 80 columns hold one of them
        numbers = (str(row["batch"]), f"{row['context']:,}", *cache, fits, si(row["floor_s"], "s"), *links, per_user, count(rate))
        table.add_row(row["gpu"], row["phase"], row["precision"], *numbers)
    return table


def _links_table(row: dict[str, Any]) -> Table:
    table = _table("what crosses links, beside the floor", ("part", "over"), ("calls", "sent", "time"))
    for link in sorted(row["link"], key=lambda link: -link["s"]):
        table.add_row(link["part"], link["span"], str(link["count"]), si(link["bytes"], "B"), si(link["s"], "s"))
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
