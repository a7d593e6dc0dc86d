"""What a planner asks of `tokenmill cost`: owning, margin, break-even, targets, sites, carbon, ways to pay, sensitivity. Figures worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from profiler.cli import run_command
from profiler.economics.equations import solve
from profiler.economics.hour import hour_inputs, hour_range
from profiler.economics.owning import owned_of, parse_settings
from profiler.economics.price_book import load_price_book
from profiler.economics.prices import pick_price
from profiler.record.store import RunWriter
from tests.profiler import handmade_run as made
from triton_kernels.errors import TokenmillError

Capture = pytest.CaptureFixture[str]
RATE = ("--tokens-per-s-per-gpu", "1000", "--usd-per-gpu-hour", "3.6")  # a GPU-second is $0.001, so $1 per Mtok
DAY = ("--input-tokens-per-s", "73700", "--output-tokens-per-s", "14800", "--gpus", "8", "--usd-per-gpu-hour", "2", "--mix-tokens", "608e9/168e9/342e9")


def document(capsys: Capture, *arguments: str) -> dict[str, Any]:
    assert run_command(["cost", *arguments, "--json"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return dict(json.loads(captured.out))


def refused(capsys: Capture, *arguments: str) -> str:
    assert run_command(["cost", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    return captured.err


def figures(found: dict[str, Any]) -> dict[str, float | None]:
    return {name: figure["value"] for name, figure in found["decisions"]["figures"].items()}


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    writer = RunWriter.create(tmp_path / "runs", subject="qwen3-30b-a3b", argv=["run"], version="0.1.0")
    for point in made.run().points:
        writer.commit(point | {"run_id": writer.path.name}, plan=made.PLANS[point["plan"]])
    writer.finish("done")
    return tmp_path / "runs"


def test_a_published_production_day(capsys: Capture) -> None:
    """DeepSeek-V3/R1: 226.75 nodes for a day, $87,072; 545 % of it are earned beyond it at R1's price list ($562,027)."""
    found = document(capsys, *DAY, "--price-list", "deepseek-r1")
    assert found["bill_usd"]["total"] == pytest.approx(87_072, rel=0.005)
    # 608e9 / 73.7e3 s x 8 GPUs x $2 / 3600 = $36,665 over 266 G fresh tokens, and $50,450 over 168 G of output.
    by_class = found["usd_per_mtok_by_class"]
    assert by_class == {"input": pytest.approx(36_665 / 266e3, rel=1e-4), "cached": None, "output": pytest.approx(50_450 / 168e3, rel=1e-4)}
    assert "usd_per_mtok_by_class.cached" in found["why_null"]
    assert found["prefill_share_of_gpus"] == pytest.approx(95.48 / 226.86, rel=1e-3)
    assert figures(found)["profit_over_cost"] == pytest.approx(5.45, rel=0.005)
    assert figures(found)["break_even_utilisation"] == pytest.approx(1 / 6.4516, rel=1e-3)
    assert figures(found)["revenue_usd_per_gpu_hour"] == pytest.approx(2 * 6.4516, rel=1e-3)
    # The habit: $16 an hour over 608/226.86 and 168/226.86 of a node-day's tokens; each class is charged the whole bill.
    assert found["whole_hour_usd_per_mtok"]["output"] == pytest.approx(found["usd_per_mtok"]["value"])
    assert found["whole_hour_usd_per_mtok"]["input"] == pytest.approx(87_115 / 266e3, rel=1e-4)


def test_a_target_price_asks_for_a_rate(capsys: Capture) -> None:
    found = figures(document(capsys, *RATE, "--target-usd-per-mtok", "0.25"))
    assert found == {"target_output_tokens_per_s": pytest.approx(4000), "target_speed_up": pytest.approx(4.0)}
    alone = document(capsys, "--gpu", "h200", "--target-usd-per-mtok", "4.2")
    # $1.41 / 3600 / $4.20 x 1e6 = 93.25 tokens/s: NVIDIA's rate for H200.
    assert figures(alone)["target_output_tokens_per_s"] == pytest.approx(93.25, rel=1e-4)
    assert figures(alone)["target_speed_up"] is None


