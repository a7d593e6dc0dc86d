"""Drawn routing: who is as likely as what, and what it means for one rank."""

import json
from pathlib import Path

import numpy as np
import pytest

from triton_kernels.errors import TokenmillError
from workloads.deployment import Deployment, deployment_of
from workloads.draw import draw_experts, rows_per_expert
from workloads.facts import played_rank, step_facts
from workloads.model_spec import Gqa, ModelSpec, Moe
from workloads.rope import Rope
from workloads.routing import parse_routing
from workloads.shape import StepShape


def moe(experts: int = 32, top_k: int = 4, **fields: object) -> Moe:
    return Moe(layers=frozenset({0, 1, 2}), experts=experts, top_k=top_k, intermediate=8, **fields)


def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def spec(**fields: object) -> ModelSpec:
    return ModelSpec(
        name="m", model_type="m", layers=3, hidden=16, vocab=16, attention=Gqa(heads=4, kv_heads=4, head_dim=4), moe=moe(**fields), dense_intermediate=None,
        mtp_modules=0, tied_embeddings=False, rope=Rope(theta=1e4, dim=4), rms_norm_eps=1e-6, max_positions=4096, quantization=None, folder=None,
    )  # fmt: skip


@pytest.mark.parametrize("routing", ["uniform", "balanced", "zipf:1.2", "zipf:0"])
def test_choices_of_a_token_are_distinct(routing: str) -> None:
    ids = draw_experts(parse_routing(routing), moe(), layers=3, tokens=500, rng=rng())
    assert ids.shape == (3, 500, 4)
    assert ids.min() >= 0
    assert ids.max() < 32
    assert all(len(set(row)) == 4 for row in ids.reshape(-1, 4).tolist())


def test_balanced_gives_every_expert_the_same_rows() -> None:
    ids = draw_experts(parse_routing("balanced"), moe(), layers=2, tokens=64, rng=rng())
    assert rows_per_expert(ids[0], 32).tolist() == [8] * 32  # 64 x 4 / 32


def test_uniform_touches_as_many_experts_as_independent_draws_do() -> None:
    """One token of 8 out of 128 leaves an expert alone with 120/128; 32 tokens with (120/128)^32: 128 x (1 - 0.1268) = 111.8 touched."""
    ids = draw_experts(parse_routing("uniform"), moe(128, 8), layers=200, tokens=32, rng=rng())
    assert np.mean([np.count_nonzero(rows_per_expert(layer, 128)) for layer in ids]) == pytest.approx(111.8, rel=0.01)


