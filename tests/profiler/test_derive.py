import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.economics.derive import Derived, derive_point, derive_run, price_for_run
from profiler.economics.prices import PricePick, load_price_book, pick_price
from profiler.gpus import GPUS
from triton_kernels.errors import TokenmillError

BOOK = load_price_book()

# 1e9 / 4e12 = 0.25 ms of memory and 1.6e12 / 800e12 = 2 ms of compute at the measured ceilings.
WORK = {"flops": 1.6e12, "lane": "bf16", "read_bytes": 1e9, "written_bytes": 0, "link_bytes": 0}
PLAN = {"calls": [{"op": "matmul", "part": "experts.up", "count": 48, "work": WORK}]}

COMMON = {
    "status": "ok", "model": "qwen3-30b-a3b", "weights": "random", "precision": "bf16", "kv_cache": "bf16", "mix": "8k/1k", "routing": "uniform",
    "tp": 1, "ep": 1, "dp": 1, "span": None, "rank": "hottest", "gpu": "NVIDIA H200", "gpu_key": "h200", "measured_gpus": 1, "deployment_gpus": 1,
    "device": "cuda", "kernels": "triton", "kernel_ratio": 0.9, "power_source": "nvml-counter", "plan": "abc", "valid": True, "invalid_reasons": [],
    "ceilings": {"bandwidth_bytes_per_s": 4e12, "copy_bytes_per_s": 3.9e12, "flops_per_s": {"bf16": 800e12}}, "warnings": [], "cached_tokens": 0,
    "provenance": {"step_s": "measured", "energy_j": "measured", "board_w": "measured"},
}  # fmt: skip


def decode(**changes: Any) -> dict[str, Any]:
    """512 tokens/s: 5120 in 10 s, four at a time in 7.8125 ms; 7680 J are 1.5 J per token and 768 W."""
    step = {"median": 0.0078125, "p10": 0.0077, "p90": 0.0079, "ci95": [0.0078125 * 0.992, 0.0078125 * 1.02], "n": 1280}
    measured = {"step_s": step, "output_tokens": 5120, "input_tokens": 0, "window_s": 10.0, "energy_j": 7680.0, "board_w": 768.0}
    return {**COMMON, "point_id": "d4", "phase": "decode", "batch": 4, "context": 8704, **measured, **changes}


def prefill(**changes: Any) -> dict[str, Any]:
    """20480 tokens/s: 204800 in 10 s; 10240 J are 0.05 J per token and 1024 W."""
    step = {"median": 0.4, "p10": 0.39, "p90": 0.41, "ci95": [0.4 * 0.97, 0.4 * 1.075], "n": 25}
    measured = {"step_s": step, "output_tokens": 0, "input_tokens": 204800, "window_s": 10.0, "energy_j": 10240.0, "board_w": 1024.0}
    return {**COMMON, "point_id": "p1", "phase": "prefill", "batch": 1, "context": 8192, **measured, **changes}


def run_of(*points: dict[str, Any], price: PricePick | None = None) -> Any:
    return SimpleNamespace(path=Path("runs/x"), header={"price": price.json() if price else None}, points=list(points), plans={"abc": PLAN})


def derive(*points: dict[str, Any], price: PricePick | None = None) -> Derived:
    return derive_run(run_of(*points), price)


def test_rates_energy_and_floor_of_a_decode_point() -> None:
    point = derive_point(decode(), PLAN, GPUS["h200"])
    assert point["output_tokens_per_s_per_gpu"] == pytest.approx(512.0)
    assert point["input_tokens_per_s_per_gpu"] == 0.0
    assert point["total_tokens_per_s_per_gpu"] == pytest.approx(512.0)
    assert point["tokens_per_s_per_user"] == pytest.approx(128.0)
    assert point["energy_j_per_output_token"] == pytest.approx(1.5)
    assert point["energy_j_per_total_token"] == pytest.approx(1.5)
    assert point["floor_s"] == pytest.approx(2e-3)
    assert point["floor_source"] == "measured"
    assert point["share_of_roofline"] == pytest.approx(0.256)
    assert (point["step_flops"], point["step_memory_bytes"]) == (1.6e12, 1e9)
    assert point["tokens_per_s_per_mw"]["board"] == pytest.approx(1e6 / 1.5)
    assert [point["tokens_per_s_per_mw"][b] for b in ("board_cpu", "node", "facility", "provisioned")] == [None] * 4
    assert point["batch"] == 4  # recorded fields stay


