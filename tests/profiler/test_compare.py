"""Runs against runs: verdicts over simulated noise, ratios worked by hand, and what is not joined."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from profiler.compare.comparison import Comparison, compare
from profiler.compare.facts import names_of
from profiler.compare.gates import parse_gate
from profiler.compare.reprice import BOOK, OWN, Priced, at_one_price, repriced
from profiler.compare.subject import subjects_of
from profiler.economics.derive import derive_run
from profiler.economics.price_book import load_price_book
from tests.profiler import handmade_run as made
from tests.profiler import windowed_run as windowed
from triton_kernels.errors import TokenmillError

SCATTER = (-0.02, -0.01, 0.0, 0.01, 0.02)


def priced(*points: dict[str, Any], name: str = made.RUN_ID, **header: Any) -> Priced:
    run = replace(made.run(*points, **({"run_id": name} | header)), path=Path("runs") / name)
    return run, made.price(), derive_run(run, made.price())


def compared(*runs: Priced, allow: tuple[str, ...] = (), **options: Any) -> Comparison:
    return compare(runs, reprice=BOOK, allowed=frozenset(allow), **options)


def scattered(point: dict[str, Any], slower: float = 1.0, joules: float = 10.0) -> dict[str, Any]:
    """Five windows at exp(-0.02) to exp(0.02) of the point's step."""
    middle = point["step_s"]["median"] * slower
    return windowed.windowed(point, [middle * math.exp(s) for s in SCATTER], [joules * math.exp(s) for s in SCATTER])


def verdicts(found: Comparison, run: str | None = None) -> set[str]:
    return {judged.verdict for pair in found.pairs if run in (None, pair.run) for judged in pair.figures.values()}


def test_copies_are_alike_to_the_last_digit() -> None:
    points = windowed.points(7)
    found = compared(*(priced(*points, name=name) for name in ("a", "b", "c")))
    assert len(found.pairs) == 10  # three points and two requests, in each of two runs
    assert verdicts(found) == {"no difference"}
    assert {judged.ratio for pair in found.pairs for judged in pair.figures.values()} == {1.0}
    assert (found.unmatched, found.invalid) == ([], [])


def test_copies_without_windows_are_alike_too() -> None:
    assert verdicts(compared(priced(name="a"), priced(name="b"))) == {"no difference"}


def test_three_runs_of_the_same_work_say_no_difference_and_a_slow_one_is_found() -> None:
    """1 % noise, five windows. False alarms in one table of twenty or fewer; 10 % slower is found in every figure of every seed."""
    seeds, alarms = 120, 0
    for seed in range(seeds):
        same = [priced(*windowed.points(10 * seed + n), name=name) for n, name in enumerate(("a", "b", "c"))]
        alarms += not verdicts(compared(*same)) <= {"no difference", "not shown"}
        if seed < 40:
            slow = compared(*same[:2], priced(*windowed.points(10 * seed + 5, slower=1.1), name="slow"))
            by_word = {verdict.rsplit(" by ", 1)[0] for verdict in verdicts(slow, "slow")}
            assert by_word == {"slower", "dearer", "more energy", "less per MW"}
    assert alarms / seeds <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / seeds)


def test_noise_over_many_windows_is_told_from_a_difference_by_resampling() -> None:
    same = [priced(*windowed.points(n, windows=24), name=str(n)) for n in range(2)]
    slow = priced(*windowed.points(9, windows=24, slower=1.1), name="slow")
    decode = next(pair for pair in compared(*same).pairs if pair.key["phase"] == "decode").figures["step_s"]
    assert (decode.method, decode.n, decode.verdict) == ("bootstrap", (24, 24), "no difference")
    assert "no difference" not in verdicts(compared(same[0], slow))


