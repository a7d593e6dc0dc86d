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
    ids, weights = run(LOGITS, None, None, 2, "softmax", 1, 1, False, 1.0)
    assert ids.tolist() == [[2, 1]]
    torch.testing.assert_close(weights, torch.tensor([[0.625, 0.25]]))
    _, weights = run(LOGITS, None, None, 2, "softmax", 1, 1, True, 1.0)
    torch.testing.assert_close(weights, torch.tensor([[5 / 7, 2 / 7]]))


@pytest.mark.parametrize("run", [route, launch], ids=["reference", "kernel"])
def test_a_forced_expert_brings_its_own_probability(run) -> None:
    ids, weights = run(LOGITS, None, torch.tensor([[-1, 0]], dtype=torch.int32), 2, "softmax", 1, 1, False, 1.0)
    assert ids.tolist() == [[2, 0]]
    torch.testing.assert_close(weights, torch.tensor([[0.625, 0.125]]))


@pytest.mark.parametrize("run", [route, launch], ids=["reference", "kernel"])
def test_ties_go_to_the_lower_id(run) -> None:
    inf = float("inf")
    logits = torch.tensor([[1.0, 3.0, 1.0, 3.0, 1.0], [0.0, -0.0, -1.0, 0.0, -2.0], [-inf, 2.0, -inf, -inf, -inf]])
    ids, _ = run(logits, None, None, 4, "softmax", 1, 1, False, 1.0)
    assert ids.tolist() == [[1, 3, 0, 2], [0, 1, 3, 2], [1, 0, 2, 3]]


# sigmoids 1/2, 1/2, 2/3, 4/5, 9/10, 1/5: three groups of two
SCORES = torch.tensor([[0.0, 0.0, math.log(2), math.log(4), math.log(9), -math.log(4)]])


@pytest.mark.parametrize("run", [route, launch], ids=["reference", "kernel"])
def test_a_token_uses_the_groups_whose_two_best_sum_highest(run) -> None:
    """Groups sum to 1, 22/15 and 11/10: of two kept groups the best three experts are 4 (9/10), 3 (4/5) and 2 (2/3)."""
    ids, weights = run(SCORES, None, None, 3, "sigmoid", 3, 2, False, 1.0)
    assert ids.tolist() == [[4, 3, 2]]
    torch.testing.assert_close(weights, torch.tensor([[0.9, 0.8, 2 / 3]]))
    ids, weights = run(SCORES, None, None, 2, "sigmoid", 3, 1, True, 2.5)  # the second group alone
    assert ids.tolist() == [[3, 2]]
    torch.testing.assert_close(weights, 2.5 * torch.tensor([[6 / 11, 5 / 11]]))


@pytest.mark.parametrize("run", [route, launch], ids=["reference", "kernel"])
def test_the_bias_chooses_and_does_not_weigh(run) -> None:
    """With 1/2 more the first expert counts 1, before all, and its group 3/2; its weight is its own score."""
    bias = torch.tensor([0.5, 0.0, 0.0, 0.0, 0.0, 0.0])
    ids, weights = run(SCORES, bias, None, 2, "sigmoid", 3, 2, False, 1.0)
    assert ids.tolist() == [[0, 3]]
    torch.testing.assert_close(weights, torch.tensor([[0.5, 0.8]]))


@pytest.mark.parametrize("run", [route, launch], ids=["reference", "kernel"])
def test_equal_groups_go_to_the_lower(run) -> None:
    ids, _ = run(torch.zeros(1, 6), None, None, 2, "sigmoid", 3, 1, True, 1.0)
    assert ids.tolist() == [[0, 1]]


@pytest.mark.parametrize("run", [route, launch], ids=["reference", "kernel"])
def test_what_is_left_out_is_below_anything_kept(run) -> None:
    """Scores + bias are 3, -1 | 1/2, 1/2: the first group sums to 2 and is kept, and its -1 comes before the other's 1/2."""
    ids, _ = run(torch.zeros(1, 4), torch.tensor([2.5, -1.5, 0.0, 0.0]), None, 2, "sigmoid", 2, 1, True, 1.0)
    assert ids.tolist() == [[0, 1]]


def test_work_by_hand() -> None:
    # reads 3 x 16 bf16 logits and 3 x 2 forced ids of 4 bytes; writes 3 x 2 ids and weights of 4 bytes each
    tensors = (("logits_TE", TensorShape(dims=(3, 16), dtype=torch.bfloat16)), ("forced_ids_TJ", TensorShape(dims=(3, 2), dtype=torch.int32)))
    call = OpCall(op="route", part="", layer=0, tensors=tensors, attrs=(("top_k", 2), ("renormalize", True)))
    assert route.work(call, StepFacts()) == Work(read_bytes=96 + 24, written_bytes=48)
    # and 16 biases of 4 bytes, once for all tokens
    biased = OpCall(op="route", part="", layer=0, tensors=(*tensors, ("bias_E", TensorShape(dims=(16,), dtype=torch.float32))), attrs=call.attrs)
    assert route.work(biased, StepFacts()) == Work(read_bytes=96 + 24 + 64, written_bytes=48)
