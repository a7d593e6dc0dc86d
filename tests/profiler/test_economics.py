import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.economics.equations import solve
from profiler.economics.formulas import facility_w, per_mw, tokens_per_s_per_mw, usd_per_mtok, watts_of, weakest
from profiler.economics.hour import gpu_hour_usd, hour_inputs
from profiler.economics.prices import PricePick, load_price_book, pick_price
from profiler.economics.request import Held, PhaseRate, Request, compose
from profiler.modelled.mix import Mix

MIX = Mix(isl=8192, osl=1024)
# 8192 / 20480 = 0.4 s of prefill and 1024 / 512 = 2 s of decode; 0.05 and 1.5 J per token.
PREFILL = PhaseRate(tokens_per_s=20480.0, step_low=0.97, step_high=1.075, joules_per_token=0.05)
DECODE = PhaseRate(tokens_per_s=512.0, step_low=0.992, step_high=1.02, joules_per_token=1.5)

rates = st.floats(1e-3, 1e7)
prices = st.floats(1e-3, 1e3)
mixes = st.builds(lambda isl, osl, share: Mix(isl=isl, osl=osl, cached=int((isl - 1) * share)), st.integers(1, 10**6), st.integers(1, 10**6), st.floats(0, 1))


def money(cost: Request, usd: float) -> tuple[float | None, ...]:
    """All-in per Mtok of output, then per Mtok of fresh input, cached input and output, at an hour of `usd` and 100 % busy."""
    inputs = cost.inputs | hour_inputs(pick_price(load_price_book(), None, usd_per_gpu_hour=usd)) | {"by_joules": 0.0}
    return tuple(solve(name, inputs) for name in ("usd_per_mtok", *(f"usd_per_mtok_by_class.{kind}" for kind in ("input", "cached", "output"))))


def price(**given_fields: object) -> PricePick:
    return dataclasses.replace(pick_price(load_price_book(), None), **given_fields)  # type: ignore[arg-type]


def test_nvidias_headline_figures() -> None:
    # https://www.theblockbeats.news/flash/343757: H200 $4.20 and GB300 $0.12 per Mtok, 50 x the tokens/s per MW.
    assert usd_per_mtok(1.41, 93.25) == pytest.approx(4.2002, abs=5e-5)
    assert usd_per_mtok(2.652, 6000.0) == pytest.approx(0.12278, abs=5e-6)
    assert tokens_per_s_per_mw(93.25, 1730.0) == pytest.approx(53_902, abs=1)
    assert tokens_per_s_per_mw(6000.0, 2100.0) == pytest.approx(2_857_143, abs=1)


def test_unknown_in_unknown_out() -> None:
    assert usd_per_mtok(None, 93.25) is None
    assert usd_per_mtok(1.41, None) is None
    assert usd_per_mtok(1.41, 0.0) is None  # nothing was delivered: no price, and not an infinite one
    assert tokens_per_s_per_mw(93.25, None) is None
    assert tokens_per_s_per_mw(None, 700.0) is None
    assert facility_w(None, 1.3) is None
    assert facility_w(1000.0, None) is None


def test_half_busy_costs_twice() -> None:
    assert usd_per_mtok(1.8, 50.0, utilisation=0.5) == pytest.approx(20.0)  # 1.8 / (3600 x 50) x 1e6 = 10


def test_a_mix_is_composed_from_its_two_phases() -> None:
    cost = compose(MIX, PREFILL, DECODE)
    assert (cost.prefill_gpu_s, cost.decode_gpu_s, cost.gpu_s) == pytest.approx((0.4, 2.0, 2.4))
    # Deviations of 0.4 x 0.03 = 0.012 and 2 x 0.008 = 0.016 below, 0.4 x 0.075 = 0.03 and 2 x 0.02 = 0.04 above, in quadrature 0.02 and 0.05.
    assert cost.gpu_s_ci95 == pytest.approx((2.38, 2.45))
    assert cost.energy_j == pytest.approx(1945.6)  # 8192 x 0.05 + 1024 x 1.5
    assert cost.energy_j_per_output_token == pytest.approx(1.9)
    assert cost.output_tokens_per_s == pytest.approx(1024 / 2.4)
    # At $3.6/h a GPU-second is $0.001: $0.0024 over 1024 output tokens, of which $0.0004 over 8192 input tokens and $0.002 over 1024.
    assert money(cost, 3.6) == (pytest.approx(2.34375), pytest.approx(0.048828125), None, pytest.approx(1.953125))
    # Rates are one over the steps: 20480 / 1.075 to 20480 / 0.97.
    assert cost.rate_ci95["prefill_tokens_per_s"] == pytest.approx([20480 / 1.075, 20480 / 0.97])


def test_cached_tokens_are_not_computed_and_take_part_in_the_price() -> None:
    mix = Mix(isl=8192, osl=1024, cached=6144)
    cost = compose(mix, PREFILL, DECODE)
    assert cost.gpu_s == pytest.approx(2048 / 20480 + 2.0)
    assert money(cost, 3.6)[2] is None  # how long they are held nobody said
    # 6144 x 30 s x 98,304 bytes where 60 GB are left = 0.301989888 GPU-seconds beside 2.1.
    held = compose(mix, PREFILL, DECODE, Held(residency_s=30.0, kv_bytes_per_token=98_304, kv_room_bytes=60e9))
    assert held.gpu_s == cost.gpu_s
    assert money(held, 3.6)[0] == money(cost, 3.6)[0]
    assert money(held, 3.6)[2] == pytest.approx(0.0021 * 0.301989888 / 2.401989888 / 6144 * 1e6)
    nowhere = compose(mix, PREFILL, DECODE, Held(residency_s=30.0, kv_bytes_per_token=98_304, kv_room_bytes=None))
    assert money(nowhere, 3.6)[0] == money(cost, 3.6)[0]
    assert money(nowhere, 3.6)[1:] == (None, None, None)