def test_ratios_by_hand() -> None:
    """Both steps 1.25 times as long: everything that is paid by the second is, rates are 0.8. 10 J become 11 J."""
    points = [made.prefill(), made.decode(32, 0.020, 480.0)]
    found = compared(priced(*(scattered(p) for p in points), name="a"), priced(*(scattered(p, 1.25, 11.0) for p in points), name="b"))
    request = next(pair.figures for pair in found.pairs if pair.key["phase"] == "request")
    decode = next(pair.figures for pair in found.pairs if pair.key["phase"] == "decode")
    usd = request["usd_per_mtok"]
    assert usd.old is not None
    # Windows' mean is 1.0001 of the middle (the mean of exp(s) is 1 + 2e-4 / 2): 0.84 s x 1.0001 / 1024 x 1000.
    assert usd.old == pytest.approx(0.8203 * 1.0001, rel=1e-4)
    assert usd.ratio == pytest.approx(1.25)
    assert usd.verdict == "dearer by 25%"
    assert request["output_tokens_per_s_per_gpu"].ratio == pytest.approx(0.8)
    assert decode["step_s"].ratio == pytest.approx(1.25)
    assert decode["energy_j_per_output_token"].ratio == pytest.approx(1.1)
    assert decode["energy_j_per_output_token"].verdict == "more energy by 10%"
    assert decode["tokens_per_s_per_user"].verdict == "slower by 20%"
    # 8 degrees, an error of 0.01: x / exp(0.02306) to x exp(0.02306).
    assert decode["step_s"].ci95 == (pytest.approx(1.25 / 1.02333, rel=1e-5), pytest.approx(1.25 * 1.02333, rel=1e-5))
    assert decode["output_tokens_per_s_per_gpu"].ci95 == (pytest.approx(0.8 / 1.02333, rel=1e-5), pytest.approx(0.8 * 1.02333, rel=1e-5))
    # A request's noise is its phases', 0.2 s beside 0.64 s: an error of 0.007982, t of 9.55 degrees 2.2425.
    assert usd.ci95 == (pytest.approx(1.25 * math.exp(-0.0179), rel=1e-4), pytest.approx(1.25 * math.exp(0.0179), rel=1e-4))


def test_four_windows_are_too_few_and_no_verdict_is_guessed() -> None:
    found = compared(priced(*windowed.points(1, windows=4), name="a"), priced(*windowed.points(2, windows=4, slower=2.0), name="b"))
    assert verdicts(found) == {"unknown: fewer than 5 windows"}
    judged = found.pairs[0].figures["usd_per_mtok"]
    assert (judged.more_than_noise, judged.p) == (None, None)
    assert judged.ci95 is not None


def test_joules_without_windows_say_so() -> None:
    """A board counter that was read once over the whole measurement: the times are known by window, the joules are not."""
    points = windowed.points(1)
    for point in points:
        point["windows"] = [window | {"energy_j": None} for window in point["windows"]]
    found = compared(priced(*points, name="a"), priced(*windowed.points(2), name="b"))
    request = found.pairs[0].figures
    assert request["usd_per_mtok"].verdict == "no difference"
    assert request["energy_j_per_output_token"].verdict == "unknown: its joules or watts were not recorded by window"


def test_declared_watts_scatter_as_the_time_does() -> None:
    declared = {"power_source": "declared", "provenance": {"step_s": "measured", "energy_j": "assumed"}}
    runs = [
        priced(*(p | declared | {"windows": [w | {"energy_j": None} for w in p["windows"]]} for p in windowed.points(n, slower=slow)), name=str(n))
        for n, slow in ((1, 1.0), (2, 1.1))
    ]
    decode = next(pair.figures for pair in compared(*runs).pairs if pair.key["phase"] == "decode")
    assert decode["tokens_per_s_per_mw.node"].verdict.startswith("less per MW by")
    assert decode["energy_j_per_output_token"].n == (5, 5)
    assert decode["energy_j_per_output_token"].more_than_noise is not None


def test_windows_that_do_not_vary() -> None:
    """Both runs without any scatter: equal ones are alike, and half a percent is a difference."""
    still = [windowed.windowed(made.decode(32, 0.020, 480.0), [s] * 5) for s in (0.020, 0.020, 0.0201)]
    same, slow = (compared(priced(still[0], name="a"), priced(other, name="b")) for other in still[1:])
    assert verdicts(same) == {"no difference"}
    assert slow.pairs[0].figures["step_s"].verdict == "slower by 0.5%"
    assert slow.pairs[0].figures["step_s"].ci95 == (pytest.approx(1.005), pytest.approx(1.005))
    assert slow.pairs[0].figures["energy_j_per_output_token"].verdict == "no difference"


