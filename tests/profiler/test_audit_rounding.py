"""A table whose cells are true figures, rounded as anybody rounds, is never called wrong; one that is off by more than its digits always is."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.audit.audit import audit
from profiler.audit.claims import Cell, Claims, Column, Ratio
from profiler.audit.printed import RATIO, ROWS, interval_of
from profiler.economics.price_book import load_price_book
from profiler.modelled.mix import parse_mix

BOOK, MIX = load_price_book(), parse_mix("8k/1k")
PLACES = st.integers(0, 4)


def cell(column: str, row: str, value: float, places: int, tail: str = "") -> Cell:
    spec = RATIO if tail else ROWS[row]
    text = f"{spec.before}{value:,.{places}f}{tail}"
    return Cell(column=column, row=row, printed=text, interval=interval_of(text, spec), unit=spec.unit, tolerance=None, provenance="assumed")


def column(key: str, usd: float, rate: float, kw: float, places: list[int], factor: float = 1.0) -> Column:
    """`factor`: how wrong its $ per Mtok is."""
    truth = {
        "usd_per_gpu_hour": usd,
        "tokens_per_s_per_gpu": rate,
        "kw_per_gpu": kw,
        "tokens_per_s_per_mw": rate / kw * 1e3,
        "usd_per_mtok": usd / 0.0036 / rate * factor,
    }
    cells = {row: cell(key, row, value, max(places[i], 2 if value < 1 else 0) + (2 if value < 0.1 else 0)) for i, (row, value) in enumerate(truth.items())}
    return Column(key=key, label=key, gpu=None, lane=None, cells=cells, ceiling=None)


def table(*columns: Column, ratios: tuple[Ratio, ...] = ()) -> Claims:
    return Claims(
        title="t", source=None, date=None, model=None, active_params=None, token_basis=None, tolerance=0.0, unlike_fails=False,
        columns={column.key: column for column in columns}, ratios=ratios,
    )  # fmt: skip


def true_ratios(of: Column, over: Column, truth: dict[str, float], places: list[int]) -> Ratio:
    # Enough places that a ratio far below 1 does not print as 0.
    cells = {row: cell("b/a", row, value, min(9, places[i] + max(0, 2 - math.floor(math.log10(value)))), "x") for i, (row, value) in enumerate(truth.items())}
    return Ratio(of=of, over=over, cells=cells)


def verdict(claims: Claims) -> dict[str, Any]:
    found = audit(claims, BOOK, MIX)["verdict"]
    assert isinstance(found, dict)
    return found


GPU = st.tuples(st.floats(0.5, 20), st.floats(50, 20_000), st.floats(0.5, 4), st.lists(PLACES, min_size=5, max_size=5))


@settings(max_examples=60, deadline=None)
@given(GPU, GPU, st.lists(PLACES, min_size=5, max_size=5))
def test_rounding_alone_is_never_wrong(a: Any, b: Any, places: list[int]) -> None:
    first, second = column("a", *a), column("b", *b)
    price, rate, kw = (b[i] / a[i] for i in range(3))
    truth = {"usd_per_gpu_hour": price, "tokens_per_s_per_gpu": rate, "kw_per_gpu": kw, "tokens_per_s_per_mw": rate / kw, "usd_per_mtok": rate / price}
    found = verdict(table(first, second, ratios=(true_ratios(second, first, truth, places),)))
    assert (found["failed"], found["exit_code"]) == ([], 0)
    assert found["checks"] == 11  # two of each column, five ratios and two that tie ratios to each other


@settings(max_examples=60, deadline=None)
@given(st.floats(0.5, 20), st.floats(5, 20_000), st.sampled_from([0.97, 1.03]))
def test_three_percent_are_seen_behind_enough_digits(usd: float, rate: float, factor: float) -> None:
    wrong = column("a", usd, rate, 1.0, [4, 4, 4, 4, 4], factor)
    assert verdict(table(wrong))["failed"] == ["a.usd_per_mtok:price_of_a_token"]
