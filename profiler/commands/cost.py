"""`tokenmill cost`: economics of figures given by flags, or of a recorded run or a result file at another price, and what a planner asks of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from profiler.commands.price_options import PRICE_PANEL, AsJson, RunsFolder
from profiler.commands.pricing import Pricing, with_prices
from triton_kernels.errors import TokenmillError

if TYPE_CHECKING:
    from profiler.economics.decisions import Asked
    from profiler.economics.given import Given
    from profiler.economics.price_book import PriceBook
    from profiler.economics.prices import PricePick
    from profiler.record.store import Run

NOT_VALID, NOT_REACHED = 3, 4
_GIVEN = "Figures given"
_ASKED = "Asked"


@with_prices
def cost(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN|FILE", help="A recorded run (path, id or `last`) or a result file of another tool, to price again.", show_default=False
        ),
    ] = None,
    tokens_per_s_per_gpu: Annotated[float | None, typer.Option(help="Output tokens/s per GPU of the whole deployment.", rich_help_panel=_GIVEN)] = None,
    input_tokens_per_s: Annotated[float | None, typer.Option(help="Prefill: input tokens/s of --gpus GPUs together.", rich_help_panel=_GIVEN)] = None,
    output_tokens_per_s: Annotated[float | None, typer.Option(help="Decode: output tokens/s of --gpus GPUs together.", rich_help_panel=_GIVEN)] = None,
    gpus: Annotated[int | None, typer.Option(help="GPUs that the two rates are of (1 when not given).", rich_help_panel=_GIVEN)] = None,
    mix_tokens: Annotated[
        str | None,
        typer.Option(metavar="IN/OUT[/CACHED]", help="Tokens to be billed, such as 608e9/168e9/342e9; cached ones are of the input.", rich_help_panel=_GIVEN),
    ] = None,
    price_list: Annotated[
        str | None,
        typer.Option(metavar="NAME|IN/OUT[/CACHED]", help="What tokens are sold for, $ per Mtok: margin, break-even, revenue.", rich_help_panel=_ASKED),
    ] = None,
    target_usd_per_mtok: Annotated[float | None, typer.Option(help="What an output token may cost: the rate it needs.", rich_help_panel=_ASKED)] = None,
    mw: Annotated[float | None, typer.Option("--mw", help="Megawatts of a site: its GPUs, tokens/s, cost and revenue.", rich_help_panel=_ASKED)] = None,
    grid: Annotated[str | None, typer.Option(metavar="NAME|G", help="Grid of the book, or g CO2 per kWh: carbon of tokens.", rich_help_panel=_ASKED)] = None,
    at_least: Annotated[float | None, typer.Option(help="RUN: the cheapest mix of at least so many tokens/s per user.", rich_help_panel=_ASKED)] = None,
    rent_or_own: Annotated[
        bool, typer.Option("--rent-or-own", help="Every way to pay for the hours; --usd-per-gpu-hour is then paid for hours used.", rich_help_panel=_ASKED)
    ] = False,
    sensitivity: Annotated[bool, typer.Option("--sensitivity", help="What each input does to $ per Mtok, strongest first.", rich_help_panel=_ASKED)] = False,
    split_by_floor: Annotated[
        bool, typer.Option("--split-by-floor", help="FILE: input and output by the model's own floor times (loads torch).", rich_help_panel=_ASKED)
    ] = False,
    gpu: Annotated[
        str | None, typer.Option(metavar="KEY", help="Take price and planned kW of this GPU from the price book.", rich_help_panel=PRICE_PANEL)
    ] = None,
    root: RunsFolder = Path("runs"),
    as_json: AsJson = False,
    *,
    pricing: Pricing,
) -> int:
    """$ per million tokens by class, tokens/s per MW, margin, break-even: of given figures, a recorded run, or another tool's result.

    A site of 10 MW: cost --mw 10 --gpu h200 --tokens-per-s-per-gpu 1500 --price-list deepseek-r1. Rent or own at 60 % busy:
    cost last --rent-or-own --utilisation 0.6. What must be reached: cost --gpu gb300 --target-usd-per-mtok 0.10.

    Exit codes of a RUN: 3 where no mix is valid, 4 where none reaches --at-least.
    """
    from profiler.economics.decisions import Asked, grid_named, price_list_named
    from profiler.economics.given import Given, parse_mix_tokens
    from profiler.economics.prices import check_given, check_positive

    given = Given(
        tokens_per_s_per_gpu=tokens_per_s_per_gpu,
        input_tokens_per_s=input_tokens_per_s,
        output_tokens_per_s=output_tokens_per_s,
        gpus=gpus,
        mix_tokens=parse_mix_tokens(mix_tokens) if mix_tokens is not None else None,
    )
    check_given("--target-usd-per-mtok", "target_usd_per_mtok", target_usd_per_mtok)
    check_given("--mw", "site_mw", mw)
    check_positive("--at-least", at_least)
    book = pricing.book()
    asked = Asked(
        price_list=price_list_named(price_list, book.owned) if price_list is not None else None,
        target_usd_per_mtok=target_usd_per_mtok,
        site_mw=mw,
        grid=grid_named(grid, book.owned) if grid is not None else None,
    )
    flags = pricing.flags
    if rent_or_own:  # the price given is then an hourly rent beside the book's ways, and not the one that they are replaced by
        flags = {**flags, "usd_per_gpu_hour": None, "owning": flags["owning"] if flags["own"] else {}}
    request = _Request(
        given=given, asked=asked, book=book, flags=flags, at_least=at_least, ways=rent_or_own, sensitivity=sensitivity, by_floor=split_by_floor,
        usd_per_hour_used=pricing.flags["usd_per_gpu_hour"] if rent_or_own else None, owning=pricing.flags["owning"],
    )  # fmt: skip
    document = _of_given(request, gpu) if run is None else _of_run(request, run, root, gpu)
    if as_json:
        print(json.dumps(document, allow_nan=False))
    else:
        from profiler.report.cost import print_cost

        print_cost(document)
    if run is None or document["cheapest"] is not None:
        return 0
    return NOT_REACHED if at_least is not None else NOT_VALID


@dataclass(frozen=True, kw_only=True)
class _Request:
    """What was asked, in one piece."""

    given: Given
    asked: Asked
    book: PriceBook
    flags: Mapping[str, Any]  # of the price
    at_least: float | None
    ways: bool
    usd_per_hour_used: float | None
    owning: Mapping[str, float]
    sensitivity: bool
    by_floor: bool


def _of_given(request: _Request, gpu: str | None) -> dict[str, Any]:
    from profiler.economics.given import cost_of_given, given_inputs
    from profiler.economics.prices import pick_price
    from profiler.gpus import gpu_named

    flags = request.flags
    for flag, given in {"--at-least": request.at_least, "--split-by-floor": request.by_floor or None, "--cache-residency": flags["cache_residency_s"]}.items():
        if given is not None:
            raise TokenmillError(f"{flag} is for a RUN or FILE")
    if flags["pue"] is not None and flags["watts"] is None:
        raise TokenmillError("--pue multiplies the node's power: give --watts as well")
    key = gpu_named(gpu).key if gpu is not None else None
    price = pick_price(request.book, key, **flags)
    rate_needed = request.asked.site_mw is None and request.asked.target_usd_per_mtok is None and not request.ways
    document = cost_of_given(request.given, price, rate_needed=rate_needed)
    return document | _answers(request, given_inputs(request.given, price), price, None, key)


def _of_run(request: _Request, run: str, root: Path, gpu: str | None) -> dict[str, Any]:
    from profiler.economics.derive import derive_run, price_for_run
    from profiler.economics.given import Given
    from profiler.economics.hour import hour_inputs
    from profiler.foreign.found import found_run
    from profiler.report.rows import cheapest, rows_of

    if request.given != Given():
        raise TokenmillError(
            "a RUN brings its own rates: leave out --tokens-per-s-per-gpu, --input-tokens-per-s, --output-tokens-per-s, --gpus and --mix-tokens"
        )
    if gpu is not None:
        raise TokenmillError("a RUN brings its own GPU: leave out --gpu (of another tool's file say it as FILE@h200x8), or give --usd-per-gpu-hour")
    recorded = found_run(run, root)
    if request.by_floor:
        recorded = _with_floors(recorded)  # TokenmillError for a run of steps, whose classes need no split
    price = price_for_run(recorded, request.book, **request.flags)
    derived = derive_run(recorded, price)
    document = {"schema_version": 1, "run_id": recorded.header.get("run_id"), "price": price.json(), **derived.json()}
    rows = [row for row in rows_of(derived) if request.at_least is None or ((row.mix or {}).get("tokens_per_s_per_user") or 0.0) >= request.at_least]
    best = cheapest(rows)
    document["at_least_tokens_per_s_per_user"] = request.at_least
    document["cheapest"] = None if best is None or best.mix is None else best.mix.get("points")
    mix = best.mix if best is not None and best.mix is not None else {}
    return document | _answers(request, mix.get("equation_inputs") or hour_inputs(price, node_w=price.node_w), price, mix, price.gpu_key)


def _with_floors(run: Run) -> Run:
    """The run with the floors of its serving points' classes, by which their shared GPU-seconds are split."""
    from dataclasses import replace

    from profiler.economics.serving import floor_split, is_serving

    if not any(is_serving(point) for point in run.points):
        raise TokenmillError("--split-by-floor is for another tool's FILE: a run of tokenmill measures prefill and decode apart")
    return replace(run, points=[{**point, "floor_split": floor_split(point)} if is_serving(point) else point for point in run.points])


