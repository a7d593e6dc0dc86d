"""Quantized checkpoints decoded while they are read, against their formats' definitions; one that cannot be is refused by the tensor's name."""

import json
import math
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from triton_kernels.errors import TokenmillError
from triton_kernels.formats import FORMATS, format_of
from triton_kernels.operand import Operand, decode
from workloads.checkpoint import CheckpointWeights
from workloads.model_spec import Gqa, ModelSpec, Moe
from workloads.recipe import Use
from workloads.rope import Rope
from workloads.weights import Cut

EXPERTS = "model.layers.0.mlp.experts."
GATE = "model.layers.0.mlp.gate_proj.weight"


def read(folder: Path, tensors: dict[str, torch.Tensor], model_type: str = "gpt_oss", dtype: torch.dtype = torch.float32) -> CheckpointWeights:
    save_file(tensors, folder / "model.safetensors")
    spec = ModelSpec(
        name="tiny", model_type=model_type, layers=1, hidden=64, vocab=6, attention=Gqa(heads=1, kv_heads=1, head_dim=8),
        moe=Moe(layers=frozenset({0}), experts=2, top_k=1, intermediate=32), dense_intermediate=130, mtp_modules=0, tied_embeddings=False,
        rope=Rope(theta=1e4, dim=8), rms_norm_eps=1e-6, max_positions=64, quantization=None, folder=None,
    )  # fmt: skip
    plain = format_of(dtype)
    assert plain is not None
    use = Use(weight=plain, takes=plain)
    return CheckpointWeights(spec, folder, use_of=lambda name, dims: use, device=torch.device("cpu"))