def test_a_reader_whose_median_step_stayed_has_seen_no_change() -> None:
    """The mean step rose by a few slow ones; the median did not."""
    a, b = windowed.points(1), windowed.points(2, slower=1.1)
    for point in b:
        point["step_s"] = point["step_s"] | {"median": next(p for p in a if p["point_id"] == point["point_id"])["step_s"]["median"]}
    decode = next(pair.figures for pair in compared(priced(*a, name="a"), priced(*b, name="b")).pairs if pair.key["phase"] == "decode")
    assert decode["step_s"].verdict.startswith("slower by")
    assert decode["tokens_per_s_per_user"].verdict == "no difference"


def test_rows_without_a_partner_and_invalid_ones_are_listed() -> None:
    a = [made.prefill(), made.decode(32, 0.02, 480.0), made.decode(64, 0.02, 480.0, routing="zipf:1.2")]
    b = [made.prefill(), made.decode(32, 0.02, 480.0, valid=False, invalid_reasons=["not_settled"]), made.out_of_memory(512)]
    found = compared(priced(*a, name="a"), priced(*b, name="b"))
    assert [(row.run, row.absent_from, row.key["phase"], row.key["routing"]) for row in found.unmatched] == [("a", "b", "decode", "zipf:1.2")]
    assert [(row.run, row.label, row.reasons) for row in found.invalid] == [
        ("b", "request bf16 batch 32 8k/1k uniform", ("decode: not_settled",)),
        ("b", "decode bf16 batch 32 uniform", ("not_settled",)),
        ("b", "decode bf16 batch 512 uniform", ("oom: out of memory",)),
    ]
    assert [pair.key["phase"] for pair in found.pairs] == ["prefill"]


def test_a_row_measured_twice_is_joined_in_order() -> None:
    twice = [made.decode(32, 0.02, 480.0), made.decode(32, 0.04, 480.0, point_id="decode-again")]
    found = compared(priced(*twice, name="a"), priced(*twice, name="b"))
    assert [pair.points[1] for pair in found.pairs if pair.key["phase"] == "decode"] == [{"decode": "decode-b32"}, {"decode": "decode-again"}]
    assert {pair.figures["step_s"].ratio for pair in found.pairs} == {1.0}


FORMATS = {"plain": {"weight": "bf16", "takes": "bf16", "kind": "wgmma"}, "experts": {"weight": "mxfp4", "takes": "bf16", "kind": "wgmma"}}


def other_recipe() -> dict[str, Any]:
    return {**FORMATS, "experts": {"weight": "mxfp4", "takes": "mxfp8", "kind": "wgmma"}}


@pytest.mark.parametrize(
    ("change", "name", "said"),
    [
        ({"gpu_key": "b200", "gpu": "NVIDIA B200"}, "gpu", "GPU h200 against b200"),
        ({"environment": {"driver": "580.1"}}, "driver", "driver 575.57.08 against 580.1"),
        ({"formats": other_recipe()}, "recipe", "formats behind a recipe's name bf16 experts mxfp4 x bf16 (wgmma) against mxfp4 x mxfp8 (wgmma)"),
        ({"formats": None}, "recipe", "recorded against not recorded"),
        ({"power_source": "meter", "node_w": 700.0}, "boundary", "joules board against node"),
    ],
)
def test_unlike_runs_are_refused_and_may_be_allowed(change: dict[str, Any], name: str, said: str) -> None:
    points = [p | {"formats": FORMATS} for p in windowed.points(1)]
    runs = priced(*points, name="a"), priced(*(p | change for p in points), name="b")
    with pytest.raises(TokenmillError) as refused:
        compared(*runs)
    assert said in str(refused.value)
    assert f"--allow {name} compares them all the same" in str(refused.value)
    assert "\n" not in str(refused.value)
    found = compared(*runs, allow=(name,))
    assert {key for pair in found.pairs for key in pair.unlike} == {name}
    assert len(found.pairs) == 5


