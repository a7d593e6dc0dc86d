"""A model at reduced depth has the first layers of each kind, renumbered."""

from dataclasses import replace

import pytest

from triton_kernels.errors import TokenmillError
from workloads.depth import reduced
from workloads.model_spec import Gqa, ModelSpec, Moe
from workloads.rope import Rope


def spec(**fields: object) -> ModelSpec:
    """Dense layers 0 and 1, experts from 2 to 5; every even layer has a window."""
    whole = ModelSpec(
        name="m", model_type="m", layers=6, hidden=16, vocab=16, attention=Gqa(heads=4, kv_heads=4, head_dim=4, window=8, windowed_layers=frozenset({0, 2, 4})),
        moe=Moe(layers=frozenset({2, 3, 4, 5}), experts=4, top_k=2, intermediate=8), dense_intermediate=8, mtp_modules=0, tied_embeddings=False,
        rope=Rope(theta=1e4, dim=4), rms_norm_eps=1e-6, max_positions=64, quantization=None, folder=None,
    )  # fmt: skip
    return replace(whole, **fields)


def test_one_of_each_kind() -> None:
    small, counts = reduced(spec(), 1)
    assert counts == {"dense window": (1, 1), "dense": (1, 1), "moe window": (1, 2), "moe": (1, 2)}
    assert small.layers == 4  # layers 0, 1, 2, 3
    assert small.moe_layers == {2, 3}
    assert isinstance(small.attention, Gqa)
    assert small.attention.windowed_layers == {0, 2}


def test_two_of_each_kind_is_the_whole_model() -> None:
    small, counts = reduced(spec(), 2)
    assert small == spec()
    assert all(kept == of for kept, of in counts.values())


def test_layers_left_out_between() -> None:
    attention = Gqa(heads=4, kv_heads=4, head_dim=4)
    small, counts = reduced(spec(attention=attention, moe=replace(spec().moe, layers=frozenset({1, 3, 5}))), 2)
    assert counts == {"dense": (2, 3), "moe": (2, 3)}
    assert small.moe_layers == {1, 3}  # layers 0, 1, 2, 3 of 6


@pytest.mark.parametrize("layers", [0, 7, -1])
def test_a_depth_the_model_does_not_have(layers: int) -> None:
    with pytest.raises(TokenmillError, match="--layers"):
        reduced(spec(), layers)
