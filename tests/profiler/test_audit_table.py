"""The shipped table audited: every figure worked out by hand, and what a change of one cell changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from profiler.audit.audit import audit
from profiler.audit.claims import Claims
from profiler.audit.interval import Interval
from profiler.audit.printed import RATIO, ROWS, interval_of
from profiler.audit.read_claims import read_claims
from profiler.economics.price_book import load_price_book
from profiler.modelled.mix import parse_mix

BOOK = load_price_book()


def audited(claims: Claims | None = None, mix: str = "8k/1k") -> dict[str, Any]:
    return audit(claims or read_claims(), BOOK, parse_mix(mix))


def checks(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found = {check["id"]: check for check in document["checks"]}
    assert len(found) == len(document["checks"])  # an id is one check's
    return found


def printed(claims: Claims, cell: str, text: str) -> Claims:
    """The table with one cell printed otherwise."""
    part, _, row = cell.rpartition(".")
    return claims.with_interval(cell, interval_of(text, RATIO if "/" in part else ROWS[row]))


# target:relation -> (derived, low, high, verdict), each worked out by hand.
BY_HAND = {
    # 1.41 / (3600 x 90) x 1e6; 1.405 / 90.5 and 1.415 / 89.5 at the edges. $4.20 is not in it.
    "h200.usd_per_mtok:price_of_a_token": (4.3519, 4.3125, 4.3917, "disagrees"),
    # 1.41 / (3600 x 4.20) x 1e6: the $4.20 needs 93.25 tokens/s; 1.405 / 4.205 and 1.415 / 4.195 at the edges.
    "h200.tokens_per_s_per_gpu:price_of_a_token": (93.254, 92.813, 93.696, "disagrees"),
    # 4.20 x 3600 x 90 / 1e6
    "h200.usd_per_gpu_hour:price_of_a_token": (1.3608, 1.35163, 1.37000, "disagrees"),
    # 2.65 / 0.0036 / 6000
    "gb300.usd_per_mtok:price_of_a_token": (0.122685, 0.122443, 0.122927, "agrees"),
    # 2.65 / 0.0036 / 0.12; 2.645 / 0.125 and 2.655 / 0.115 at the edges
    "gb300.tokens_per_s_per_gpu:price_of_a_token": (6134.3, 5877.8, 6413.0, "agrees"),
    # 2.65 / 1.41
    "gb300/h200.usd_per_gpu_hour:ratio": (1.8794, 1.8693, 1.8897, "agrees"),
    # 5.6 / 2.8 is 2, but of unlike things
    "gb300/h200.pflops_per_usd:ratio": (2.0, 1.9474, 2.0545, "unlike"),
    # 6000 / 90; 5999.5 / 90.5 and 6000.5 / 89.5
    "gb300/h200.tokens_per_s_per_gpu:ratio": (66.667, 66.293, 67.045, "disagrees"),
    # 6000 / 93.254
    "gb300/h200.tokens_per_s_per_gpu:ratio_by_price_of_h200": (64.340, 64.031, 64.652, "agrees"),
    # 2.8e6 / 54e3; 2.75 / 54.5 and 2.85 / 53.5: meets 49.5 to 50.5
    "gb300/h200.tokens_per_s_per_mw:ratio": (51.852, 50.459, 53.271, "agrees"),
    # 4.20 / 0.12
    "gb300/h200.usd_per_mtok:ratio": (35.0, 33.56, 36.565, "agrees"),
    # 65 / 2
    "gb300/h200.usd_per_mtok:ratio_of_prices_of_a_token": (32.5, 25.8, 43.667, "agrees"),
    # 90 / 54e3 MW: 1.667 kW; 89.5 / 54.5 and 90.5 / 53.5. The book plans 1.73.
    "h200.kw_per_gpu:implied_kw": (1.66667, 1.64220, 1.69159, "disagrees"),
    # 93.254 / 54e3
    "h200.kw_per_gpu:implied_kw_by_price": (1.72693, 1.70299, 1.75133, "agrees"),
    # 6000 / 2.8e6; the book plans 2.10, and 6000 / 2.10 = 2.857 M would be printed 2.9 M
    "gb300.kw_per_gpu:implied_kw": (2.14286, 2.10509, 2.18200, "disagrees"),
    # 3.958 / 1.41 and 15 / 2.65
    "h200.pflops_per_usd:peak_of_the_gpu": (2.80709, 2.79717, 2.81708, "agrees"),
    "gb300.pflops_per_usd:peak_of_the_gpu": (5.66038, 5.64972, 5.67108, "agrees"),
    # (5000 / 2.65) / (1979 / 1.41) and (15000 / 2.65) / (1979 / 1.41)
    "gb300/h200.pflops_per_usd:dense_fp8": (1.34432, 1.33703, 1.35164, "disagrees"),
    "gb300/h200.pflops_per_usd:best_dense": (4.03295, 4.01109, 4.05492, "disagrees"),
    # 90 x 74e9 / 1979e12 and 6000 x 74e9 / 15e15
    "h200.tokens_per_s_per_gpu:flop_utilisation": (0.0033653, 0.0033466, 0.0033840, "agrees"),
    "gb300.tokens_per_s_per_gpu:flop_utilisation": (0.0296, 0.0295975, 0.0296025, "agrees"),
}


@pytest.mark.parametrize("check_id", BY_HAND)
def test_every_figure_by_hand(check_id: str) -> None:
    check, (value, low, high, verdict) = checks(audited())[check_id], BY_HAND[check_id]
    assert [check["derived"][name] for name in ("value", "low", "high")] == pytest.approx([value, low, high], rel=5e-5)
    assert check["verdict"] == verdict


def test_the_table_fails_by_its_two_wrong_cells_alone() -> None:
    verdict = audited()["verdict"]
    assert verdict["failed"] == ["h200.usd_per_mtok:price_of_a_token", "gb300/h200.tokens_per_s_per_gpu:ratio"]
    assert verdict["unlike"] == ["gb300/h200.pflops_per_usd:ratio"]
    # 2 prices of a token, 5 ratios, the ratio of ratios, 2 peaks; tokens/s per MW cannot be checked without kW.
    assert (verdict["checks"], verdict["agree"], verdict["exit_code"]) == (10, 7, 4)


def test_one_cell_mends_it() -> None:
    # 92.81 (the $4.20 at $1.405 and $4.205) to 93.03 (6000.5 / 64.5) tokens/s: 93 would have been right.
    (mend,) = audited()["mends"]
    assert (mend["cell"], mend["printed"]) == ("h200.tokens_per_s_per_gpu", "90")
    assert (mend["low"], mend["high"]) == pytest.approx((92.813, 93.031), abs=1e-3)
    mended = audited(printed(read_claims(), "h200.tokens_per_s_per_gpu", "93"))
    assert (mended["verdict"]["failed"], mended["verdict"]["exit_code"], mended["mends"]) == ([], 0, [])


def test_a_mend_must_not_break_another_check() -> None:
    claims = replace(read_claims(), ratios=())
    found = {mend["cell"]: (mend["low"], mend["high"]) for mend in audited(claims)["mends"]}
    # Without the ratios $4.20, 90 or $1.41 may be the wrong one; but not the price: at $1.35 to $1.37 sparse FP8 is 2.89 to 2.93 PFLOPS/$, not 2.8.
    assert set(found) == {"h200.usd_per_mtok", "h200.tokens_per_s_per_gpu"}
    assert found["h200.usd_per_mtok"] == pytest.approx((4.3125, 4.3917), abs=1e-4)


def test_the_peaks_that_the_claims_were_made_of() -> None:
    found = checks(audited())
    h200, gb300 = (found[f"{key}.pflops_per_usd:peak_of_the_gpu"]["detail"] for key in ("h200", "gb300"))
    # 2.8 x 1.41 = 3.948 and 5.6 x 2.65 = 14.84 PFLOP/s
    assert h200["implied_flops_per_s"]["value"] == pytest.approx(3.948e15)
    assert gb300["implied_flops_per_s"]["value"] == pytest.approx(14.84e15)
    assert (h200["fits"], h200["peak"]["sparse"], h200["peak"]["format"], h200["peak"]["flops_per_s"]) == (["sparse FP8"], True, "fp8", 3958e12)
    assert (gb300["fits"], gb300["peak"]["sparse"], gb300["peak"]["format"], gb300["peak"]["flops_per_s"]) == (["dense FP4"], False, "fp4", 15e15)
    assert "sparse FP8 and GB300 NVL72's dense FP4" in found["gb300/h200.pflops_per_usd:ratio"]["note"]


def test_what_watts_and_prices_are_beside() -> None:
    found = checks(audited())
    assert found["h200.kw_per_gpu:implied_kw"]["detail"]["known_kw"] == {"all-in provisioned": 1.73, "board's TDP": 0.7}
    assert [found[f"{key}.kw_per_gpu:implied_kw"]["detail"]["reading"] for key in ("h200", "gb300")] == ["all-in provisioned"] * 2
    assert found["gb300.usd_per_gpu_hour:price_book"]["detail"]["kind"] == "own_hyperscaler"
    assert "stand-in" in found["gb300.usd_per_gpu_hour:price_book"]["detail"]["placeholder"]
    assert not any(check["fails"] for check in found.values() if check["role"] not in ("check", "limit"))


def test_both_readings_of_tokens() -> None:
    output, total = audited()["readings"]
    assert (output["basis"], output["mix"], total["basis"], total["mix"], total["provenance"]) == ("output", None, "total", "8k/1k", "assumed")
    # 8k/1k: one token in nine is output, so $4.20 per token of either kind is $37.80 per output token.
    assert total["columns"]["h200"]["output_tokens_per_s_per_gpu"]["value"] == pytest.approx(10.0)
    assert total["columns"]["h200"]["usd_per_output_mtok"]["value"] == pytest.approx(37.80)
    assert total["columns"]["gb300"]["usd_per_output_mtok"]["value"] == pytest.approx(1.08)
    assert output["columns"]["gb300"]["usd_per_output_mtok"]["value"] == pytest.approx(0.12)
    # Every token passes the model, read or written: the FLOP are the same.
    assert total["columns"]["gb300"]["flop_utilisation"]["value"] == pytest.approx(0.0296)
    assert output["columns"]["h200"]["share_of_floor"]["value"] == pytest.approx(90 / 1122)
    assert total["columns"]["h200"]["share_of_floor"]["value"] == pytest.approx(10 / 1122)
    # With 6k of 8k found in a cache, 3k of 9k tokens are computed.
    cached = audited(mix="8k/1k/6k")["readings"][1]
    assert cached["columns"]["gb300"]["flop_utilisation"]["value"] == pytest.approx(0.0296 / 3)


@pytest.mark.parametrize("basis", ["output", "total"])
def test_a_stated_basis_leaves_one_reading(basis: str) -> None:
    document = audited(replace(read_claims(), token_basis=basis))
    assert [reading["basis"] for reading in document["readings"]] == [basis]
    share = checks(document)["h200.tokens_per_s_per_gpu:share_of_floor"]["derived"]["value"]
    assert share == pytest.approx((90 if basis == "output" else 10) / 1122)


@pytest.mark.parametrize("cell", list(read_claims().cells))
def test_a_cell_changes_the_checks_that_depend_on_it_and_no_other(cell: str) -> None:
    """Ten times a cell: what has it in it changes its figures, what has not stays the same to the last digit."""
    before, claims = checks(audited()), read_claims()
    after = checks(audited(claims.with_interval(cell, claims.cells[cell].interval.scaled(10.0))))
    assert set(before) == set(after)
    for check_id, check in before.items():
        same = all(check[name] == after[check_id][name] for name in ("derived", "claimed", "verdict", "note"))
        depends = cell == check["target"] or cell in check["inputs"]
        assert same != depends or check["verdict"] == "not checkable", check_id


# Of the table with 93 instead of 90, which agrees with itself: the checks that fail when one cell is ten times as large.
FAILING = {
    "h200.usd_per_gpu_hour": {"h200.usd_per_mtok:price_of_a_token", "gb300/h200.usd_per_gpu_hour:ratio", "h200.pflops_per_usd:peak_of_the_gpu"},
    "gb300.usd_per_gpu_hour": {"gb300.usd_per_mtok:price_of_a_token", "gb300/h200.usd_per_gpu_hour:ratio", "gb300.pflops_per_usd:peak_of_the_gpu"},
    "h200.pflops_per_usd": {"h200.pflops_per_usd:peak_of_the_gpu", "gb300/h200.pflops_per_usd:ratio"},
    "gb300.pflops_per_usd": {"gb300.pflops_per_usd:peak_of_the_gpu", "gb300/h200.pflops_per_usd:ratio"},
    "h200.tokens_per_s_per_gpu": {"h200.usd_per_mtok:price_of_a_token", "gb300/h200.tokens_per_s_per_gpu:ratio"},
    "gb300.tokens_per_s_per_gpu": {"gb300.usd_per_mtok:price_of_a_token", "gb300/h200.tokens_per_s_per_gpu:ratio"},
    "h200.tokens_per_s_per_mw": {"gb300/h200.tokens_per_s_per_mw:ratio"},
    "gb300.tokens_per_s_per_mw": {"gb300/h200.tokens_per_s_per_mw:ratio"},
    "h200.usd_per_mtok": {"h200.usd_per_mtok:price_of_a_token", "gb300/h200.usd_per_mtok:ratio"},
    "gb300.usd_per_mtok": {"gb300.usd_per_mtok:price_of_a_token", "gb300/h200.usd_per_mtok:ratio"},
    "gb300/h200.usd_per_gpu_hour": {"gb300/h200.usd_per_gpu_hour:ratio", "gb300/h200.usd_per_mtok:ratio_of_prices_of_a_token"},
    "gb300/h200.pflops_per_usd": {"gb300/h200.pflops_per_usd:ratio"},
    "gb300/h200.tokens_per_s_per_gpu": {"gb300/h200.tokens_per_s_per_gpu:ratio", "gb300/h200.usd_per_mtok:ratio_of_prices_of_a_token"},
    "gb300/h200.tokens_per_s_per_mw": {"gb300/h200.tokens_per_s_per_mw:ratio"},
    "gb300/h200.usd_per_mtok": {"gb300/h200.usd_per_mtok:ratio", "gb300/h200.usd_per_mtok:ratio_of_prices_of_a_token"},
}


@pytest.mark.parametrize("cell", list(read_claims().cells))
def test_a_wrong_cell_flips_exactly_the_verdicts_that_depend_on_it(cell: str) -> None:
    claims = printed(read_claims(), "h200.tokens_per_s_per_gpu", "93")
    document = audited(claims.with_interval(cell, claims.cells[cell].interval.scaled(10.0)))
    assert set(document["verdict"]["failed"]) == FAILING[cell]
    assert document["verdict"]["exit_code"] == 4


def test_more_than_the_gpu_has_is_wrong() -> None:
    # 1979e12 / 74e9 = 26,743 tokens/s is all of H200's dense FP8.
    claims = replace(read_claims(), ratios=())
    over, within = (
        checks(audited(printed(claims, "h200.tokens_per_s_per_gpu", text)))["h200.tokens_per_s_per_gpu:flop_utilisation"] for text in ("26,745", "26,743")
    )
    assert (over["verdict"], over["fails"], within["verdict"]) == ("disagrees", True, "agrees")


def test_a_tolerance_widens_what_is_printed() -> None:
    # $4.3125 is 2.56 % of $4.20 beyond the $4.205; 66.293 is 1.22 % of 65 beyond 65.5.
    assert audited(read_claims().without_cell_tolerances(0.0260))["verdict"]["failed"] == []
    assert audited(read_claims().without_cell_tolerances(0.0250))["verdict"]["failed"] == ["h200.usd_per_mtok:price_of_a_token"]
    assert len(audited(read_claims().without_cell_tolerances(0.0120))["verdict"]["failed"]) == 2
    assert audited(read_claims().without_cell_tolerances(0.0260))["verdict"]["exit_code"] == 0


def test_unlike_fails_where_the_file_says_so() -> None:
    claims = printed(read_claims(), "h200.tokens_per_s_per_gpu", "93")
    assert audited(claims)["verdict"]["exit_code"] == 0
    strict = audited(replace(claims, unlike_fails=True))["verdict"]
    assert (strict["failed"], strict["exit_code"]) == ([], 4)


def test_peaks_of_one_size_are_not_unlike(tmp_path: Path) -> None:
    """Dense FP8 and sparse BF16 of Hopper are both 1,979 TFLOP/s: a claim may rest on either, and a ratio with another GPU's dense FP8 is of like things."""
    path = tmp_path / "c.toml"
    rows = 'gpu = "{}"\nusd_per_gpu_hour = "$1.00"\npflops_per_usd = "{}"\n'
    path.write_text(
        f'title = "t"\n[columns.a]\n{rows.format("h200", "1.98")}[columns.b]\n{rows.format("b200", "4.5")}[ratios."b/a"]\npflops_per_usd = "2.27x"\n'
    )
    found = checks(audited(read_claims(path)))
    assert found["a.pflops_per_usd:peak_of_the_gpu"]["detail"]["fits"] == ["sparse BF16", "dense FP8"]
    assert found["b/a.pflops_per_usd:ratio"]["verdict"] == "agrees"  # 4.5 / 1.98 = 2.273
    assert {check["provenance"] for check in found.values() if check["role"] == "check"} == {"assumed"}  # the file has no source


