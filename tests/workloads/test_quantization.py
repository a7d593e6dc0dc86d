"""What a config says of a quantized checkpoint, and which modules of it stayed as they were."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from triton_kernels.errors import TokenmillError
from workloads.catalogue import CATALOGUE
from workloads.model_spec import Quantization
from workloads.quantization import pattern_problem, stays
from workloads.read_model import read_model

FP8 = {"activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8", "weight_block_size": [128, 128]}
NVFP4 = {"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": ["lm_head", "model.layers.0.self_attn*"]}
TINY = json.loads(CATALOGUE["tiny-moe"].config.read_text())


def read(folder: Path, quantization: dict[str, Any] | None) -> Quantization | None:
    (folder / "config.json").write_text(json.dumps({**TINY, "quantization_config": quantization}))
    return read_model(str(folder)).quantization


@pytest.mark.parametrize(
    "table, method, recipe, not_converted",
    [
        (FP8, "fp8", "fp8", ()),
        ({**FP8, "scale_fmt": "ue8m0", "modules_to_not_convert": ["lm_head", "mlp.gate"]}, "fp8", "fp8", ("lm_head", "mlp.gate")),
        ({**FP8, "ignored_layers": ["a"], "modules_to_not_convert": ["b", "a"]}, "fp8", "fp8", ("b", "a")),
        ({**FP8, "weight_block_size": [64, 64]}, "fp8", None, ()),
        ({**FP8, "weight_block_size": None}, "fp8", None, ()),
        ({**FP8, "activation_scheme": "static"}, "fp8", None, ()),
        ({**FP8, "fmt": "e5m2"}, "fp8", None, ()),
        ({**FP8, "expert_dtype": "fp4"}, "fp8", None, ()),
        ({"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]}, "mxfp4", "mxfp4", ("lm_head",)),
        (NVFP4, "modelopt", "nvfp4", ("lm_head", "model.layers.0.self_attn*")),
        ({**NVFP4, "quant_method": "modelopt_fp4", "group_size": 16}, "modelopt_fp4", "nvfp4", ("lm_head", "model.layers.0.self_attn*")),
        ({**NVFP4, "group_size": 32, "ignore": None}, "modelopt", None, ()),
        ({"quant_method": "modelopt", "quant_algo": "FP8"}, "modelopt FP8", None, ()),
        ({"quant_method": "compressed-tensors", "config_groups": {}, "ignore": ["re:.*[a-c]{3,}", "lm_head"]}, "compressed-tensors", None, ("lm_head",)),
        ({"quant_method": "awq", "bits": 4, "group_size": 128}, "awq", None, ()),
        ({"quant_method": "gptq", "bits": 4}, "gptq", None, ()),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "bitsandbytes", None, ()),
    ],
    ids=str,
)
def test_methods_and_their_recipes(tmp_path: Path, table: dict, method: str, recipe: str | None, not_converted: tuple[str, ...]) -> None:
    assert read(tmp_path, table) == Quantization(method=method, recipe=recipe, not_converted=not_converted)


def test_a_config_without_quantization(tmp_path: Path) -> None:
    assert read(tmp_path, None) is None


def test_modelopts_own_file_counts_where_the_config_is_silent(tmp_path: Path) -> None:
    table = {"quant_algo": "NVFP4", "kv_cache_quant_algo": "FP8", "group_size": 16, "exclude_modules": ["lm_head"]}
    beside = {"producer": {"name": "modelopt"}, "quantization": table}
    (tmp_path / "hf_quant_config.json").write_text(json.dumps(beside))
    assert read(tmp_path, None) == Quantization(method="modelopt", recipe="nvfp4", not_converted=("lm_head",))
    assert read(tmp_path, FP8) == Quantization(method="fp8", recipe="fp8", not_converted=())
    (tmp_path / "hf_quant_config.json").write_text("{}")
    with pytest.raises(TokenmillError, match=r"hf_quant_config\.json: quantization: is missing"):
        read(tmp_path, None)


@pytest.mark.parametrize(
    "table, says",
    [
        ({**FP8, "block_structure": 1}, "quantization_config.block_structure: is not a key tokenmill knows of fp8"),
        ({"quant_method": "mxfp4", "group_size": 16}, "quantization_config.group_size: is not a key tokenmill knows of mxfp4"),
        ({**NVFP4, "rotation": 1}, "quantization_config.rotation: is not a key tokenmill knows of nvfp4"),
        ({**FP8, "ignored_layers": "lm_head"}, 'quantization_config.ignored_layers: should be a list of text, got "lm_head"'),
        ({**FP8, "ignore": ["re:(a+)+b"]}, "quantization_config.ignore: pattern 're:(a+)+b' uses more of regular expressions than"),
        ({**NVFP4, "ignore": ["re:" + "(a|b)" * 7]}, "has more than 64 alternatives"),
        ({**FP8, "weight_block_size": [128.0, 128]}, "quantization_config.weight_block_size: should be a list of whole numbers"),
        ({"quant_method": "a\nb"}, "quantization_config.quant_method: 'a\\nb' is no method's name"),
        ({"quant_method": 3}, "quantization_config.quant_method: should be text"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_bad_quantization_is_refused_by_key(tmp_path: Path, table: dict, says: str) -> None:
    with pytest.raises(TokenmillError) as caught:
        read(tmp_path, table)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "module, listed, stayed",
    [
        ("lm_head", "lm_head", True),
        ("model.lm_head", "lm_head", True),  # by its last names
        ("model.layers.1.mlp.gate", "mlp.gate", True),
        ("model.layers.1.mlp.gate_proj", "mlp.gate", False),
        ("model.layers.1.self_attn.q_proj", "model.layers.1", True),  # a module around it
        ("model.layers.11.self_attn.q_proj", "model.layers.1", False),
        ("model.layers.1.self_attn.q_proj", "self_attn", False),  # neither first nor last
        ("model.layers.35.self_attn.q_proj", "model.layers.*.self_attn", True),
        ("model.layers.35.self_attn", "model.layers.*.self_attn", True),
        ("model.layers.35.self_attn2", "model.layers.*.self_attn", False),
        ("model.layers.35.mlp.experts", "model.layers.*.mlp.router", False),
        ("model.layers.0.self_attn.q_proj", "model.layers.0.self_attn*", True),
        ("model.layers.0.mlp.gate", "*gate", True),
        ("model.layers.0.mlp.gate.x", "*gate", True),
        ("model.layers.0.mlp.gates", "*gate", False),
        ("anything.at.all", "*", True),
        ("modelxlayers.0", "model.layers.*", False),  # a dot of a `*` pattern is a dot
        ("model.layers.7.self_attn.o_proj", "re:.*self_attn.*", True),
        ("model.layers.7.mlp.shared_experts.up_proj", "re:.*shared_experts.*", True),
        ("model.layers.0.mlp.gate_proj", r"re:.*mlp\.(gate|up|gate_up|down)_proj.*", True),
        ("model.layers.0.mlp.gate_up_proj", r"re:.*mlp\.(gate|up|gate_up|down)_proj.*", True),
        ("model.layers.3.mlp.experts.7.gate_proj", r"re:.*mlp\.(gate|up|gate_up|down)_proj.*", False),
        ("model.layers.3.mlp.gate", r"re:.*mlp.gate$", True),
        ("model.layers.3.mlp.gate_proj", r"re:.*mlp.gate$", False),
        ("model.layers.3.mlp.gate_proj", r"re:.*mlp.gate", True),  # as re.match: it may end anywhere
        ("model.layers.13.mlp.gate", r"re:^model\.layers\.\d+\.mlp\.gate$", True),
        ("model.layers.x.mlp.gate", r"re:^model\.layers\.[0-9]+\.mlp\.gate$", False),
        ("visual.blocks.0", "re:visual.*", True),
        ("model.visual.blocks.0", "re:visual.*", False),
    ],
)
def test_which_modules_stay(module: str, listed: str, stayed: bool) -> None:
    assert stays(module, ("other.module", listed)) is stayed


def test_nothing_listed_nothing_stays() -> None:
    assert not stays("lm_head", ())


@pytest.mark.parametrize("pattern", ["re:a{2}", "re:(?=a)", "re:[a-z]", "re:a+", "re:(a(b|c))", "re:a|b", "re:\\w", "re:(a|b)*", "re:a\\"])
def test_other_regular_expressions_are_refused(pattern: str) -> None:
    assert "uses more of regular expressions than" in (pattern_problem(pattern) or "")
    with pytest.raises(TokenmillError, match="uses more of regular expressions than"):
        stays("a", (pattern,))


@pytest.mark.parametrize("pattern", ["*a" * 40 + "b", "re:" + ".*a" * 40 + "b$", "re:" + ".*.." * 40 + "b$"])
def test_no_pattern_takes_long(pattern: str) -> None:
    """Left to `re`, forty wildcards over two hundred equal letters take longer than the universe has."""
    start = time.perf_counter()
    assert not stays("a" * 200, (pattern,))
    assert time.perf_counter() - start < 1


def test_a_checkpoint_of_a_trillion_parameters_is_sorted_quickly() -> None:
    """Kimi-K2's 70,000 expert matrices against K2.5's own list."""
    listed = ("lm_head", "re:.*self_attn.*", "re:.*shared_experts.*", r"re:.*mlp\.(gate|up|gate_up|down)_proj.*")
    start = time.perf_counter()
    assert not any(stays(f"model.layers.{i}.mlp.experts.{e}.{p}_proj", listed) for i in range(60) for e in range(384) for p in ("gate", "up", "down"))
    assert time.perf_counter() - start < 10