def test_a_site_of_ten_megawatts(capsys: Capture) -> None:
    found = figures(document(capsys, "--mw", "10", "--gpu", "h200"))
    assert found["site_gpus"] == pytest.approx(10e6 / 1730)
    assert found["site_usd_per_year"] == pytest.approx(10e6 / 1730 * 1.41 * 8760)
    assert found["site_output_tokens_per_s"] is None
    sold = document(capsys, "--mw", "10", "--gpu", "h200", "--tokens-per-s-per-gpu", "1000", "--price-list", "0.5/2", "--utilisation", "0.5")
    # 1,000 tokens/s for half an hour's seconds at $2 per Mtok are $3.60 an hour; 1e6 / 1730 GPUs of a planned MW earn it 8,760 times a year.
    assert figures(sold)["revenue_usd_per_gpu_hour"] == pytest.approx(3.6)
    assert figures(sold)["revenue_usd_per_mw_year"] == pytest.approx(3.6 * 8760 * 1e6 / 1730)
    assert figures(sold)["site_output_tokens_per_s"] == pytest.approx(10e6 / 1730 * 500)
    assert sold["decisions"]["output_alone"]


def test_carbon_by_what_is_known_of_the_watts(capsys: Capture) -> None:
    drawn = document(capsys, *RATE, "--watts", "1000", "--pue", "1.25", "--grid", "us")
    # 1.25 kJ per 1,000 tokens: 1.25 MJ = 0.34722 kWh per million, x 367 g.
    assert figures(drawn)["gco2_per_mtok"] == pytest.approx(1.25 / 3.6 * 367)
    planned = document(capsys, *RATE, "--kw-per-gpu", "1.73", "--grid", "400")
    assert figures(planned)["gco2_per_mtok"] == pytest.approx(1.73 / 3.6 * 400)
    assert (drawn["decisions"]["carbon_by_plan"], planned["decisions"]["carbon_by_plan"]) == (False, True)


def test_owning_is_worked_out_from_its_parts(capsys: Capture) -> None:
    """$40,000 back in 4 years without interest, 5 % maintenance, $500 of staff; a place for 1.73 / 1.3 kW at $100 a month; 10 cents per kWh at 1.3 kW."""
    parts = "gpu_capex_usd=30000,server_capex_usd=6000,network_capex_usd=3000,storage_capex_usd=1000,life_years=4,cost_of_capital=0,residual_share=0"
    more = "maintenance_share=0.05,staff_usd_per_year=500,colocation_usd_per_kw_month=100,usd_per_kwh=0.1"
    flags = ("--gpu", "h200", "--tokens-per-s-per-gpu", "1000", "--watts", "1000", "--set", parts, "--set", more)
    owning, place, electricity = (10_000 + 2000 + 500) / 8760, 1.73 / 1.3 * 100 * 12 / 8760, 0.13
    colocated = document(capsys, *flags, "--own", "colocation")
    assert colocated["usd_per_gpu_hour"] == pytest.approx(owning + place + electricity)
    assert colocated["usd_per_mtok"]["value"] == pytest.approx((owning + place + electricity) / 3.6)
    own_site = document(capsys, *flags, "--own", "own_site")
    assert own_site["usd_per_gpu_hour"] == pytest.approx(owning + electricity)
    assert own_site["price"]["provenance"] == "assumed"
    assert own_site["price"]["owned"]["figures"]["life_years"] == {"value": 4.0, "low": None, "high": None, "source": "--set", "date": None, "assumed": True}


def test_the_books_purchases_have_their_sources() -> None:
    book = load_price_book()
    for key in ("h100", "h200", "b200", "b300", "gb200", "gb300"):
        price = pick_price(book, key, own="colocation")
        assert price.owned is not None
        assert all(cited.source for cited in price.owned.figures.values())
        inputs = hour_inputs(price)
        low, high = hour_range(price, inputs) or (0.0, 0.0)
        hour = solve("usd_per_gpu_hour", inputs) or 0.0
        assert 0 < low < hour < high
        # The dear end has the dear electricity in it: 16.26 cents for the planned kW beside the dear purchase and place.
        assert high == pytest.approx((price.high or 0.0) + (price.provisioned_kw_per_gpu or 0.0) * 0.1626)
    # A rack of 72 for $3.3 M.
    assert book.owned.systems["gb200_nvl72"].figures["gpu_capex_usd"].value * 72 == pytest.approx(3.3e6, rel=1e-4)
    assert pick_price(book, "h200", own="own_site").provenance == "assumed"  # staff and storage have no source


