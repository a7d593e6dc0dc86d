"""Published quantised checkpoints as operands: the file's very codes and scales where the recipe wants their format."""

from pathlib import Path

import pytest
import torch

from tests.workloads.coded_folders import ATTENTION, EXPERTS, MLA, MLP, Tensors, fp8, mxfp8, nvfp4, open_folder, same
from triton_kernels.codes import unpack
from triton_kernels.formats import FORMATS
from triton_kernels.operand import Operand, decode, encode
from workloads.weights import Cut

EVENS_FIRST = [*range(0, 64, 2), *range(1, 64, 2)]


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def test_deepseeks_blocks_of_fp8_stay_as_they_are(tmp_path: Path) -> None:
    """The rotated rows, the second half of each head's block or the last of the latent's, trade places inside it."""
    tensors = {**fp8(f"{ATTENTION}q_a_proj.weight", 256, 200), **fp8(f"{ATTENTION}kv_a_proj_with_mqa.weight", 192, 200)}
    tensors |= {**fp8(f"{ATTENTION}q_b_proj.weight", 384, 256)}
    weights = open_folder(tmp_path, tensors, "fp8_128x128", model_type="deepseek_v3", attention=MLA)
    q_a, kv_a, q_b = (tensors[f"{ATTENTION}{name}.weight"] for name in ("q_a_proj", "kv_a_proj_with_mqa", "q_b_proj"))

    got = weights.matrix("layers.0.q_a_kv_a", 448, 200, std=1.0)
    assert got.takes is FORMATS["bf16"]
    assert same(got.weight.values[:256], q_a)
    assert same(got.weight.values[256:384], kv_a[:128])
    assert same(got.weight.values[384:], kv_a.view(torch.uint8)[128:][EVENS_FIRST].view(torch.float8_e4m3fn))
    scales = [tensors[f"{ATTENTION}{name}.weight_scale_inv"] for name in ("q_a_proj", "kv_a_proj_with_mqa")]
    assert same(got.weight.scale, torch.cat(scales))

    got = weights.matrix("layers.0.q_b", 384, 256, std=1.0)
    order = [128 * head + row for head in range(3) for row in (*range(64), *(64 + r for r in EVENS_FIRST))]
    assert same(got.weight.values, q_b.view(torch.uint8)[order].view(torch.float8_e4m3fn))
    assert same(got.weight.scale, tensors[f"{ATTENTION}q_b_proj.weight_scale_inv"])

    part = weights.matrix("layers.0.q_b", 384, 256, std=1.0, cuts=(Cut(dim=0, ranges=((128, 256),)),))
    assert same(part.weight.values, got.weight.values[128:256])
    assert same(part.weight.scale, tensors[f"{ATTENTION}q_b_proj.weight_scale_inv"][1:2])
    assert weights.notes == []
    weights.refuse_leftovers()


def test_a_rank_whose_part_cuts_blocks_has_them_encoded_again_and_says_so(tmp_path: Path) -> None:
    """Half of 320 columns is a block and a quarter: the second rank's begins inside one. The first rank's last block is cut short, but stays one."""
    tensors = fp8(f"{ATTENTION}o_proj.weight", 64, 320)
    weights = open_folder(tmp_path, tensors, "fp8_128x128")
    whole = decode(weights.matrix("layers.0.o", 64, 320, std=1.0).weight)
    first, second = ((Cut(dim=1, ranges=(half,)),) for half in ((0, 160), (160, 320)))
    kept = weights.matrix("layers.0.o", 64, 320, std=1.0, cuts=first).weight
    assert same(kept.values, tensors[f"{ATTENTION}o_proj.weight"][:, :160])
    assert same(kept.scale, tensors[f"{ATTENTION}o_proj.weight_scale_inv"][:, :2])
    assert weights.notes == []
    want = encode(whole[:, 160:], FORMATS["fp8_128x128"])
    assert want.scale is not None
    for _ in range(2):
        part = weights.matrix("layers.0.o", 64, 320, std=1.0, cuts=second).weight
        assert same(part.values, want.values)
        assert same(part.scale, want.scale)
    said_once = ["o: a rank's columns cut through its blocks; decoded and encoded again in fp8_128x128, which rounds once more"]
    assert weights.notes == said_once