def test_a_prefill_emits_no_output_tokens() -> None:
    point = derive_point(prefill(), PLAN, GPUS["h200"])
    assert point["input_tokens_per_s_per_gpu"] == pytest.approx(20480.0)
    assert point["energy_j_per_total_token"] == pytest.approx(0.05)
    assert point["energy_j_per_output_token"] is None
    assert point["tokens_per_s_per_user"] is None
    assert set(point["tokens_per_s_per_mw"].values()) == {None}


def test_provenance_is_the_weakest_of_the_inputs() -> None:
    kinds = derive_point(decode(), PLAN, GPUS["h200"], pick_price(BOOK, "h200"))["provenance"]
    assert kinds["output_tokens_per_s_per_gpu"] == "measured"
    assert kinds["energy_j_per_output_token"] == "measured"
    assert kinds["floor_s"] == kinds["share_of_roofline"] == "modelled"
    assert kinds["tokens_per_s_per_mw.board"] == "measured"
    assert kinds["tokens_per_s_per_mw.provisioned"] == "reference"
    assert "tokens_per_s_per_mw.node" not in kinds
    replayed = derive_point(decode(power_source="replay", provenance={"step_s": "measured", "energy_j": "replayed"}), PLAN, None)
    assert replayed["provenance"]["energy_j_per_output_token"] == "replayed"
    emulated = derive_point(decode(provenance={"step_s": "emulated", "energy_j": "measured"}), PLAN, None)
    assert emulated["provenance"]["tokens_per_s_per_mw.board"] == "emulated"


LINK_PLAN = {
    "calls": [
        *PLAN["calls"],
        {"op": "all_reduce", "part": "mlp.all_reduce", "count": 100, "attrs": {"group": "tp", "group_size": 2}, "work": {**WORK, "flops": 0, "read_bytes": 0}},
    ]
}


def emulated(**changes: Any) -> dict[str, Any]:
    """One rank of two: 100 reductions of no bytes are 100 x 8.5 us = 0.85 ms behind a step of 7.8125 ms."""
    return decode(tp=2, deployment_gpus=2, span="nvl8", provenance={"step_s": "emulated", "energy_j": "measured"}, tokens_per_step=4, **changes)


def test_an_emulated_step_is_as_long_as_its_compute_and_its_links() -> None:
    point = derive_point(emulated(), LINK_PLAN, GPUS["h200"])
    assert point["collective_s"] == pytest.approx({"overlapped": 0.0, "serial": 0.85e-3})
    assert point["tokens_per_s_per_user"] == pytest.approx(1 / 8.6625e-3)
    assert point["output_tokens_per_s_per_gpu"] == pytest.approx(4 / 8.6625e-3 / 2)
    assert (point["provenance"]["collective_s"], point["provenance"]["output_tokens_per_s_per_gpu"]) == ("modelled", "emulated")
    assert point["energy_j_per_output_token"] == pytest.approx(1.5 * 2)  # both GPUs compute
    assert any(warning.startswith("no_network") for warning in point["warnings"])
    assert point["share_of_roofline"] == pytest.approx(2e-3 / 7.8125e-3)


def test_an_emulated_point_without_its_links_has_no_rates() -> None:
    point = derive_point(emulated(), None, GPUS["h200"])
    assert (point["collective_s"], point["output_tokens_per_s_per_gpu"], point["tokens_per_s_per_user"]) == (None, None, None)


def test_links_of_a_machine_that_is_not_in_the_table_are_assumed() -> None:
    assert derive_point(emulated(gpu_key=None), LINK_PLAN, None)["provenance"]["collective_s"] == "assumed"


