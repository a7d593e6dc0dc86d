"""The options that price a record, each written once: `report`, `explain`, `cost`, `compare` and `history` take the same."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from triton_kernels.errors import TokenmillError

PRICE_PANEL = "Price and power"

UsdPerGpuHour = Annotated[float | None, typer.Option(help="Price of a GPU-hour, all-in.", rich_help_panel=PRICE_PANEL)]
PriceKind = Annotated[str | None, typer.Option(help="Which of the book's prices: see `tokenmill list prices`.", rich_help_panel=PRICE_PANEL)]
PriceBookFile = Annotated[str | None, typer.Option(metavar="FILE", help="Your own prices (TOML), over the built-in ones.", rich_help_panel=PRICE_PANEL)]
NodeWatts = Annotated[float | None, typer.Option(help="Watts that the node draws, per GPU.", rich_help_panel=PRICE_PANEL)]
Pue = Annotated[float | None, typer.Option(help="Facility power over IT power.", rich_help_panel=PRICE_PANEL)]
KwPerGpu = Annotated[float | None, typer.Option(help="Planned all-in kW per GPU (provisioned).", rich_help_panel=PRICE_PANEL)]
Utilisation = Annotated[float, typer.Option(help="Share of time the GPUs are busy.", rich_help_panel=PRICE_PANEL)]
Own = Annotated[
    str | None,
    typer.Option(
        metavar="colocation|own_site", help="Work the GPU-hour out of the price book's purchase, in rented place or at its own.", rich_help_panel=PRICE_PANEL
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="A figure of owning, such as life_years=4: `tokenmill list prices`.", rich_help_panel=PRICE_PANEL),
]
CacheResidency = Annotated[
    float | None,
    typer.Option(metavar="SECONDS", help="How long a cached token is held in GPU memory for each use.", rich_help_panel=PRICE_PANEL),
]
RunsFolder = Annotated[Path, typer.Option("--runs", help="Folder that ids and `last` are looked up in.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


def price_flags(
    *,
    usd_per_gpu_hour: float | None = None,
    price_kind: str | None = None,
    watts: float | None = None,
    pue: float | None = None,
    kw_per_gpu: float | None = None,
    utilisation: float = 1.0,
    own: str | None = None,
    owning: dict[str, float] | None = None,
    cache_residency: float | None = None,
) -> dict[str, Any]:
    """The options as profiler.economics.derive.price_for_run and pick_price take them. TokenmillError for two that contradict each other."""
    if price_kind is not None and usd_per_gpu_hour is not None:
        raise TokenmillError("--price-kind chooses a price of the book and --usd-per-gpu-hour gives one: use one or the other")
    if own is not None and (price_kind is not None or usd_per_gpu_hour is not None):
        raise TokenmillError("--own works the GPU-hour out; leave out --price-kind and --usd-per-gpu-hour")
    return {
        "usd_per_gpu_hour": usd_per_gpu_hour, "kind": price_kind, "watts": watts, "pue": pue, "kw_per_gpu": kw_per_gpu, "utilisation": utilisation,
        "own": own, "owning": owning or {}, "cache_residency_s": cache_residency,
    }  # fmt: skip
