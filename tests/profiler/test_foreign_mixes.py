"""What the tokens of a serving point cost: all-in, by class where floors split the shared GPU-seconds, and as the public habit has it."""

from __future__ import annotations

from typing import Any

import pytest

from profiler.economics.derive import derive_run
from profiler.economics.serving import NO_SPLIT, floor_split, split_by_floor
from profiler.foreign.serving_point import ServingPoint
from tests.profiler import handmade_run as made


def served(**fields: Any) -> dict[str, Any]:
    """100 output and 400 input tokens/s/GPU of requests of 4000 / 1000 tokens, on 8 H200 that draw 500 W each."""
    split = fields.pop("floor_split", None)
    base: dict[str, Any] = {
        "model": "qwen3-30b-a3b", "precision": "bf16", "gpu": "h200", "gpu_key": "h200", "gpus": 8, "tp": 8, "ep": 8, "dp": 1, "isl": 4000, "osl": 1000,
        "concurrency": 64, "output_rate": 100.0, "input_rate": 400.0, "per_user": 20.0, "board_w": 4000.0,
    }  # fmt: skip
    point = ServingPoint(kind="reference", original={}, **(base | fields)).json(run_id="r", point_id="row-1", source_file="f", source_format="vllm")
    return point | ({"floor_split": split} if split else {})


