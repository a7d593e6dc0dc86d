"""The tables of `tokenmill list`: rows as they go into --json, and the columns a terminal shows. Nothing here imports torch."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import triton_kernels
from profiler.gpus import GPUS
from profiler.record.json_schema import ID, json_schema
from profiler.record.schema import FIELDS
from profiler.report.listing import Listing, Row
from profiler.report.listing_prices import grids, owning, price_lists, prices
from triton_kernels.formats import FORMATS


def gpus(_: str | None) -> Listing:
    def rate(row: Row, lane: str) -> str:
        value = row["flops_per_s"].get(lane)
        return "-" if value is None else f"{value / 1e12:,.0f}" if value >= 1e15 else f"{value / 1e12:.4g}"

    rows = [{**asdict(gpu), "provenance": "reference"} for gpu in GPUS.values()]
    return Listing(
        rows=rows,
        columns={
            "key": lambda r: r["key"],
            "GiB": lambda r: f"{r['memory_bytes'] / 2**30:.1f}",
            "TB/s": lambda r: f"{r['bandwidth_bytes_per_s'] / 1e12:.4g}",
            "bf16": lambda r: rate(r, "bf16"),
            "fp8": lambda r: rate(r, "fp8"),
            "fp4": lambda r: rate(r, "fp4"),
            "fp32": lambda r: rate(r, "fp32"),
            "TDP W": lambda r: f"{r['tdp_w']:.0f}",
            "NVLink GB/s": lambda r: "-" if r["nvlink_bytes_per_s"] is None else f"{r['nvlink_bytes_per_s'] / 1e9:.0f}",
        },
        notes=(
            "Datasheet figures (reference), dense TFLOP/s: bf16, fp8, fp4 of tensor cores, fp32 of CUDA cores. NVLink one way. --json: sources.",
            *(f"{gpu.key}: {note}" for gpu in GPUS.values() for note in gpu.notes),
        ),
    )


def models(_: str | None) -> Listing:
    from workloads.catalogue import CATALOGUE
    from workloads.read_model import read_model

    specs = {name: read_model(name) for name in CATALOGUE}
    rows: list[Row] = [
        {
            "name": entry.name,
            "published_total_params": entry.published_total_params,
            "published_active_params": entry.published_active_params,
            "active_convention": entry.active_convention,
            "layers": specs[entry.name].layers,
            "experts": None if (moe := specs[entry.name].moe) is None else moe.experts,
            "experts_per_token": None if moe is None else moe.top_k,
            "max_positions": specs[entry.name].max_positions,
            # Every layer's cached values, two bytes each: a window shortens what is read, not what is kept.
            "kv_bytes_per_token_bf16": 2 * specs[entry.name].layers * specs[entry.name].attention.cache_width,
            "published_in": None if (quantization := specs[entry.name].quantization) is None else quantization.recipe or quantization.method,
            "source": entry.source,
            "config": entry.config.name,
        }
        for entry in CATALOGUE.values()
    ]
    return Listing(
        rows=rows,
        columns={
            "name": lambda r: r["name"],
            "parameters": lambda r: _billions(r["published_total_params"]),
            "active": lambda r: _billions(r["published_active_params"]),
            "layers": lambda r: str(r["layers"]),
            "experts": lambda r: "-" if r["experts"] is None else f"{r['experts']} / {r['experts_per_token']}",
            "context": lambda r: f"{r['max_positions'] >> 10}k",
            "KV B/token": lambda r: f"{r['kv_bytes_per_token_bf16']:,}",
            "format": lambda r: r["published_in"] or "bf16",
        },
        notes=(
            "Parameters as published (reference), the rest from the config; KV cache in bf16, all layers. --json: sources.",
            "Any path to a config.json, or to its folder, works in place of a name.",
        ),
    )


def formats(_: str | None) -> Listing:
    rows: list[Row] = [
        {
            "name": f.name,
            "bits": f.bits,
            "bytes_per_value": f.bytes_per_value,
            "scale": f.scale,
            "block": None if f.block is None else list(f.block),
            "lane": f.lane,
            "relative_error_of_normal_data": f.normal_error,
        }
        for f in FORMATS.values()
    ]
    return Listing(
        rows=rows,
        columns={
            "name": lambda r: r["name"],
            "bits": lambda r: str(r["bits"]),
            "bytes/value": lambda r: f"{r['bytes_per_value']:.6g}",
            "scale": lambda r: r["scale"] or "-",
            "block": lambda r: "-" if r["block"] is None else "x".join(str(size or "all") for size in r["block"]),
            "lane": lambda r: r["lane"],
            "error": lambda r: f"{r['relative_error_of_normal_data']:.3g}",
        },
        notes=(
            "lane: the arithmetic unit whose rate bounds a matmul in this format (fp32: CUDA cores).",
            "block: rows x columns of values that share a scale. bytes/value: with their share of it.",
            "error: of encoding normally distributed values, relative root mean square, in a matrix of 4096 x 4096; worked out from the format (modelled).",
        ),
    )


def kernels(_: str | None) -> Listing:
    rows = operations(Path(triton_kernels.__path__[0]))
    return Listing(rows=rows, columns={"name": lambda r: r["name"], "meaning": lambda r: r["meaning"]})


def operations(package: Path) -> list[Row]:
    """Name and one-line meaning of each operation: what operations.py imports from the package's own modules, read without running torch."""
    tree = ast.parse((package / "operations.py").read_text(encoding="utf-8"))
    rows = []
    for node in tree.body:
        module = node.module.removeprefix("triton_kernels.") if isinstance(node, ast.ImportFrom) and node.module else ""
        for alias in node.names if isinstance(node, ast.ImportFrom) else ():
            if alias.name == "Operation" or not (package / f"{module}.py").is_file():
                continue
            meaning = ast.get_docstring(ast.parse((package / f"{module}.py").read_text(encoding="utf-8"))) or ""
            rows.append({"name": alias.name, "meaning": meaning.partition("\n\n")[0].replace("\n", " ")})
    return rows


def schema(_: str | None) -> Listing:
    return Listing(
        rows=[asdict(field) for field in FIELDS],
        columns={"where": lambda r: r["where"], "field": lambda r: r["name"], "unit": lambda r: r["unit"] or "-", "meaning": lambda r: r["meaning"]},
        notes=(f"null means not measured, never 0. --json: types, and the JSON Schema of a record ({ID}).",),
        beside={"json_schema": json_schema()},
    )


def _billions(value: float | None) -> str:
    return "-" if value is None else f"{value / 1e9:.4g} B"


TABLES: dict[str, Callable[[str | None], Listing]] = {
    "gpus": gpus,
    "models": models,
    "formats": formats,
    "kernels": kernels,
    "prices": prices,
    "owning": owning,
    "price-lists": price_lists,
    "grids": grids,
    "schema": schema,
}
