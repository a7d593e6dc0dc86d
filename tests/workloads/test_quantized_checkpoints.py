"""Models from quantized checkpoints, as published, against Hugging Face's from the same values decoded."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.workloads.decoder_session import Session, error, load
from workloads.deployment import Deployment

TOLERANCE = 1e-4  # of the logits' standard deviation
Tensors = dict[str, torch.Tensor]


def fp8(tensors: Tensors) -> tuple[Tensors, Tensors]:
    """(stored, decoded): every projection in e4m3 with one scale per 128 x 128, the largest of a block at e4m3's largest, 448."""
    stored, decoded = dict(tensors), dict(tensors)
    for name, values in tensors.items():
        if not name.endswith("proj.weight") and not name.endswith("with_mqa.weight"):
            continue
        rows, columns = values.shape
        stored[name], decoded[name] = torch.empty(rows, columns, dtype=torch.float8_e4m3fn), torch.empty(rows, columns)
        scale = torch.empty(-(-rows // 128), -(-columns // 128))
        for i in range(scale.shape[0]):
            for j in range(scale.shape[1]):
                block = slice(128 * i, 128 * (i + 1)), slice(128 * j, 128 * (j + 1))
                scale[i, j] = values[block].abs().max() / 448
                stored[name][block] = (values[block] / scale[i, j]).to(torch.float8_e4m3fn)
                decoded[name][block] = stored[name][block].float() * scale[i, j]
        stored[f"{name}_scale_inv"] = scale
    return stored, decoded


def mxfp4(tensors: Tensors) -> tuple[Tensors, Tensors]:
    """(stored, decoded): every expert's matrix from random codes, decoded by transformers."""
    from transformers.integrations.mxfp4 import convert_moe_packed_tensors

    stored, decoded = dict(tensors), dict(tensors)
    for name, values in tensors.items():
        if name.endswith(("experts.gate_up_proj", "experts.down_proj")):
            experts, inputs, outputs = values.shape
            blocks = torch.randint(0, 256, (experts, outputs, inputs // 32, 16), dtype=torch.uint8)
            scales = torch.randint(120, 124, (experts, outputs, inputs // 32), dtype=torch.uint8)
            del stored[name]
            stored |= {f"{name}_blocks": blocks, f"{name}_scales": scales}
            decoded[name] = convert_moe_packed_tensors(blocks, scales, dtype=torch.float32)
    return stored, decoded


def nvfp4(tensors: Tensors) -> tuple[Tensors, Tensors]:
    """(stored, decoded): every projection in ModelOpt's NVFP4, from random codes; what is stacked has one global scale."""
    stored, decoded = dict(tensors), dict(tensors)
    for name, values in tensors.items():
        if name.endswith("proj.weight"):
            rows, columns = values.shape
            codes = torch.randint(0, 16, (rows, columns), dtype=torch.uint8)
            scale = (torch.rand(rows, columns // 16) * 200 + 50).to(torch.float8_e4m3fn)
            whole = torch.tensor(columns**-0.5 / 400)  # a random code is 2.9 in the mean of squares, a scale 161
            stored[name] = codes[:, 0::2] | codes[:, 1::2] << 4
            stored |= {f"{name}_scale": scale, f"{name}_scale_2": whole, name.replace("weight", "input_scale"): torch.tensor(1.0)}
            decoded[name] = torch.tensor(E2M1)[codes.int()] * scale.float().repeat_interleave(16, 1) * whole
    return stored, decoded


E2M1 = [sign * size for sign in (1, -1) for size in (0, 0.5, 1, 1.5, 2, 3, 4, 6)]
SHARED = dict(num_hidden_layers=2, vocab_size=131, max_position_embeddings=512, rope_parameters={"rope_type": "default", "rope_theta": 10_000.0})
# Widths that 128 does not divide, some below and some above it.
DEEPSEEK = dict(
    SHARED, hidden_size=136, num_attention_heads=6, num_key_value_heads=6, q_lora_rank=20, kv_lora_rank=24, qk_nope_head_dim=20, qk_rope_head_dim=8,
    head_dim=8, v_head_dim=10, first_k_dense_replace=1, n_routed_experts=4, num_experts_per_tok=2, n_group=2, topk_group=1, moe_intermediate_size=40,
    intermediate_size=150, num_nextn_predict_layers=0,
)  # fmt: skip
FP8 = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}
GPT_OSS = dict(
    SHARED, hidden_size=64, num_attention_heads=4, num_key_value_heads=2, head_dim=16, intermediate_size=96, num_local_experts=4, num_experts_per_tok=2,
    sliding_window=11,
)  # fmt: skip
MXFP4 = {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"]}
QWEN3 = dict(SHARED, hidden_size=64, num_attention_heads=4, num_key_value_heads=2, head_dim=16, intermediate_size=96, tie_word_embeddings=False)
NVFP4 = {"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": ["lm_head"]}
CASES = {
    "deepseek-fp8": ("DeepseekV3", DEEPSEEK, FP8, fp8),
    "gpt-oss-mxfp4": ("GptOss", GPT_OSS, MXFP4, mxfp4),
    "qwen3-nvfp4": ("Qwen3", QWEN3, NVFP4, nvfp4),
}


@pytest.mark.parametrize("family, sizes, quantization, quantize", CASES.values(), ids=CASES)
def test_a_quantized_checkpoint_gives_the_logits_of_its_values(
    tmp_path: Path, family: str, sizes: dict[str, Any], quantization: dict[str, Any], quantize: Callable[[Tensors], tuple[Tensors, Tensors]]
) -> None:
    import transformers

    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**sizes)
    model_class = getattr(transformers, f"{family}ForCausalLM")
    folder, plain = tmp_path / "quantized", tmp_path / "plain"
    model_class(config).float().save_pretrained(folder)
    shutil.copytree(folder, plain)
    tensors = {n: torch.randn_like(v) * (0.3 if v.dim() == 1 else v.shape[-1] ** -0.5) for n, v in load_file(folder / "model.safetensors").items()}
    stored, decoded = quantize(tensors)
    save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    save_file(decoded, plain / "model.safetensors", metadata={"format": "pt"})
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**values, "quantization_config": quantization}))
    reference = model_class.from_pretrained(plain, attn_implementation="eager", dtype=torch.float32).eval()

    spec, decoder = load(folder)
    tokens = np.random.default_rng(3).integers(0, spec.vocab, 40).tolist()
    with torch.no_grad():
        want = reference(torch.tensor([tokens])).logits[0]
    assert spec.quantization is not None
    assert error(Session(spec, decoder, 1).step([tokens]), want) <= TOLERANCE

    # In the recipe it is published for, what each product multiplies is quantised: two layers of four products one after another.
    assert spec.quantization.recipe is not None
    deployment = Deployment(precision=spec.quantization.recipe)
    spec, decoder = load(folder, deployment=deployment)
    got = Session(spec, decoder, 1, deployment).step([tokens]).float()
    rms = ((got - want).square().mean().sqrt() / want.std()).item()
    each = deployment.recipe.use(None).takes.normal_error
    assert each < rms < math.sqrt(8) * each