def test_a_gpu_brings_its_own_instruction() -> None:
    """With another GPU allowed, the tensor core's instruction is no other recipe; what it is fed with is."""
    theirs = {part: use | {"kind": "tcgen05"} for part, use in FORMATS.items()}
    a = priced(*(p | {"formats": FORMATS} for p in windowed.points(1)), name="a")
    b = priced(*(p | {"formats": theirs, "gpu_key": "b200"} for p in windowed.points(1)), name="b")
    assert {key for pair in compared(a, b, allow=("gpu",)).pairs for key in pair.unlike} == {"gpu"}
    with pytest.raises(TokenmillError, match="--allow recipe"):
        compared(a, priced(*(p | {"formats": theirs} for p in windowed.points(1)), name="b"))


def test_runs_of_several_gpus_are_joined_by_gpu() -> None:
    """One GPU in common is enough: rows of the others are alone, and nothing is refused."""
    a = priced(made.decode(32, 0.02, 480.0), made.decode(32, 0.03, 480.0, gpu_key="h100", point_id="decode-h100"), name="a")
    b = priced(made.decode(32, 0.02, 480.0), made.decode(32, 0.01, 900.0, gpu_key="b200", point_id="decode-b200"), name="b")
    found = compared(a, b)
    assert [pair.points for pair in found.pairs] == [({"decode": "decode-b32"}, {"decode": "decode-b32"})]
    assert [row.absent_from for row in found.unmatched] == ["b", "a"]


def test_joules_that_one_run_lacks_are_no_other_boundary() -> None:
    dark = {"power_source": "none", "energy_j": None, "board_w": None}
    points = windowed.points(1)
    bare = [p | dark | {"windows": [w | {"energy_j": None} for w in p["windows"]]} for p in points]
    found = compared(priced(*points, name="a"), priced(*bare, name="b"))
    judged = found.pairs[0].figures["energy_j_per_output_token"]
    assert (judged.ratio, judged.verdict) == (None, "unknown: not measured in the newer run")


def test_one_price_for_all_unless_each_keeps_its_own() -> None:
    """A run that declared $7.20 costs twice as much only where it keeps its own price; the time's noise has no part in that."""
    book, points = load_price_book(), windowed.points(1)
    declared = [made.price(usd_per_gpu_hour=usd).json() for usd in (3.6, 7.2)]
    runs = [priced(*points, name=name, price=price)[0] for name, price in zip("ab", declared, strict=True)]
    for reprice, ratio, verdict in ((BOOK, 1.0, "no difference"), (OWN, 2.0, "dearer by 100%")):
        found = compare([repriced(run, book, {}, reprice) for run in runs], reprice=reprice)
        request = found.pairs[0].figures
        assert request["usd_per_mtok"].ratio == pytest.approx(ratio)
        assert request["usd_per_mtok"].verdict == verdict
        assert request["output_tokens_per_s_per_gpu"].verdict == "no difference"
    assert [price.usd_per_gpu_hour for price in found.prices] == [3.6, 7.2]
    at_book = compare([repriced(run, book, {"usd_per_gpu_hour": 1.8}, BOOK) for run in runs], reprice=BOOK)
    assert {price.usd_per_gpu_hour for price in at_book.prices} == {1.8}


def test_links_of_an_emulated_deployment_do_not_scatter() -> None:
    """Half of the step is modelled links: a window's 1 % is half a percent of the step."""
    run, price, derived = priced(scattered(made.decode(32, 0.020, 480.0)), name="a")
    point = derived.points[0] | {"collective_s": {"serial": derived.points[0]["window_s"] / 250, "overlapped": 0.0}}
    subject = subjects_of(run, price, replace(derived, points=[point], mixes=[]))[0]
    assert subject.figures["step_s"] == pytest.approx(0.040, rel=1e-3)
    assert subject.noise["step_s"][0][0] == pytest.approx(0.5)
    assert subject.kinds["step_s"] == "emulated"


