"""A config.json as untrusted data: what is no config, bad values and unknown keys, each refused in one line by file and key."""

import json
from pathlib import Path

import pytest

from triton_kernels.errors import TokenmillError
from workloads.architectures.families import FAMILIES
from workloads.architectures.nested import NESTED
from workloads.architectures.not_yet import NOT_YET
from workloads.catalogue import CATALOGUE
from workloads.read_model import read_model

TINY = json.loads(CATALOGUE["tiny-moe"].config.read_text())
YARN = {"rope_type": "yarn", "factor": 4, "original_max_position_embeddings": 32768}


def write(folder: Path, **changes: object) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps({**TINY, **changes}))
    return path


def refusal(path: Path | str) -> str:
    with pytest.raises(TokenmillError) as caught:
        read_model(str(path))
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2
    return str(caught.value)


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_catalogue_model_reads(name: str) -> None:
    spec = read_model(name)
    assert spec.name == name
    assert spec.weights == "random"


def test_a_path_and_its_folder_read_alike(tmp_path: Path) -> None:
    path = write(tmp_path)
    assert read_model(str(path)) == read_model(str(tmp_path))
    assert read_model(str(path)).folder == tmp_path.resolve()


def test_sparse_step_and_mlp_only_layers(tmp_path: Path) -> None:
    spec = read_model(str(write(tmp_path, decoder_sparse_step=2, mlp_only_layers=[3])))
    assert spec.moe_layers == frozenset({1, 5})  # layers 1, 3, 5 are every second; 3 is MLP only
    assert spec.dense_intermediate == 1024


def test_unknown_names_offer_the_nearest() -> None:
    assert "did you mean qwen3-30b-a3b" in refusal("qwen3-30b-a3")
    assert "no such file" in refusal("/nowhere/config.json")
    assert "no such file" in refusal("/nowhere/at/all")


