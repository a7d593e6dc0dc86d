"""Other tools' names of models, GPUs and formats."""

from __future__ import annotations

import pytest

from profiler.foreign.names import gpu_key, model_named, recipe_in_name, recipe_of, runner_gpu_key
from workloads.recipe import RECIPES


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("deepseek-ai/DeepSeek-R1-0528", "deepseek-r1"),
        ("nvidia/DeepSeek-R1-0528-FP4-v2", "deepseek-r1"),
        ("amd/DeepSeek-R1-0528-MXFP4-Preview", "deepseek-r1"),
        ("/models/DeepSeek-R1/", "deepseek-r1"),
        ("dsr1-fp8", "deepseek-r1"),
        ("DEEPSEEK_V3", "deepseek-v3"),
        ("openai/gpt-oss-120b", "gpt-oss-120b"),
        ("gptoss", "gpt-oss-120b"),
        ("amd/Llama-3.3-70B-Instruct-FP8-KV", "llama-3.3-70b"),
        ("meta-llama/Meta-Llama-3.1-8B-Instruct", "llama-3.1-8b"),
        ("Qwen/Qwen3-235B-A22B-Instruct-2507", "qwen3-235b-a22b"),
        ("Qwen/Qwen3-8B", "qwen3-8b"),
        ("moonshotai/Kimi-K2.5", None),  # another model than Kimi-K2
        ("deepseek-ai/DeepSeek-V3.2", None),
        ("../../etc/passwd", None),
        ("", None),
    ],
)
def test_models(name: str, known: str | None) -> None:
    assert model_named(name) == known


def test_the_first_name_that_is_known() -> None:
    assert model_named(None, "nobody/knows", "openai/gpt-oss-20b") == "gpt-oss-20b"


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("h200_sxm", "h200"),
        ("H100-SXM", "h100"),
        ("gb200", "gb200"),
        ("gb200_sxm", "gb200"),
        ("NVIDIA B200", "b200"),
        ("NVIDIA H200 NVL", None),
        ("l40s", None),
    ],
)
def test_gpus(name: str, key: str | None) -> None:
    assert gpu_key(name) == key


@pytest.mark.parametrize(("hw", "key"), [("h200-nv", "h200"), ("cluster:b300-nv", "b300"), ("GB200", "gb200"), ("mi355x-amds", None), (None, None), ("", None)])
def test_runners(hw: str | None, key: str | None) -> None:
    assert runner_gpu_key(hw) == key


def test_formats_are_recipes_or_keep_their_name() -> None:
    assert [recipe_of(name)[0] for name in ("fp8_block", "BF16", "float16", "nvfp4", "w4a16_mxfp4")] == ["fp8", "bf16", "fp16", "nvfp4", "mxfp4"]
    assert recipe_of("int4") == ("int4", None)
    assert "int4" not in RECIPES
    assert recipe_of(None) == (None, None)


def test_fp4_alone_is_said_to_be_taken_for_what_it_is() -> None:
    assert recipe_of("fp4", model="gpt-oss-120b", gpu="h200") == ("mxfp4", "precision fp4 is MXFP4 here: gpt-oss is published so")
    assert recipe_of("fp4", model="deepseek-r1", gpu="b200") == ("nvfp4", "precision fp4 is NVFP4 here: b200 multiplies it")
    assert recipe_of("fp4", model="deepseek-r1", gpu="h200") == ("fp4", None)  # no Hopper multiplies it, so nobody can tell
    assert recipe_of("fp4") == ("fp4", None)


def test_a_format_in_a_models_name() -> None:
    names = ("x/DeepSeek-R1-0528-FP4-v2", "Qwen3-8B-fp8", "Qwen3-8B", None)
    assert [recipe_in_name(name, model=None, gpu="b200")[0] for name in names] == ["nvfp4", "fp8", None, None]
    assert recipe_in_name("Qwen3-8B-FP8", model="qwen3-8b", gpu=None)[1] == "precision fp8 is from the model's name"