def decoded(blocks: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    return decode(Operand(format=FORMATS["mxfp4"], values=blocks.flatten(-2), scale=scales))


def e2m1(code: int) -> float:
    """By the format's definition: bias 1, subnormals at exponent 0, no infinities."""
    exponent, mantissa = code >> 1 & 3, code & 1
    size = mantissa * 0.5 if exponent == 0 else (1 + mantissa * 0.5) * 2.0 ** (exponent - 1)
    return -size if code & 8 else size


@pytest.mark.parametrize("scale", [0, 1, 60, 126, 127, 128, 140, 252])  # 6 x 2^(253 - 127) is beyond fp32
def test_every_code_at_a_scale(scale: int) -> None:
    """Byte b holds code b mod 16, then code b div 16."""
    blocks = torch.arange(256, dtype=torch.uint8).view(16, 1, 16)
    got = decoded(blocks, torch.full((16, 1), scale, dtype=torch.uint8)).flatten().tolist()
    want = [math.ldexp(e2m1(code), scale - 127) for byte in range(256) for code in (byte % 16, byte // 16)]
    assert got == want
    assert [math.copysign(1, x) for x in got] == [math.copysign(1, x) for x in want]


def random_mxfp4(experts: int, rows: int, columns: int) -> tuple[torch.Tensor, torch.Tensor]:
    blocks = torch.randint(0, 256, (experts, rows, columns // 32, 16), dtype=torch.uint8)
    return blocks, torch.randint(110, 135, (experts, rows, columns // 32), dtype=torch.uint8)


def test_mxfp4_equals_transformers() -> None:
    integration = pytest.importorskip("transformers.integrations.mxfp4")
    blocks, scales = random_mxfp4(3, 6, 96)
    want = integration.convert_moe_packed_tensors(blocks, scales, dtype=torch.float32)  # transformers multiplies from the right
    assert torch.equal(decoded(blocks, scales).transpose(1, 2), want)


def published_gpt_oss() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    tensors = {}
    for name, rows, columns in (("gate_up_proj", 64, 64), ("down_proj", 64, 32)):
        tensors[f"{EXPERTS}{name}_blocks"], tensors[f"{EXPERTS}{name}_scales"] = random_mxfp4(2, rows, columns)
    return tensors


def value(tensors: dict[str, torch.Tensor], name: str, expert: int, row: int, column: int) -> float:
    byte = int(tensors[f"{EXPERTS}{name}_blocks"][expert, row, column // 32, column % 32 // 2])
    exponent = int(tensors[f"{EXPERTS}{name}_scales"][expert, row, column // 32]) - 127
    return math.ldexp(e2m1(byte >> 4 if column % 2 else byte & 15), exponent)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_published_gpt_oss_layout(tmp_path: Path, dtype: torch.dtype) -> None:
    """Rows 0, 2, .. 62 of gate_up are gates, rows 1, 3, .. 63 are ups. Three significant bits fit bf16 too."""
    tensors = published_gpt_oss()
    weights = read(tmp_path, tensors, dtype=dtype)
    gate_up = weights("layers.0.experts.gate_up", 2, 64, 64, std=None)
    down = weights("layers.0.experts.down", 2, 64, 32, std=None)
    assert (gate_up.dtype, down.dtype) == (dtype, dtype)
    for e in range(2):
        assert gate_up[e].tolist() == [[value(tensors, "gate_up_proj", e, r, c) for c in range(64)] for r in (*range(0, 64, 2), *range(1, 64, 2))]
        assert down[e].tolist() == [[value(tensors, "down_proj", e, r, c) for c in range(32)] for r in range(64)]
    weights.refuse_leftovers()
    mine = (Cut(dim=0, ranges=((1, 2),)), Cut(dim=1, ranges=((16, 32), (48, 64))))
    assert torch.equal(weights("layers.0.experts.gate_up", 2, 64, 64, std=None, cuts=mine)[0], torch.cat((gate_up[1, 16:32], gate_up[1, 48:])))
    mine = (Cut(dim=0, ranges=((1, 2),)), Cut(dim=2, ranges=((5, 9),)))
    assert torch.equal(weights("layers.0.experts.down", 2, 64, 32, std=None, cuts=mine)[0], down[1, :, 5:9])


@pytest.mark.parametrize(
    "name, values, problem",
    [
        ("gate_up_proj_scales", None, "'model.layers.0.mlp.experts.gate_up_proj_scales' is missing"),
        ("gate_up_proj_scales", torch.zeros(2, 64, 3, dtype=torch.uint8), r"gate_up_proj_scales' has shape \[2, 64, 3\].*\[2, 64, 2\]"),
        ("gate_up_proj_blocks", torch.zeros(2, 64, 2, 8, dtype=torch.uint8), r"gate_up_proj_blocks' has shape \[2, 64, 2, 8\].*\[2, 64, 2, 16\]"),
        ("gate_up_proj_scales", torch.full((2, 64, 2), 255, dtype=torch.uint8), "gate_up_proj_scales' holds scales that are not numbers"),
        ("gate_up_proj_scales", torch.zeros(2, 64, 2), "gate_up_proj_scales' is float32, not the uint8 of mxfp4"),
    ],
)  # fmt: skip
def test_bad_mxfp4_is_refused(tmp_path: Path, name: str, values: torch.Tensor | None, problem: str) -> None:
    tensors = published_gpt_oss()
    del tensors[EXPERTS + name]
    if values is not None:
        tensors[EXPERTS + name] = values
    with pytest.raises(TokenmillError, match=problem):
        read(tmp_path, tensors)("layers.0.experts.gate_up", 2, 64, 64, std=None)


def test_a_width_that_mxfp4_cannot_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TokenmillError, match=r"gate_up_proj_blocks' is in groups of 32, which do not divide config.json's 40 columns"):
        read(tmp_path, published_gpt_oss())("layers.0.experts.gate_up", 2, 64, 40, std=None)


def published_fp8(rows: int = 130, columns: int = 260) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    tensors = {}
    for name in (GATE, GATE.replace("gate_proj", "up_proj")):
        tensors[name] = torch.randn(rows, columns).to(torch.float8_e4m3fn)
        tensors[f"{name}_scale_inv"] = torch.rand(2, 3) + 0.1
    return tensors


def test_each_block_of_fp8_has_its_scale(tmp_path: Path) -> None:
    """130 x 260 in blocks of 128: the second row of blocks has 2 rows, the third column of blocks 4 columns."""
    tensors = published_fp8()
    weights = read(tmp_path, tensors, "qwen3_moe")
    got = weights("layers.0.mlp.gate_up", 260, 260, std=None)
    for half, name in enumerate((GATE, GATE.replace("gate_proj", "up_proj"))):
        codes, scale = tensors[name].float(), tensors[f"{name}_scale_inv"]
        for i, rows in enumerate((slice(0, 128), slice(128, 130))):
            for j, columns in enumerate((slice(0, 128), slice(128, 256), slice(256, 260))):
                assert torch.equal(got[130 * half :][rows, columns], codes[rows, columns] * scale[i, j])
    weights.refuse_leftovers()


def test_fp8_experts_are_decoded_too(tmp_path: Path) -> None:
    """The code of 1.5 at a scale of 3 is 4.5; expert 1's scale is 0.5."""
    tensors = {}
    for e, scale in enumerate((3.0, 0.5)):
        tensors[f"{EXPERTS}{e}.down_proj.weight"] = torch.full((64, 32), 1.5).to(torch.float8_e4m3fn)
        tensors[f"{EXPERTS}{e}.down_proj.weight_scale_inv"] = torch.full((1, 1), scale)
    got = read(tmp_path, tensors, "qwen3_moe", torch.bfloat16)("layers.0.experts.down", 2, 64, 32, std=None)
    assert (got.dtype, got[0].unique().tolist(), got[1].unique().tolist()) == (torch.bfloat16, [4.5], [0.75])


@pytest.mark.parametrize(
    "scale, problem",
    [
        (None, "gate_proj.weight_scale_inv' is missing"),
        (torch.ones(3, 2), r"gate_proj.weight_scale_inv' has shape \[3, 2\].*\[2, 3\]"),
        (torch.ones(()), r"gate_proj.weight_scale_inv' has shape \[\].*\[2, 3\]"),
        (torch.tensor([[1, 1, 1], [1, 1, math.nan]]), "gate_proj.weight_scale_inv' holds scales that are not finite numbers"),
        (torch.tensor([[1, math.inf, 1], [1, 1, 1]]), "gate_proj.weight_scale_inv' holds scales that are not finite numbers"),
        (torch.tensor([[1, -1, 1], [1, 1, 1.0]]), "gate_proj.weight_scale_inv' holds scales below 0"),
        (torch.ones(2, 3, dtype=torch.int32), "gate_proj.weight_scale_inv' is int32, no floating-point type of scales"),
    ],
)
def test_bad_fp8_is_refused(tmp_path: Path, scale: torch.Tensor | None, problem: str) -> None:
    tensors = published_fp8()
    del tensors[f"{GATE}_scale_inv"]
    if scale is not None:
        tensors[f"{GATE}_scale_inv"] = scale
    with pytest.raises(TokenmillError, match=problem) as caught:
        read(tmp_path, tensors, "qwen3_moe")("layers.0.mlp.gate_up", 260, 260, std=None)
    assert "\n" not in str(caught.value)


def test_a_scale_in_a_byte_of_its_own_is_a_power_of_two(tmp_path: Path) -> None:
    """ue8m0: byte 129 is 2^(129 - 127) = 4."""
    tensors = {}
    for name in (GATE, GATE.replace("gate_proj", "up_proj")):
        tensors[name] = torch.full((2, 64), 1.25).to(torch.float8_e4m3fn)
        tensors[f"{name}_scale_inv"] = torch.full((1, 1), 129, dtype=torch.uint8).view(torch.float8_e8m0fnu)
    assert read(tmp_path, tensors, "qwen3_moe")("layers.0.mlp.gate_up", 4, 64, std=None).unique().tolist() == [5.0]


@pytest.mark.parametrize(
    "tensors, problem",
    [
        ({GATE: torch.zeros(130, 260, dtype=torch.int8)}, "gate_proj.weight' is int8, which tokenmill does not decode"),
        ({f"{GATE}_packed": torch.zeros(130, 33, dtype=torch.int32)}, "gate_proj.weight_packed' is in a quantized format that tokenmill does not decode"),
    ],
)
def test_other_quantized_formats_are_refused(tmp_path: Path, tensors: dict[str, torch.Tensor], problem: str) -> None:
    with pytest.raises(TokenmillError, match=problem):
        read(tmp_path, tensors, "qwen3_moe")("layers.0.mlp.gate_up", 260, 260, std=None)


@pytest.mark.parametrize("dtype, bits, problem", [("F6_E2M3", 6, "cannot be read"), ("F8_E5M2", 8, "is float8_e5m2")])
def test_formats_of_safetensors_that_nothing_here_decodes_are_refused(tmp_path: Path, dtype: str, bits: int, problem: str) -> None:
    size = 130 * 260 * bits // 8
    weights = read(tmp_path, published_fp8(), "qwen3_moe")
    header = json.dumps({GATE: {"dtype": dtype, "shape": [130, 260], "data_offsets": [0, size]}}).encode()
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(size))
    weights = CheckpointWeights(weights.spec, tmp_path, use_of=weights.use_of, device=weights.device)
    with pytest.raises(TokenmillError, match=f"gate_proj.weight' {problem}"):
        weights("layers.0.mlp.gate_up", 260, 260, std=None)
