"""Figures of a table beside those of elsewhere: the price book, the GPU's peak, tokenmill's own floor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from profiler.audit.claims import Claims, Column
from profiler.audit.interval import exact
from profiler.audit.readings import Reading, flop_utilisation, share_of_floor
from profiler.audit.relations import watts_equations
from profiler.audit.verdicts import AGREES, DISAGREES, NOT_CHECKABLE, Check, compared, judge
from profiler.economics.formulas import weakest
from profiler.economics.price_book import PriceBook, PriceEntry

RATE = "tokens_per_s_per_gpu"
NEAR = 0.1  # a figure within a tenth of a known one was most likely made of it


def price_check(column: Column, book: PriceBook) -> Check | None:
    """The printed price beside the book's kinds of price of the same GPU."""
    cell, entry = column.cells.get("usd_per_gpu_hour"), _entry(column, book)
    if cell is None or entry is None or not entry.usd_per_gpu_hour:
        return None
    kind, usd = min(entry.usd_per_gpu_hour.items(), key=lambda item: abs(item[1] - cell.interval.value))
    verdict = compared(exact(usd), cell.interval)
    note = f"the book's {kind}, ${usd:g}" if verdict == AGREES else f"none of the book's prices, the nearest being {kind}, ${usd:g}"
    return Check(
        relation="price_book", words="$ per GPU-hour of the price book", role="beside", target=cell.id, inputs=(), derived=exact(usd),
        claimed=cell.interval, printed=cell.printed, verdict=verdict, note=note, provenance=weakest(cell.provenance, "reference"),
        detail={"kind": kind, "usd_per_gpu_hour": dict(entry.usd_per_gpu_hour), "source": entry.source, "date": entry.date, "placeholder": entry.placeholder},
    )  # fmt: skip


def watts_checks(claims: Claims, column: Column, book: PriceBook) -> Iterator[Check]:
    """kW per GPU that tokens/s and tokens/s per MW imply, beside the planned all-in kW of the book. Of a table that prints no kW."""
    if "kw_per_gpu" in column.cells or "tokens_per_s_per_mw" not in column.cells:
        return
    entry = _entry(column, book)
    for equation in watts_equations(column):
        check = judge(equation, claims, "beside")
        if check.derived is None:
            continue
        known = _known_kw(column, entry)
        away = {name: abs(kw / check.derived.value - 1) for name, kw in known.items()}
        near = min(away, key=lambda name: away[name], default=None)
        detail: dict[str, Any] = {"known_kw": known, "reading": None, "source": entry.source if entry else None}
        if near is None or away[near] > NEAR:
            yield replace(check, note="no planned kW or TDP that is near is known" if known else "no kW of this GPU is known", detail=detail)
            continue
        kw = exact(known[near])
        beside = f"the {near} {known[near]:g} kW"
        note = f"{beside} within the printed digits" if check.derived.overlaps(kw) else f"{beside} is {away[near]:.1%} away"
        yield replace(
            check, claimed=kw, verdict=compared(check.derived, kw), note=note, detail=detail | {"reading": near},
            provenance=weakest(check.provenance, "reference"),
        )  # fmt: skip


def _known_kw(column: Column, entry: PriceEntry | None) -> dict[str, float]:
    planned = {} if entry is None or entry.provisioned_kw_per_gpu is None else {"all-in provisioned": entry.provisioned_kw_per_gpu}
    return planned | ({} if column.gpu is None else {"board's TDP": column.gpu.tdp_w / 1000})


def _entry(column: Column, book: PriceBook) -> PriceEntry | None:
    return None if column.gpu is None else book.entries.get(column.gpu.key)


def roofline_checks(claims: Claims, column: Column, reading: Reading) -> Iterator[Check]:
    """What the claimed tokens/s, so read, are of what the GPU can do: of its peak FLOP/s, and of tokenmill's floor in one deployment."""
    cell = column.cells.get(RATE)
    if cell is None:
        return
    yield _flop_check(claims, column, reading)
    share = share_of_floor(column, reading.output(cell.interval))
    if share is None or column.ceiling is None:
        return
    yield Check(
        relation="share_of_floor", words="tokens/s per GPU / output tokens/s per GPU at the floor of one deployment", role="floor", target=cell.id,
        inputs=(), derived=share, claimed=None, printed=None, verdict=AGREES if share.low <= 1 else DISAGREES,
        note=f"{share.value:.2g} of {column.ceiling.output_tokens_per_s_per_gpu:,.0f} output tokens/s per GPU",
        provenance="modelled",
        detail={
            "ceiling_output_tokens_per_s_per_gpu": column.ceiling.output_tokens_per_s_per_gpu, "command": column.ceiling.command, "note": column.ceiling.note,
        },
    )  # fmt: skip


def _flop_check(claims: Claims, column: Column, reading: Reading) -> Check:
    cell, share = column.cells[RATE], flop_utilisation(claims, column, reading.computed(column.cells[RATE].interval))
    what = "no model with known active parameters" if claims.active_params is None else "no format with a known peak of this GPU"
    verdict, note = NOT_CHECKABLE, what
    if share is not None:
        assert column.gpu is not None, column.key
        verdict = AGREES if share.low <= 1 + claims.tolerance_of(cell) else DISAGREES
        note = f"{share.value:.2g} of {column.gpu.name}'s dense {column.lane} peak"
    return Check(
        relation="flop_utilisation", words="tokens/s per GPU x 2 x active parameters / dense peak FLOP/s of the format", role="limit", target=cell.id,
        inputs=(), derived=share, claimed=None, printed=None, tolerance=claims.tolerance_of(cell), verdict=verdict, note=note,
        provenance=weakest(cell.provenance, "modelled"), detail={"active_params": claims.active_params, "format": column.lane},
    )  # fmt: skip
