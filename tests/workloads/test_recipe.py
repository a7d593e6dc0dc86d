"""Recipes: which parts are quantised, and what each GPU multiplies them with."""

import pytest

from triton_kernels.errors import TokenmillError
from workloads.deployment import Deployment
from workloads.planning import formats_of, rank_sizes
from workloads.read_model import read_model
from workloads.recipe import RECIPES
from workloads.weights import check_groups


def use(name: str, arch: int | None) -> tuple[str, str, str, str | None]:
    found = RECIPES[name].use(arch)
    return found.weight.name, found.takes.name, found.layout, found.kind


def test_what_a_recipe_is_multiplied_with_depends_on_the_gpu() -> None:
    assert use("fp8", 90) == ("fp8_128x128", "fp8_1x128", "neighbours", "wgmma e4m3")
    assert use("fp8", 80) == ("fp8_128x128", "bf16", "neighbours", "mma.sync bf16")
    assert use("mxfp4", 90) == ("mxfp4", "bf16", "halves", "wgmma bf16")
    assert use("mxfp4", 100) == ("mxfp4", "mxfp8", "neighbours", "tcgen05 mxf8f6f4")
    assert use("nvfp4", 100) == ("nvfp4", "nvfp4", "neighbours", "tcgen05 mxf4nvf4")
    assert use("nvfp4", None) == ("nvfp4", "nvfp4", "neighbours", None)  # a CPU computes the recipe's own formats


def test_emulation_is_said_and_only_then() -> None:
    said = RECIPES["nvfp4"].emulated_on(90)
    assert said == "nvfp4 on compute capability 9: nvfp4 weights are widened to bf16 as they are read (wgmma bf16)"
    assert RECIPES["nvfp4"].emulated_on(100) is None
    assert RECIPES["fp8"].emulated_on(90) is None
    assert RECIPES["bf16"].emulated_on(70) is None


def test_what_no_gpu_has_proven_is_said() -> None:
    said = RECIPES["nvfp4"].unproven_on(100)
    assert said == "unproven_kernels: nvfp4 by tcgen05 mxf4nvf4 has no correctness row from compute capability 10 in docs/evidence yet"
    assert RECIPES["nvfp4"].unproven_on(None) is None
    assert RECIPES["bf16"].unproven_on(100) is None
    assert RECIPES["fp8"].unproven_on(90) is None  # blocks are interpreted as they are


def test_a_gpu_that_cannot_multiply_at_all_is_refused() -> None:
    with pytest.raises(TokenmillError, match=r"compute capability 7.*run in bf16"):
        RECIPES["fp8"].use(70)


def test_parts_are_as_production_serves_them() -> None:
    """R1's attention stays in bf16 under nvfp4, not under fp8; gpt-oss' own config leaves attention out of mxfp4; kv_b, router and head always stay."""
    r1 = read_model("deepseek-r1")
    in_nvfp4 = formats_of(r1, Deployment(precision="nvfp4", arch=100))
    assert {part: use["weight"] for part, use in in_nvfp4.items()} == {
        "attention": "bf16", "experts": "nvfp4", "shared": "nvfp4", "mlp": "nvfp4", "plain": "bf16",
    }  # fmt: skip
    assert formats_of(r1, Deployment(precision="fp8", arch=90))["attention"] == {"weight": "fp8_128x128", "takes": "fp8_1x128", "kind": "wgmma e4m3"}
    oss = formats_of(read_model("gpt-oss-120b"), Deployment(precision="fp8", arch=90))
    assert (oss["attention"]["weight"], oss["experts"]["weight"]) == ("bf16", "fp8_128x128")
    assert formats_of(read_model("qwen3-30b-a3b"), Deployment(precision="mxfp4", arch=90))["attention"]["weight"] == "bf16"


def test_an_fp8_cache_is_half_of_a_bf16_one() -> None:
    spec = read_model("deepseek-r1")
    sizes = [rank_sizes(spec, Deployment(precision="fp8", kv_cache=cache)).kv_bytes_per_token for cache in ("bf16", "fp8")]
    assert sizes == [70272, 35136]
    with pytest.raises(TokenmillError, match="should be bf16 or fp8"):
        Deployment(precision="fp8", kv_cache="mxfp8")


def test_a_rank_whose_columns_do_not_hold_whole_groups_is_refused() -> None:
    """gpt-oss' 2880 columns over 8 GPUs are 360: 11.25 groups of 32."""
    with pytest.raises(TokenmillError, match=r"experts\.down has 360 inputs on a rank.*choose another --tp"):
        rank_sizes(read_model("gpt-oss-120b"), Deployment(precision="mxfp4", tp=8))
    check_groups("x", (4, 200), RECIPES["fp8"].weight)  # blocks of 128 may be ragged
