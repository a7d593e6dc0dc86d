"""A recipe's numbers beside the plain format's: the figures by hand, and what formats do to a small model."""

import math

import pytest
import torch

from workloads.comparison import Numbers, compare, numbers_of
from workloads.deployment import Deployment
from workloads.read_model import read_model
from workloads.steps import build_decoder

CPU = torch.device("cpu")


def numbers(logits: list[list[float]], **outputs: list[float]) -> Numbers:
    return Numbers(logits_SV=torch.tensor(logits), outputs={(part, 0, 0): torch.tensor([values]) for part, values in outputs.items()})


def test_figures_by_hand() -> None:
    """Logits (3, 4) against (3, 0): off by 4 of 3. The second place is 5 of (3, 4), the first is equal; a place that only one of them has is not compared."""
    found = compare(numbers([[3.0, 4.0]], a=[1.0, 2.0], b=[0.0, 0.0], c=[1.0]), numbers([[3.0, 0.0]], a=[1.0, 2.0], b=[3.0, 4.0]))
    assert found["logits_relative_error"] == pytest.approx(4 / 3)
    assert found["parts"] == {"a": 0.0, "b": 1.0}
    assert (found["tokens"], found["top1_agreement"]) == (1, 0.0)
    # KL of (1/2, 1/2) from (1/4, 3/4): ln(2)/2 + ln(2/3)/2
    half, quarter = numbers([[0.0, 0.0]]), numbers([[0.0, math.log(3.0)]])
    assert compare(quarter, half)["kl_nats"] == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(2 / 3))
    assert compare(half, half)["kl_nats"] == 0


def test_what_is_no_number_is_not_known() -> None:
    """One NaN in a step's logits: the figures that it reaches are None, as JSON wants it, and the others stand."""
    found = compare(numbers([[math.nan, 4.0], [3.0, 4.0]], a=[math.inf], b=[1.0]), numbers([[3.0, 4.0], [3.0, 4.0]], a=[1.0], b=[1.0]))
    assert (found["logits_relative_error"], found["kl_nats"], found["parts"]) == (None, None, {"b": 0.0})


@pytest.fixture(scope="module")
def steps() -> dict[str, Numbers]:
    found = {}
    for name, deployment in {"bf16": Deployment(), "again": Deployment(), "fp8": Deployment(precision="fp8"), "cache": Deployment(kv_cache="fp8")}.items():
        spec = read_model("tiny-moe")
        found[name] = numbers_of(spec, deployment, CPU, build_decoder(spec, deployment, CPU, seed=3, positions=512), seed=3)
    return found


def test_the_same_weights_and_inputs_give_the_same_numbers(steps: dict[str, Numbers]) -> None:
    assert compare(steps["again"], steps["bf16"])["logits_relative_error"] == 0
    assert torch.equal(steps["fp8"].outputs["embedding", None, 0], steps["bf16"].outputs["embedding", None, 0])


def test_every_place_is_compared_and_off_by_what_its_format_rounds(steps: dict[str, Numbers]) -> None:
    """One rounding of e4m3 is 2.6 % of normal data. The first layer's qkv has two, of x and of w: at least one of them, and no more than their sum."""
    fp8 = compare(steps["fp8"], steps["bf16"])
    assert set(fp8["parts"]) == {part for part, _, _ in steps["bf16"].outputs}
    first = ("attention.qkv", 0, 0)
    off = (steps["fp8"].outputs[first].float() - steps["bf16"].outputs[first].float()).norm() / steps["bf16"].outputs[first].float().norm()
    assert 0.026 < off < 0.053
    # an fp8 cache alone leaves what comes before attention as it was in the first layer, and little of its error in the logits
    cache = compare(steps["cache"], steps["bf16"])
    assert torch.equal(steps["cache"].outputs[first], steps["bf16"].outputs[first])
    assert 0 < cache["logits_relative_error"] < fp8["logits_relative_error"] < 0.1
