"""Every bar against a truth worked out by hand, in seconds, joules and dollars; each cause planted alone moves its bar and no other."""

from __future__ import annotations

from typing import Any

import pytest

from profiler.economics.derive import derive_run
from profiler.economics.hour import gpu_hour_usd
from profiler.economics.points import derive_point
from profiler.explain.bar import Bar
from profiler.explain.causes import slowness
from profiler.explain.waterfall import Waterfall
from profiler.gpus import GPUS
from tests.profiler import handmade_run as made
from tests.profiler import planted_run as planted

# Seconds and joules of one step (see planted_run); joules are each operation's watts times its seconds of the bar, of gaps what is left of 0.24 J:
#   peak      10 us at 500 W + 100 us at 700 W        memory    10 at 500 + 10 at 300 + 100 at 600      ceilings  4 at 500 + 25 at 700 + 2 at 300 + 20 at 600
#   experts   40 - 24 us     head  150 - 125 us       norms     15 - 12 us                              attention 160 - 120 us
TRUTH = {
    "peak": (110e-6, 0.075),
    "memory": (120e-6, 0.068),
    "ceilings": (51e-6, 0.0321),
    "experts": (16e-6, 0.008),
    "attention": (40e-6, 0.024),
    "head": (25e-6, 0.0175),
    "norms": (3e-6, 0.0009),
    "launch_gaps": (35e-6, 0.0145),
}


def bars(waterfall: Waterfall) -> dict[str, Bar]:
    return {bar.name: bar for bar in waterfall.bars}


def per_step(waterfall: Waterfall) -> dict[str, tuple[float, float]]:
    """Seconds and joules of one step of every bar; unknown as 0, which is what it adds to the sum."""
    return {bar.name: ((bar.gpu_s or 0.0) * planted.TOKENS, (bar.energy_j or 0.0) * planted.TOKENS) for bar in waterfall.bars}


def moved(before: Waterfall, after: Waterfall) -> dict[str, tuple[float, float]]:
    """Bars that changed by more than rounding."""
    old, new = per_step(before), per_step(after)
    deltas = {name: tuple(new.get(name, (0.0, 0.0))[i] - old.get(name, (0.0, 0.0))[i] for i in (0, 1)) for name in {*old, *new}}
    return {name: (d[0], d[1]) for name, d in deltas.items() if abs(d[0]) > 1e-10 or abs(d[1]) > 1e-7}


def test_every_bar_is_its_cause() -> None:
    found = planted.waterfall()
    shown = bars(found)
    for name, (seconds, joules) in TRUTH.items():
        assert shown[name].gpu_s == pytest.approx(seconds / 100, rel=0.01), name
        assert shown[name].energy_j == pytest.approx(joules / 100, rel=0.01), name
        assert shown[name].usd_per_mtok == pytest.approx(seconds / 100 * 1000, rel=0.01), name
    assert found.busy == {"gpu_s": pytest.approx(4e-6), "energy_j": pytest.approx(0.0024), "usd_per_mtok": pytest.approx(0.004)}
    assert [bar.name for bar in found.bars] == [
        "peak", "memory", "ceilings", "experts", "attention", "head", "norms", "our_kernels", "launch_gaps", "slow_steps", "collectives", "queueing", "idle",
        "host", "facility",
    ]  # fmt: skip
    assert shown["launch_gaps"].kind == "measured"
    assert shown["experts"].kind == shown["peak"].kind == "modelled"


def test_the_sum_is_the_token_that_rates_and_prices_are_of() -> None:
    point = planted.point()
    derived = derive_point(point, planted.plan(), GPUS["h200"], planted.price())
    busy = planted.waterfall(point).busy
    assert busy["gpu_s"] == pytest.approx(1 / derived["output_tokens_per_s_per_gpu"])
    assert busy["energy_j"] == pytest.approx(derived["energy_j_per_output_token"])