def test_rent_against_own_at_the_users_utilisation(capsys: Capture) -> None:
    flags = ("--gpu", "h200", "--utilisation", "0.5", "--usd-per-gpu-hour", "3", "--tokens-per-s-per-gpu", "1000")
    ways = document(capsys, *flags, "--rent-or-own")["ways_to_pay"]
    by_name = {way["way"]: way for way in ways}
    assert set(by_name) == {"own_hyperscaler", "own_neocloud", "rent_3yr", "own:colocation", "own:own_site", "hours used"}
    # $1.60 for every hour is $3.20 for a busy one, dearer than $3 for hours used; it wins from 1.6 / 3 = 53.3 % on.
    assert by_name["rent_3yr"]["usd_per_busy_gpu_hour"] == pytest.approx(3.2)
    assert by_name["rent_3yr"]["usd_per_mtok"] == pytest.approx(3.2 / 3.6)
    assert by_name["rent_3yr"]["break_even_utilisation"] == pytest.approx(1.6 / 3)
    assert by_name["hours used"]["usd_per_busy_gpu_hour"] == 3.0
    assert [way["usd_per_busy_gpu_hour"] for way in ways] == sorted(way["usd_per_busy_gpu_hour"] for way in ways)


def test_what_moves_the_price_most_comes_first(capsys: Capture, runs: Path) -> None:
    # The cheapest mix is batch 128: 0.2 s of prefill and 0.256 s of decode at $0.001: $0.4453. Steps known to 1 % move decode by 0.256 / 1.024 x 1 %.
    found = document(capsys, "last", "--runs", str(runs), "--usd-per-gpu-hour", "3.6", "--sensitivity")
    swings = {swing["name"]: swing for swing in found["sensitivity"]}
    assert swings["decode_tokens_per_s"]["usd_at_low"] == pytest.approx((0.2 + 0.256 * 1.01) / 1.024)
    assert swings["decode_tokens_per_s"]["why"] == "measured, 95 % interval"
    assert swings["utilisation"]["usd_at_low"] == pytest.approx(0.456 / 1.024 / 0.9)
    assert swings["price_usd_per_gpu_hour"]["swing"] == pytest.approx(0.2 * 0.456 / 1.024)
    assert [s["swing"] for s in found["sensitivity"]] == sorted((s["swing"] for s in found["sensitivity"]), reverse=True)
    assert "fresh" not in swings


def test_a_rate_that_was_given_is_an_input_too(capsys: Capture) -> None:
    # $1 per Mtok at 1,000 tokens/s: 10 % fewer make it 1 / 0.9.
    (rate, *_) = (s for s in document(capsys, *RATE, "--sensitivity")["sensitivity"] if s["name"] == "output_tokens_per_s")
    assert (rate["low"], rate["usd_at_low"]) == (pytest.approx(900), pytest.approx(1 / 0.9))
    # A PUE of 1.1 less 10 % would be under 1: the end that is shown is the one that was computed.
    shown = document(capsys, "--gpu", "gb200", "--own", "own_site", "--watts", "1500", "--tokens-per-s-per-gpu", "100", "--sensitivity")
    (pue,) = (s for s in shown["sensitivity"] if s["name"] == "pue")
    assert (pue["low"], pue["high"]) == (1.0, pytest.approx(1.21))


def test_a_node_of_eight_at_the_users_utilisation(capsys: Capture) -> None:
    # $1.41 x 8 an hour, and 93.25 x 8 x 0.6 tokens/s over all its hours: $7.00 per Mtok, as the price says.
    found = document(capsys, "--gpu", "h200", "--tokens-per-s-per-gpu", "93.25", "--utilisation", "0.6")
    node = found["per_system"]
    assert (node["gpus"], node["usd_per_hour"], node["output_tokens_per_s"]) == (8, pytest.approx(11.28), pytest.approx(447.6))
    assert node["usd_per_hour"] / 3600 / node["output_tokens_per_s"] * 1e6 == pytest.approx(found["usd_per_mtok"]["value"])


def test_kinds_of_price_are_compared_with_what_each_includes(capsys: Capture, tmp_path: Path) -> None:
    # $1.50 all-in, and a bare $1.00 with 20 cents for 1.17 kW beside it ($1.234): at 100 tokens/s $4.1667 and $3.4278.
    path = tmp_path / "mine.toml"
    path.write_text('usd_per_kwh = 0.2\ndefault_kind = "bare"\n[kinds.bare]\nincludes = ["capex"]\n[kinds.allin]\nincludes = ["capex", "energy"]\n'
                    '[gpus.h200]\nusd_per_gpu_hour = { bare = 1.0, allin = 1.5 }\n', encoding="utf-8")  # fmt: skip
    found = document(capsys, "--gpu", "h200", "--price-book", str(path), "--tokens-per-s-per-gpu", "100", "--watts", "900", "--pue", "1.3")
    assert found["usd_per_mtok"]["value"] == pytest.approx(1.234 / 0.36)
    assert found["usd_per_mtok"]["price_range"] == pytest.approx([1.234 / 0.36, 1.5 / 0.36])