def test_group_limited_tokens_stay_in_their_groups() -> None:
    """8 groups of 4, of which a token uses 4; all groups equally often."""
    ids = draw_experts(parse_routing("uniform"), moe(groups=8, groups_kept=4), layers=1, tokens=4000, rng=rng())[0]
    assert max(len(set(row)) for row in (ids // 4).tolist()) <= 4
    assert rows_per_expert(ids // 4, 8) == pytest.approx(np.full(8, 4000 * 4 / 8), rel=0.05)


def test_zipf_shares_are_those_of_the_law() -> None:
    """Of 4 experts at skew 1 and one choice each: 1, 1/2, 1/3, 1/4 of 25/12, so 48, 24, 16 and 12 %."""
    ids = draw_experts(parse_routing("zipf:1"), moe(4, 1), layers=1, tokens=100_000, rng=rng())
    assert np.sort(rows_per_expert(ids, 4))[::-1] / 100_000 == pytest.approx(np.array([0.48, 0.24, 0.16, 0.12]), abs=0.005)


def test_no_expert_takes_a_token_twice_however_hot(tmp_path: Path) -> None:
    """Weights 6, 1, 1 and two choices: the first would have 1.5, so it takes every token once, and the others share the second choice."""
    (tmp_path / "h.json").write_text(json.dumps({"rows_per_expert": [[6, 1, 1]]}))
    ids = draw_experts(parse_routing(str(tmp_path / "h.json")), moe(3, 2), layers=2, tokens=10_000, rng=rng())
    assert rows_per_expert(ids[0], 3) == pytest.approx(np.array([10_000, 5_000, 5_000]), rel=0.03)


def test_a_histogram_is_reproduced(tmp_path: Path) -> None:
    rows = [[100, 300, 200, 400], [400, 200, 300, 100], [0, 500, 250, 250]]
    (tmp_path / "h.json").write_text(json.dumps({"rows_per_expert": rows}))
    ids = draw_experts(parse_routing(str(tmp_path / "h.json")), moe(4, 2), layers=3, tokens=50_000, rng=rng())
    for layer, counts in zip(ids, rows, strict=True):
        assert rows_per_expert(layer, 4) == pytest.approx(np.array(counts) * 100, rel=0.03, abs=1)


@pytest.mark.parametrize(
    "text, values, complaint",
    [
        ("zipf:x", None, "should be uniform"),
        ("nobody", None, "should be uniform"),
        ("none.json", None, "no such file"),
        ("h.json", {"rows_per_expert": [[1, -1]]}, "counts from 0"),
        ("h.json", {"rows_per_expert": [[0, 0]]}, "some above it"),
        ("h.json", {"rows_per_expert": [[1, 2], [1]]}, "equal length"),
        ("h.json", {"rows_per_expert": 3}, "rows_per_expert"),
        ("h.json", {"rows_per_expert": []}, "rows_per_expert"),
        ("h.json", {}, "rows_per_expert"),
    ],
)
def test_a_bad_routing_is_one_line(tmp_path: Path, text: str, values: object, complaint: str) -> None:
    if values is not None:
        (tmp_path / text).write_text(json.dumps(values))
    with pytest.raises(TokenmillError, match=complaint) as caught:
        parse_routing(str(tmp_path / text) if text.endswith(".json") else text)
    assert "\n" not in str(caught.value)


def test_a_histogram_of_another_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "h.json").write_text(json.dumps({"rows_per_expert": [[1, 2, 3]]}))
    with pytest.raises(TokenmillError, match="1 lists of 3; the model has 3 MoE layers"):
        draw_experts(parse_routing(str(tmp_path / "h.json")), moe(4, 2), layers=3, tokens=5, rng=rng())


def facts(deployment: Deployment, rank: str, *, routing: str = "uniform", batch: int = 16, **fields: object):
    return step_facts(spec(**fields), deployment, StepShape(phase="decode", batch=batch, context=8), parse_routing(routing), rank, rng())


def test_pairs_that_leave_and_arrive_add_up_over_the_ranks() -> None:
    """4 ranks of 8 experts, 16 tokens of 4 choices each: 256 pairs in a layer, each at home somewhere."""
    deployment = deployment_of(precision="bf16", ep=4)
    assert deployment.gpus == 4
    ranks = [facts(deployment, str(r))[0] for r in range(4)]
    for layer in range(3):
        assert sum(sum(f.rows_per_expert_LE[layer]) for f in ranks) == 256
        assert sum(f.sent_rows_L[layer] for f in ranks) == sum(f.received_rows_L[layer] for f in ranks)
        for f in ranks:
            at_home = 16 * 4 - f.sent_rows_L[layer]
            assert sum(f.rows_per_expert_LE[layer]) == at_home + f.received_rows_L[layer]
            assert max(f.rows_per_expert_LE[layer]) <= f.tokens_L[layer] <= 64


def test_the_hottest_rank_is_the_hottest_of_each_layer() -> None:
    deployment = deployment_of(precision="bf16", ep=4)
    ranks = [facts(deployment, str(r), routing="zipf:1.5")[0] for r in range(4)]
    hottest, drawn = facts(deployment, "hottest", routing="zipf:1.5")
    for layer in range(3):
        loads = [sum(f.rows_per_expert_LE[layer]) for f in ranks]
        hot = ranks[int(np.argmax(loads))]
        assert hottest.rows_per_expert_LE[layer] == hot.rows_per_expert_LE[layer]
        assert hottest.sent_rows_L[layer] == hot.sent_rows_L[layer]
        assert hottest.tokens_L[layer] == hot.tokens_L[layer]
        assert drawn is not None
        here = drawn.group_LYJ[layer] < 8  # rank 0 plays it
        assert rows_per_expert(drawn.group_LYJ[layer][here], 8).tolist() == list(hot.rows_per_expert_LE[layer])
        assert int((drawn.own_LTJ[layer] >= 8).sum()) == hot.sent_rows_L[layer]


def test_the_mean_rank_is_nearest_the_average() -> None:
    deployment = deployment_of(precision="bf16", ep=4)
    mean, _ = facts(deployment, "mean", routing="zipf:1.5")
    loads = [[sum(facts(deployment, str(r), routing="zipf:1.5")[0].rows_per_expert_LE[layer]) for r in range(4)] for layer in range(3)]
    for layer in range(3):
        assert abs(sum(mean.rows_per_expert_LE[layer]) - 64) == min(abs(load - 64) for load in loads[layer])


def test_experts_within_a_tensor_parallel_group_send_nothing() -> None:
    """tp 4, ep 2: every GPU has all 16 tokens; two GPUs share an expert, 16 experts on each."""
    deployment = Deployment(tp=4, ep=2)
    assert (deployment.exchanges, deployment.expert_shards) == (False, 2)
    ranks = [facts(deployment, str(r))[0] for r in range(4)]
    assert ranks[0] == ranks[1] != ranks[2] == ranks[3]
    assert [sum(sum(f.rows_per_expert_LE[0]) for f in (ranks[0], ranks[2]))] == [64]
    assert ranks[0].sent_rows_L == (0, 0, 0)
    assert len(ranks[0].rows_per_expert_LE[0]) == 16


@pytest.mark.parametrize(
    "fields, complaint",
    [
        ({"tp": 0}, "--tp 0"),
        ({"tp": 3, "ep": 2}, "--ep 2: should divide the 3 GPUs"),
        ({"tp": 6, "ep": 4, "dp": 2}, "one should be a multiple"),
        ({"dp": 1 << 20}, "--dp 1048576"),
    ],
)
def test_sizes_that_make_no_deployment(fields: dict[str, int], complaint: str) -> None:
    with pytest.raises(TokenmillError, match=complaint):
        Deployment(**fields)


@pytest.mark.parametrize(
    "sizes, complaint",
    [
        ({"tp": 8, "ep": 8}, "attention heads"),
        ({"ep": 64}, "should divide the 32 experts"),
        ({"tp": 3}, "key/value heads"),
    ],
)
def test_sizes_that_do_not_divide_the_model(sizes: dict[str, int], complaint: str) -> None:
    with pytest.raises(TokenmillError, match=complaint):
        deployment_of(precision="bf16", **sizes).check(spec())


@pytest.mark.parametrize("rank", ["coldest", "-1", "4", "9999999999"])
def test_a_rank_that_is_not_there(rank: str) -> None:
    with pytest.raises(TokenmillError, match="--rank"):
        played_rank(Deployment(dp=4), rank)