@pytest.mark.parametrize(
    "part, bar, watts",
    [("experts.gate_up", "experts", 500.0), ("head.logits", "head", 700.0), ("mlp.norm", "norms", 300.0), ("attention.attend", "attention", 600.0)],
)
def test_a_slower_operation_moves_its_part_alone(part: str, bar: str, watts: float) -> None:
    slower = planted.ALONE | {part: (planted.ALONE[part][0] + 10e-6, watts)}
    after = planted.waterfall(planted.point(slower), planted.rows(slower))
    assert moved(planted.waterfall(), after) == {bar: (pytest.approx(10e-6), pytest.approx(10e-6 * watts))}
    assert after.delivered["usd_per_mtok"] == pytest.approx(0.0041)


def test_longer_gaps_move_the_gaps_alone() -> None:
    after = planted.waterfall(planted.point(gaps=(55e-6, 0.0205)))
    assert moved(planted.waterfall(), after) == {"launch_gaps": (pytest.approx(20e-6), pytest.approx(0.006))}


def test_operations_that_run_beside_each_other_are_an_overlap() -> None:
    after = planted.waterfall(planted.point(gaps=(-15e-6, -0.004)))
    assert "launch_gaps" not in bars(after)
    assert per_step(after)["overlap"] == (pytest.approx(-15e-6), pytest.approx(-0.004))
    assert per_step(after)["experts"] == (pytest.approx(16e-6), pytest.approx(0.008))


def test_a_machine_below_its_datasheet_moves_the_ceilings_alone() -> None:
    # At 3.0 TB/s the rooflines are 32, 125, 16 and 160 us: 8, 4 and 40 us more at 500, 300 and 600 W, and operations that keep their distance.
    slower = {"experts.gate_up": (48e-6, 500.0), "head.logits": (150e-6, 700.0), "mlp.norm": (19e-6, 300.0), "attention.attend": (200e-6, 600.0)}
    machine = planted.CEILINGS | {"bandwidth_bytes_per_s": 3.0e12}
    after = planted.waterfall(planted.point(slower, ceilings=machine), planted.rows(slower))
    assert moved(planted.waterfall(), after) == {"ceilings": (pytest.approx(52e-6), pytest.approx(0.0292))}


def test_more_cache_moves_memory_and_what_this_machine_takes_longer_for_it() -> None:
    # 48 MB more: 10 us by the datasheet, 12 us at 4.0 TB/s, at 600 W; the operation keeps its distance.
    larger = planted.plan()
    larger["calls"][3]["work"]["read_bytes"] += 48e6
    slower = planted.ALONE | {"attention.attend": (172e-6, 600.0)}
    after = planted.waterfall(planted.point(slower), planted.rows(slower), larger)
    assert moved(planted.waterfall(), after) == {
        "memory": (pytest.approx(10e-6), pytest.approx(0.006)), "ceilings": (pytest.approx(2e-6), pytest.approx(0.0012)),
    }  # fmt: skip


def test_our_slowness_is_taken_out_of_the_parts_and_charged_to_us() -> None:
    # 0.9: a tenth of each operation's time and joules.
    before, after = planted.waterfall(), planted.waterfall(planted.point(kernel_ratio=0.9))
    assert moved(before, after) == {
        "experts": (pytest.approx(-4e-6), pytest.approx(-0.002)), "head": (pytest.approx(-15e-6), pytest.approx(-0.0105)),
        "norms": (pytest.approx(-1.5e-6), pytest.approx(-0.00045)), "attention": (pytest.approx(-16e-6), pytest.approx(-0.0096)),
        "our_kernels": (pytest.approx(36.5e-6), pytest.approx(0.02255)),
    }  # fmt: skip
    assert after.delivered == {name: pytest.approx(value) for name, value in before.delivered.items()}
    assert bars(before)["our_kernels"].why_null == "nobody compared our kernels with a library's on this machine"


def test_an_operation_with_a_ratio_of_its_own_is_charged_by_it() -> None:
    rows = planted.rows()
    rows[1]["kernel_ratio"] = 0.5
    assert moved(planted.waterfall(), planted.waterfall(ops=rows)) == {
        "head": (pytest.approx(-75e-6), pytest.approx(-0.0525)), "our_kernels": (pytest.approx(75e-6), pytest.approx(0.0525)),
    }  # fmt: skip


def test_kernels_faster_than_the_library_owe_nothing() -> None:
    found = planted.worked_out(planted.point(kernel_ratio=1.2), planted.rows())
    assert found.operations is not None
    assert [slowness(op, 1.2) for op in found.operations.ops] == [0.0] * 4


