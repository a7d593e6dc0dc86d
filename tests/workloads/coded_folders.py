"""Small folders of quantised tensors in the layouts in which checkpoints are published."""

from pathlib import Path

import torch
from safetensors.torch import save_file

from triton_kernels.formats import FORMATS
from workloads.checkpoint import CheckpointWeights
from workloads.model_spec import Gqa, Mla, ModelSpec, Moe
from workloads.recipe import Use
from workloads.rope import Rope

Tensors = dict[str, torch.Tensor]
GQA = Gqa(heads=2, kv_heads=1, head_dim=16)
# Three heads of 64 + 64 query rows; a low-rank query of two blocks; a latent of one block, and 64 rotated rows behind it.
MLA = Mla(heads=3, query_rank=256, latent_rank=128, nope_dim=64, rope_dim=64, value_dim=64)
ATTENTION, MLP, EXPERTS = "model.layers.0.self_attn.", "model.layers.0.mlp.", "model.layers.0.mlp.experts."


def open_folder(
    folder: Path, tensors: Tensors, wanted: str, *, model_type: str = "qwen3_moe", attention: Gqa | Mla = GQA, layout: str = "neighbours"
) -> CheckpointWeights:
    """A source over one file, which has matrices in the format `wanted`."""
    save_file(tensors, folder / "model.safetensors")
    spec = ModelSpec(
        name="tiny", model_type=model_type, layers=1, hidden=64, vocab=6, attention=attention,
        moe=Moe(layers=frozenset({0}), experts=2, top_k=1, intermediate=32), dense_intermediate=48, mtp_modules=0, tied_embeddings=False,
        rope=Rope(theta=1e4, dim=attention.rotary_dim), rms_norm_eps=1e-6, max_positions=64, quantization=None, folder=None,
    )  # fmt: skip
    use, plain = Use(weight=FORMATS[wanted], takes=FORMATS["bf16"], layout=layout), Use(weight=FORMATS["bf16"], takes=FORMATS["bf16"])
    matrices = ("gate_up", "down", ".o", ".qkv", ".q_a_kv_a", ".q_b")
    return CheckpointWeights(spec, folder, use_of=lambda name, dims: use if name.endswith(matrices) else plain, device=torch.device("cpu"))


def same(got: torch.Tensor | None, want: torch.Tensor) -> bool:
    """To the bit, and of one type."""
    assert got is not None
    return got.dtype == want.dtype and torch.equal(got.contiguous().view(torch.uint8), want.contiguous().view(torch.uint8))


def fp8(name: str, rows: int, columns: int) -> Tensors:
    codes = torch.randn(rows, columns).mul(100).to(torch.float8_e4m3fn)
    return {name: codes, f"{name}_scale_inv": torch.rand(-(-rows // 128), -(-columns // 128)) + 0.1}


def nvfp4(module: str, rows: int, columns: int, whole: float = 0.125) -> Tensors:
    return {
        f"{module}.weight": torch.randint(0, 256, (rows, columns // 2), dtype=torch.uint8),
        f"{module}.weight_scale": (torch.rand(rows, columns // 16) * 448).to(torch.float8_e4m3fn),
        f"{module}.weight_scale_2": torch.tensor(whole),
        f"{module}.input_scale": torch.tensor(0.01),
    }


def mxfp8() -> Tensors:
    codes = torch.randn(64, 96).mul(100).to(torch.float8_e4m3fn)
    return {f"{ATTENTION}o_proj.weight": codes, f"{ATTENTION}o_proj.weight_scale": torch.randint(100, 130, (64, 3), dtype=torch.uint8)}
