"""The router's choice in figures."""

import math

import pytest
import torch

from triton_kernels.operation import OpCall, StepFacts, TensorShape, Work
from triton_kernels.route import launch, route

# exp(0), exp(log 2), exp(log 5): probabilities 1/8, 2/8, 5/8
LOGITS = torch.tensor([[0.0, math.log(2), math.log(5)]])


@pytest.mark.parametrize("run", [route, launch], ids=["reference", "kernel"])
def test_probabilities_by_hand(run) -> None:
    ids, weights = run(LOGITS, None, 2, False)
    assert ids.tolist() == [[2, 1]]
    torch.testing.assert_close(weights, torch.tensor([[0.625, 0.25]]))
    _, weights = run(LOGITS, None, 2, True)
    torch.testing.assert_close(weights, torch.tensor([[5 / 7, 2 / 7]]))


@pytest.mark.parametrize("run", [route, launch], ids=["reference", "kernel"])
def test_a_forced_expert_brings_its_own_probability(run) -> None:
    ids, weights = run(LOGITS, torch.tensor([[-1, 0]], dtype=torch.int32), 2, False)
    assert ids.tolist() == [[2, 0]]
    torch.testing.assert_close(weights, torch.tensor([[0.625, 0.125]]))


@pytest.mark.parametrize("run", [route, launch], ids=["reference", "kernel"])
def test_ties_go_to_the_lower_id(run) -> None:
    inf = float("inf")
    logits = torch.tensor([[1.0, 3.0, 1.0, 3.0, 1.0], [0.0, -0.0, -1.0, 0.0, -2.0], [-inf, 2.0, -inf, -inf, -inf]])
    ids, _ = run(logits, None, 4, False)
    assert ids.tolist() == [[1, 3, 0, 2], [0, 1, 3, 2], [1, 0, 2, 3]]


def test_work_by_hand() -> None:
    # reads 3 x 16 bf16 logits and 3 x 2 forced ids of 4 bytes; writes 3 x 2 ids and weights of 4 bytes each
    tensors = (("logits_TE", TensorShape(dims=(3, 16), dtype=torch.bfloat16)), ("forced_ids_TJ", TensorShape(dims=(3, 2), dtype=torch.int32)))
    call = OpCall(op="route", part="", layer=0, tensors=tensors, attrs=(("top_k", 2), ("renormalize", True)))
    assert route.work(call, StepFacts()) == Work(read_bytes=96 + 24, written_bytes=48)
