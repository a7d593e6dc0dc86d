"""`tokenmill list`: what tokenmill knows, each figure with its unit and source."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from triton_kernels.errors import TokenmillError, unknown

_OF_THE_BOOK = ("prices", "owning", "price-lists", "grids")


def list_command(
    what: Annotated[str, typer.Argument(metavar="TABLE", help="One of those named above.", show_default=False)] = "",
    price_book: Annotated[str | None, typer.Option(metavar="FILE", help="Your own price book over the built-in one.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """What tokenmill knows, with units and sources: gpus, models, formats, kernels, prices, owning, price-lists, grids, schema."""
    from profiler.report.listing_rows import TABLES

    if not what:
        raise TokenmillError(f"list what? one of {', '.join(TABLES)}")
    if what not in TABLES:
        raise unknown("table", what, TABLES)
    if price_book is not None and what not in _OF_THE_BOOK:
        raise TokenmillError(f"--price-book belongs to `tokenmill list {'|'.join(_OF_THE_BOOK)}`")
    listing = TABLES[what](price_book)
    if as_json:
        print(json.dumps({"schema_version": 1, what: listing.rows, **listing.beside}, allow_nan=False))
        return
    from profiler.report.listing import print_listing

    print_listing(listing)