def test_a_reduced_model_has_a_share_of_roofline_and_neither_rates_nor_money() -> None:
    cut = {"layers_measured": {"dense": [3, 3], "moe": [4, 58]}, "provenance": {"step_s": "emulated"}}
    point = derive_point(decode(**cut), PLAN, GPUS["h200"])
    assert point["share_of_roofline"] == pytest.approx(0.256)
    assert (point["output_tokens_per_s_per_gpu"], point["tokens_per_s_per_user"], point["energy_j_per_output_token"]) == (None, None, None)
    (mix,) = derive(decode(**cut), prefill(**cut), price=pick_price(BOOK, "h200")).mixes
    assert mix["usd_per_mtok"] is None
    assert "some layers were left out" in mix["why_null"]
    whole = decode(layers_measured={"moe": [48, 48]})
    assert derive_point(whole, PLAN, GPUS["h200"])["output_tokens_per_s_per_gpu"] == pytest.approx(512.0)


def test_declared_watts_are_the_nodes_and_assumed() -> None:
    declared = decode(power_source="declared", board_w=None, node_w=768.0, provenance={"step_s": "measured", "energy_j": "assumed"})
    point = derive_point(declared, PLAN, None, pick_price(BOOK, None, pue=1.25))
    assert point["tokens_per_s_per_mw"] == {
        "board": None,
        "board_cpu": None,
        "node": pytest.approx(512 / 768e-6),
        "facility": pytest.approx(512 / 960e-6),
        "provisioned": None,
    }
    assert point["provenance"]["tokens_per_s_per_mw.facility"] == "assumed"
    assert point["provenance"]["energy_j_per_output_token"] == "assumed"


def test_no_power_is_null_and_never_zero() -> None:
    point = derive_point(decode(energy_j=None, board_w=None, power_source="none"), PLAN, GPUS["h200"])
    assert point["energy_j_per_output_token"] is None
    assert set(point["tokens_per_s_per_mw"].values()) == {None}
    assert "energy_j_per_output_token" not in point["provenance"]


def test_without_ceilings_the_datasheet_and_without_both_nothing() -> None:
    sheet = derive_point(decode(ceilings=None), PLAN, GPUS["h200"])
    assert (sheet["floor_s"], sheet["floor_source"]) == (pytest.approx(1.6e12 / 989e12), "datasheet")
    mixed = derive_point(decode(ceilings={"bandwidth_bytes_per_s": 4e12, "flops_per_s": {}}), PLAN, GPUS["h200"])
    assert mixed["floor_source"] == "measured and datasheet"
    unknown = derive_point(decode(ceilings=None), PLAN, None)
    assert (unknown["floor_s"], unknown["floor_source"], unknown["share_of_roofline"]) == (None, None, None)
    assert derive_point(decode(), None, GPUS["h200"])["floor_s"] is None


def test_an_out_of_memory_point_has_no_figures() -> None:
    point = derive_point(
        {**COMMON, "point_id": "x", "phase": "decode", "batch": 9, "status": "oom", "step_s": None, "power_source": "none"}, None, GPUS["h200"]
    )
    for figure in ("output_tokens_per_s_per_gpu", "tokens_per_s_per_user", "energy_j_per_output_token", "floor_s"):
        assert point[figure] is None


def test_rates_are_per_gpu_of_the_deployment() -> None:
    # Two data-parallel ranks of two GPUs each, one GPU measured: 2 x 512 tokens/s over 4 GPUs; 4 GPUs' joules over 2 ranks' tokens.
    point = derive_point(decode(dp=2, tp=2, deployment_gpus=4), PLAN, GPUS["h200"])
    assert point["output_tokens_per_s_per_gpu"] == pytest.approx(256.0)
    assert point["energy_j_per_output_token"] == pytest.approx(3.0)
    assert point["tokens_per_s_per_mw"]["board"] == pytest.approx(1e6 / 3.0)


@pytest.mark.parametrize(("ratio", "marked"), [(None, True), (0.84, True), (0.85, False), (1.1, False)])
def test_kernels_not_shown_to_be_fast_are_marked(ratio: float | None, marked: bool) -> None:
    assert ("untuned_kernels" in derive_point(decode(kernel_ratio=ratio), PLAN, None)["warnings"]) is marked
    assert "untuned_kernels" not in derive_point(decode(kernel_ratio=ratio, device="cpu"), PLAN, None)["warnings"]


