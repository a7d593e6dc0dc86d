"""Operations measured alone, and recipes side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from profiler.compare.comparison import Comparison, compare
from profiler.compare.operations import operation_differences
from profiler.compare.precisions import PrecisionTable
from profiler.compare.reprice import BOOK
from profiler.economics.derive import derive_run
from tests.profiler import handmade_run as made
from tests.profiler import planted_run as planted
from tests.profiler import windowed_run as windowed


def rows(*, times: Mapping[str, float] | None = None, noise: float = 0.01, n: int = 5) -> list[dict[str, Any]]:
    """The planted operations, each with an interval of `noise` to either side; `times`: part -> how many times as long it takes."""
    found = []
    for row in planted.rows():
        call_s = row["call_s"]["median"] * (times or {}).get(row["part"], 1.0)
        found.append(row | {"call_s": {"median": call_s, "ci95": [call_s * (1 - noise), call_s * (1 + noise)], "n": n}})
    return found


def test_operations_by_hand() -> None:
    """The head takes 150 us, 1.2 times as long 180 us: an error of 1 % / 2.776 = 0.36 % on each side, so 30 us are 36 errors."""
    found = operation_differences(rows(), rows(times={"head.logits": 1.2}))
    assert [row.part for row in found] == ["head.logits", "experts.gate_up", "mlp.norm", "attention.attend"]
    head, *others = found
    assert (head.op, head.old_s, head.new_s, head.change_s) == ("matmul", pytest.approx(150e-6), pytest.approx(180e-6), pytest.approx(30e-6))
    assert (head.more_than_noise, head.windows) == (True, (5, 5))
    assert {(row.change_s, row.more_than_noise) for row in others} == {(0.0, False)}


def test_operations_within_noise_or_with_few_windows() -> None:
    """1.3 % of difference under 1 % intervals is 2.4 errors: of one it would do (p = 0.04), of four it does not."""
    near = operation_differences(rows(), rows(times={"head.logits": 1.013}))[0]
    assert near.more_than_noise is False
    assert near.p_adjusted is not None
    assert near.p_adjusted > 0.1
    assert near.p is not None
    assert near.p < 0.05  # so that the screen says "not shown", and not that there is no difference
    few = operation_differences(rows(), rows(times={"head.logits": 2.0}, n=4))[0]
    assert (few.more_than_noise, few.change_s) == (None, pytest.approx(150e-6))
    bare = operation_differences(planted.rows(), [row | {"call_s": {"median": 1e-3, "ci95": None, "n": 5}} for row in planted.rows()])
    assert {row.more_than_noise for row in bare} == {None}


def test_an_operation_that_one_run_left_out_has_no_change() -> None:
    """Entries of one operation at one place are summed; where one of them is missing the sum would look short."""
    twice = [*rows(), rows()[1] | {"entry": 9}]
    part = [*twice[:-1], twice[-1] | {"call_s": None, "why_not": "no time was left"}]
    assert next(row for row in operation_differences(twice, twice) if row.part == "head.logits").old_s == pytest.approx(300e-6)
    left = operation_differences(twice, part)
    assert [(row.part, row.old_s, row.new_s, row.change_s) for row in left][-1] == ("head.logits", pytest.approx(300e-6), None, None)


NUMERICS = {"against": "bf16", "tokens": 4096, "logits_relative_error": 0.05, "kl_nats": 0.012, "top1_agreement": 0.982, "parts": {}}


def fp8(point: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return point | {"point_id": f"{point['point_id']}-fp8", "precision": "fp8", "numerics": NUMERICS, **fields}


def compared(*points: dict[str, Any], price: Any = None) -> Comparison:
    run = made.run(*points)
    at = price or made.price()
    return compare([(run, at, derive_run(run, at))], reprice=BOOK)


def whole(**fields: Any) -> list[dict[str, Any]]:
    """bf16: 0.2 s + 0.64 s a request and 15 J a token; fp8 in half the time at the same watts."""
    base = [made.prefill(), made.decode(32, 0.020, 480.0)]
    half = [made.prefill(input_tokens=100 * 8192), made.decode(32, 0.010, 480.0)]
    return [*base, *(fp8(point, **fields) for point in half)]


def only(found: Comparison) -> PrecisionTable:
    (table,) = found.precisions
    return table


def test_precisions_by_hand() -> None:
    """Half of 0.84 s a request: twice the tokens/s, half the dollars ($0.8203 -> $0.4102), half the joules."""
    table = only(compared(*whole()))
    assert [row.precision for row in table.rows] == ["bf16", "fp8"]
    plain, quick = table.rows
    assert plain.figures["usd_per_mtok"] == pytest.approx(0.8203, rel=1e-4)
    assert quick.figures["usd_per_mtok"] == pytest.approx(0.4102, rel=1e-3)
    assert quick.ratio == {name: pytest.approx(value) for name, value in quick.ratio.items()}
    assert (quick.ratio["usd_per_mtok"], quick.ratio["output_tokens_per_s_per_gpu"]) == (pytest.approx(0.5), pytest.approx(2.0))
    assert quick.ratio["energy_j_per_output_token"] == pytest.approx(0.5)
    assert set(plain.ratio.values()) == {1.0}
    assert (quick.quality, plain.quality, plain.why_no_quality) == (NUMERICS, None, "what the others are compared with")
    assert table.missing == ("mxfp4", "nvfp4")


def test_what_precisions_lack_is_told() -> None:
    bare = [point | {"numerics": None} for point in whole(energy_j=None, board_w=None, power_source="none")]
    quick = only(compared(*bare, price=made.no_price())).rows[1]
    assert quick.why["energy_j_per_output_token"].startswith("no joules were measured")
    assert "no price" in quick.why["usd_per_mtok"]
    assert quick.why_no_quality == "not compared: run it with bf16 in one run"
    assert quick.ratio["energy_j_per_output_token"] is None


def test_an_invalid_recipe_stands_there_without_a_ratio() -> None:
    quick = only(compared(*whole(valid=False, invalid_reasons=["throttled"]))).rows[1]
    assert quick.reasons == ("prefill: throttled", "decode: throttled")
    assert set(quick.ratio.values()) == {None}


def test_recipes_of_decodes_alone_and_of_two_runs() -> None:
    alone = only(compared(made.decode(32, 0.020, 480.0, mix=None), fp8(made.decode(32, 0.010, 480.0, mix=None))))
    assert [row.figures["usd_per_mtok"] for row in alone.rows] == [None, None]
    assert alone.rows[0].why["usd_per_mtok"] == "a price needs a mix: --phase both --mix ISL/OSL"
    runs = []
    for name, points in (("a", whole()[:2]), ("b", whole()[2:])):
        run = replace(made.run(*points, run_id=name))
        runs.append((run, made.price(), derive_run(run, made.price())))
    table = only(compare(runs, reprice=BOOK))
    assert [(row.run, row.precision) for row in table.rows] == [("a", "bf16"), ("b", "fp8")]
    assert table.rows[1].ratio["usd_per_mtok"] == pytest.approx(0.5)


def test_one_recipe_is_no_table() -> None:
    assert compared(*windowed.points()).precisions == []