def test_what_cached_tokens_hold_divides_the_bill_and_does_not_raise_it(capsys: Capture, tmp_path: Path) -> None:
    """Batch 32 of 8k/1k/4k: 0.1 s of prefill, 0.64 s of decode, and 4,096 tokens of 98,304 bytes held 30 s in what the weights leave of 0.9 of the memory."""
    room = 0.9 * 143_771 * 2**20 - 61_064_245_248
    held = 4096 * 30 * 98_304 / room
    writer = RunWriter.create(tmp_path / "runs", subject="cached", argv=["run"], version="0.1.0")
    for point in (made.prefill(mix="8k/1k/4k"), made.decode(32, 0.020, 480.0, mix="8k/1k/4k")):
        writer.commit(point | {"run_id": writer.path.name}, plan=made.PLANS[point["plan"]])
    writer.finish("done")
    flags = ("last", "--runs", str(tmp_path / "runs"), "--usd-per-gpu-hour", "3.6")
    (plain,), (with_it,) = document(capsys, *flags)["mixes"], document(capsys, *flags, "--cache-residency", "30")["mixes"]
    for mix in (plain, with_it):
        assert mix["usd_per_mtok"]["value"] == pytest.approx(0.74 / 1.024)
        assert mix["output_tokens_per_s_per_gpu"] == pytest.approx(1024 / 0.74)
    assert plain["usd_per_mtok_by_class"]["cached"] is None
    assert "how long they are held is not known" in plain["price_note"]
    by_class, bill = with_it["usd_per_mtok_by_class"], 0.74e-3
    assert by_class["cached"] * 4096 / 1e6 == pytest.approx(bill * held / (0.74 + held))
    assert sum(by_class[name] * tokens for name, tokens in (("input", 4096), ("cached", 4096), ("output", 1024))) / 1e6 == pytest.approx(bill)
    assert (plain["provenance"]["usd_per_mtok_by_class"], with_it["provenance"]["usd_per_mtok_by_class"]) == ("measured", "assumed")


def test_the_cheapest_mix_that_is_fast_enough(capsys: Capture, runs: Path) -> None:
    flags = ("last", "--runs", str(runs), "--usd-per-gpu-hour", "3.6")
    assert document(capsys, *flags)["cheapest"]["decode"] == "decode-b128"
    # Batch 32 writes 50 tokens/s to a reader, batch 128 31.25.
    assert document(capsys, *flags, "--at-least", "50")["cheapest"]["decode"] == "decode-b32"
    assert run_command(["cost", *flags, "--at-least", "51", "--price-list", "1/2", "--json"]) == 4
    none = json.loads(capsys.readouterr().out)
    assert none["cheapest"] is None
    assert figures(none)["margin"] is None
    assert none["decisions"]["why_null"]["margin"] == "no valid mix has a price"