def test_collectives_stand_behind_the_step_without_joules() -> None:
    emulated = {"tp": 1, "ep": 8, "dp": 8, "deployment_gpus": 8, "span": "nvl8", "provenance": {"step_s": "emulated", "energy_j": "measured"}}
    after = planted.waterfall(planted.point(**emulated), calls=planted.plan(planted.all_reduce()))
    assert moved(planted.waterfall(), after) == {"collectives": (pytest.approx(37e-6), 0.0)}
    links = bars(after)["collectives"]
    assert (links.energy_j, links.why_null, links.kind) == (None, "joules: the network was not measured", "modelled")
    assert after.busy["usd_per_mtok"] == pytest.approx(0.00437)
    assert bars(after)["experts"].kind == "modelled"
    assert bars(after)["launch_gaps"].kind == "emulated"


def test_idle_hours_are_paid_for() -> None:
    # 80 % busy: 100 us more of a GPU for each step, at the idle 75 W.
    after = planted.waterfall(at=planted.price(utilisation=0.8))
    assert moved(planted.waterfall(), after) == {"idle": (pytest.approx(100e-6), pytest.approx(0.0075))}
    assert after.delivered["usd_per_mtok"] == pytest.approx(0.005)
    assert (
        bars(planted.waterfall(planted.point(idle_board_w=None), at=planted.price(utilisation=0.8)))["idle"].why_null == "joules: idle power was not measured"
    )


def test_host_and_facility_cost_joules_alone() -> None:
    # The board draws 600 W: CPUs 100 W, the node 300 W beyond the board over 400 us; PUE 1.5 adds half of 900 W.
    metered = planted.point(board_cpu_w=700.0, node_w=900.0, provenance={"step_s": "measured", "energy_j": "measured", "node_w": "measured"})
    after = planted.waterfall(metered, at=planted.price(pue=1.5))
    assert moved(planted.waterfall(), after) == {"host": (0.0, pytest.approx(0.12)), "facility": (0.0, pytest.approx(0.18))}
    assert bars(after)["host"].note == "CPUs 100 W, the rest of the node 200 W per GPU"
    assert after.delivered["energy_j"] == pytest.approx(0.0054)
    assert after.delivered["usd_per_mtok"] == pytest.approx(0.004)
    cpus = planted.waterfall(planted.point(board_cpu_w=700.0))
    assert moved(planted.waterfall(), cpus) == {"host": (0.0, pytest.approx(0.04))}
    assert bars(cpus)["facility"].why_null == "joules: the node's watts are not known (--watts, a meter)"
    assert bars(planted.waterfall(metered, at=planted.price(pue=None)))["facility"].why_null == "joules: no PUE (--pue)"


def test_a_price_without_energy_charges_joules_where_they_went() -> None:
    # 900 W x 1.5 at $0.36/kWh: $1e-7 per joule. The step's 0.24 J cost $0.00024 per Mtok beside $0.004, host 0.12 J and facility 0.18 J the rest of 0.54 J.
    at = planted.price(includes=("capex", "colocation"), usd_per_kwh=0.36, pue=1.5, node_w=900.0)
    after = planted.waterfall(at=at)
    shown = bars(after)
    assert shown["attention"].usd_per_mtok == pytest.approx(0.0004 + 0.024 / 100 * 0.1)
    assert shown["host"].usd_per_mtok == pytest.approx(0.00012)
    assert shown["facility"].usd_per_mtok == pytest.approx(0.00018)
    assert after.price.energy_usd_per_mtok == pytest.approx(0.00054)
    hour, _ = gpu_hour_usd(at, 1350.0)
    assert hour is not None
    assert after.price.usd_per_mtok == pytest.approx(4e-6 * hour / 3600 * 1e6)
    assert after.price.usd_per_mtok == pytest.approx(0.00454)


def test_idle_hours_of_a_price_without_energy_cost_what_the_price_says() -> None:
    at = planted.price(includes=("capex",), usd_per_kwh=0.36, pue=1.5, node_w=900.0, utilisation=0.8)
    assert planted.waterfall(at=at).price.usd_per_mtok == pytest.approx(0.00454 / 0.8)


