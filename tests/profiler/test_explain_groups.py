"""The kernel engineer's list, skew and power limits, each figure worked out by hand on the planted step."""

from __future__ import annotations

from typing import Any

import pytest

from profiler.explain.frontier import frontier_of
from profiler.explain.kernels import kernel_lines
from profiler.explain.skew import skew_of
from profiler.explain.waterfall import Explained
from tests.profiler import handmade_run as made
from tests.profiler import planted_run as planted


def lines(found: Explained, hour: float | None = 3.6) -> dict[str, Any]:
    return {line.part: line for line in kernel_lines([(found, 1.0)], {planted.PLAN_ID: planted.plan()}, 4e-6, hour)}


def test_the_kernel_engineers_list_is_sorted_by_what_it_would_save() -> None:
    # Bytes over 3.2 TB/s copied, FLOP over 791.2 TFLOP/s, each over the time alone; at 0.90 of that: 40 -> 33.3, 150 -> 138.9, 160 -> 166.7, 15 -> 16.7 us.
    found = lines(planted.worked_out(planted.point(), planted.rows()))
    assert list(found) == ["head.logits", "experts.gate_up", "attention.attend", "mlp.norm"]
    assert {part: line.achieved for part, line in found.items()} == {
        "head.logits": pytest.approx(125 / 150), "experts.gate_up": pytest.approx(0.75), "attention.attend": pytest.approx(0.9375),
        "mlp.norm": pytest.approx(1.0),
    }  # fmt: skip
    head = found["head.logits"]
    assert (head.ceiling, head.bound, head.format, head.words) == ("bf16 rate", "compute", "bf16", "head")
    assert head.share_of_step == pytest.approx(150 / 400)
    assert head.saves_usd_per_mtok == pytest.approx((150 - 125 / 0.9) / 100 * 0.001, rel=1e-6)
    assert head.saves_share == pytest.approx((150 - 125 / 0.9) / 400)
    experts = found["experts.gate_up"]
    assert (experts.ceiling, experts.format, experts.words, experts.batch) == ("copy bandwidth", "mxfp4", "MoE gate and up projection", 100)
    assert experts.saves_usd_per_mtok == pytest.approx((40 - 30 / 0.9) / 100 * 0.001, rel=1e-6)
    assert found["attention.attend"].saves_share == 0.0


def test_without_a_price_savings_are_shares_and_without_copies_reads_are_the_ceiling() -> None:
    read = planted.worked_out(planted.point(ceilings={name: rate for name, rate in planted.CEILINGS.items() if name != "copy_bytes_per_s"}), planted.rows())
    found = lines(read, None)
    assert found["attention.attend"].saves_usd_per_mtok is None
    assert found["attention.attend"].ceiling == "read bandwidth"
    assert found["attention.attend"].achieved == pytest.approx(120 / 160)


def skewed(routing: str, alone: dict[str, tuple[float, float]], **fields: Any) -> Explained:
    return planted.worked_out(planted.point(alone, routing=routing, **fields), planted.rows(alone))


def test_skew_is_what_uneven_routing_takes_beyond_balanced() -> None:
    hot = planted.ALONE | {"experts.gate_up": (60e-6, 500.0)}
    other = skewed("uniform", planted.ALONE, precision="fp8")
    tables = skew_of([skewed("zipf:1.2", hot), skewed("balanced", planted.ALONE), other], planted.price())
    assert len(tables) == 1
    assert tables[0]["baseline"] == "balanced"
    zipf, balanced = tables[0]["rows"]
    # 20 us more of the experts at 500 W: per token 0.2 us, 0.1 mJ, $0.0002 per Mtok.
    assert zipf["over"]["step_s"] == pytest.approx(20e-6)
    assert zipf["over"]["gpu_s"] == pytest.approx(0.2e-6)
    assert zipf["over"]["energy_j"] == pytest.approx(0.0001)
    assert zipf["over"]["usd_per_mtok"] == pytest.approx(0.0002)
    assert zipf["over"]["parts"]["experts"] == {"s": pytest.approx(20e-6), "j": pytest.approx(0.01)}
    assert zipf["over"]["parts"]["dispatch"] == {"s": None, "j": None}
    assert balanced["over"]["usd_per_mtok"] == 0.0


