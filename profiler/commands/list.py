"""`tokenmill list`: what tokenmill knows, each figure with its unit and source."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from triton_kernels.errors import TokenmillError, unknown


def list_command(
    what: Annotated[str, typer.Argument(metavar="gpus|models|formats|kernels|prices|schema", help="Which table.", show_default=False)] = "",
    price_book: Annotated[str | None, typer.Option(metavar="FILE", help="prices: your own book over the built-in one.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """What tokenmill knows: gpus, models, formats, kernels, prices, schema."""
    from profiler.report.listing_rows import TABLES

    if not what:
        raise TokenmillError(f"list what? one of {', '.join(TABLES)}")
    if what not in TABLES:
        raise unknown("table", what, TABLES)
    if price_book is not None and what != "prices":
        raise TokenmillError("--price-book belongs to `tokenmill list prices`")
    listing = TABLES[what](price_book)
    if as_json:
        print(json.dumps({"schema_version": 1, what: listing.rows}, allow_nan=False))
        return
    from profiler.report.listing import print_listing

    print_listing(listing)