@pytest.mark.parametrize(
    "damage",
    [
        {"windows": [{"step_s": "fast", "steps": 1}]}, {"windows": 7}, {"windows": [{"step_s": -1.0}]}, {"windows": ["x"]}, {"environment": 3},
        {"windows": [{"step_s": 1.0}, {"step_s": float("inf")}]}, {"windows": [{"step_s": 1.0, "steps": 1, "energy_j": []}]},
    ],
)  # fmt: skip
def test_a_damaged_point_is_one_line(damage: dict[str, Any]) -> None:
    run, price, derived = priced(name="a")
    broken = run, price, replace(derived, points=[point | damage for point in derived.points])
    with pytest.raises(TokenmillError, match="damaged"):
        compared(broken, broken)


def test_runs_of_one_id_have_names_of_their_own() -> None:
    found = compared(priced(), priced())
    assert [facts.name for facts in found.facts] == [f"runs/{made.RUN_ID}", f"runs/{made.RUN_ID} (2)"]
    assert {pair.run for pair in found.pairs} == {f"runs/{made.RUN_ID} (2)"}


def test_unlike_cpus_are_unlike_machines() -> None:
    a, b = (
        priced(*map(made.cpu_point, made.run().points), name=name, environment={"cpu": cpu, "gpu": None})
        for name, cpu in (("a", "Example 1"), ("b", "Example 2"))
    )
    with pytest.raises(TokenmillError, match="GPU Example 1 against Example 2"):
        compared(a, b)
    assert len(compared(a, b, allow=("gpu",)).pairs) == 5


def test_a_difference_that_only_its_own_interval_shows_is_not_called_none() -> None:
    """2.8 % is 2.8 standard errors of 0.01 (8 degrees): p = 0.023 alone. Among six decodes Holm asks for 0.0083, and alone it is a difference."""
    decodes = [made.decode(batch, 0.020, 480.0, mix=None) for batch in (1, 2, 4, 8, 16, 32)]
    step = math.exp(0.028)
    old, new = [scattered(p) for p in decodes], [scattered(decodes[0], step, 10.0 * step), *(scattered(p) for p in decodes[1:])]
    first, second, *_ = compared(priced(*old, name="a"), priced(*new, name="b")).pairs
    judged = first.figures["step_s"]
    assert judged.ci95 is not None
    assert judged.ci95[0] > 1
    assert (judged.verdict, judged.more_than_noise, judged.among) == ("not shown", False, 12)  # time and joules of six decodes
    assert (judged.json()["verdict"], judged.json()["compared_together"]) == ("not shown", 12)
    assert second.figures["step_s"].verdict == "no difference"
    alone = compared(priced(old[0], name="a"), priced(scattered(decodes[0], step), name="b")).pairs[0].figures["step_s"]
    assert alone.verdict == "slower by 2.8%"


def unpriced(*usd: float | None) -> list[Priced]:
    """Runs on a GPU that no price book has, each with what it declared."""
    points = [point | {"gpu_key": "h900", "gpu": "Example 900"} for point in windowed.points(1)]
    headers = [{} if each is None else {"price": made.price(usd_per_gpu_hour=each).json()} for each in usd]
    runs = [priced(*points, name=f"run-{n}", **header)[0] for n, header in enumerate(headers)]
    return [repriced(run, load_price_book(), {}, BOOK) for run in runs]


def test_runs_without_a_book_price_are_compared_at_their_own_where_it_is_one() -> None:
    """$3.60 each: a GPU-second costs $0.001, and a request of 0.84 s $0.82 per Mtok."""
    found = compare(at_one_price(unpriced(3.6, 3.6), load_price_book(), {}), reprice=BOOK, gates=[parse_gate("usd_per_mtok > +3%")])
    usd = next(pair for pair in found.pairs if pair.key["phase"] == "request" and pair.key["batch"] == 32).figures["usd_per_mtok"]
    assert (usd.old, usd.ratio) == (pytest.approx(0.82, rel=0.02), 1.0)
    assert {price.source for price in found.prices} == {"the runs' own, since the book has none"}
    assert [gate.passed for gate in found.gates] == [True]