def test_without_an_even_baseline_there_is_no_skew() -> None:
    assert skew_of([skewed("zipf:1.2", planted.ALONE), skewed("zipf:2", planted.ALONE)], planted.price()) == []
    assert skew_of([skewed("uniform", planted.ALONE), skewed("uniform", planted.ALONE)], planted.price()) == []
    uniform = skew_of([skewed("zipf:1.2", planted.ALONE), skewed("uniform", planted.ALONE)], planted.price())
    assert [table["baseline"] for table in uniform] == ["uniform"]


def capped(limit_w: float | None, step_s: float, board_w: float, **fields: Any) -> Explained:
    """A decode of batch 32 under a power limit: 32 tokens a step."""
    point = made.decode(32, step_s, board_w, mix=None, environment={"power_limit_w": limit_w, "clocks": {"sm_hz": 1.5e9}}, **fields)
    return planted.worked_out(point | {"point_id": f"cap-{limit_w}"}, [], made.PLANS["d" * 16])


def test_the_frontier_names_the_best_limit_of_a_site() -> None:
    # 700 W: 3,200 tok/s at 640 W = 5.00 M/MW; 500 W: 2,560 at 480 = 5.33 M/MW; 300 W: 1,280 at 290 = 4.41 M/MW. Dollars go with the rate alone.
    rows = [capped(700.0, 0.0100, 640.0), capped(300.0, 0.0250, 290.0), capped(500.0, 0.0125, 480.0)]
    (table,) = frontier_of(rows, {}, planted.price(node_w=None), 10.0)
    assert [row["power_limit_w"] for row in table["rows"]] == [300.0, 500.0, 700.0]
    assert [row["tokens_per_s_per_mw"] for row in table["rows"]] == [pytest.approx(1280 / 290e-6), pytest.approx(2560 / 480e-6), pytest.approx(3200 / 640e-6)]
    assert (table["of"], table["boundary"], table["best_per_mw"], table["best_usd"]) == ("decode", "board", 500.0, 700.0)
    assert table["rows"][2]["usd_per_mtok"] == pytest.approx(3.6 / 3600 / 3200 * 1e6)
    # 10 MW over 480 W.
    assert (table["site"]["gpus"], table["site"]["output_tokens_per_s"]) == (20833, pytest.approx(20833 * 2560))


def test_an_invalid_point_is_shown_and_never_the_best() -> None:
    rows = [capped(700.0, 0.0100, 640.0), capped(500.0, 0.0125, 480.0, valid=False)]
    (table,) = frontier_of(rows, {}, planted.price(), None)
    assert [row["valid"] for row in table["rows"]] == [False, True]
    assert table["best_per_mw"] == 700.0
    assert table["site"] is None


def test_the_widest_boundary_that_every_row_has_is_the_sites() -> None:
    metered = {"provenance": {"step_s": "measured", "energy_j": "measured", "node_w": "measured"}}
    rows = [capped(700.0, 0.0100, 640.0, node_w=1000.0, **metered), capped(500.0, 0.0125, 480.0, node_w=780.0, **metered)]
    (table,) = frontier_of(rows, {}, planted.price(), 1.0)
    assert table["boundary"] == "facility"
    # PUE 1.3: 2,560 tok/s at 1,014 W beat 3,200 at 1,300 W.
    assert (table["best_per_mw"], table["site"]["watts_per_gpu"]) == (500.0, pytest.approx(1014.0))
    assert frontier_of([*rows, capped(400.0, 0.02, 380.0)], {}, planted.price(), None)[0]["boundary"] == "board"


def test_declared_watts_choose_no_limit() -> None:
    # 1,000 W declared of each, whatever the limit: by them the fastest would be the best. What the boards drew says 500 W.
    rows = [capped(700.0, 0.0100, 640.0), capped(500.0, 0.0125, 480.0)]
    price = planted.price(node_w=1000.0)
    declared = [planted.worked_out(dict(row.point) | {"node_w": 1000.0}, [], made.PLANS["d" * 16]) for row in rows]
    (table,) = frontier_of(declared, {}, price, 10.0)
    assert (table["boundary"], table["best_per_mw"]) == ("board", 500.0)


def test_one_limit_is_no_frontier_unless_a_site_is_asked_for() -> None:
    assert frontier_of([capped(700.0, 0.01, 640.0)], {}, planted.price(), None) == []
    (table,) = frontier_of([capped(None, 0.01, 640.0)], {}, planted.price(), 1.0)
    assert table["rows"][0]["power_limit_w"] is None
    assert table["site"]["gpus"] == 1562
