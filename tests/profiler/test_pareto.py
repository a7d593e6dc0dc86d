"""Fronts, what lies between their points, and the planner's line: by figures worked by hand and by what must hold for any points."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.economics.derive import Derived, derive_run
from profiler.economics.prices import PricePick
from profiler.foreign.serving_point import ServingPoint
from profiler.pareto.answer import cheapest_at, cheapest_line
from profiler.pareto.front import FIGURES, RATE, USD, Front, Point, fronts, fronts_of
from profiler.pareto.interpolate import at
from profiler.pareto.operating import Group, Operating
from profiler.record.store import Run
from profiler.report.charts.pareto import group_label
from profiler.report.charts.waterfall import waterfall_data
from tests.profiler import handmade_run as made
from triton_kernels.errors import TokenmillError

PRICE = made.price()
BOARD = "tokens_per_s_per_mw.board"
GROUP = Group(model="m", mix="8k/1k", context=None, gpu="H200 SXM", precision="bf16", kv_cache="bf16", routing="uniform", provenance="measured")

# Speeds and figures that collide, so that ties of every kind are met; None where a figure is missing.
FIGURE = st.one_of(st.none(), st.sampled_from([1.0, 2.0, 3.0]), st.floats(0.01, 1e6))
PLACES = st.lists(st.tuples(FIGURE, FIGURE, st.booleans()), max_size=40)


def reported(*points: dict[str, Any], price: PricePick | None = None, **header: Any) -> list[tuple[Run, PricePick, Derived]]:
    run, pick = made.run(*points, **header), price or made.price()
    return [(run, pick, derive_run(run, pick))]


def operating(x: float | None, usd: float | None, valid: bool = True, n: int = 0) -> Operating:
    figures = {"usd_per_mtok": {"value": usd, "ci95": None}, "output_tokens_per_s_per_gpu": None if usd is None else 1000 / usd, "batch": n}
    return Operating(group=GROUP, run_id="r", figures=figures, point={"point_id": f"p{n}"}, point_ids={}, price=PRICE, x=x, valid=valid, invalid_reasons=())


def only(found: list[Front]) -> Front:
    assert len(found) == 1
    return found[0]


def names(points: tuple[Point, ...]) -> list[str]:
    return [point.name for point in points]


def test_the_handmade_run_is_a_front_of_two() -> None:
    # 1/32 ms and 1/20 ms steps per user; dollars as worked out in handmade_run.
    front = only(fronts(reported(), USD))
    assert [(point.x, pytest.approx(point.y)) for point in front.front] == [(31.25, 0.456 / 1.024), (50.0, 0.84 / 1.024)]
    assert names(front.front) == ["batch 128", "batch 32"]
    assert (front.group.gpu, front.group.precision, front.group.provenance) == ("H200 SXM", "bf16", "measured")
    assert front.front[0].point_ids == {"prefill": "prefill-b1", "decode": "decode-b128"}
    assert front.front[0].kind == "measured"
    # Prefill counts: 1024 tokens take 0.456 GPU-seconds, not the decode's 4,000 tok/s.
    assert [point.y for point in only(fronts(reported(), RATE)).front] == [pytest.approx(1024 / 0.456), pytest.approx(1024 / 0.84)]


def test_a_rates_interval_is_its_prices_upside_down() -> None:
    # Prefill +-0.001/0.2 of 0.2 s and decode +-1 % of 0.256 s, as independent: the price's own interval, which economics works out.
    usd, rate = only(fronts(reported(), USD)).front[0], only(fronts(reported(), RATE)).front[0]
    assert usd.ci95 is not None
    assert rate.ci95 is not None
    assert rate.ci95[0] * usd.ci95[1] == pytest.approx(1000.0)  # $0.001 per GPU-second is $1000 per million of them
    assert rate.ci95[1] * usd.ci95[0] == pytest.approx(1000.0)


def test_joules_make_the_front_per_megawatt() -> None:
    # Batch 128: prefill 0.2 s at 700 W and decode 0.256 s at 500 W are 268 J for 1024 tokens: 3.8209 tokens per joule.
    assert only(fronts(reported(), BOARD)).front[0].y == pytest.approx(1024 / 268 * 1e6)


def test_beaten_and_invalid_points_are_kept_and_on_no_front() -> None:
    # Batch 40 in 30 ms: 33.3 tok/s/user and 1024/40 x 30 ms = 0.768 s of decode, dearer than batch 128 and slower than batch 32.. but faster than 128: on it
    # only if nothing faster is cheaper. 0.968 s is dearer than batch 32's 0.84 s, which is also faster: beaten.
    points = [*made.run().points, made.decode(40, 0.030, 480.0), made.decode(64, 0.010, 480.0, valid=False, invalid_reasons=["throttled"])]
    front = only(fronts(reported(*points), USD))
    assert names(front.front) == ["batch 128", "batch 32"]
    assert len(front.points) == 4
    bad = front.points[-1]
    assert (bad.x, bad.valid, bad.invalid_reasons) == (100.0, False, ("decode: throttled",))


def test_equal_points_stay_together_and_a_tie_in_one_figure_is_beaten() -> None:
    points = [operating(50.0, 1.0, n=0), operating(50.0, 1.0, n=1), operating(50.0, 2.0, n=2), operating(40.0, 1.0, n=3), operating(30.0, 0.5, n=4)]
    assert names(only(fronts_of(points, USD)).front) == ["batch 4", "batch 0", "batch 1"]


def test_points_of_unlike_work_have_fronts_of_their_own() -> None:
    points = [
        *made.run().points,
        made.prefill(point_id="prefill-fp8", precision="fp8"),
        made.decode(32, 0.012, 480.0, point_id="decode-fp8", precision="fp8"),
        made.decode(32, 0.001, 480.0, point_id="balanced", routing="balanced"),  # has no prefill of its own routing: a decode alone
    ]
    found = fronts(reported(*points), RATE)
    assert [(front.group.precision, front.group.workload, front.group.routing) for front in found] == [
        ("bf16", "decode alone, context 8704", "balanced"),
        ("bf16", "mix 8k/1k", "uniform"),
        ("fp8", "mix 8k/1k", "uniform"),
    ]


def test_cited_figures_never_share_a_front_with_measured_ones() -> None:
    cited = [point | {"provenance": {"step_s": "reference"}, "point_id": f"cited-{point['point_id']}"} for point in made.run().points]
    both = [*reported(), *reported(*cited)]
    assert [front.group.provenance for front in fronts(both, USD)] == ["measured", "reference"]


def test_every_kind_has_fronts_of_its_own() -> None:
    kinds = ["measured", "emulated", "replayed", "reference", "modelled"]
    found = [each for kind in kinds for each in reported(*(point | {"provenance": {"step_s": kind}} for point in made.run().points))]
    drawn = fronts(found, USD)
    assert sorted(front.group.provenance for front in drawn) == sorted(kinds)
    assert {group_label(front.group).removeprefix("qwen3-30b-a3b bf16 on H200 SXM, mix 8k/1k") for front in drawn} == {
        "", " (emulated)", " (replayed)", " (reference)", " (modelled)",
    }  # fmt: skip


def test_a_cpus_rates_are_per_cpu() -> None:
    run = reported(*(made.cpu_point(point) for point in made.run().points))
    assert "1,219 tok/s/CPU" in cheapest_line(run, 50)


def test_serving_points_are_operating_points() -> None:
    # $0.001 per GPU-second: 100 and 400 output tokens/s/GPU cost $10 and $2.50, the input in it; 8 GPUs of 500 W.
    fields = {"gpu": "h200", "gpu_key": "h200", "gpus": 8, "isl": 4000, "osl": 1000, "board_w": 4000.0, "framework": "vllm"}
    points = [
        ServingPoint(kind="reference", original={}, model="m", precision=None, concurrency=many, output_rate=rate, per_user=speed, **fields).json(
            run_id="r", point_id=f"row-{many}", source_file="f", source_format="vllm"
        )
        for many, rate, speed in ((64, 100.0, 50.0), (512, 400.0, 20.0))
    ]
    front = only(fronts(reported(*points), USD))
    assert [(point.x, point.y, point.concurrency, point.batch) for point in front.front] == [(20.0, 2.5, 512, None), (50.0, pytest.approx(10.0), 64, None)]
    assert names(front.front) == ["concurrency 512 on 8 GPUs, vllm", "concurrency 64 on 8 GPUs, vllm"]
    assert (front.group.provenance, front.group.precision, front.group.workload) == ("reference", "formats not stated", "mix 4000/1000")
    assert front.front[0].point_ids == {"serving": "row-512"}
    assert "m formats not stated concurrency 64 on 8 GPUs, vllm on H200 SXM, mix 4000/1000, $10.0 per Mtok (ref×assum)" in cheapest_line(reported(*points), 40)
    # The waterfall is of a measured step, though the served point is the cheaper one.
    data = waterfall_data([*reported(*points), *reported()])
    assert data is not None
    assert data["label"].startswith("qwen3-30b-a3b bf16")
    assert waterfall_data(reported(*points)) is None


def test_a_run_without_prefill_has_decodes_and_no_price() -> None:
    alone = reported(made.decode(32, 0.020, 480.0), made.decode(128, 0.032, 500.0))
    rates = only(fronts(alone, RATE))
    assert [point.y for point in rates.front] == [4000.0, 1600.0]
    priced = only(fronts(alone, USD))
    assert priced.front == ()
    assert priced.points[0].why_null


def test_what_did_not_run_or_has_no_speed_is_nowhere() -> None:
    assert fronts(reported(made.out_of_memory(512)), RATE) == []
    assert fronts(reported(made.prefill()), RATE) == []


def test_an_unknown_figure_is_refused_with_the_known_ones() -> None:
    with pytest.raises(TokenmillError, match="usd_per_mtok"):
        fronts(reported(), "usd_per_mtoc")


@given(PLACES)
def test_a_front_holds_every_valid_point_that_nothing_beats_and_no_other(places: list[tuple[float | None, float | None, bool]]) -> None:
    points = [operating(x, usd, valid, n) for n, (x, usd, valid) in enumerate(places)]
    found = fronts_of(points, USD)
    if not points:
        assert found == []
        return
    front = only(found)
    on = {id(point.at) for point in front.front}
    usable = [point for point in points if point.valid and point.x is not None and point.figure(USD) is not None]
    for point in points:
        assert (id(point) in on) == (point in usable and not any(beats(other, point) for other in usable))
    assert [point.x for point in front.front] == sorted(point.x or 0.0 for point in front.front)


def beats(one: Operating, other: Operating) -> bool:
    mine, theirs = (one.x or 0.0, -(one.figure(USD) or 0.0)), (other.x or 0.0, -(other.figure(USD) or 0.0))
    return mine != theirs and mine[0] >= theirs[0] and mine[1] >= theirs[1]


@given(PLACES, st.floats(0.001, 2e6))
def test_between_two_points_a_figure_lies_between_theirs_and_outside_there_is_none(places: list[tuple[float | None, float | None, bool]], x: float) -> None:
    for front in fronts_of([operating(*place, n=n) for n, place in enumerate(places)], USD):
        found, speeds = at(front, x), [point.x or 0.0 for point in front.front]
        assert (found is not None) == (bool(speeds) and speeds[0] < x < speeds[-1] and x not in speeds)
        if found is not None:
            assert found.slower.x is not None
            assert found.faster.x is not None
            assert found.slower.y is not None
            assert found.faster.y is not None
            assert found.slower.x < x < found.faster.x
            assert found.slower.y * (1 - 1e-12) <= found.y <= found.faster.y * (1 + 1e-12)
            assert found.kind == "modelled"


def test_between_32_and_128_by_hand() -> None:
    # At 31.25 tokens/s/user the mix has 1024/0.456 = 2,245.614 tok/s/GPU, at 50 it has 1024/0.84 = 1,219.048, and throughput is linear in between.
    # 40 lies (40 - 31.25) / (50 - 31.25) = 7/15 of the way. T = 8/15 x 2,245.614 + 7/15 x 1,219.048 = 1197.661 + 568.889 = 1766.550 tok/s/GPU;
    # at $0.001 per GPU-second that is $0.566075 per Mtok (linear in dollars would be 0.6203: wrong, since dollars are one over tokens/s).
    found = at(only(fronts(reported(), USD)), 40.0)
    assert found is not None
    assert found.part == pytest.approx(7 / 15)
    assert found.output_tokens_per_s_per_gpu == pytest.approx(1766.550, abs=5e-4)
    assert found.y == pytest.approx(0.566075, abs=5e-7)
    assert names((found.slower, found.faster)) == ["batch 128", "batch 32"]
    rate = at(only(fronts(reported(), RATE)), 40.0)
    assert rate is not None
    assert rate.y == pytest.approx(1766.550, abs=5e-4)
    assert rate.y * found.y == pytest.approx(1000.0)
    # Watts: 268/0.456 = 587.72 W and (140 + 0.64 x 480)/0.84 = 532.38 W, 7/15 of the way 561.895 W: 1766.550 / 561.895 = 3.143914 tokens per joule.
    per_mw = at(only(fronts(reported(), BOARD)), 40.0)
    assert per_mw is not None
    assert per_mw.y == pytest.approx(3.143914e6, abs=5.0)


def test_a_batch_in_between_is_exactly_on_the_line_where_a_step_is_linear_in_it() -> None:
    # Steps of 20 ms at 32 and 32 ms at 128 are 16 ms + 0.125 ms x batch. 40 tokens/s/user are 25 ms: batch 72, which delivers 72 x 40 = 2,880 tokens/s.
    alone = [made.decode(32, 0.020, 480.0), made.decode(128, 0.032, 500.0)]
    found = at(only(fronts(reported(*alone), RATE)), 40.0)
    measured = only(fronts(reported(*alone, made.decode(72, 0.025, 490.0)), RATE)).front[1]
    assert found is not None
    assert measured.x == 40.0
    assert [found.y, measured.y] == pytest.approx([2880.0, 2880.0])
    # A prefill bends the mix's curve above the line: batch 72 takes 0.2 + 1024/2880 = 0.55556 s, 1,843.2 tok/s/GPU, where the line has 1,766.55.
    whole = only(fronts(reported(*made.run().points, made.decode(72, 0.025, 490.0)), RATE)).front[1]
    assert whole.y == pytest.approx(1843.2)


def test_between_unlike_deployments_there_is_no_batch() -> None:
    points = [operating(20.0, 1.0, n=64), operating(50.0, 3.0, n=8)]
    assert at(only(fronts_of(points, USD)), 30.0) is not None
    for other in ({"deployment_gpus": 8}, {"framework": "vllm"}, {"batch": 64}):
        moved = replace(points[1], figures={**points[1].figures, **other})
        assert at(only(fronts_of([points[0], moved], USD)), 30.0) is None


def test_nothing_is_said_on_or_beyond_a_measured_point() -> None:
    front = only(fronts(reported(), USD))
    assert [at(front, x) for x in (31.24, 31.25, 50.0, 50.01)] == [None] * 4


def test_the_planners_line() -> None:
    assert cheapest_line(reported(), 50) == (
        "cheapest at ≥ 50 tokens/s/user: qwen3-30b-a3b bf16 batch 32 on H200 SXM, mix 8k/1k, $0.820±0.006 per Mtok (meas×assum), 1,219 tok/s/GPU; "
        "the next cheaper point, batch 128, has 31.2 tokens/s/user"
    )
    assert cheapest_line(reported(), 40).endswith(
        "the next cheaper point, batch 128, has 31.2 tokens/s/user; at exactly 40: $0.566±0.004 per Mtok (model), "
        "at a batch between 32 and 128, were a step's time linear in it"
    )
    assert "batch 128 on H200 SXM, mix 8k/1k, $0.4453±0.0027" in cheapest_line(reported(), 31.25)
    assert cheapest_line(reported(), 60) == (
        "nothing reaches 60 tokens/s/user, mix 8k/1k: the fastest valid point is qwen3-30b-a3b bf16 batch 32 on H200 SXM, at 50.0 tokens/s/user, "
        "$0.820±0.006 per Mtok (meas×assum)"
    )


def test_invalid_points_answer_nothing() -> None:
    points = [made.prefill(), made.decode(32, 0.020, 480.0), made.decode(32, 0.010, 480.0, point_id="fast", valid=False, invalid_reasons=["throttled"])]
    assert cheapest_line(reported(*points), 60).startswith("nothing reaches 60 tokens/s/user")
    none = [point | {"valid": False, "invalid_reasons": ["throttled"]} for point in made.run().points]
    assert cheapest_line(reported(*none), 10) == "cheapest at ≥ 10 tokens/s/user: – qwen3-30b-a3b, mix 8k/1k: no valid point"
    assert cheapest_line(reported(made.prefill()), 10).startswith("– no point has tokens/s per user")


def test_without_a_price_one_gpu_is_compared_by_tokens_and_two_are_not() -> None:
    unpriced = reported(price=made.no_price())
    assert "batch 32 on H200 SXM, mix 8k/1k, 1,219±9 output tok/s/GPU, the cheapest at any price (meas)" in cheapest_line(unpriced, 50)
    other = reported(*(point | {"gpu": "another", "gpu_key": None} for point in made.run().points), price=made.no_price())
    assert "no price, and GPUs that differ have no common cost" in cheapest_line([*unpriced, *other], 50)


def test_the_cheapest_is_found_over_gpus_and_formats() -> None:
    # The same steps on a GPU at half the price: $0.41 at 50 tokens/s/user.
    half = replace(made.price(), usd_per_gpu_hour=1.8)
    cheap = reported(*(point | {"gpu": "another", "gpu_key": None} for point in made.run().points), price=half)
    found = cheapest_at([*reported(), *cheap], 50)["answers"][0]["best"]
    assert (found["gpu"], found["usd_per_mtok"]["value"]) == ("another", pytest.approx(0.42 / 1.024))


def test_the_answer_as_data() -> None:
    found = cheapest_at(reported(), 40)
    assert found["reached"] is True
    answer = found["answers"][0]
    assert (answer["best"]["batch"], answer["next_cheaper"]["batch"]) == (32, 128)
    assert answer["interpolated"]["y"] == pytest.approx(0.566075, abs=5e-7)
    assert answer["interpolated"]["kind"] == "modelled"
    assert [point["batch"] for point in answer["interpolated"]["between"]] == [128, 32]
    missed = cheapest_at(reported(), 60)
    assert missed["reached"] is False
    assert missed["answers"][0]["fastest"]["batch"] == 32


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan"), float("inf")])
def test_a_speed_that_is_none_is_refused(speed: float) -> None:
    with pytest.raises(TokenmillError, match="should be a number above 0"):
        cheapest_line(reported(), speed)


def test_hostile_names_do_not_move_a_terminal() -> None:
    hostile = [point | {"model": "\x1b[2J[red]m[/]\u202e", "precision": "\x07"} for point in made.run().points]
    line = cheapest_line(reported(*hostile), 50)
    assert "[2J[red]m[/]" in line
    assert not set("\x1b\x07\u202e\n") & set(line)


def test_a_hundred_thousand_points_are_quick() -> None:
    points = [operating(float(n), float(n % 977 + 1), n % 5 != 0, n) for n in range(1, 100_001)]
    for y in FIGURES[:2]:  # comparing each with each would run into the test's time-out
        assert len(fronts_of(points, y)) == 1
