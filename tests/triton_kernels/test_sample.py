import math
from collections.abc import Callable

import pytest
import torch

from triton_kernels.operation import Ledger, StepFacts
from triton_kernels.sample import launch, reference, sample

# Probabilities 0.1, 0.4, 0.1, 0.4 of four tokens, as logits.
LOGITS = [math.log(p) for p in (0.1, 0.4, 0.1, 0.4)]
EIGHT = [i / 8 + 1 / 16 for i in range(8)]  # each share of the distributions here holds one of them


@pytest.fixture(params=[reference, launch], ids=["reference", "kernel"])
def choose(request: pytest.FixtureRequest) -> Callable[..., list[int]]:
    def chosen(logits: list[float], uniforms: list[float], *, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0) -> list[int]:
        logits_TV = torch.tensor([logits] * len(uniforms))
        return request.param(logits_TV, torch.tensor(uniforms), temperature, top_k, top_p).tolist()

    return chosen


def test_greedy_takes_the_lowest_id_of_the_maximum(choose: Callable[..., list[int]]) -> None:
    assert choose(LOGITS, [0.99], temperature=0.0) == [1]
    assert choose([-math.inf, -math.inf, -3.0], [0.0], temperature=0.0) == [2]
    assert choose([-0.0, 0.0], [0.0], temperature=0.0) == [0]


def test_the_uniform_falls_into_a_tokens_share_in_the_order_of_ids(choose: Callable[..., list[int]]) -> None:
    # shares end at 0.1, 0.5, 0.6, 1.0
    assert choose(LOGITS, [0.0, 0.09, 0.11, 0.49, 0.51, 0.59, 0.61, 0.99]) == [0, 0, 1, 1, 2, 2, 3, 3]


def test_temperature_sharpens(choose: Callable[..., list[int]]) -> None:
    # at 1/2 the shares are 0.01, 0.16, 0.01, 0.16 of 0.34: they end at 0.029, 0.5, 0.529, 1
    assert choose(LOGITS, [0.02, 0.04, 0.49, 0.51, 0.54], temperature=0.5) == [0, 1, 1, 2, 3]


@pytest.mark.parametrize("top_k, kept", [(1, [1, 3]), (2, [1, 3]), (3, [0, 1, 2, 3]), (4, [0, 1, 2, 3]), (0, [0, 1, 2, 3])])
def test_top_k_keeps_all_that_equal_the_kth(choose: Callable[..., list[int]], top_k: int, kept: list[int]) -> None:
    assert sorted(set(choose(LOGITS, EIGHT, top_k=top_k))) == kept


@pytest.mark.parametrize("top_p, kept", [(0.0, [3]), (0.44, [3]), (0.46, [2, 3]), (0.74, [2, 3]), (0.76, [0, 1, 2, 3]), (1.0, [0, 1, 2, 3])])
def test_top_p_keeps_the_fewest_whose_mass_reaches_it_and_their_equals(choose: Callable[..., list[int]], top_p: float, kept: list[int]) -> None:
    logits = [math.log(p) for p in (0.125, 0.125, 0.3, 0.45)]
    assert sorted(set(choose(logits, EIGHT, top_p=top_p))) == kept


def test_top_p_counts_the_mass_that_top_k_left(choose: Callable[..., list[int]]) -> None:
    logits = [math.log(p) for p in (0.4, 0.3, 0.2, 0.1)]
    # of all, 0.4 + 0.3 reaches 0.55; of the best two, 0.4 / 0.7 = 0.571 does alone
    assert sorted(set(choose(logits, EIGHT, top_p=0.55))) == [0, 1]
    assert sorted(set(choose(logits, EIGHT, top_p=0.55, top_k=2))) == [0]


def test_minus_infinity_and_the_far_end_are_never_drawn(choose: Callable[..., list[int]]) -> None:
    nearly_one = 1 - 2**-24
    assert choose([-math.inf, 0.0, -math.inf, 0.0, -math.inf], [0.0, nearly_one]) == [1, 3]
    assert choose([-math.inf, 0.0, -math.inf], [0.0, nearly_one], top_k=2, top_p=0.5) == [1, 1]


def test_minus_zero_equals_zero(choose: Callable[..., list[int]]) -> None:
    assert choose([0.0, -0.0, -1.0], [0.25, 0.75], top_k=1) == [0, 1]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_neighbouring_values_of_a_type_are_told_apart(dtype: torch.dtype) -> None:
    """Positive, negative, tiny and subnormal neighbours: the search looks at every bit the type has."""
    smallest = torch.finfo(dtype).smallest_normal
    for value in (3.0, -3.0, 2 * smallest, *([] if dtype == torch.bfloat16 else [smallest / 4])):  # the interpreter takes bf16 subnormals for 0
        high = torch.tensor(value, dtype=dtype)
        low = torch.nextafter(high, torch.tensor(-torch.inf, dtype=dtype))
        logits_TV = torch.stack([low, high, low])[None]
        for uniform in (0.01, 0.99):
            assert launch(logits_TV, torch.tensor([uniform]), 1.0, 1, 1.0).tolist() == [1]


def test_work_reads_the_logits_once() -> None:
    logits_TV, uniform_T = torch.zeros(3, 131, dtype=torch.bfloat16, device="meta"), torch.zeros(3, device="meta")
    with Ledger() as ledger:
        sample(logits_TV, uniform_T, 1.0, 5, 0.9)
        sample(logits_TV, uniform_T, 0.0, 0, 1.0)
    drawn, greedy = (sample.work(call, StepFacts()) for call in ledger.calls)
    assert drawn.read_bytes == 3 * 131 * 2 + 3 * 4
    assert greedy.read_bytes == 3 * 131 * 2
    assert drawn.written_bytes == greedy.written_bytes == 3 * 4
