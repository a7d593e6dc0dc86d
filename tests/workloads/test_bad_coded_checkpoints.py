"""Quantised checkpoints that cannot be right are refused by the tensor's name, with what to do, in one line."""

import math
from pathlib import Path

import pytest
import torch

from tests.workloads.coded_folders import ATTENTION, Tensors, mxfp8, nvfp4, open_folder
from triton_kernels.errors import TokenmillError

NAN_SCALES = torch.full((64, 6), math.nan).to(torch.float8_e4m3fn)
Changes = dict[str, torch.Tensor | None]


@pytest.mark.parametrize(
    "changes, problem",
    [
        ({"_scale": None}, r"o_proj.weight_scale' is missing from the safetensors files; download"),
        ({"_scale_2": None}, r"o_proj.weight_scale_2' is missing from the safetensors files; download"),
        ({"_scale": torch.ones(64, 3).to(torch.float8_e4m3fn)}, r"o_proj.weight_scale' has shape \[64, 3\].*\[64, 6\]"),
        ({"_scale_2": torch.ones(2)}, r"o_proj.weight_scale_2' has shape \[2\].*\[\]"),
        ({"": torch.zeros(64, 47, dtype=torch.uint8)}, r"o_proj.weight' has shape \[64, 47\].*\[64, 48\]"),
        ({"": torch.zeros(64, 96, dtype=torch.uint8)}, r"o_proj.weight' has shape \[64, 96\].*\[64, 48\]"),
        ({"": torch.zeros(64, 96, dtype=torch.int8)}, r"o_proj.weight' is int8, which tokenmill does not decode here; use a bf16 checkpoint"),
        ({"_scale": torch.ones(64, 6)}, r"o_proj.weight_scale' is float32, not the float8_e4m3fn of nvfp4; use"),
        ({"_scale": torch.ones(64, 6, dtype=torch.uint8)}, r"o_proj.weight_scale' is uint8, not the float8_e4m3fn of nvfp4; use"),
        ({"_scale": NAN_SCALES}, r"o_proj.weight_scale' holds scales that are not finite numbers; download"),
        ({"_scale": torch.full((64, 6), -2.0).to(torch.float8_e4m3fn)}, r"o_proj.weight_scale' holds scales below 0; download"),
        ({"_scale_2": torch.tensor(0.0)}, r"o_proj.weight_scale_2' holds 0, no finite scale above 0; download"),
        ({"_scale_2": torch.tensor(-0.5)}, r"o_proj.weight_scale_2' holds -0.5, no finite scale above 0; download"),
        ({"_scale_2": torch.tensor(math.inf)}, r"o_proj.weight_scale_2' holds inf, no finite scale above 0; download"),
        ({"_scale_2": torch.tensor(math.nan)}, r"o_proj.weight_scale_2' holds nan, no finite scale above 0; download"),
        ({"_scale_2": torch.tensor(0.5).bfloat16()}, r"o_proj.weight_scale_2' is bfloat16, not the float32 of a global scale; download"),
        ({"": None, "_packed": torch.zeros(64, 48, dtype=torch.uint8)}, r"o_proj.weight_packed' is in a quantized format that tokenmill does not decode; use"),
    ],
)
def test_bad_nvfp4_is_refused(tmp_path: Path, changes: Changes, problem: str) -> None:
    refused(tmp_path, nvfp4(f"{ATTENTION}o_proj", 64, 96), changes, problem, "nvfp4")


@pytest.mark.parametrize(
    "changes, problem",
    [
        ({"_scale": None}, r"o_proj.weight_scale_inv' is missing from the safetensors files; download"),
        ({"_scale": torch.ones(64, 2, dtype=torch.uint8)}, r"o_proj.weight_scale' has shape \[64, 2\].*\[64, 3\]"),
        ({"_scale": torch.full((64, 3), 255, dtype=torch.uint8)}, r"o_proj.weight_scale' holds scales that are not numbers; download"),
        ({"_scale": torch.tensor(1.0)}, r"o_proj.weight_scale' is no uint8 of mxfp8; use such a checkpoint, one in fp8 blocks"),
        ({"": torch.zeros(64, 95).to(torch.float8_e4m3fn)}, r"o_proj.weight' has shape \[64, 95\].*\[64, 96\]"),
        ({"": torch.zeros(64, 96).to(torch.float8_e5m2)}, r"o_proj.weight' is float8_e5m2, which tokenmill does not decode"),
    ],
)
def test_bad_mxfp8_is_refused(tmp_path: Path, changes: Changes, problem: str) -> None:
    refused(tmp_path, mxfp8(), changes, problem, "mxfp8")


def refused(folder: Path, tensors: Tensors, changes: Changes, problem: str, wanted: str) -> None:
    changed = {**tensors, **{f"{ATTENTION}o_proj.weight{suffix}": values for suffix, values in changes.items()}}
    weights = open_folder(folder, {name: values for name, values in changed.items() if values is not None}, wanted)
    with pytest.raises(TokenmillError, match=problem) as caught:
        weights.matrix("layers.0.o", 64, 96, std=1.0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("columns", [41, 40])
def test_columns_that_groups_do_not_divide_are_refused(tmp_path: Path, columns: int) -> None:
    """41 columns are not even whole bytes."""
    weights = open_folder(tmp_path, nvfp4(f"{ATTENTION}o_proj", 64, 96), "bf16")
    with pytest.raises(TokenmillError, match=f"o_proj.weight' is in groups of 16, which do not divide config.json's {columns} columns; use a bf16"):
        weights.matrix("layers.0.o", 64, columns, std=1.0)


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_a_bad_scale_of_a_cache_is_refused(tmp_path: Path, value: float) -> None:
    weights = open_folder(tmp_path, {f"{ATTENTION}v_proj.v_scale": torch.tensor(value)}, "bf16")
    with pytest.raises(TokenmillError, match=r"v_proj.v_scale' holds .*, no finite scale above 0; download the checkpoint again"):
        weights.cache_scale("layers.0.v_scale")