def test_no_interval_or_no_energy_of_one_phase_gives_none_of_the_mix() -> None:
    cost = compose(MIX, dataclasses.replace(PREFILL, step_low=None, step_high=None, joules_per_token=None), DECODE)
    assert (cost.gpu_s_ci95, cost.energy_j, cost.energy_j_per_output_token) == (None, None, None)


@given(mix=mixes, prefill=rates, decode=rates, usd=prices)
def test_classes_add_up_to_the_all_in_price(mix: Mix, prefill: float, decode: float, usd: float) -> None:
    cost = compose(mix, PhaseRate(tokens_per_s=prefill, step_low=None, step_high=None), PhaseRate(tokens_per_s=decode, step_low=None, step_high=None))
    whole, *by_class = money(cost, usd)
    summed = sum((price or 0.0) * tokens for price, tokens in zip(by_class, (mix.fresh, mix.cached, mix.osl), strict=True)) / mix.osl
    assert summed == pytest.approx(whole, rel=1e-9)


@given(rate=rates, watts=st.floats(1, 1e6))
def test_tokens_per_s_per_mw_are_tokens_per_megajoule(rate: float, watts: float) -> None:
    joules_per_token = watts / rate
    assert tokens_per_s_per_mw(rate, watts) == pytest.approx(1e6 / joules_per_token)


@given(rate=rates, usd=prices, factor=st.floats(0.1, 10))
def test_price_scales_linearly_and_speed_inversely(rate: float, usd: float, factor: float) -> None:
    once = usd_per_mtok(usd, rate)
    assert once is not None
    assert usd_per_mtok(usd * factor, rate) == pytest.approx(once * factor)
    assert usd_per_mtok(usd, rate * factor) == pytest.approx(once / factor)


@given(mix=mixes, prefill=rates, decode=rates, low=st.floats(0.5, 1), high=st.floats(1, 2))
def test_the_interval_holds_the_value(mix: Mix, prefill: float, decode: float, low: float, high: float) -> None:
    cost = compose(mix, PhaseRate(tokens_per_s=prefill, step_low=low, step_high=high), PhaseRate(tokens_per_s=decode, step_low=low, step_high=high))
    assert cost.gpu_s_ci95 is not None
    assert cost.gpu_s_ci95[0] <= cost.gpu_s <= cost.gpu_s_ci95[1]
    assert cost.gpu_s_ci95[0] > 0


def test_boundaries_stay_apart() -> None:
    book = load_price_book()
    watts = watts_of(pick_price(book, "h200", watts=900.0, pue=1.2), board_w=650.0, board_kind="measured")
    assert watts.by_boundary() == {"board": 650.0, "board_cpu": None, "node": 900.0, "facility": pytest.approx(1080.0), "provisioned": 1730.0}
    assert dict(watts.kinds) == {"board": "measured", "node": "assumed", "facility": "assumed", "provisioned": "reference"}
    assert per_mw(650.0, watts)["board"] == pytest.approx(1e6)


def test_a_board_does_not_stand_for_a_node() -> None:
    watts = watts_of(pick_price(load_price_book(), "h200"), board_w=650.0, board_kind="measured")
    assert (watts.node, watts.facility) == (None, None)


def test_energy_is_added_only_to_a_price_that_leaves_it_out() -> None:
    without = price(usd_per_gpu_hour=1.0, includes=("capex",), usd_per_kwh=0.1)
    assert gpu_hour_usd(without, 1300.0) == (pytest.approx(1.13), None)  # 1.3 kW x $0.10
    assert gpu_hour_usd(without, None) == (1.0, "price without energy: no facility watts (give --watts)")
    planned = gpu_hour_usd(dataclasses.replace(without, provisioned_kw_per_gpu=1.73), None)
    assert planned == (pytest.approx(1.173), "electricity of the planned 1.73 kW, an upper bound: what the node draws is not known (give --watts)")
    assert gpu_hour_usd(price(usd_per_gpu_hour=1.0, includes=("capex", "energy"), usd_per_kwh=0.1), 1300.0) == (1.0, None)
    assert gpu_hour_usd(price(usd_per_gpu_hour=1.0, includes=None, usd_per_kwh=0.1), 1300.0) == (1.0, None)
    assert gpu_hour_usd(price(usd_per_gpu_hour=1.0, includes=(), usd_per_kwh=None), 1300.0)[1] == "price without energy: the price book lacks usd_per_kwh"


def test_the_weakest_kind_wins() -> None:
    assert weakest("measured", "emulated") == "emulated"
    assert weakest("replayed", "reference", "measured") == "reference"
    assert weakest("modelled", "assumed") == "assumed"
    assert weakest("measured", None) == "assumed"
    assert weakest("measured") == "measured"