@given(tokens=st.integers(1, 10**9), window_s=st.floats(0.1, 1e4), watts=st.floats(1, 1e5))
def test_tokens_per_s_per_mw_are_tokens_per_megajoule(tokens: int, window_s: float, watts: float) -> None:
    point = derive_point(decode(output_tokens=tokens, window_s=window_s, board_w=watts, energy_j=watts * window_s), None, None)
    assert point["tokens_per_s_per_mw"]["board"] == pytest.approx(1e6 / point["energy_j_per_output_token"])


def test_halving_the_time_doubles_the_rates() -> None:
    slow = derive_point(decode(), None, None)
    fast = derive_point(decode(window_s=5.0, step_s={"median": 0.00390625, "ci95": None}), None, None)
    for rate in ("output_tokens_per_s_per_gpu", "tokens_per_s_per_user"):
        assert fast[rate] == pytest.approx(2 * slow[rate])


def test_a_mix_of_two_points() -> None:
    price = pick_price(BOOK, "h200", usd_per_gpu_hour=3.6)
    (mix,) = derive(prefill(), decode(), price=price).mixes
    assert mix["points"] == {"prefill": "p1", "decode": "d4"}
    assert (mix["mix"], mix["batch"], mix["precision"]) == ("8k/1k", 4, "bf16")
    # 8192 / 20480 + 1024 / 512 = 2.4 GPU-seconds at $0.001: the composition of test_economics.
    assert mix["usd_per_mtok"]["value"] == pytest.approx(2.34375)
    assert mix["usd_per_mtok"]["ci95"] == pytest.approx([2.34375 * 2.38 / 2.4, 2.34375 * 2.45 / 2.4])
    assert (mix["usd_per_mtok"]["price_range"], mix["usd_per_mtok"]["basis"], mix["usd_per_mtok"]["mix"]) == (None, "output", "8k/1k")
    assert mix["usd_per_mtok_by_class"] == {"input": pytest.approx(0.048828125), "cached": None, "output": pytest.approx(1.953125)}
    assert mix["energy_j_per_output_token"] == pytest.approx(1.9)
    assert mix["output_tokens_per_s_per_gpu"] == pytest.approx(1024 / 2.4)
    assert mix["tokens_per_s_per_mw"]["board"] == pytest.approx(1e6 / 1.9)
    assert mix["tokens_per_s_per_mw"]["provisioned"] == pytest.approx(1024 / 2.4 / 1730e-6)
    assert mix["tokens_per_s_per_user"] == pytest.approx(128.0)
    assert (mix["valid"], mix["why_null"], mix["invalid_reasons"]) == (True, None, [])
    assert mix["provenance"]["usd_per_mtok"] == "measured"
    assert mix["provenance"]["usd_per_gpu_hour"] == "assumed"


def test_the_interval_surrounds_the_mean_that_the_rate_is_made_of() -> None:
    """One-sided noise: the median step is 7 ms, the mean 7.8125 ms (512 tokens/s), known to +/- 1 %. 1 % of 2 of 2.4 GPU-seconds is 0.02."""
    skewed = {"median": 0.007, "p10": 0.0069, "p90": 0.012, "ci95": [0.0078125 * 0.99, 0.0078125 * 1.01], "n": 1280}
    exact = {"median": 0.4, "p10": 0.4, "p90": 0.4, "ci95": [0.4, 0.4], "n": 25}
    points = prefill(step_s=exact, tokens_per_step=8192), decode(step_s=skewed, tokens_per_step=4)
    (mix,) = derive(*points, price=pick_price(BOOK, "h200", usd_per_gpu_hour=3.6)).mixes
    assert mix["usd_per_mtok"]["ci95"] == pytest.approx([2.34375 * 2.38 / 2.4, 2.34375 * 2.42 / 2.4])


def test_price_spread_is_apart_from_noise() -> None:
    (mix,) = derive(prefill(), decode(), price=pick_price(BOOK, "h200")).mixes
    value = mix["usd_per_mtok"]["value"]
    assert value == pytest.approx(2.34375 * 1.41 / 3.6)
    assert mix["usd_per_mtok"]["price_range"] == pytest.approx([value, value * 1.74 / 1.41])
    assert mix["usd_per_mtok"]["ci95"] == pytest.approx([value * 2.38 / 2.4, value * 2.45 / 2.4])


