"""The table of formulas and its little language: what it computes, worked out by hand, and what it refuses."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.economics.equations import EQUATIONS, INPUTS, solve, solve_all, table_json
from profiler.economics.expression import evaluate, parse

# 0.2 s of prefill and 0.64 s of decode at $0.001 per GPU-second (tests/profiler/handmade_run.py), drawing 700 W and 480 W.
REQUEST: dict[str, float | None] = {
    "price_usd_per_gpu_hour": 3.6, "owned": 0, "energy_apart": 0, "by_joules": 0, "utilisation": 1.0, "fresh": 8192, "cached": 0, "osl": 1024,
    "prefill_tokens_per_s": 40_960, "decode_tokens_per_s": 1600, "prefill_j_per_token": 700 / 40_960, "decode_j_per_token": 480 / 1600,
}  # fmt: skip


def test_the_language() -> None:
    names = {"a": 2.0, "b": 3.0}.get
    for text, value in {"a + b * 2": 8.0, "-a ** 2": -4.0, "a if b > 3 else b": 3.0, "max(a, b, 1)": 3.0, "1e3 / a": 500.0}.items():
        assert evaluate(parse(text), names) == value, text
    assert evaluate(parse("log1p(expm1(a))"), names) == pytest.approx(2.0, rel=1e-12)


@pytest.mark.parametrize("text", ["c + 1", "a / 0", "a ** 5000", "(-a) ** 0.5", "log1p(-a)", "1 if c > 0 else 2"])
def test_what_has_no_value_is_not_known(text: str) -> None:
    assert evaluate(parse(text), {"a": 2.0}.get) is None


def test_if_looks_only_at_the_branch_it_takes() -> None:
    assert evaluate(parse("a if a > 1 else c"), {"a": 2.0}.get) == 2.0


@pytest.mark.parametrize("text", ["__import__('os')", "a.b", "a[0]", "lambda: 1", "'a'", "a and b", "1 < a < 3", "open(a)", "min(a)", "True", "1j"])
def test_nothing_else_is_of_the_language(text: str) -> None:
    with pytest.raises(ValueError, match="not of the language"):
        parse(text)


def test_every_name_has_a_meaning_and_no_equation_needs_itself() -> None:
    assert not set(INPUTS) & set(EQUATIONS)
    every = {name: 2.0 if INPUTS[name].most >= 2 else 0.5 for name in INPUTS}
    # With all inputs there, all figures are (an input's middle is never out of reach of a formula).
    assert [name for name in EQUATIONS if solve(name, every) is None] == []
    assert all(g.meaning and g.least < g.most for g in INPUTS.values())


def test_a_request_is_priced_as_by_hand() -> None:
    # 0.84 s x $0.001 over 1,024 tokens; 0.2 s over 8,192; 0.64 s over 1,024.
    found = solve_all(("usd_per_mtok", "usd_per_mtok_by_class.input", "usd_per_mtok_by_class.output"), REQUEST)
    assert list(found.values()) == pytest.approx([0.84 / 1.024, 0.2 / 8.192, 0.64 / 1.024])


def test_energy_goes_by_joules_and_adds_up_to_the_bill() -> None:
    # 140 J of prefill and 307.2 J of decode. 9 kW at 8 cents are $0.72 an hour beside $2.88: 0.84 s cost $0.000168 of energy and $0.000672 of time.
    electricity = {"energy_apart": 1, "billed_by_plan": 0, "node_w": 9000 / 1.25, "pue": 1.25, "usd_per_kwh": 0.08}
    found = solve_all(("input_usd", "output_usd", "usd_per_mtok"), REQUEST | {"price_usd_per_gpu_hour": 2.88, "by_joules": 1} | electricity)
    assert found["input_usd"] == pytest.approx(0.0008 * 0.2 + 0.000168 * 140 / 447.2)
    assert found["output_usd"] == pytest.approx(0.0008 * 0.64 + 0.000168 * 307.2 / 447.2)
    assert (found["input_usd"] or 0) + (found["output_usd"] or 0) == pytest.approx((found["usd_per_mtok"] or 0) * 1024 / 1e6)


def test_cached_tokens_take_part_in_the_hours_by_the_memory_they_hold() -> None:
    # 4,096 of the 8,192 come from a cache, each held for 60 s at 98,304 bytes where 60 GB are free: 4096 x 60 x 98304 / 60e9 = 0.402653184 s.
    cached = REQUEST | {"fresh": 4096, "cached": 4096, "cache_residency_s": 60.0, "kv_bytes_per_token": 98_304, "kv_room_bytes": 60e9}
    assert solve("cached_gpu_s", cached) == pytest.approx(0.402653184)
    assert solve("gpu_s", cached) == pytest.approx(0.1 + 0.64)  # holding makes no GPU-hour
    assert solve("usd_per_mtok_by_class.cached", cached) == pytest.approx(0.00074 * 0.402653184 / (0.74 + 0.402653184) / 4096 * 1e6)
    parts = [solve(name, cached) or 0.0 for name in ("input_usd", "cached_usd", "output_usd")]
    assert sum(parts) == pytest.approx(0.00074)
    assert solve("usd_per_mtok", cached) == pytest.approx(0.74 / 1.024)
    assert solve("usd_per_mtok_by_class.input", cached | {"cache_residency_s": None}) is None
    assert solve("usd_per_mtok_by_class.cached", cached | {"cache_residency_s": 0.0}) is None  # not charged, which is not 0


def test_an_annuity_pays_capital_and_its_cost() -> None:
    # $40,000 over 4 years at 10 %: 0.1 / (1 - 1.1^-4) = 0.3154708 a year; without cost of capital a quarter.
    purchase = {"gpu_capex_usd": 30_000.0, "server_capex_usd": 6000.0, "network_capex_usd": 3000.0, "storage_capex_usd": 1000.0, "life_years": 4.0}
    assert solve("annuity", purchase | {"cost_of_capital": 0.1}) == pytest.approx(0.1 / (1 - 1.1**-4))
    assert solve("annuity", purchase | {"cost_of_capital": 0.0}) == 0.25
    assert solve("annuity", purchase | {"cost_of_capital": 1e-9}) == pytest.approx(0.25, rel=1e-8)
    # A tenth of it is got back: 4,000 / 1.4641 = 2,732.05 today.
    yearly = (40_000 - 4000 / 1.1**4) * 0.1 / (1 - 1.1**-4)
    owned = purchase | {"cost_of_capital": 0.1, "residual_share": 0.1, "maintenance_share": 0.05, "staff_usd_per_year": 500.0}
    assert solve("capital_usd_per_year", owned) == pytest.approx(yearly)
    assert solve("ownership_usd_per_gpu_hour", owned) == pytest.approx((yearly + 2000 + 500) / 8760)


def test_places_and_power() -> None:
    # 1.73 kW of the grid are 1.73 / 1.3 kW of machines, which rent is by.
    place = {"provisioned_kw": 1.73, "pue": 1.3, "colocation_usd_per_kw_month": 130.0}
    assert solve("colocation_usd_per_gpu_hour", place) == pytest.approx(1.73 / 1.3 * 130 * 12 / 8760)
    drawn = {"energy_apart": 1, "billed_by_plan": 0, "node_w": 1000.0, "pue": 1.3, "usd_per_kwh": 0.08, "provisioned_kw": 1.73}
    assert solve("energy_in_usd_per_gpu_hour", drawn) == pytest.approx(0.104)
    assert solve("energy_in_usd_per_gpu_hour", drawn | {"billed_by_plan": 1}) == pytest.approx(1.73 * 0.08)
    # 1.3 kW at 100 tokens/s are 13 J = 3.6111e-6 kWh a token: 3.611 kWh and at 400 g/kWh 1,444 g per million.
    assert solve("gco2_per_mtok", {"facility_w": 1300.0, "output_tokens_per_s": 100.0, "grid_gco2_per_kwh": 400.0}) == pytest.approx(1444.444, rel=1e-6)


@pytest.mark.parametrize("usd,rate,published", [(1.41, 93.25, "4.20"), (2.652, 6000, "0.12")])
def test_published_prices_of_a_token(usd: float, rate: float, published: str) -> None:
    """H200 and GB300 on DeepSeek-R1 (NVIDIA, 2026-04-15)."""
    found = solve("usd_per_mtok", {"usd_per_gpu_hour": usd, "utilisation": 1.0, "output_tokens_per_s": rate})
    assert f"{found:.2f}" == published


@pytest.mark.parametrize("kw,rate,published", [(1.73, 93.25, 53.9e3), (2.1, 6000, 2.857e6)])
def test_published_tokens_per_megawatt(kw: float, rate: float, published: float) -> None:
    assert solve("tokens_per_s_per_mw.provisioned", {"provisioned_kw": kw, "output_tokens_per_s": rate}) == pytest.approx(published, rel=1e-3)


def test_a_published_production_day() -> None:
    """DeepSeek-V3/R1, 27 and 28 February 2025: 226.75 nodes of 8 H800 at $2 an hour are $87,072; 266 G fresh and 342 G cached input, 168 G output tokens.

    All input counts in the 73.7 k tokens/s of a prefill node, so a node-second computes 73.7 k x 266/608 fresh ones. Sold at R1's price list:
    266,000 x $0.55 + 342,000 x $0.14 + 168,000 x $2.19 = $562,100; they publish $562,027 and a profit of 545 % of the cost.
    """
    day: dict[str, float | None] = {
        "price_usd_per_gpu_hour": 2.0, "owned": 0, "energy_apart": 0, "by_joules": 0, "utilisation": 1.0, "fresh": 266e9, "cached": 342e9, "osl": 168e9,
        "prefill_tokens_per_s": 73_700 / 8 * 266 / 608, "decode_tokens_per_s": 14_800 / 8, "cache_residency_s": 0.0, "kv_bytes_per_token": 1.0,
        "kv_room_bytes": 1.0, "sell_input_usd_per_mtok": 0.55, "sell_cached_usd_per_mtok": 0.14, "sell_output_usd_per_mtok": 2.19,
    }  # fmt: skip
    bill = (solve("usd_per_mtok", day) or 0) * 168e3
    assert bill == pytest.approx(226.75 * 8 * 24 * 2, rel=0.005)
    assert bill == pytest.approx(87_072, rel=0.005)
    assert solve("usd_per_mtok_by_class.output", day) == pytest.approx(16 / (14_800 * 3600) * 1e6)  # $0.3003 for decode alone
    assert solve("usd_per_mtok", day) == pytest.approx(0.5183, rel=0.005)
    # Prefill and decode nodes: 608e9 / 73.7e3 / 86,400 = 95.5 and 168e9 / 14.8e3 / 86,400 = 131.4, together 226.9.
    nodes = [(solve(name, day) or 0) / 86_400 / 8 for name in ("prefill_gpu_s", "decode_gpu_s")]
    assert nodes == pytest.approx([95.48, 131.38], rel=0.005)
    assert sum(nodes) == pytest.approx(226.75, rel=0.005)
    assert (solve("revenue_usd_per_mtok", day) or 0) * 168e3 == pytest.approx(562_027, rel=0.005)
    assert solve("profit_over_cost", day) == pytest.approx(5.45, rel=0.005)


def test_the_other_way_round() -> None:
    # At $3.60 an hour $0.41015625 per Mtok take $0.001 / 0.41015625e-6 = 2,438.1 tokens/s, twice the request's 1,219.05.
    assert solve("target_output_tokens_per_s", REQUEST | {"target_usd_per_mtok": 0.41015625}) == pytest.approx(2438.095, rel=1e-6)
    assert solve("target_speed_up", REQUEST | {"target_usd_per_mtok": 0.41015625}) == pytest.approx(2.0)
    # 10 MW hold 5,780.3 GPUs of 1.73 kW.
    assert solve("site_gpus", {"site_mw": 10.0, "provisioned_kw": 1.73}) == pytest.approx(5780.35, rel=1e-6)


def test_the_table_is_plain_json() -> None:
    table = json.loads(json.dumps(table_json(), allow_nan=False))
    assert set(table["equations"]) == set(EQUATIONS)
    assert table["equations"]["facility_w"]["tree"] == ["*", "node_w", "pue"]
    assert table["inputs"]["pue"] == {"unit": "", "meaning": "facility power over IT power", "least": 1, "most": 5}


@given(st.dictionaries(st.sampled_from(sorted(INPUTS)), st.floats(0, 1e12), max_size=len(INPUTS)))
def test_whatever_is_given_a_figure_is_finite_or_not_known(inputs: dict[str, float]) -> None:
    found = solve_all(tuple(EQUATIONS), dict(inputs))
    assert all(value is None or math.isfinite(value) for value in found.values())