@pytest.mark.parametrize(("declared", "told"), [((3.6, 1.8), "$1.8, $3.6"), ((3.6, None), "$3.6 or none"), ((None, 3.6), "$3.6 or none")])
def test_unlike_declared_prices_are_no_price(declared: tuple[float | None, ...], told: str) -> None:
    found = compare(at_one_price(unpriced(*declared), load_price_book(), {}), reprice=BOOK)
    assert all("usd_per_mtok" not in pair.figures for pair in found.pairs)
    assert {f"declared {told}: give --reprice own" in str(price.why_null) for price in found.prices} == {True}


def test_the_books_price_and_what_was_asked_for_go_first() -> None:
    book = load_price_book()
    nothing = at_one_price(unpriced(None, None), book, {})
    assert {price.why_null for _, price, _ in nothing} == {"no price for h900 in the price book: give --usd-per-gpu-hour or --price-book"}
    runs = [repriced(priced(name=name, price=made.price(usd_per_gpu_hour=9.0).json())[0], book, {}, BOOK) for name in "ab"]
    assert {price.usd_per_gpu_hour for _, price, _ in at_one_price(runs, book, {})} == {1.41}
    assert {price.usd_per_gpu_hour for _, price, _ in at_one_price(unpriced(3.6, 3.6), book, {"kind": "rent_3yr"})} == {None}


def test_warnings_on_compared_rows_are_told_of_each_run() -> None:
    """Both decodes and the prefill, and so both requests, in the second run; in the first one decode and its request."""
    old = windowed.points(1)
    old[1] |= {"warnings": ["few_windows: the interval is of 3 windows", "no_power: of no matter here"]}
    shares = ("50%", "58%", "54%")
    new = [p | {"warnings": [f"other_load: other processes took {share} of the CPUs"]} for p, share in zip(windowed.points(2), shares, strict=True)]
    found = compared(priced(*old, name="a"), priced(*new, name="b"))
    assert [(each.run, each.told()) for each in found.warned] == [
        ("a", "fewer than five windows in 2 rows"),
        ("b", "other processes took 50-58 % of the CPUs in 5 rows: its times are not only its own"),
    ]
    assert [each["warnings"][0]["name"] for each in found.json()["warned"]] == ["few_windows", "other_load"]
    assert compared(priced(name="a"), priced(name="b")).warned == []


def test_two_gpus_of_one_file_are_called_by_gpu() -> None:
    runs = [replace(made.run(made.decode(32, 0.02, 480.0, gpu_key=key)), path=Path("result.json")) for key in ("gb200", "b200", "b200")]
    assert names_of(runs) == ["result.json@gb200", "result.json@b200", "result.json@b200 (2)"]


SERVING = {
    "schema_version": 1, "point_id": "row-1", "kind": "serving", "status": "ok", "model": "deepseek-r1", "phase": None, "precision": "fp8", "batch": None,
    "mix": "8k/1k", "isl": 8192, "osl": 1024, "concurrency": 64, "gpu_key": "h200", "deployment_gpus": 8, "output_tokens_per_s_per_gpu": 100.0,
    "input_tokens_per_s_per_gpu": 800.0, "tokens_per_s_per_user": 50.0, "valid": True, "invalid_reasons": [],
    "provenance": {"output_tokens_per_s_per_gpu": "reference"},
}  # fmt: skip


def test_loads_of_other_tools_are_joined_by_their_concurrency() -> None:
    """A load that was measured whole is one row: $3.60 / 3600 s / 100 tokens/s = $10 per Mtok, against $8 at 125 tokens/s. It has no windows, so no verdict."""
    faster = SERVING | {"output_tokens_per_s_per_gpu": 125.0}
    found = compared(priced(SERVING, name="a"), priced(faster, SERVING | {"point_id": "row-2", "concurrency": 128}, name="b"))
    (pair,) = found.pairs
    assert (pair.label, pair.points) == ("request fp8 concurrency 64 8k/1k", ({"serving": "row-1"}, {"serving": "row-1"}))
    usd = pair.figures["usd_per_mtok"]
    assert (usd.old, usd.new, usd.ratio, usd.verdict) == (pytest.approx(10.0), pytest.approx(8.0), pytest.approx(0.8), "unknown: fewer than 5 windows")
    assert pair.figures["tokens_per_s_per_user"].verdict == "no difference"
    assert [row.key["concurrency"] for row in found.unmatched] == [128]