def published_gpt_oss() -> Tensors:
    tensors = {}
    for name, rows, columns in (("gate_up_proj", 64, 64), ("down_proj", 64, 32)):
        tensors[f"{EXPERTS}{name}_blocks"] = torch.randint(0, 256, (2, rows, columns // 32, 16), dtype=torch.uint8)
        tensors[f"{EXPERTS}{name}_scales"] = torch.randint(110, 135, (2, rows, columns // 32), dtype=torch.uint8)
        tensors[f"{EXPERTS}{name}_bias"] = torch.randn(2, rows).bfloat16()
    return tensors


@pytest.mark.parametrize("layout", ["neighbours", "halves"])
def test_gpt_oss_mxfp4_stays_as_it_is(tmp_path: Path, layout: str) -> None:
    tensors = published_gpt_oss()
    weights = open_folder(tmp_path, tensors, "mxfp4", model_type="gpt_oss", layout=layout)
    gate_up, down = weights.matrix("layers.0.experts.gate_up", 2, 64, 64, std=1.0).weight, weights.matrix("layers.0.experts.down", 2, 64, 32, std=1.0).weight
    assert (gate_up.layout, down.layout) == (layout, layout)
    blocks, scales = (tensors[f"{EXPERTS}gate_up_proj_{what}"][:, EVENS_FIRST] for what in ("blocks", "scales"))
    assert torch.equal(unpack(gate_up.values, layout), unpack(blocks.flatten(2), "neighbours"))
    assert same(gate_up.scale, scales)
    assert gate_up.global_scale is None
    assert torch.equal(unpack(down.values, layout), unpack(tensors[f"{EXPERTS}down_proj_blocks"].flatten(2), "neighbours"))
    assert same(down.scale, tensors[f"{EXPERTS}down_proj_scales"])
    bias = weights("layers.0.experts.gate_up_bias", 2, 64, std=1.0)
    assert torch.equal(bias, tensors[f"{EXPERTS}gate_up_proj_bias"][:, EVENS_FIRST])
    assert torch.equal(weights("layers.0.experts.down_bias", 2, 64, std=1.0), tensors[f"{EXPERTS}down_proj_bias"])

    mine = (Cut(dim=0, ranges=((1, 2),)), Cut(dim=1, ranges=((16, 32), (48, 64))))
    part = weights.matrix("layers.0.experts.gate_up", 2, 64, 64, std=1.0, cuts=mine).weight
    assert same(part.values[0], torch.cat((gate_up.values[1, 16:32], gate_up.values[1, 48:])))
    assert same(part.scale, torch.cat((scales[1, 16:32], scales[1, 48:]))[None])
    assert weights.notes == []
    weights.refuse_leftovers()


def published_nvfp4(up_whole: float = 0.125) -> Tensors:
    tensors = {**nvfp4(f"{MLP}gate_proj", 48, 64), **nvfp4(f"{MLP}up_proj", 48, 64, up_whole), **nvfp4(f"{MLP}down_proj", 64, 48, 0.5)}
    for name, rows in (("q", 32), ("k", 16), ("v", 16)):
        tensors |= nvfp4(f"{ATTENTION}{name}_proj", rows, 64)
    for expert in range(2):
        for name, rows, columns in (("gate", 32, 64), ("up", 32, 64), ("down", 64, 32)):
            tensors |= nvfp4(f"{EXPERTS}{expert}.{name}_proj", rows, columns, 0.25 * (expert + 1))
    return tensors


@pytest.mark.parametrize("layout", ["neighbours", "halves"])
def test_nvfp4_of_model_optimizer_stays_as_it_is(tmp_path: Path, layout: str) -> None:
    tensors = published_nvfp4()
    weights = open_folder(tmp_path, tensors, "nvfp4", layout=layout)

    def check(got: Operand, modules: list[str], whole: float) -> None:
        assert torch.equal(unpack(got.values, layout), unpack(torch.cat([tensors[f"{m}.weight"] for m in modules]), "neighbours"))
        assert same(got.scale, torch.cat([tensors[f"{m}.weight_scale"] for m in modules]))
        assert got.global_scale is not None
        assert got.global_scale.tolist() == [[whole]]

    check(weights.matrix("layers.0.mlp.gate_up", 96, 64, std=1.0).weight, [f"{MLP}gate_proj", f"{MLP}up_proj"], 0.125)
    check(weights.matrix("layers.0.mlp.down", 64, 48, std=1.0).weight, [f"{MLP}down_proj"], 0.5)
    check(weights.matrix("layers.0.qkv", 64, 64, std=1.0).weight, [f"{ATTENTION}{x}_proj" for x in "qkv"], 0.125)
    gate_up = weights.matrix("layers.0.experts.gate_up", 2, 64, 64, std=1.0).weight
    down = weights.matrix("layers.0.experts.down", 2, 64, 32, std=1.0).weight
    for e in range(2):
        for got, names in ((gate_up, ("gate", "up")), (down, ("down",))):
            assert got.scale is not None
            assert got.global_scale is not None
            mine = Operand(format=got.format, values=got.values[e], scale=got.scale[e], global_scale=got.global_scale[e])
            check(mine, [f"{EXPERTS}{e}.{x}_proj" for x in names], 0.25 * (e + 1))
    assert weights.notes == []
    weights.refuse_leftovers()  # input_scale is read over


def test_a_code_times_its_scale_times_the_global_one(tmp_path: Path) -> None:
    """Byte 0x52: code 2 (1.0) at column 0, code 5 (3.0) at column 1. Scale 8, global scale 0.125."""
    tensors = nvfp4(f"{ATTENTION}o_proj", 64, 32)
    tensors[f"{ATTENTION}o_proj.weight"][:] = 0x52
    tensors[f"{ATTENTION}o_proj.weight_scale"] = torch.full((64, 2), 8.0).to(torch.float8_e4m3fn)
    got = decode(open_folder(tmp_path, tensors, "nvfp4").matrix("layers.0.o", 64, 32, std=1.0).weight)
    assert got.tolist() == [[1.0, 3.0] * 16] * 64


def test_parts_with_different_global_scales_are_encoded_again(tmp_path: Path) -> None:
    tensors = published_nvfp4(up_whole=0.25)
    weights = open_folder(tmp_path, tensors, "nvfp4")
    got = weights.matrix("layers.0.mlp.gate_up", 96, 64, std=1.0).weight
    parts = [
        decode(Operand(format=FORMATS["nvfp4"], values=tensors[f"{m}.weight"], scale=tensors[f"{m}.weight_scale"], global_scale=tensors[f"{m}.weight_scale_2"]))
        for m in (f"{MLP}gate_proj", f"{MLP}up_proj")
    ]
    want = encode(torch.cat(parts), FORMATS["nvfp4"])
    assert same(got.values, want.values)
    assert weights.notes == ["mlp.gate_up: its parts have different global scales; decoded and encoded again in nvfp4, which rounds once more"]


def test_mxfp8_stays_as_it_is(tmp_path: Path) -> None:
    tensors = mxfp8()
    weights = open_folder(tmp_path, tensors, "mxfp8")
    got = weights.matrix("layers.0.o", 64, 96, std=1.0).weight
    assert same(got.values, tensors[f"{ATTENTION}o_proj.weight"])
    assert same(got.scale, tensors[f"{ATTENTION}o_proj.weight_scale"])
    part = weights.matrix("layers.0.o", 64, 96, std=1.0, cuts=(Cut(dim=1, ranges=((32, 64),)),)).weight
    assert same(part.values, tensors[f"{ATTENTION}o_proj.weight"][:, 32:64])
    assert same(part.scale, tensors[f"{ATTENTION}o_proj.weight_scale"][:, 1:2])
    weights.refuse_leftovers()


@pytest.mark.parametrize("wanted", ["fp8_128x128", "mxfp8", "mxfp4", "nvfp4", "bf16", "fp32"])
def test_a_bf16_checkpoint_is_encoded_in_what_is_wanted(tmp_path: Path, wanted: str) -> None:
    tensors = {f"{EXPERTS}{e}.{x}_proj.weight": torch.randn(32, 64).bfloat16() for e in range(2) for x in ("gate", "up")}
    weights = open_folder(tmp_path, tensors, wanted)
    got = weights.matrix("layers.0.experts.gate_up", 2, 64, 64, std=1.0).weight
    want = encode(torch.stack([torch.cat([tensors[f"{EXPERTS}{e}.{x}_proj.weight"] for x in ("gate", "up")]) for e in range(2)]), FORMATS[wanted])
    assert same(got.values, want.values)
    assert torch.equal(decode(got), decode(want))
    assert weights.notes == []  # quantised once


@pytest.mark.parametrize("wanted", ["bf16", "nvfp4"])
def test_an_fp8_checkpoint_in_another_format(tmp_path: Path, wanted: str) -> None:
    tensors = fp8(f"{ATTENTION}o_proj.weight", 64, 320)
    weights = open_folder(tmp_path, tensors, wanted)
    got = weights.matrix("layers.0.o", 64, 320, std=1.0).weight
    scale = tensors[f"{ATTENTION}o_proj.weight_scale_inv"].repeat_interleave(128, 1)[:, :320]
    want = encode(tensors[f"{ATTENTION}o_proj.weight"].float() * scale, FORMATS[wanted])
    assert same(got.values, want.values)
    said = ["o: it is published in fp8_128x128; decoded and encoded again in nvfp4, which rounds once more"]
    assert weights.notes == (said if wanted == "nvfp4" else [])


def test_plain_parameters_beside_coded_ones(tmp_path: Path) -> None:
    """DeepSeek's expansion of latents is published in fp8 and multiplied in bf16."""
    tensors = fp8(f"{ATTENTION}kv_b_proj.weight", 384, 128)
    weights = open_folder(tmp_path, tensors, "fp8_128x128", model_type="deepseek_v3", attention=MLA)
    got = weights("layers.0.kv_b", 3, 128, 128, std=1.0)
    scale = tensors[f"{ATTENTION}kv_b_proj.weight_scale_inv"].repeat_interleave(128, 0)
    assert torch.equal(got.view(384, 128), (tensors[f"{ATTENTION}kv_b_proj.weight"].float() * scale).bfloat16())


def test_scales_of_an_fp8_cache(tmp_path: Path) -> None:
    tensors = {f"{ATTENTION}k_proj.k_scale": torch.tensor(0.5), f"{ATTENTION}v_proj.v_scale": torch.tensor([0.25])}
    weights = open_folder(tmp_path, tensors, "bf16")
    weights.refuse_leftovers()  # with a cache in bf16 they are not asked for
    assert weights.cache_scale("layers.0.k_scale").tolist() == [0.5]
    assert weights.cache_scale("layers.0.v_scale").tolist() == [0.25]
    assert weights.cache_scale("layers.0.latent_scale").tolist() == [0.5]
    assert open_folder(tmp_path, {"a": torch.zeros(1)}, "bf16").cache_scale("layers.0.k_scale").tolist() == [1.0]