def test_a_table_with_kilowatts_is_checked_by_them(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text('title = "t"\nsource = "s"\n[columns.a]\ntokens_per_s_per_gpu = "6,000"\nkw_per_gpu = "2.1 kW"\ntokens_per_s_per_mw = "2.8 M"\n')
    # 6000 / 2.1 kW = 2.857 M; from 5999.5 / 2.15 = 2.790 to 6000.5 / 2.05 = 2.927: meets 2.75 to 2.85.
    check = checks(audited(read_claims(path)))["a.tokens_per_s_per_mw:tokens_per_megawatt"]
    assert (check["verdict"], check["provenance"]) == ("agrees", "reference")
    assert [check["derived"][name] for name in ("value", "low", "high")] == pytest.approx([2_857_143, 2_790_465, 2_927_073], rel=1e-6)


def test_what_is_not_printed_is_not_checkable(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text('title = "t"\n[columns.a]\nusd_per_mtok = "$4.20"\npflops_per_usd = "2.8"\n[columns.b]\n[ratios."b/a"]\nusd_per_mtok = "35x"\n')
    document = audited(read_claims(path))
    assert {check["verdict"] for check in document["checks"]} == {"not checkable"}
    found = checks(document)
    assert found["a.usd_per_mtok:price_of_a_token"]["note"] == "the table has no a.usd_per_gpu_hour, a.tokens_per_s_per_gpu"
    assert found["b/a.usd_per_mtok:ratio"]["note"] == "the table has no b.usd_per_mtok"
    assert found["a.pflops_per_usd:peak_of_the_gpu"]["note"] == "no price"
    assert (document["verdict"]["checks"], document["verdict"]["exit_code"]) == (0, 0)


def test_an_unknown_gpu_has_no_peak_and_no_book(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text('title = "t"\n[columns.a]\nusd_per_gpu_hour = "$2.00"\npflops_per_usd = "2.8"\ntokens_per_s_per_gpu = "90"\ntokens_per_s_per_mw = "54 K"\n')
    found = checks(audited(read_claims(path)))
    assert found["a.pflops_per_usd:peak_of_the_gpu"]["note"] == "no GPU of the catalogue"
    assert found["a.tokens_per_s_per_gpu:flop_utilisation"]["note"] == "no model with known active parameters"
    assert found["a.kw_per_gpu:implied_kw"]["derived"]["value"] == pytest.approx(1.66667, rel=1e-5)
    assert found["a.kw_per_gpu:implied_kw"]["verdict"] == "not checkable"
    assert "a.usd_per_gpu_hour:price_book" not in found


def test_cells_say_what_is_printed() -> None:
    cell = next(cell for cell in audited()["cells"] if cell["id"] == "h200.tokens_per_s_per_mw")
    assert cell == {
        "id": "h200.tokens_per_s_per_mw", "column": "h200", "row": "tokens_per_s_per_mw", "printed": "54 K", "value": 54e3, "low": 53.5e3, "high": 54.5e3,
        "unit": "tokens/s per MW", "tolerance": None, "provenance": "reference",
    }  # fmt: skip


def test_a_solved_equation_gives_back_its_input() -> None:
    claims = read_claims().with_interval("h200.usd_per_gpu_hour", Interval(value=0.36, low=0.36, high=0.36))
    claims = claims.with_interval("h200.usd_per_mtok", Interval(value=2.0, low=2.0, high=2.0))
    # $0.36 an hour at $2 per Mtok: 0.36 / 0.0072 = 50 tokens/s
    assert checks(audited(claims))["h200.tokens_per_s_per_gpu:price_of_a_token"]["derived"]["value"] == pytest.approx(50.0)