def test_steps_above_the_median_are_a_bar_of_their_own() -> None:
    # Windows of 410 us per step around a median of 400 us; the mean power stays.
    point = planted.point()
    after = planted.waterfall(point | {"window_s": point["window_s"] * 1.025, "energy_j": point["energy_j"] * 1.025})
    assert moved(planted.waterfall(), after) == {"slow_steps": (pytest.approx(10e-6), pytest.approx(0.006))}


def test_what_was_not_measured_alone_is_named_and_lies_in_the_residue() -> None:
    alone = {part: figures for part, figures in planted.ALONE.items() if part != "attention.attend"}
    after = planted.waterfall(ops=planted.rows(alone))
    shown = bars(after)
    assert shown["not_measured_alone"].gpu_s is None
    assert shown["not_measured_alone"].why_null == "attention.attend; what lies above their floors is below"
    assert shown["attention"].why_null == "none of its operations was measured alone"
    assert per_step(after)["launch_gaps"][0] == pytest.approx(75e-6)  # its 40 us above the floor, and the gaps
    assert shown["launch_gaps"].note == "holds what attention.attend take above their floors"
    assert after.busy["gpu_s"] == pytest.approx(4e-6)


def test_without_operations_one_bar_holds_them_and_watts_are_the_mean() -> None:
    after = planted.waterfall(ops=[])
    assert per_step(after)["operations"] == (pytest.approx(119e-6), pytest.approx(119e-6 * 600))
    assert per_step(after)["peak"] == (pytest.approx(110e-6), pytest.approx(0.066))
    assert bars(after)["operations"].note == "everything above the floor: run --per-op splits it"
    assert bars(after)["launch_gaps"].gpu_s is None
    assert after.busy == {"gpu_s": pytest.approx(4e-6), "energy_j": pytest.approx(0.0024), "usd_per_mtok": pytest.approx(0.004)}
    slow = planted.waterfall(planted.point(kernel_ratio=0.9), ops=[])
    assert moved(after, slow) == {"operations": (pytest.approx(-40e-6), pytest.approx(-0.024)), "our_kernels": (pytest.approx(40e-6), pytest.approx(0.024))}


def test_an_operation_below_its_floor_is_shown_as_that() -> None:
    faster = planted.ALONE | {"mlp.norm": (2e-6, 300.0)}
    after = planted.waterfall(planted.point(faster), planted.rows(faster))
    assert per_step(after)["norms"] == (pytest.approx(-10e-6), pytest.approx(-0.003))


def test_without_a_datasheet_the_peak_is_the_measured_rate() -> None:
    after = planted.waterfall(planted.point(gpu_key=None, gpu=None))
    # 12.5 and 125 us at 791.2 TFLOP/s; the roofline stays 281 us.
    assert per_step(after)["peak"][0] == pytest.approx(137.5e-6)
    assert per_step(after)["memory"][0] == pytest.approx(143.5e-6)
    assert bars(after)["peak"].note == "no datasheet of this machine: at the ceilings measured in the run"
    assert bars(after)["ceilings"].why_null == "no datasheet to compare with"
    assert after.busy["gpu_s"] == pytest.approx(4e-6)


def test_without_ceilings_the_floor_is_the_datasheets() -> None:
    after = planted.waterfall(planted.point(ceilings=None))
    assert per_step(after)["attention"][0] == pytest.approx(60e-6)
    assert bars(after)["ceilings"].why_null == "no ceilings were measured in the run: the floor is the datasheet's"


def test_without_either_there_is_no_floor_and_all_time_is_the_operations() -> None:
    after = planted.waterfall(planted.point(gpu_key=None, ceilings=None))
    assert bars(after)["peak"].why_null == "a rate is neither measured nor on a datasheet: bandwidth, bf16"
    assert per_step(after)["attention"][0] == pytest.approx(160e-6)
    assert after.busy["gpu_s"] == pytest.approx(4e-6)


def test_without_a_price_there_are_no_dollars_and_a_reason() -> None:
    after = planted.waterfall(at=made.no_price())
    assert {bar.usd_per_mtok for bar in after.bars} == {None}
    assert after.price.usd_per_mtok is None
    assert after.price.why_null is not None
    assert "--usd-per-gpu-hour" in after.price.why_null
    assert after.busy["gpu_s"] == pytest.approx(4e-6)


