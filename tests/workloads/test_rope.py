"""Rotary frequencies worked out by hand and against transformers' own."""

import json
import math

import pytest
import torch

from workloads.catalogue import CATALOGUE
from workloads.read_model import read_model
from workloads.rope import Llama3Scaling, Rope, YarnScaling, rotary_table

LLAMA3 = Llama3Scaling(factor=8.0, low_factor=1.0, high_factor=4.0, original_positions=8192)


def test_plain_frequencies() -> None:
    assert Rope(theta=10_000.0, dim=4).frequencies() == pytest.approx([1.0, 0.01])


def test_llama3_keeps_blends_and_divides() -> None:
    """Over 8192 positions pair i of 64 turns 8192 x 500000^(-i/64) / 2 pi times. Pair 0: 1304 turns, kept. Pair 30: 8192 x 0.00213112 / 6.283185 = 2.77856
    turns, of which (2.77856 - 1) / 3 = 0.592853 is kept and the rest divided by 8. Pair 63: 0.0032 turns, divided by 8."""
    frequencies = Rope(theta=500_000.0, dim=128, scaling=LLAMA3).frequencies()
    plain = [500_000.0 ** (-i / 64) for i in range(64)]
    assert frequencies[0] == 1.0
    assert plain[30] == pytest.approx(0.00213112, rel=1e-5)
    assert frequencies[30] == pytest.approx(0.00213112 * (0.592853 + 0.407147 / 8), rel=1e-5)
    assert frequencies[63] == pytest.approx(plain[63] / 8)


def test_yarn_keeps_ramps_and_divides() -> None:
    """R1: pair d turns 4096 x 10000^(-d/32) / 2 pi times. 32 turns at d = 64 ln(4096 / (32 x 2 pi)) / (2 ln 10000) = 10.47, one at 22.51: pairs to 10 are kept,
    those from 23 are divided by 40, and pair 16 is (16 - 10) / 13 on its way: 10^-2 x (7/13 + 6/13 / 40) = 0.00550000."""
    rope = read_model("deepseek-r1").rope
    frequencies = rope.frequencies()
    plain = [10_000.0 ** (-i / 32) for i in range(32)]
    assert frequencies[:11] == pytest.approx(plain[:11])
    assert frequencies[23:] == pytest.approx([f / 40 for f in plain[23:]])
    assert frequencies[16] == pytest.approx(0.0055)


def test_yarn_without_rounding_begins_between_pairs() -> None:
    """gpt-oss: 32 turns at d = 64 ln(4096 / (32 x 2 pi)) / (2 ln 150000) = 8.0928, one at 17.3980. Pair 9 is (9 - 8.0928) / 9.3052 = 0.09749 on its way."""
    rope = read_model("gpt-oss-120b").rope
    plain = 150_000.0 ** (-9 / 32)
    assert rope.frequencies()[9] == pytest.approx(plain * (1 - 0.09749 + 0.09749 / 32), rel=1e-4)
    assert rope.frequencies()[8] == pytest.approx(150_000.0 ** (-8 / 32))


def test_both_ends_of_a_ramp_may_meet() -> None:
    scaling = YarnScaling(factor=4.0, beta_fast=1.0, beta_slow=1.0, original_positions=4096, attention_factor=1.0, truncate=False)
    frequencies = Rope(theta=10_000.0, dim=64, scaling=scaling).frequencies()
    assert frequencies[:23] == pytest.approx([10_000.0 ** (-i / 32) for i in range(23)])  # one turn at 22.51
    assert frequencies[23:] == pytest.approx([10_000.0 ** (-i / 32) / 4 for i in range(23, 32)])


def test_the_table_holds_cosines_then_sines_times_the_attention_factor() -> None:
    rope = read_model("gpt-oss-120b").rope
    table = rotary_table(rope, 5, torch.device("cpu"))
    assert (table.shape, table.dtype) == ((5, 64), torch.float32)
    factor = 0.1 * math.log(32) + 1
    assert table[0].tolist() == pytest.approx([factor] * 32 + [0.0] * 32)
    assert table[3, 0].item() == pytest.approx(factor * math.cos(3))
    assert table[3, 32].item() == pytest.approx(factor * math.sin(3))


@pytest.mark.parametrize("name", CATALOGUE)
def test_frequencies_equal_transformers(name: str) -> None:
    transformers = pytest.importorskip("transformers")
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    written = json.loads(CATALOGUE[name].config.read_text())
    written.pop("quantization_config", None)
    model_type = "deepseek_v3" if written["model_type"] == "kimi_k2" else written["model_type"]
    if model_type not in transformers.CONFIG_MAPPING:
        pytest.skip(f"this transformers has no {model_type}")
    config = transformers.CONFIG_MAPPING[model_type].from_dict(written)
    rope = read_model(name).rope
    kind = {Llama3Scaling: "llama3", YarnScaling: "yarn"}.get(type(rope.scaling))
    if kind is None:
        pytest.skip("not scaled")
    want, factor = ROPE_INIT_FUNCTIONS[kind](config, torch.device("cpu"))
    torch.testing.assert_close(torch.tensor(rope.frequencies()), want, rtol=1e-5, atol=0)
    assert (rope.scaling.attention_factor if isinstance(rope.scaling, YarnScaling) else 1.0) == pytest.approx(factor)


@pytest.mark.parametrize(
    "changes",
    [{"mscale": 0.707}, {"mscale_all_dim": 1.0}, {"mscale": 0.707, "mscale_all_dim": 1.0}, {"mscale": 1.0, "mscale_all_dim": 0}, {"attention_factor": 1.5}, {}],
    ids=str,
)
def test_deepseeks_two_corrections_equal_transformers(tmp_path, changes: dict) -> None:
    pytest.importorskip("transformers")
    modeling = pytest.importorskip("transformers.models.deepseek_v3.modeling_deepseek_v3")
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    written = json.loads(CATALOGUE["tiny-mla"].config.read_text())
    scaling = {"type": "yarn", "factor": 10, "original_max_position_embeddings": 4096, **changes}
    (tmp_path / "config.json").write_text(json.dumps({**written, "rope_scaling": scaling}))
    spec = read_model(str(tmp_path))
    config = modeling.DeepseekV3Config.from_dict({**written, "rope_scaling": dict(scaling)})
    attention = modeling.DeepseekV3Attention(config, 0)
    _, factor = ROPE_INIT_FUNCTIONS["yarn"](config, torch.device("cpu"))
    assert isinstance(spec.rope.scaling, YarnScaling)
    assert spec.rope.scaling.attention_factor == pytest.approx(factor)
    assert spec.softmax_scale == pytest.approx(attention.scaling)
