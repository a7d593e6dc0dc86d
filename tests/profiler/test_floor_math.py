from typing import Any

import pytest

from profiler.gpus import GPUS
from profiler.modelled.floor_math import floor_of_plan, parse_ceilings, share_of_roofline
from triton_kernels.errors import TokenmillError


def entry(op: str, *, flops: float = 0, lane: str | None = None, read: float = 0, written: float = 0, link: float = 0) -> dict[str, Any]:
    work = {"flops": flops, "lane": lane, "read_bytes": read, "written_bytes": written, "link_bytes": link}
    return {"op": op, "part": op, "count": 1, "attrs": {}, "work": work}


# At 4 TB/s and 800 TFLOP/s: 2 GB take 0.5 ms and 80 GFLOP 0.1 ms (memory); 1.6 TFLOP take 2 ms and 4 GB 1 ms (compute); 0.4 GB 0.1 ms.
PLAN = {
    "calls": [
        entry("attention", flops=80e9, lane="bf16", read=1.5e9, written=0.5e9),
        entry("matmul", flops=1.6e12, lane="bf16", read=4e9),
        entry("add_norm", read=0.2e9, written=0.2e9, link=7.0),
    ]
}
CEILINGS = {"bandwidth": 4e12, "bf16": 800e12}


def test_the_floor_is_the_sum_of_each_operations_slower_side() -> None:
    floor = floor_of_plan(PLAN, gpu=None, ceilings=CEILINGS)
    assert floor.floor_s == pytest.approx(0.5e-3 + 2e-3 + 0.1e-3)
    assert [op["bound"] for op in floor.ops] == ["memory", "compute", "memory"]
    assert [op["floor_s"] for op in floor.ops] == pytest.approx([0.5e-3, 2e-3, 0.1e-3])
    assert (floor.flops, floor.memory_bytes, floor.link_bytes) == (1.68e12, 6.4e9, 7.0)
    assert (floor.rates, floor.rates_source, floor.missing) == (CEILINGS, "given", ())


def test_collectives_are_left_to_the_links_model_and_their_bytes_counted() -> None:
    reduce = entry("all_reduce", read=4e9, written=4e9, link=5.0) | {"attrs": {"group": "tp", "group_size": 2}}
    alone = entry("all_reduce", read=4e9) | {"attrs": {"group": "tp", "group_size": 1}}
    floor = floor_of_plan({"calls": [reduce, alone]}, gpu=None, ceilings=CEILINGS)
    assert (floor.floor_s, floor.memory_bytes, floor.link_bytes) == (pytest.approx(1e-3), 4e9, 5.0)
    assert len(floor.ops) == 1


def test_the_datasheet_fills_in_what_the_ceilings_lack_and_is_named() -> None:
    h200 = GPUS["h200"]
    floor = floor_of_plan(PLAN, gpu=h200, ceilings={"bandwidth": 4e12}, ceilings_name="measured")
    assert floor.rates == {"bandwidth": 4e12, "bf16": 989e12}
    assert floor.rates_source == "measured and datasheet"
    assert floor_of_plan(PLAN, gpu=h200).rates_source == "datasheet"
    assert floor_of_plan(PLAN, gpu=h200, ceilings={**CEILINGS, "fp8": 1e15}, ceilings_name="measured").rates_source == "measured"


def test_an_unknown_rate_gives_no_floor_and_says_which() -> None:
    plan = {"calls": [entry("matmul", flops=1e12, lane="fp4", read=4e9), entry("add_norm", read=4e9)]}
    floor = floor_of_plan(plan, gpu=GPUS["h200"])  # Hopper has no FP4 tensor cores
    assert floor.floor_s is None
    assert floor.missing == ("fp4",)
    assert [op["floor_s"] for op in floor.ops] == [None, pytest.approx(4e9 / 4.8e12)]
    assert floor_of_plan(PLAN, gpu=None).missing == ("bandwidth", "bf16")


def test_an_empty_plan_takes_no_time() -> None:
    floor = floor_of_plan({"calls": []}, gpu=None)
    assert (floor.floor_s, floor.rates_source) == (0.0, "none")


def test_doubling_every_rate_halves_the_floor() -> None:
    once = floor_of_plan(PLAN, gpu=None, ceilings=CEILINGS).floor_s
    twice = floor_of_plan(PLAN, gpu=None, ceilings={name: 2 * rate for name, rate in CEILINGS.items()}).floor_s
    assert once is not None
    assert twice == pytest.approx(once / 2)


def test_share_of_roofline() -> None:
    assert share_of_roofline(0.003, 0.004) == pytest.approx(0.75)
    assert share_of_roofline(None, 0.004) is None
    assert share_of_roofline(0.003, None) is None


def test_ceilings_are_read() -> None:
    assert parse_ceilings("bandwidth=4.3e12, bf16=788e12,fp8=1400e12,") == {"bandwidth": 4.3e12, "bf16": 788e12, "fp8": 1400e12}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "nothing given"),
        ("bandwith=4e12", "did you mean bandwidth"),
        ("bf16", "such as bf16=788e12"),
        ("bf16=", "should be a rate in FLOP/s"),
        ("bandwidth=4.3", "should be a rate in bytes/s"),  # TB/s typed for bytes/s
        ("bf16=-1e12", "should be a rate"),
        ("bf16=nan", "should be a rate"),
        ("bf16=inf", "should be a rate"),
        ("bf16=1e12,bf16=2e12", "given twice"),
    ],
)
def test_bad_ceilings_are_one_line(text: str, said: str) -> None:
    with pytest.raises(TokenmillError, match=said) as caught:
        parse_ceilings(text)
    assert "\n" not in str(caught.value)
