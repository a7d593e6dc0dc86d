"""Our kernels beside PyTorch's libraries, the worst with what their machine code says; where a token's time went."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from profiler.evidence.page.folder import Folder
from profiler.evidence.page.table import table
from profiler.report.inert_markdown import md
from profiler.report.numbers import NONE, percent, plus_minus, si

_HEADINGS = ("shape", "format", "ours", "library", "its time", "ratio", "FLOP/s", "bytes/s", "floor")


def shapes(folder: Folder) -> list[str]:
    found = folder.documents.get("libraries")
    if found is None:
        return []
    lines = [_line(row) for row in found["rows"]]
    compared = any(row["ratio"] is not None for row in found["rows"])
    notes = dict.fromkeys(f"{row['library'] or row['part']}: {row['library_note']}" for row in found["rows"] if row["library_note"])
    words = "Ratio: the library's time over ours, below 1 ours is slower. FLOP/s, bytes/s, floor: as shares of the run's ceilings and of its roofline."
    said = words if compared else f"**Nobody compared.** {words}"
    differ = f" What the library does not do: {md('; '.join(notes))}." if notes and compared else ""
    explained = " Where a token's time, joules and dollars went: explain.txt." if (folder.path / "explain.txt").exists() else ""
    return ["## Operations beside libraries", *table(_HEADINGS, lines, left=2), "", said + differ + explained, *_worst(found)]


def _line(row: Mapping[str, Any]) -> list[str]:
    name = md(f"{row['part']}, {row['phase']} {row.get('batch') or ''}x{row.get('context') or ''}".replace(" x", ""))
    if row["why_not"]:
        return [name, md(row.get("precision") or NONE), md(row["why_not"]), *[NONE] * 6]
    return [
        name,
        md(row["precision"]),
        si(row["ours_s"]["median"], "s"),
        md(row["library"] or NONE),
        si((row["library_s"] or {}).get("median"), "s"),
        plus_minus(row["ratio"], row["ratio_ci95"]),
        percent(row["share_of_flops_per_s"]),
        percent(row["share_of_bandwidth"]),
        percent(row["share_of_floor"]),
    ]


def _worst(found: Mapping[str, Any]) -> list[str]:
    lines = []
    for one in found["worst"]:
        row, facts = found["rows"][one["row"]], one["why_facts"]
        variants = list(dict.fromkeys(_variant(variant) for variant in facts["variants"]))
        said = "; ".join(variants[:3]) or f"machine code not read ({md(facts['why_not'])})"
        more = f"; {len(variants) - 3} more variants in libraries.json" if len(variants) > 3 else ""
        lines.append(f"- {md(row['part'])}, {md(row['phase'])}, {md(row['precision'])}: {said}{more}")
    return ["", f"Worst by {md(found['worst'][0]['ranked_by'])}; the variants that its step launches of the operation:", *lines] if lines else []


def _variant(variant: Mapping[str, Any]) -> str:
    if variant["registers"] is None:
        return md(f"{variant['variant']}: {'; '.join(variant['failures']) or 'not read'}")
    cores = ", ".join(f"{n} {name}" for name, n in variant["tensor_core"].items()) or "no tensor core"
    spilled = f"{variant['spill_bytes']} B spilled" + (f", {variant['spills_in_main_loop']} in the loop" if variant["spills_in_main_loop"] else "")
    kernel = variant["variant"].partition(" ")[0]
    room = f"{variant['shared_bytes'] / 1024:.0f} KiB shared, {variant['programs_per_sm']} per SM (by {variant['limited_by']})"
    return md(f"{kernel}: {variant['warps']} warps, {variant['registers']} registers, {spilled}, {room}, {cores}")
