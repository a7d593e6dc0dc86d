"""A folder that is not quite a checkpoint is refused by the name of what is wrong."""

import json
from pathlib import Path

import pytest
import torch

from triton_kernels.errors import TokenmillError
from workloads.deployment import Deployment
from workloads.read_model import read_model
from workloads.steps import build_decoder

CONFIG = {
    "model_type": "qwen3", "hidden_size": 32, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16, "num_hidden_layers": 1, "vocab_size": 11,
    "intermediate_size": 24, "tie_word_embeddings": False,
}  # fmt: skip
SHAPES = {
    "model.embed_tokens.weight": (11, 32),
    "model.layers.0.input_layernorm.weight": (32,),
    "model.layers.0.self_attn.q_proj.weight": (32, 32),
    "model.layers.0.self_attn.k_proj.weight": (16, 32),
    "model.layers.0.self_attn.v_proj.weight": (16, 32),
    "model.layers.0.self_attn.q_norm.weight": (16,),
    "model.layers.0.self_attn.k_norm.weight": (16,),
    "model.layers.0.self_attn.o_proj.weight": (32, 32),
    "model.layers.0.post_attention_layernorm.weight": (32,),
    "model.layers.0.mlp.gate_proj.weight": (24, 32),
    "model.layers.0.mlp.up_proj.weight": (24, 32),
    "model.layers.0.mlp.down_proj.weight": (32, 24),
    "model.norm.weight": (32,),
    "lm_head.weight": (11, 32),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    return tmp_path


def save(folder: Path, changes: dict[str, tuple[int, ...] | None], name: str = "model.safetensors") -> None:
    from safetensors.torch import save_file

    shapes = {k: v for k, v in {**SHAPES, **changes}.items() if v is not None}
    save_file({k: torch.randn(v) for k, v in shapes.items()}, folder / name)


def load(folder: Path) -> None:
    build_decoder(read_model(str(folder)), Deployment(precision="fp32"), torch.device("cpu"), seed=0, positions=16)


def refusal(folder: Path) -> str:
    with pytest.raises(TokenmillError) as caught:
        load(folder)
    return str(caught.value)


def test_a_whole_checkpoint_loads_and_keeps_its_values(folder: Path) -> None:
    save(folder, {})
    load(folder)


def test_a_missing_tensor_is_named(folder: Path) -> None:
    save(folder, {"model.layers.0.self_attn.k_proj.weight": None})
    assert "'model.layers.0.self_attn.k_proj.weight' is missing" in refusal(folder)


@pytest.mark.parametrize("shape", [(24, 31), (25, 32), (23, 32), (24,)])
def test_a_tensor_of_another_shape_is_named(folder: Path, shape: tuple[int, ...]) -> None:
    save(folder, {"model.layers.0.mlp.up_proj.weight": shape})
    assert "model.layers.0.mlp.up_proj.weight" in refusal(folder)


def test_a_tensor_the_model_does_not_have_is_named(folder: Path) -> None:
    save(folder, {"model.layers.0.self_attn.sinks": (2,)})
    assert "holds 1 tensors this model does not have, such as 'model.layers.0.self_attn.sinks'" in refusal(folder)


def test_a_truncated_file_is_named(folder: Path) -> None:
    save(folder, {})
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:200])
    assert "not a readable safetensors file" in refusal(folder)


@pytest.mark.parametrize("name", ["../model.safetensors", "/etc/passwd", "model.bin", 3])
def test_an_index_names_files_of_its_folder_only(folder: Path, name: object) -> None:
    save(folder, {})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"model.norm.weight": name}}))
    assert "not a safetensors file of this folder" in refusal(folder)


def test_a_missing_shard_is_named(folder: Path) -> None:
    save(folder, {})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "model-00002-of-00002.safetensors"}}))
    assert "is named by the index but missing" in refusal(folder)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"weight_map": 3}'])
def test_a_broken_index_is_refused(folder: Path, text: str) -> None:
    save(folder, {})
    (folder / "model.safetensors.index.json").write_text(text)
    assert "not a safetensors index" in refusal(folder)
