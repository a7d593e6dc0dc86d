import numpy as np
import pytest

from workloads.routing import draw_experts, rows_per_expert


@pytest.mark.parametrize("experts, top_k", [(128, 8), (8, 8), (16, 4), (3, 1)])
@pytest.mark.parametrize("routing", ["uniform", "balanced"])
def test_a_tokens_experts_are_distinct_and_in_range(routing: str, experts: int, top_k: int) -> None:
    ids_LTJ = draw_experts(routing, layers=3, tokens=50, experts=experts, top_k=top_k, rng=np.random.default_rng(0))
    assert ids_LTJ.shape == (3, 50, top_k)
    assert ids_LTJ.min() >= 0
    assert ids_LTJ.max() < experts
    assert all(len(set(row)) == top_k for row in ids_LTJ.reshape(-1, top_k).tolist())


def test_uniform_touches_as_many_experts_as_independent_draws() -> None:
    """32 tokens, 8 of 128 each: an expert is missed with (1 - 8/128)^32 = 0.1268, so 128 x 0.8732 = 111.8 are touched."""
    ids_LTJ = draw_experts("uniform", layers=400, tokens=32, experts=128, top_k=8, rng=np.random.default_rng(1))
    touched = np.mean([sum(1 for rows in layer if rows) for layer in rows_per_expert(ids_LTJ, 128)])
    assert touched == pytest.approx(111.8, abs=0.6)  # four standard errors of 400 layers


def test_uniform_is_uniform() -> None:
    ids = draw_experts("uniform", layers=1, tokens=64_000, experts=10, top_k=3, rng=np.random.default_rng(2))
    share = np.bincount(ids.ravel(), minlength=10) / ids.size
    assert share == pytest.approx(np.full(10, 0.1), abs=0.004)


def test_balanced_gives_each_expert_its_share() -> None:
    """6 tokens x 4 choices over 16 experts: 24 rows, so every expert has one or two."""
    (rows,) = rows_per_expert(draw_experts("balanced", layers=1, tokens=6, experts=16, top_k=4, rng=np.random.default_rng(3)), 16)
    assert sum(rows) == 24
    assert set(rows) == {1, 2}