def _answers(request: _Request, inputs: Mapping[str, float | None], price: PricePick, mix: Mapping[str, Any] | None, gpu_key: str | None) -> dict[str, Any]:
    """The parts of the document that were asked for beside the price of a token. `mix`: the cheapest of a run, {} where it has none, None without a run."""
    from profiler.economics.decisions import NO_RATE, Asked, decided, per_system
    from profiler.economics.tornado import tornado
    from profiler.economics.ways_to_pay import ways_to_pay

    system = request.book.owned.system_of(gpu_key)
    answers: dict[str, Any] = {} if system is None else {"per_system": per_system(system, inputs)}
    if request.asked != Asked():
        usd = (mix or {}).get("usd_per_mtok") or {}
        noise = (usd["ci95"][0] / usd["value"], usd["ci95"][1] / usd["value"]) if usd.get("ci95") else None
        kind = ((mix or {}).get("provenance") or {}).get("usd_per_mtok") or "assumed"
        why = NO_RATE if mix is None else "no valid mix has a price"
        answers["decisions"] = decided(inputs, request.asked, noise=noise, kind=kind, why_no_rate=why)
    if request.sensitivity:
        answers["sensitivity"] = [swing.json() for swing in tornado(inputs, price, (mix or {}).get("equation_ci95") or {})]
    if request.ways:
        if gpu_key is None:
            fix = "give --gpu" if mix is None else "this run has none (of another tool's file say it as FILE@h200x8)"
            raise TokenmillError(f"--rent-or-own needs a GPU of the price book: {fix}")
        kept = ("watts", "pue", "kw_per_gpu", "utilisation", "cache_residency_s")
        pick = {name: request.flags[name] for name in kept}
        answers["ways_to_pay"] = ways_to_pay(request.book, gpu_key, inputs, pick, request.owning, request.usd_per_hour_used)
    return answers
