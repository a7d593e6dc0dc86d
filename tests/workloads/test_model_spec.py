import json
from pathlib import Path

import pytest

from triton_kernels.errors import TokenmillError
from workloads.catalogue import CATALOGUE
from workloads.model_spec import read_model

TINY = json.loads(CATALOGUE["tiny-moe"].config.read_text())


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


def test_qwen3_30b_is_read_as_published() -> None:
    spec = read_model("qwen3-30b-a3b")
    assert (spec.layers, spec.hidden, spec.heads, spec.kv_heads, spec.head_dim) == (48, 2048, 32, 4, 128)
    assert (spec.experts, spec.top_k, spec.moe_intermediate, spec.vocab) == (128, 8, 768, 151936)
    assert spec.moe_layers == frozenset(range(48))
    assert spec.dense_intermediate is None
    assert spec.rope_theta == 1e6


def test_a_path_and_its_folder_read_alike(tmp_path: Path) -> None:
    path = write(tmp_path)
    assert read_model(str(path)) == read_model(str(tmp_path))
    assert read_model(str(path)).folder == tmp_path.resolve()


def test_transformers_5_spelling_reads_alike(tmp_path: Path) -> None:
    four = read_model(str(write(tmp_path)))
    write(tmp_path, rope_theta=None, rope_parameters={"rope_theta": 1e6, "rope_type": "default"}, torch_dtype=None, dtype="float32")
    assert read_model(str(tmp_path)) == four


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
        ('{"model_type": "llama4"}', "'llama4' is not supported"),
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
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4}}, "'yarn' is not supported"),
        ({"rope_scaling": "yarn"}, "should be an object"),
        ({"use_sliding_window": True}, "sliding-window attention is not supported"),
        ({"layer_types": ["sliding_attention"]}, "'sliding_attention' are not supported"),
        ({"hidden_act": "gelu"}, "'gelu' is not supported"),
        ({"quantization_config": {"quant_method": "fp8"}}, "quantized checkpoints are not supported"),
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