def test_without_power_there_are_no_joules_and_a_reason() -> None:
    dark = planted.point(energy_j=None, board_w=None, power_source="none", warnings=["no_power: no driver"])
    rows = [row | {"call_j": None} for row in planted.rows()]
    after = planted.waterfall(dark, rows)
    assert {bar.energy_j for bar in after.bars if bar.name not in ("collectives", "idle")} == {None}
    assert bars(after)["host"].why_null == "joules: no power was measured (no driver); --watts at `run` declares it"
    assert (after.busy["energy_j"], after.delivered["energy_j"]) == (None, None)  # never 0, though links and idle hours of one busy GPU are
    assert bars(after)["attention"].usd_per_mtok == pytest.approx(0.0004)


def test_declared_watts_are_the_nodes_and_hold_the_host() -> None:
    after = planted.waterfall(planted.point(power_source="declared", board_w=None, node_w=600.0), at=planted.price(pue=1.5))
    assert after.boundary == "node"
    assert bars(after)["host"].why_null == "joules: the watts are the node's, so the host is in every bar"
    assert per_step(after)["facility"][1] == pytest.approx(0.12)


def test_a_step_of_fewer_layers_is_explained_as_a_step_without_dollars() -> None:
    after = planted.waterfall(planted.point(layers_measured={"dense": [1, 48]}))
    assert after.unit == "step"
    assert after.busy["gpu_s"] == pytest.approx(400e-6)
    assert after.price.why_null == "some layers were left out (--layers): the step is no model's"


def test_a_prefill_is_explained_per_input_token() -> None:
    point = planted.point(phase="prefill", output_tokens=0, input_tokens=10_000 * 100)
    found = planted.waterfall(point)
    assert found.unit == "input token"
    assert bars(found)["experts"].gpu_s == pytest.approx(0.16e-6)
    derived = derive_point(point, planted.plan(), GPUS["h200"], planted.price())
    assert found.busy["gpu_s"] == pytest.approx(1 / derived["input_tokens_per_s_per_gpu"])
    assert found.busy["energy_j"] == pytest.approx(derived["energy_j_per_total_token"])


def mixes(**changes: Any) -> tuple[list[dict[str, Any]], list[Waterfall]]:
    from dataclasses import replace

    from profiler.explain.explanation import Reported, explain

    price = replace(made.price(), **changes)
    run = made.run()
    derived = derive_run(run, price)
    found = explain([Reported(run=run, price=price, derived=derived)])
    return derived.mixes, list(found.mixes.values())


@pytest.mark.parametrize(
    "changes", [{}, {"utilisation": 0.5}, {"includes": ("capex",), "usd_per_kwh": 0.2, "node_w": 900.0}, {"includes": ("capex",), "usd_per_kwh": 0.2}]
)
def test_a_request_adds_up_to_the_price_and_joules_of_its_mix(changes: dict[str, Any]) -> None:
    figures, found = mixes(**changes)
    assert len(found) == 2
    for mix, waterfall in zip(figures, found, strict=True):
        assert waterfall.price.usd_per_mtok == pytest.approx(mix["usd_per_mtok"]["value"])
        assert waterfall.busy["gpu_s"] == pytest.approx(1 / mix["output_tokens_per_s_per_gpu"])
        assert waterfall.busy["energy_j"] == pytest.approx(mix["energy_j_per_output_token"])


def test_a_request_is_prefill_for_each_fresh_token_and_decode() -> None:
    # Batch 128: decode 6 ms of arithmetic measured at 788 TFLOP/s are 4,728 GFLOP, 4.7806 ms at 989; a prefill 119.515 ms for 1024 output tokens.
    _, found = mixes()
    assert bars(found[1])["peak"].gpu_s == pytest.approx(0.119515 / 1024 + 0.0047806 / 128, rel=1e-3)
    assert bars(found[1])["peak"].label == "arithmetic at the peak"
    assert found[1].subject["points"] == {"prefill": "prefill-b1", "decode": "decode-b128"}