def test_revenue_of_a_run_is_of_whole_requests(capsys: Capture, runs: Path) -> None:
    # 8,192 x $0.10 + 1,024 x $1.20 per 1,024 output tokens = $2.00 per Mtok; it costs $0.4453.
    found = document(capsys, "last", "--runs", str(runs), "--usd-per-gpu-hour", "3.6", "--price-list", "0.1/1.2")
    assert figures(found)["revenue_usd_per_mtok"] == pytest.approx(2.0)
    assert figures(found)["margin"] == pytest.approx(1 - 0.4453125 / 2)
    assert figures(found)["break_even_usd_per_gpu_hour"] == pytest.approx(3.6 * 2 / 0.4453125)
    # Noise of the price, 0.2 x 0.5 % and 0.256 x 1 % in quadrature, 0.002748 of 0.456 s, reaches the margin and not the revenue of a Mtok.
    interval, noise = found["decisions"]["figures"]["margin"]["ci95"], 0.002748 / 0.456
    assert interval == [pytest.approx(1 - 0.4453125 * (1 + noise) / 2, abs=1e-5), pytest.approx(1 - 0.4453125 * (1 - noise) / 2, abs=1e-5)]
    assert found["decisions"]["figures"]["revenue_usd_per_mtok"]["ci95"] is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((*RATE, "--price-list", "free"), "unknown price list"),
        ((*RATE, "--price-list", "1/-2"), "should be INPUT/OUTPUT"),
        ((*RATE, "--price-list", "nan/2"), "should be INPUT/OUTPUT"),
        ((*RATE, "--price-list", "€1/€2"), "unknown price list"),
        (("--tokens-per-s-per-gpu", "10", "--usd-per-gpu-hour", "141000"), "should be from 0 to 1000 USD/GPU-h"),
        ((*RATE, "--kw-per-gpu", "1730"), "should be from 0.01 to 20 kW"),
        ((*RATE, "--watts", "1e9"), "should be from 0 to 100000 W"),
        ((*RATE, "--cache-residency", "60"), "--cache-residency is for a RUN"),
        ((*RATE, "--grid", "-1"), "should be from 0 to 2000"),
        ((*RATE, "--grid", "moon"), "unknown grid"),
        ((*RATE, "--mw", "-3"), "--mw -3"),
        ((*RATE, "--target-usd-per-mtok", "nan"), "--target-usd-per-mtok nan"),
        ((*RATE, "--own", "colocation"), "leave out --price-kind and --usd-per-gpu-hour"),
        (("--gpu", "h200", "--own", "castle", "--mw", "1"), "unknown hosting"),
        (("--gpu", "a100", "--own", "own_site", "--mw", "1"), "no purchase price of a100"),
        (("--gpu", "h200", "--mw", "1", "--set", "life_years=4"), "--set is of figures of owning"),
        (("--gpu", "h200", "--mw", "1", "--own", "own_site", "--set", "life_years=0"), "should be a number from 0.5 to 20 years"),
        (("--gpu", "h200", "--mw", "1", "--own", "own_site", "--set", "life_years=inf"), "should be a number from 0.5 to 20 years"),
        (("--gpu", "h200", "--mw", "1", "--own", "own_site", "--set", "life_year=4"), "did you mean life_years"),
        ((*RATE, "--at-least", "50"), "--at-least is for a RUN"),
        ((*DAY[:-1], "608e9/168e9/700e9"), "cached fewer than input"),
        (("--rent-or-own", "--tokens-per-s-per-gpu", "10", "--kw-per-gpu", "1"), "needs a GPU of the price book"),
    ],
)
def test_wrong_questions_are_one_line(capsys: Capture, arguments: tuple[str, ...], said: str) -> None:
    assert said in refused(capsys, *arguments)


def test_the_screen_answers_in_words(capsys: Capture) -> None:
    assert run_command(["cost", *DAY, "--price-list", "deepseek-r1", "--sensitivity"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    for part in ("545.", "profit over cost", "the public habit", "42.1% : 57.9%", "prefill : decode GPUs", "price_usd_per_gpu_hour", "Sold at: deepseek-r1"):
        assert part in said, part


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('currency = "EUR"', "every price is in USD"),
        ("[ownership]\nlife_years = -1", "should be years, from 0.5 to 20"),
        ("[ownership]\nlife_yeers = 1", "did you mean life_years"),
        ('[ownership]\nusd_per_kwh = "0.08 EUR"', "not text; other currencies and units have to be converted"),
        ("[ownership]\nusd_per_kwh = { value = 0.1, low = 0.2 }", "should lie between low and high"),
        ("[ownership]\nusd_per_kwh = { low = 0.2 }", "has no value"),
        ("[systems.mine]\ngpus = 8", "a new system needs gpu and gpus"),
        ('[systems.mine]\ngpu = "h201"\ngpus = 8', "systems.mine.gpu"),
        ("[price_lists.mine]\ninput = 1", "needs input and output"),
        ("[grids.mine]\ngco2_per_kwh = 1e9", "should be grams per kWh"),
        ("[ownership]\nusd_per_kwh = nan", "should be USD/kWh"),
    ],
)
def test_a_wrong_book_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(TokenmillError) as caught:
        load_price_book(path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_users_book_replaces_what_it_names(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[ownership]\nlife_years = 3\n[systems.hgx_h200]\ngpu_capex_usd = 20000\n[systems.mine]\ngpu = "a100"\ngpus = 4\n'
                    'gpu_capex_usd = 9000\nserver_capex_usd = 1000\n', encoding="utf-8")  # fmt: skip
    book = load_price_book(path)
    owned = owned_of(book.owned, "h200", "own_site", {})
    assert (owned.figures["life_years"].value, owned.figures["gpu_capex_usd"].value) == (3.0, 20_000.0)
    assert owned.figures["server_capex_usd"].value == 8750.0
    assert owned_of(book.owned, "a100", "own_site", parse_settings(["life_years=2"])).figures["life_years"].value == 2.0
