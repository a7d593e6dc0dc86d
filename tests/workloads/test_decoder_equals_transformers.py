"""The decoder against Hugging Face's own, every parameter randomised, from the very files save_pretrained writes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.workloads.decoder_session import Session, error, load
from workloads.mla import MlaAttention
from workloads.read_model import read_model

TOLERANCE = 1e-4  # of the logits' standard deviation

SHARED = dict(
    hidden_size=48, num_attention_heads=6, num_key_value_heads=2, head_dim=16, num_hidden_layers=3, vocab_size=131, intermediate_size=80,
    max_position_embeddings=512, rms_norm_eps=1e-5, rope_parameters={"rope_type": "default", "rope_theta": 10_000.0}, tie_word_embeddings=False,
)  # fmt: skip
MOE = dict(num_experts=7, num_experts_per_tok=3, moe_intermediate_size=40)
# Prompts of 70 tokens are longer than what each scaling calls the original context.
LLAMA3 = dict(rope_type="llama3", rope_theta=10_000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32)
YARN = dict(rope_type="yarn", rope_theta=10_000.0, factor=16.0, beta_fast=32.0, beta_slow=1.0, original_max_position_embeddings=32)
GPT_OSS = dict(
    num_local_experts=7, num_experts_per_tok=3, layer_types=["sliding_attention", "full_attention", "sliding_attention"], sliding_window=11,
    swiglu_limit=0.7, rope_parameters={**YARN, "truncate": False}, attention_bias=True,
)  # fmt: skip
DEEPSEEK = dict(
    num_key_value_heads=6, q_lora_rank=20, kv_lora_rank=24, qk_nope_head_dim=12, qk_rope_head_dim=8, head_dim=8, v_head_dim=10, first_k_dense_replace=1,
    n_routed_experts=8, num_experts_per_tok=3, n_group=4, topk_group=2, moe_intermediate_size=40, n_shared_experts=2, norm_topk_prob=True,
    routed_scaling_factor=2.5, rope_parameters={**YARN, "mscale": 1.0, "mscale_all_dim": 0.7},
)  # fmt: skip
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "qwen3": ("Qwen3", {}),
    "qwen3-bias-tied": ("Qwen3", dict(attention_bias=True, tie_word_embeddings=True)),
    "qwen3-moe": ("Qwen3Moe", dict(MOE, norm_topk_prob=True)),
    "qwen3-moe-mixed": ("Qwen3Moe", dict(MOE, norm_topk_prob=False, decoder_sparse_step=2, attention_bias=True)),
    "llama-3.1": ("Llama", dict(rope_parameters=LLAMA3)),
    "mistral-windowed": ("Mistral", dict(sliding_window=11)),
    "mixtral": ("Mixtral", dict(num_local_experts=7, num_experts_per_tok=3)),
    "gpt-oss": ("GptOss", GPT_OSS),
    "deepseek-v3": ("DeepseekV3", DEEPSEEK),
    "deepseek-v3-direct-query": ("DeepseekV3", dict(DEEPSEEK, q_lora_rank=None, norm_topk_prob=False, n_group=1, topk_group=1)),
}


@pytest.fixture(params=FAMILIES, scope="module")
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, torch.nn.Module]:
    """A tiny random model, saved in several shards."""
    import transformers

    family, extra = FAMILIES[request.param]
    config = getattr(transformers, f"{family}Config")(**{**SHARED, **extra})
    config._attn_implementation = "eager"  # the only one with sinks on a CPU
    torch.manual_seed(0)
    model = getattr(transformers, f"{family}ForCausalLM")(config).float().eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():  # HF starts norms at one and biases at zero, which hides a missing one
            parameter.normal_(1.0 if "norm" in name else 0.0, 0.3 if parameter.dim() == 1 else parameter.shape[-1] ** -0.5)
        for name, buffer in model.named_buffers():
            if name.endswith("e_score_correction_bias"):
                buffer.normal_(0.0, 0.3)
    folder = tmp_path_factory.mktemp(request.param)
    model.save_pretrained(folder, max_shard_size="40KB")
    assert len(list(folder.glob("*.safetensors"))) > 1
    return folder, model


def prompts(vocab: int) -> list[list[int]]:
    rng = np.random.default_rng(7)
    return [rng.integers(0, vocab, n).tolist() for n in (70, 1, 33)]


def expected(model: torch.nn.Module, tokens: list[list[int]]) -> torch.Tensor:
    with torch.no_grad():
        return torch.cat([model(torch.tensor([t])).logits[0] for t in tokens])


def test_prefill_equals_transformers(saved: tuple[Path, torch.nn.Module]) -> None:
    folder, model = saved
    spec, decoder = load(folder)
    tokens = prompts(spec.vocab)
    assert error(Session(spec, decoder, 3).step(tokens), expected(model, tokens)) <= TOLERANCE


def test_decode_step_by_step_equals_prefill(saved: tuple[Path, torch.nn.Module]) -> None:
    folder, model = saved
    spec, decoder = load(folder)
    tokens = prompts(spec.vocab)
    session = Session(spec, decoder, 3)
    session.step([t[:1] for t in tokens])
    longest = tokens[0][:20]
    for i in range(1, len(longest)):
        logits = session.step([[longest[i]], [3], [tokens[2][i]]])
        assert error(logits[0], expected(model, [longest[: i + 1]])[-1]) <= TOLERANCE
    assert error(logits[2], expected(model, [tokens[2][:20]])[-1]) <= TOLERANCE


def test_chunked_equals_whole(saved: tuple[Path, torch.nn.Module]) -> None:
    """Chunks of 17, 47, 1 and 5 tokens behind what is cached. Latent attention takes both of its ways through the same cache."""
    folder, model = saved
    spec, decoder = load(folder)
    prompt = prompts(spec.vocab)[0]
    session = Session(spec, decoder, 1)
    bounds = ((0, 17), (17, 64), (64, 65), (65, 70))
    chunks = [session.step([prompt[a:b]]) for a, b in bounds]
    assert error(torch.cat(chunks), expected(model, [prompt])) <= TOLERANCE
    attention = decoder.layers[0].attention
    if isinstance(attention, MlaAttention):  # 24 x 22 / (2 x 24 - 22) = 20.3 queries
        assert [attention.expands(b - a) for a, b in bounds] == [False, True, False, False]


def test_transformers_4_and_5_spellings_of_the_config_give_the_same_model(saved: tuple[Path, torch.nn.Module]) -> None:
    """transformers 5 writes rope_parameters, dtype and num_local_experts; 4 wrote rope_theta beside rope_scaling, torch_dtype and Qwen's num_experts."""
    folder, _ = saved
    path = folder / "config.json"
    five = json.loads(path.read_text())
    rope = five["rope_parameters"]
    four = {key: value for key, value in five.items() if key not in ("rope_parameters", "dtype")}
    scaling = {key: value for key, value in rope.items() if key != "rope_theta"}
    four |= {"rope_theta": rope["rope_theta"], "rope_scaling": None if rope["rope_type"] == "default" else scaling, "torch_dtype": "float32"}
    if five["model_type"] == "qwen3_moe":
        four["num_experts"] = four.pop("num_local_experts")
    spec = read_model(str(folder))
    path.write_text(json.dumps(four))
    older = read_model(str(folder))
    path.write_text(json.dumps(five))
    assert older == spec
    assert spec.rope.theta == 10_000.0