def test_one_mix_for_each_batch_with_the_fastest_agreeing_prefill() -> None:
    slower = prefill(point_id="p-slow", window_s=20.0)
    other = prefill(point_id="p-fp8", precision="fp8", window_s=1.0)
    derived = derive(slower, prefill(), other, decode(), decode(point_id="d8", batch=8, output_tokens=10240))
    assert [(mix["batch"], mix["points"]) for mix in derived.mixes] == [(4, {"prefill": "p1", "decode": "d4"}), (8, {"prefill": "p1", "decode": "d8"})]


def test_an_invalid_part_makes_the_mix_invalid() -> None:
    (mix,) = derive(prefill(valid=False, invalid_reasons=["clocks"]), decode()).mixes
    assert (mix["valid"], mix["invalid_reasons"]) == (False, ["prefill: clocks"])
    # A valid prefill is preferred over a faster one that is not.
    (mix,) = derive(prefill(valid=False, window_s=1.0), prefill(point_id="p2"), decode()).mixes
    assert (mix["valid"], mix["points"]["prefill"]) == (True, "p2")


@pytest.mark.parametrize(
    ("points", "said"),
    [
        ([decode()], "no prefill was measured"),
        ([prefill(precision="fp8"), decode()], "no prefill was measured"),
        ([prefill(status="oom", step_s=None, window_s=None), decode()], "did not run (oom)"),
    ],
)
def test_half_a_mix_has_no_price_and_says_why(points: list[dict[str, Any]], said: str) -> None:
    (mix,) = derive(*points, price=pick_price(BOOK, "h200")).mixes
    assert (mix["usd_per_mtok"], mix["usd_per_mtok_by_class"], mix["energy_j_per_output_token"], mix["valid"]) == (None, None, None, False)
    assert said in mix["why_null"]


def test_no_price_is_null_with_the_reason_and_the_rest_stays() -> None:
    (mix,) = derive(prefill(), decode(), price=pick_price(BOOK, "a100")).mixes
    assert mix["usd_per_mtok"] is None
    assert "no price for a100" in mix["why_null"]
    assert mix["tokens_per_s_per_mw"]["board"] == pytest.approx(1e6 / 1.9)
    assert mix["valid"]


def test_points_without_a_mix_make_none() -> None:
    assert derive(prefill(mix=None), decode(mix=None)).mixes == []


def test_declared_watts_of_a_mix_are_the_nodes() -> None:
    derived = derive(prefill(power_source="declared"), decode(power_source="declared"), price=pick_price(BOOK, "h200"))
    mw = derived.mixes[0]["tokens_per_s_per_mw"]
    assert mw["board"] is None
    assert mw["node"] == pytest.approx(1e6 / 1.9)
    assert mw["facility"] == pytest.approx(1e6 / 1.9 / 1.3)


def test_unlike_power_sources_have_no_common_watts() -> None:
    mw = derive(prefill(power_source="declared"), decode(), price=pick_price(BOOK, "h200")).mixes[0]["tokens_per_s_per_mw"]
    assert (mw["board"], mw["node"]) == (None, None)


