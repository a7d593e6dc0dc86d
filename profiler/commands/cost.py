"""`tokenmill cost`: economics of figures given by flags, or of a recorded run at another price."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from profiler.commands.price_options import (
    PRICE_PANEL,
    AsJson,
    KwPerGpu,
    NodeWatts,
    PriceBookFile,
    PriceKind,
    Pue,
    RunsFolder,
    UsdPerGpuHour,
    Utilisation,
    price_flags,
)  # fmt: skip
from triton_kernels.errors import TokenmillError

if TYPE_CHECKING:
    from profiler.economics.given import Given
    from profiler.economics.price_book import PriceBook

_GIVEN = "Figures given"


def cost(
    run: Annotated[str | None, typer.Argument(metavar="RUN", help="A recorded run (path, id or `last`) to price again.", show_default=False)] = None,
    tokens_per_s_per_gpu: Annotated[float | None, typer.Option(help="Output tokens/s per GPU of the whole deployment.", rich_help_panel=_GIVEN)] = None,
    input_tokens_per_s: Annotated[float | None, typer.Option(help="Prefill: input tokens/s of --gpus GPUs together.", rich_help_panel=_GIVEN)] = None,
    output_tokens_per_s: Annotated[float | None, typer.Option(help="Decode: output tokens/s of --gpus GPUs together.", rich_help_panel=_GIVEN)] = None,
    gpus: Annotated[int | None, typer.Option(help="GPUs that the two rates are of (1 when not given).", rich_help_panel=_GIVEN)] = None,
    mix_tokens: Annotated[str | None, typer.Option(metavar="IN/OUT", help="Tokens to be billed, such as 608e9/168e9.", rich_help_panel=_GIVEN)] = None,
    usd_per_gpu_hour: UsdPerGpuHour = None,
    gpu: Annotated[
        str | None, typer.Option(metavar="KEY", help="Take price and planned kW of this GPU from the price book.", rich_help_panel=PRICE_PANEL)
    ] = None,
    price_kind: PriceKind = None,
    price_book: PriceBookFile = None,
    kw_per_gpu: KwPerGpu = None,
    watts: NodeWatts = None,
    pue: Pue = None,
    utilisation: Utilisation = 1.0,
    root: RunsFolder = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """$ per million tokens and tokens/s per MW, of given figures or of a recorded run."""
    from profiler.economics.given import Given, parse_mix_tokens
    from profiler.economics.price_book import load_price_book

    given = Given(
        tokens_per_s_per_gpu=tokens_per_s_per_gpu,
        input_tokens_per_s=input_tokens_per_s,
        output_tokens_per_s=output_tokens_per_s,
        gpus=gpus,
        mix_tokens=parse_mix_tokens(mix_tokens) if mix_tokens is not None else None,
    )
    if price_kind is not None and usd_per_gpu_hour is not None:
        raise TokenmillError("--price-kind chooses a price of the book and --usd-per-gpu-hour gives one: use one or the other")
    flags = price_flags(usd_per_gpu_hour=usd_per_gpu_hour, price_kind=price_kind, watts=watts, pue=pue, kw_per_gpu=kw_per_gpu, utilisation=utilisation)
    book = load_price_book(price_book)
    document = _of_given(given, book, gpu, flags) if run is None else _of_run(run, root, given, book, gpu, flags)
    if as_json:
        print(json.dumps(document, allow_nan=False))
        return
    from profiler.report.cost import print_cost

    print_cost(document)


def _of_given(given: Given, book: PriceBook, gpu: str | None, flags: dict[str, Any]) -> dict[str, Any]:
    from profiler.economics.given import cost_of_given
    from profiler.economics.prices import pick_price
    from profiler.gpus import gpu_named

    given.check()
    if flags["pue"] is not None and flags["watts"] is None:
        raise TokenmillError("--pue multiplies the node's power: give --watts as well")
    return cost_of_given(given, pick_price(book, gpu_named(gpu).key if gpu is not None else None, **flags))


def _of_run(run: str, root: Path, given: Given, book: PriceBook, gpu: str | None, flags: dict[str, Any]) -> dict[str, Any]:
    from profiler.economics.derive import derive_run, price_for_run
    from profiler.economics.given import Given
    from profiler.record.store import read_run

    if given != Given():
        raise TokenmillError(
            "a RUN brings its own rates: leave out --tokens-per-s-per-gpu, --input-tokens-per-s, --output-tokens-per-s, --gpus and --mix-tokens"
        )
    if gpu is not None:
        raise TokenmillError("a RUN brings its own GPU: leave out --gpu, or give a price with --usd-per-gpu-hour")
    recorded = read_run(run, root)
    price = price_for_run(recorded, book, **flags)
    derived = derive_run(recorded, price)
    return {"schema_version": 1, "run_id": recorded.header.get("run_id"), "price": price.json(), **derived.json()}