@pytest.mark.parametrize(
    "text, says",
    [
        ("", "empty"),
        ("{", "not valid JSON"),
        (json.dumps(TINY)[:200], "not valid JSON"),
        ("[1, 2]", "expected a JSON object"),
        ("null", "expected a JSON object"),
        ('{"hidden_size": NaN}', "NaN"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ('{"model_type": "llama9"}', "architecture 'llama9' is not supported yet; supported: deepseek_v3, gpt_oss, kimi_k2, kimi_k25, llama,"),
        ("{}", "model_type: is missing"),
        ('{"model_type": 3}', "should be text, got 3"),
        ('{"hidden_size": ' + "9" * 100_000 + "}", "a number of thousands of digits"),
        ('{"hidden_size": NaN}', "holds NaN, which is not a JSON value"),
    ],
    ids=lambda v: str(v)[:20],
)
def test_what_is_no_config_is_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    assert says in refusal(path)


def test_a_huge_file_and_binary_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    with path.open("wb") as file:
        file.truncate(100_000_000)
    assert "100 MB is no config.json" in refusal(path)
    path.write_bytes(b"\xff\xfe\x00\x80")
    assert "cannot be read as text" in refusal(path)
    assert "no such file" in refusal(tmp_path / "other.json")


@pytest.mark.parametrize(
    "changes, says",
    [
        ({"hidden_size": True}, "hidden_size: should be a whole number, got true"),
        ({"hidden_size": "2048"}, 'hidden_size: should be a whole number, got "2048"'),
        ({"hidden_size": -1}, "hidden_size: should be from 1"),
        ({"num_hidden_layers": 0}, "num_hidden_layers: should be from 1"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers: should be from 1 to 10000"),
        ({"max_position_embeddings": 10**9}, "max_position_embeddings: should be from 1 to 16777216"),  # the rotary table has a row for each
        ({"vocab_size": 1.5}, "vocab_size: should be a whole number"),
        ({"vocab_size": 10**400}, "vocab_size: should be from 1"),
        ({"num_key_value_heads": 3}, "cannot share"),
        ({"head_dim": None, "hidden_size": 511}, "head_dim: is missing"),
        ({"head_dim": 63}, "odd"),
        ({"num_experts_per_tok": 17}, "17 experts per token"),
        ({"num_experts": None}, "num_experts: is missing"),
        ({"rms_norm_eps": 0}, "rms_norm_eps: should be a positive number"),
        ({"rope_theta": "big"}, "rope_theta: should be a positive number"),
        ({"hidden_size": [2048]}, "hidden_size: should be a whole number, got [2048]"),
        ({"rms_norm_eps": 1e400}, "holds Infinity, which is not a JSON value"),
        ({"rope_theta": 1}, "rope_theta: should be above 1"),
        ({"rope_scaling": {"rope_type": "dynamic"}}, "rope_scaling: rope scaling 'dynamic' is not supported yet; supported: default, llama3, yarn"),
        ({"rope_scaling": "yarn"}, "should be an object"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4}}, "rope_scaling.original_max_position_embeddings: is missing"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 0.5}}, "rope_scaling.factor: should be at least 1"),
        ({"rope_scaling": {**YARN, "beta_slow": 64}}, "rope_scaling.beta_fast: should not be below beta_slow"),
        ({"rope_scaling": {**YARN, "beta_slow": 1e-300}}, "rope_scaling.beta_slow: should be from 0.001"),
        ({"rope_scaling": {**YARN, "type": "linear"}}, 'rope_scaling.type: is "linear", but rope_type is "yarn"'),
        ({"rope_scaling": {**YARN, "mscale": -1}}, "rope_scaling.mscale: should be a positive number"),
        ({"rope_scaling": {**YARN, "rope_theta": 5e5}}, "rope_theta: is 1000000.0, but rope_scaling.rope_theta is 500000.0"),
        ({"rope_scaling": YARN, "rope_parameters": YARN}, "rope_scaling: stands beside rope_parameters"),
        ({"rope_scaling": {**YARN, "short_factor": [1]}}, "rope_scaling.short_factor: is not a key tokenmill knows of yarn rope"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor: rotary positions on a part of each head, 0.5 is not supported; supported: 1.0"),
        ({"rope_scaling": {**YARN, "partial_rotary_factor": 0.5}}, "rope_scaling.partial_rotary_factor: rotary positions on a part"),
        ({"use_sliding_window": True}, "sliding-window attention is not supported"),
        ({"layer_types": ["sliding_attention"]}, "'sliding_attention' are not supported"),
        ({"hidden_act": "gelu"}, "'gelu' is not supported"),
        ({"use_sliding_window": 1}, "use_sliding_window: should be true or false, got 1"),
        ({"layer_types": ["full_attention"] * 5}, "layer_types: lists 5 layers, but num_hidden_layers is 6"),
        ({"hidden_act": 3}, "hidden_act: activation 3 is not supported; supported: silu"),
        ({"num_local_experts": 8}, "num_experts: is 16, but num_local_experts is 8"),
        ({"quantization_config": "fp8"}, "quantization_config: should be an object"),
        ({"quantization_config": {}}, "quantization_config.quant_method: is missing"),
        ({"mlp_only_layers": [True]}, "list of whole numbers"),
        ({"norm_topk_prob": 1}, "should be true or false"),
    ],
    ids=str,
)
def test_bad_values_are_refused_by_key(tmp_path: Path, changes: dict, says: str) -> None:
    path = write(tmp_path, **changes)
    message = refusal(path)
    assert says in message
    assert str(path) in message


@pytest.mark.parametrize("depth", [50, 900])
def test_deep_values_are_refused_by_key(tmp_path: Path, depth: int) -> None:
    deep: object = []
    for _ in range(depth):
        deep = [deep]
    for key in ("hidden_size", "rope_scaling", "hidden_act", "mlp_only_layers", "quantization_config", "new_key"):
        (tmp_path / "config.json").write_text(json.dumps({**TINY, key: deep}))
        assert f": {key}: " in refusal(tmp_path)


def test_an_unknown_key_is_refused_by_name(tmp_path: Path) -> None:
    assert refusal(write(tmp_path, index_topk=2048)).endswith(
        "config.json: index_topk: is not a key tokenmill knows of qwen3_moe; remove it if it changes nothing that a step computes"
    )
    assert '"two\\nlines": is not a key' in refusal(write(tmp_path, **{"two\nlines": 1}))
    assert "...: is not a key" in refusal(write(tmp_path, **{"k" * 1000: 1}))
    assert read_model(str(write(tmp_path, index_topk=None, attention_dropout=0.1, unsloth_version="2026.1"))).layers == 6


@pytest.mark.parametrize("model_type, needs", [*NOT_YET.items(), ("qwen3_5_moe_text", NOT_YET["qwen3_5_moe"])])
def test_known_architectures_are_refused_by_what_they_need(tmp_path: Path, model_type: str, needs: str) -> None:
    assert f"model_type: architecture {model_type!r} is not supported yet: it needs {needs}; supported: deepseek_v3," in refusal(
        write(tmp_path, model_type=model_type)
    )


def test_no_architecture_is_both_read_and_refused() -> None:
    assert not set(NOT_YET) & {*FAMILIES, *NESTED}
    for family in FAMILIES.values():
        assert not set(family.fixed) & family.ignored