def derived(point: dict[str, Any], **price: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    found = derive_run(made.run(point), made.price(**price))
    ((point,), (mix,)) = found.points, found.mixes
    return point, mix


def test_all_in_price_of_output_tokens() -> None:
    point, mix = derived(served())
    # $3.60 an hour is $0.001 a second; 100 tokens/s: $10 per million, the input in it.
    assert mix["usd_per_mtok"] == {"value": pytest.approx(10.0), "ci95": None, "price_range": None, "basis": "output", "mix": "4000/1000"}
    assert (mix["points"], mix["mix"], mix["concurrency"], mix["batch"], mix["valid"]) == ({"serving": "row-1"}, "4000/1000", 64, None, True)
    assert mix["provenance"]["usd_per_mtok"] == "reference"
    assert mix["provenance"]["usd_per_gpu_hour"] == "assumed"
    assert derived(served(), utilisation=0.5)[1]["usd_per_mtok"]["value"] == pytest.approx(20.0)
    assert point["step_flops"] is None
    assert point["floor_s"] is None


def test_joules_and_megawatts() -> None:
    point, mix = derived(served(), watts=800.0, pue=1.25)
    # 500 W over 100 tokens/s: 5 J per output token; over 500 in all: 1 J. 100 / 0.0005 MW = 200,000; the node 125,000; with PUE 1.25 100,000.
    assert (point["energy_j_per_output_token"], point["energy_j_per_total_token"], mix["energy_j_per_output_token"]) == (5.0, 1.0, 5.0)
    assert point["provenance"]["energy_j_per_output_token"] == "reference"
    for figures in (point, mix):
        mw = figures["tokens_per_s_per_mw"]
        assert (mw["board"], mw["node"], mw["facility"]) == (pytest.approx(2e5), pytest.approx(1.25e5), pytest.approx(1e5))
        assert mw["provisioned"] == pytest.approx(100 / 1.73e-3)  # the book's plan for an H200
        assert figures["provenance"]["tokens_per_s_per_mw.board"] == "reference"


def test_without_power_the_plan_alone_has_a_figure() -> None:
    point, _ = derived(served(board_w=None))
    assert {name: value for name, value in point["tokens_per_s_per_mw"].items() if value is not None} == {"provisioned": pytest.approx(100 / 1.73e-3)}
    assert point["energy_j_per_output_token"] is None


def test_joules_that_the_file_states_come_first() -> None:
    assert derived(served(joules_per_output_token=6.0))[0]["energy_j_per_output_token"] == 6.0


def test_classes_are_null_until_a_split_is_asked_for() -> None:
    _, mix = derived(served())
    assert (mix["usd_per_mtok_by_class"], mix["by_class_why_null"]) == (None, NO_SPLIT)
    why = {"input_floor_s": None, "output_floor_s": None, "provenance": "modelled", "why_null": "no floor: its model is not stated"}
    _, mix = derived(served(floor_split=why))
    assert (mix["usd_per_mtok_by_class"], mix["by_class_why_null"]) == (None, "no floor: its model is not stated")


def test_classes_by_their_floors_add_up_to_the_bill() -> None:
    floors = {"input_floor_s": 0.0005, "output_floor_s": 0.003, "provenance": "modelled", "why_null": None}
    _, mix = derived(served(floor_split=floors))
    # A request takes 1000 / 100 = 10 GPU-seconds: $0.01. Floors: 4000 x 0.0005 = 2 s and 1000 x 0.003 = 3 s, so 4 s and 6 s of the ten.
    # Input: $0.004 / 4000 = $1 per million; output: $0.006 / 1000 = $6 per million. (4000 x 1 + 1000 x 6) / 1000 = 10.
    assert mix["usd_per_mtok_by_class"] == {"input": pytest.approx(1.0), "cached": None, "output": pytest.approx(6.0)}
    assert mix["provenance"]["usd_per_mtok_by_class"] == "modelled"
    assert mix["by_class_why_null"] is None


def test_cached_input_takes_no_floor() -> None:
    floors = {"input_floor_s": 0.0005, "output_floor_s": 0.003, "provenance": "modelled", "why_null": None}
    _, mix = derived(served(cached=2000, floor_split=floors))
    # 2000 fresh x 0.0005 = 1 s beside 3 s: 2.5 s and 7.5 s of ten; $0.0025 / 2000 = $1.25 and $0.0075 / 1000 = $7.50 per million.
    assert mix["usd_per_mtok_by_class"] == {"input": pytest.approx(1.25), "cached": None, "output": pytest.approx(7.5)}
    assert "cached input tokens take no floor" in mix["price_note"]


def test_the_public_habit_charges_the_hour_twice() -> None:
    _, mix = derived(served())
    # $0.001 a second over 400 and over 100 tokens/s: $2.50 and $10. (4000 x 2.5 + 1000 x 10) / 1000 = $20, twice the bill.
    assert mix["whole_hour_usd_per_mtok"] == {"input": pytest.approx(2.5), "output": pytest.approx(10.0)}


def test_split_by_floor() -> None:
    assert split_by_floor(10.0, {"input": 2.0, "output": 3.0}) == {"input": 4.0, "output": 6.0}


def test_no_rate_no_price_and_the_fix() -> None:
    said = "no tokens/s per GPU: say how many"
    _, mix = derived(served(output_rate=None, input_rate=None, warnings=[said]))
    assert (mix["usd_per_mtok"], mix["why_null"], mix["valid"]) == (None, said, False)


def test_no_price_says_why() -> None:
    found = derive_run(made.run(served(gpu="l40s", gpu_key=None)), made.no_price())
    assert found.mixes[0]["usd_per_mtok"] is None
    assert "no GPU of the catalogue" in found.mixes[0]["why_null"]
    assert derive_run(made.run(served()), None).mixes[0]["why_null"] == "no price was asked for"


def test_a_point_without_lengths_or_that_failed_has_no_mix() -> None:
    assert derive_run(made.run(served(isl=None)), made.price()).mixes == []
    assert derive_run(made.run(served(error="no request succeeded")), made.price()).mixes == []


def test_it_does_not_join_a_users_prefill() -> None:
    found = derive_run(made.run(made.prefill(), served(isl=8192, osl=1024), made.decode(32, 0.020, 480.0)), made.price())
    assert [mix["points"] for mix in found.mixes] == [{"prefill": "prefill-b1", "decode": "decode-b32"}, {"serving": "row-1"}]


def test_floors_of_a_model_of_the_catalogue() -> None:
    """One H200, a dense model in bf16: the weights bound decode, arithmetic bounds prefill. Roofline by hand to a few per cent."""
    floors = floor_split(served(model="qwen3-8b", gpus=1, tp=1, ep=1, isl=2048, osl=256, concurrency=1))
    assert (floors["why_null"], floors["provenance"]) == (None, "modelled")
    # Decode of one sequence: all weights but the embedding are read, (8.19e9 - 0.62e9) x 2 B; and the cache, 2176 tokens x 147,456 B; at 4.8 TB/s.
    assert floors["output_floor_s"] == pytest.approx((7.57e9 * 2 + 2176 * 147_456) / 4.8e12, rel=0.02)
    # Prefill of 2048 tokens: 2 FLOP for each of 6.95e9 weights without embedding and head, and 2 x 36 layers x 4096 x 2048 of attention (causal), at
    # 989 TFLOP/s; 72 norms that read and write two rows of 4096 x 2 B each, and the head's 0.62e9 x 2 B once, at 4.8 TB/s.
    arithmetic, memory = 2 * 6.95e9 + 2 * 36 * 4096 * 2048, 72 * 4 * 4096 * 2 + 0.62e9 * 2 / 2048
    assert floors["input_floor_s"] == pytest.approx(arithmetic / 989e12 + memory / 4.8e12, rel=0.02)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"model": "../../etc/passwd"}, "no floor: its model '../../etc/passwd' is none of the catalogue"),
        ({"model": None}, "no floor: its model is not stated"),
        ({"gpu_key": None}, "no floor: its GPU is not stated"),
        ({"precision": "int4"}, "no floor: its precision 'int4' is none of the catalogue"),
        ({"mtp": True}, "no floor: it drafts tokens, and how many are accepted per step is not stated"),
        ({"concurrency": None}, "no floor: its concurrency is not stated"),
        ({"isl": None}, "no floor: its lengths are not stated"),
        ({"tp": None}, "no floor: its parallel sizes are not stated, or it is pipelined"),
        ({"ep": 7}, "--ep 7: should divide the 8 GPUs of --tp 8 --dp 1"),
        ({"isl": 100_000}, "no floor: its context of 100000 tokens is more than the 40960 positions of qwen3-30b-a3b"),
    ],
)
def test_no_floor_says_why(fields: dict[str, Any], why: str) -> None:
    assert floor_split(served(**fields)) == {"input_floor_s": None, "output_floor_s": None, "provenance": "modelled", "why_null": why}