def test_noise_of_joules_reaches_every_figure_made_of_them() -> None:
    # 6 J per step of 4 tokens, known to -2 % and +3 %: 1.5 J per token, 1e6 / 1.5 tokens per megajoule.
    joules = {"mean": 6.0, "ci95": [5.88, 6.18], "n": 5}
    point = derive_point(decode(energy_per_step_j=joules), PLAN, GPUS["h200"])
    assert point["ci95"]["energy_j_per_output_token"] == [pytest.approx(1.47), pytest.approx(1.545)]
    assert point["ci95"]["tokens_per_s_per_mw.board"] == [pytest.approx(1e6 / 1.545), pytest.approx(1e6 / 1.47)]
    assert derive_point(decode(), PLAN, GPUS["h200"])["ci95"] == {}
    # A request: 8192 x 0.05 = 409.6 J (-1 %, +1 %) and 1024 x 1.5 = 1536 J: below sqrt(4.096^2 + 30.72^2) = 30.992, above sqrt(4.096^2 + 46.08^2) = 46.262.
    read = prefill(energy_per_step_j={"mean": 409.6, "ci95": [405.504, 413.696], "n": 5})
    mix = derive(read, decode(energy_per_step_j=joules), price=pick_price(BOOK, "h200")).mixes[0]
    assert mix["ci95"]["energy_j_per_output_token"] == [pytest.approx((1945.6 - 30.992) / 1024, rel=1e-5), pytest.approx((1945.6 + 46.262) / 1024, rel=1e-5)]
    assert mix["ci95"]["tokens_per_s_per_mw.board"][1] == pytest.approx(1e6 * 1024 / (1945.6 - 30.992), rel=1e-5)
    alone = derive(read, decode(), price=None).mixes[0]["ci95"]
    assert set(alone) == {"output_tokens_per_s_per_gpu"}  # joules of one phase without an interval: none is made up


def test_boundaries_of_sensors_and_meters() -> None:
    # 512 tokens/s at 768 W of the board, 900 W with the CPUs' share, 1,000 W at the meter; a declared figure does not replace the meter's.
    measured = {"step_s": "measured", "energy_j": "measured", "board_w": "measured", "node_w": "measured"}
    point = decode(board_cpu_w=900.0, node_w=1000.0, provenance=measured)
    found = derive_point(point, PLAN, GPUS["h200"], pick_price(BOOK, "h200", watts=1400.0, pue=1.2))
    mw = found["tokens_per_s_per_mw"]
    assert [mw[name] for name in ("board", "board_cpu", "node", "facility")] == [pytest.approx(512e6 / watts) for watts in (768, 900, 1000, 1200)]
    kinds = found["provenance"]
    assert [kinds[f"tokens_per_s_per_mw.{name}"] for name in ("board", "board_cpu", "node", "facility")] == ["measured"] * 3 + ["assumed"]
    # Of a mix: prefill takes 0.4 s at 1,100 W, decode 2 s at 1,000 W: (440 + 2000) / 2.4 W; 1024 tokens in 2.4 s.
    mix = derive(prefill(node_w=1100.0, provenance=measured), point, price=pick_price(BOOK, "h200")).mixes[0]
    assert mix["tokens_per_s_per_mw"]["node"] == pytest.approx(1024 / 2440 * 1e6)
    assert mix["provenance"]["tokens_per_s_per_mw.node"] == "measured"
    assert mix["tokens_per_s_per_mw"]["board_cpu"] is None  # the prefill's CPUs were not read


def test_the_document_is_json() -> None:
    document = derive(prefill(), decode(), decode(status="oom", point_id="x", step_s=None), price=pick_price(BOOK, "h200")).json()
    assert set(json.loads(json.dumps(document, allow_nan=False))) == {"points", "mixes"}
    assert len(document["points"]) == 3
    assert len(document["mixes"]) == 1


@pytest.mark.parametrize("damage", [{"window_s": "ten"}, {"step_s": [1]}, {"dp": 0.0, "deployment_gpus": "x"}, {"provenance": 3}, {"output_tokens": {}}])
def test_a_damaged_point_is_one_line(damage: dict[str, Any]) -> None:
    with pytest.raises(TokenmillError, match="damaged") as caught:
        derive(decode(**damage))
    assert "\n" not in str(caught.value)


def test_a_run_is_read_at_the_price_it_declared_unless_another_is_given() -> None:
    declared = pick_price(BOOK, "h200", usd_per_gpu_hour=0.5, watts=65.0)
    run = run_of(decode(), price=declared)
    assert price_for_run(run, BOOK) == declared
    assert price_for_run(run, BOOK, usd_per_gpu_hour=0.7).usd_per_gpu_hour == 0.7
    assert price_for_run(run, BOOK, kind="rent_3yr").usd_per_gpu_hour == 1.60
    from_book = run_of(decode(), price=pick_price(BOOK, "h200"))
    assert price_for_run(from_book, BOOK).usd_per_gpu_hour == 1.41
    assert price_for_run(run_of(decode(gpu_key=None)), BOOK).usd_per_gpu_hour is None
