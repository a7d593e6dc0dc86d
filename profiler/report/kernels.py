"""`tokenmill kernels --inspect` on a terminal: a table per kernel, a row per variant's name, and below what is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from profiler.report.text import printable
from triton_kernels.product import COMPILE_ONLY
from triton_kernels.sass import TENSOR_CORE

Row = dict[str, Any]

_COPIES_SHOWN = ("UTMALDG", "UTMASTG", "UBLKCP", "LDGSTS")
# What a tile is called, by the constants that a kernel has; the first that fits.
_TILES = (("ROWS", "OUTPUTS", "INPUTS"), ("ROWS", "KV"), ("ROWS",), ("BLOCK_H",), ("BLOCK_N",), ("SPLITS", "CHUNK"), ("BLOCK_V",), ("EXPERTS", "CHOICES"))

_LEGEND = (
    "n: variants that look alike; regs, spill: per thread, spill in bytes; smem: KiB of a program; occ: programs on an SM. HGMMA, QGMMA: wgmma of 16, 8 bits; "
    "UTCHMMA, UTCQMMA, UTCOMMA: tcgen05 of 16, 8, 4 bits; HMMA, QMMA, OMMA: mma.sync; UTMALDG: TMA; LDGSTS: cp.async."
)


def print_kernels(rows: Sequence[Row], archs: Sequence[int], triton: str, console: Console | None = None, *, table: bool) -> None:
    """`table`: every variant; otherwise only what is wrong, and how many were looked at."""
    console = console or Console(highlight=False)
    by_kernel: dict[str, list[Row]] = {}
    for row in rows:
        by_kernel.setdefault(row["kernel"], []).append(row)
    if table:
        for kernel, found in sorted(by_kernel.items()):
            console.print(_table(kernel, found))
    wrong = list(dict.fromkeys((row["variant"], failure) for row in rows for failure in row["failures"]))
    for variant, failure in wrong:
        console.print(f"[red]✗[/] {printable(variant)}: {printable(failure)}", soft_wrap=True)
    if table:
        console.print(f"[dim]{_LEGEND}[/]")
        for product, why in COMPILE_ONLY.items():
            console.print(f"[dim]compile-only, unproven until docs/evidence has it: {product}: {printable(why)}[/]")
    failed = sum(bool(row["failures"]) for row in rows)
    verdict = f"{failed} not as they must be" if failed else "all as they must be" if rows else "nothing is in use"
    on = f"{', '.join(f'sm_{arch}' for arch in archs)} (triton {printable(triton)})"
    console.print(f"{len(rows)} variants of {len(by_kernel)} kernels for {on}: {verdict}", soft_wrap=True)


def _table(kernel: str, rows: Sequence[Row]) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim", title=f"{kernel} ({len(rows)})", title_justify="left", title_style="bold")
    table.add_column("arch", no_wrap=True)
    table.add_column("formats", overflow="fold")
    table.add_column("tile", overflow="fold")
    for heading in ("n", "warps", "regs", "spill", "smem", "occ"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("instructions", overflow="fold")
    table.add_column("", no_wrap=True)
    by_name: dict[str, list[Row]] = {}
    for row in rows:
        by_name.setdefault(row["variant"], []).append(row)
    cells: dict[tuple[str, ...], int] = {}  # names that look alike on a screen are one row
    for found in sorted(by_name.values(), key=lambda found: (found[0]["arch"], str(found[0]["formats"]))):
        shown = _cells(found)
        cells[shown] = cells.get(shown, 0) + len(found)
    for shown, n in cells.items():
        table.add_row(*shown[:3], str(n), *shown[3:], style="red" if shown[-1] == "✗" else "")
    return table


def _cells(found: Sequence[Row]) -> tuple[str, ...]:
    """Of variants with one name: the most of what is taken, the fewest programs."""
    first = max(found, key=lambda row: row["registers"] or 0)
    verdict = "✗" if any(row["failures"] for row in found) else "ok"
    named = (f"sm_{first['arch']}", printable(first["formats"] or ""), _tile(first["constants"] or {}))
    if first["registers"] is None:
        return (*named, "", "", "", "", "", "", verdict)
    return (
        *named,
        str(first["warps"]),
        str(first["registers"]),
        str(max(row["spill_bytes"] or 0 for row in found) or "-"),
        f"{max(row['shared_bytes'] or 0 for row in found) / 1024:.0f}",
        str(min(row["programs_per_sm"] or 0 for row in found)),
        _instructions(first),
        verdict,
    )


def _tile(constants: Row) -> str:
    for names in _TILES:
        if all(name in constants for name in names):
            return "x".join(str(constants[name]) for name in names) + (" swap" if constants.get("SWAP") else "")
    return ""


def _instructions(row: Row) -> str:
    counts = row["instructions"]
    shown = [f"{counts[name]} {name}" for name in (*TENSOR_CORE, *_COPIES_SHOWN) if name in counts]
    kinds = {kind.split()[1] for kind in row["kinds"] if "mxf" in kind}  # a block-scaled kind shares its instruction's name with others
    return " ".join([*shown, *sorted(kinds)]) or "-"
