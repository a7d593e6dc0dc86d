"""Published configs, reduced to the keys of their architecture, against specs worked out by hand; and what each family refuses."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from tests.workloads.published_configs import DEEPSEEK_V3, GPT_OSS, INT4, KIMI_K2, KIMI_K25, LLAMA, MISTRAL, MIXTRAL, MOONLIGHT, QWEN3, QWEN3_MOE
from triton_kernels.errors import TokenmillError
from workloads.catalogue import CATALOGUE
from workloads.model_spec import Gqa, Mla, ModelSpec, Moe, Quantization
from workloads.read_model import read_model
from workloads.rope import Llama3Scaling, Rope, YarnScaling

V3_SOFTMAX = (0.1 * 3.6888794541139363 + 1) ** 2  # ln 40


def spec(model_type: str, *, layers: int, hidden: int, vocab: int, attention: Gqa | Mla, rope: Rope, **rest: Any) -> ModelSpec:
    usual = dict(moe=None, dense_intermediate=None, mtp_modules=0, tied_embeddings=False, rms_norm_eps=1e-5, quantization=None, name="m", folder=None)
    return ModelSpec(**{**usual, **rest}, model_type=model_type, layers=layers, hidden=hidden, vocab=vocab, attention=attention, rope=rope)


def kimi(model_type: str, **rest: Any) -> ModelSpec:
    return spec(
        model_type, layers=61, hidden=7168, vocab=163840, dense_intermediate=18432,
        attention=Mla(heads=64, query_rank=1536, latent_rank=512, nope_dim=128, rope_dim=64, value_dim=128),
        moe=Moe(
            layers=frozenset(range(1, 61)), experts=384, top_k=8, intermediate=2048, shared_intermediate=2048, scoring="sigmoid", correction_bias=True,
            renormalize=True, scaling=2.827,
        ),
        **rest,
    )  # fmt: skip


def yarn(factor: float, fast: float, softmax: float) -> YarnScaling:
    return YarnScaling(factor=factor, beta_fast=fast, beta_slow=1.0, original_positions=4096, attention_factor=1.0, softmax_factor=pytest.approx(softmax))


PUBLISHED = {
    "Qwen3-32B": (
        QWEN3,
        spec(
            "qwen3", layers=64, hidden=5120, vocab=151936, attention=Gqa(heads=64, kv_heads=8, head_dim=128, qk_norm=True), rope=Rope(theta=1e6, dim=128),
            dense_intermediate=25600, rms_norm_eps=1e-6, max_positions=40960,
        ),
    ),
    "Qwen3-235B-A22B": (
        QWEN3_MOE,
        spec(
            "qwen3_moe", layers=94, hidden=4096, vocab=151936, attention=Gqa(heads=64, kv_heads=4, head_dim=128, qk_norm=True),
            rope=Rope(theta=1e6, dim=128), moe=Moe(layers=frozenset(range(94)), experts=128, top_k=8, intermediate=1536), rms_norm_eps=1e-6,
            max_positions=40960,
        ),
    ),
    "Llama-3.2-1B": (
        LLAMA,
        spec(
            "llama", layers=16, hidden=2048, vocab=128256, attention=Gqa(heads=32, kv_heads=8, head_dim=64), dense_intermediate=8192, tied_embeddings=True,
            rope=Rope(theta=5e5, dim=64, scaling=Llama3Scaling(factor=32.0, low_factor=1.0, high_factor=4.0, original_positions=8192)), max_positions=131072,
        ),
    ),
    "Mistral-7B-v0.1": (
        MISTRAL,
        spec(
            "mistral", layers=32, hidden=4096, vocab=32000, dense_intermediate=14336, rope=Rope(theta=1e4, dim=128), max_positions=32768,
            attention=Gqa(heads=32, kv_heads=8, head_dim=128, window=4096, windowed_layers=frozenset(range(32))),
        ),
    ),
    "Mixtral-8x22B": (
        MIXTRAL,
        spec(
            "mixtral", layers=56, hidden=6144, vocab=32768, attention=Gqa(heads=48, kv_heads=8, head_dim=128), rope=Rope(theta=1e6, dim=128),
            moe=Moe(layers=frozenset(range(56)), experts=8, top_k=2, intermediate=16384), max_positions=65536,
        ),
    ),
    "Moonlight-16B-A3B": (
        MOONLIGHT,
        spec(
            "deepseek_v3", layers=27, hidden=2048, vocab=163840, dense_intermediate=11264, rope=Rope(theta=5e4, dim=64), max_positions=8192,
            attention=Mla(heads=16, query_rank=None, latent_rank=512, nope_dim=128, rope_dim=64, value_dim=128),
            moe=Moe(
                layers=frozenset(range(1, 27)), experts=64, top_k=6, intermediate=1408, shared_intermediate=2816, scoring="sigmoid", correction_bias=True,
                renormalize=True, scaling=2.446,
            ),
        ),
    ),
    "DeepSeek-V3": (
        DEEPSEEK_V3,
        spec(
            "deepseek_v3", layers=61, hidden=7168, vocab=129280, dense_intermediate=18432, rms_norm_eps=1e-6, max_positions=163840, mtp_modules=1,
            attention=Mla(heads=128, query_rank=1536, latent_rank=512, nope_dim=128, rope_dim=64, value_dim=128),
            rope=Rope(theta=1e4, dim=64, scaling=yarn(40.0, 32.0, V3_SOFTMAX)), quantization=Quantization(method="fp8", recipe="fp8", not_converted=()),
            moe=Moe(
                layers=frozenset(range(3, 61)), experts=256, top_k=8, intermediate=2048, shared_intermediate=2048, scoring="sigmoid", correction_bias=True,
                groups=8, groups_kept=4, renormalize=True, scaling=2.5,
            ),
        ),
    ),
    "Kimi-K2": (
        KIMI_K2,
        kimi(
            "kimi_k2", rms_norm_eps=1e-6, max_positions=131072, rope=Rope(theta=5e4, dim=64, scaling=yarn(32.0, 1.0, (0.1 * 3.4657359027997265 + 1) ** 2)),
            quantization=Quantization(method="fp8", recipe="fp8", not_converted=()),
        ),
    ),
    "Kimi-K2.5": (
        KIMI_K25,
        kimi(
            "kimi_k25", max_positions=262144, rope=Rope(theta=5e4, dim=64, scaling=yarn(64.0, 32.0, (0.1 * 4.1588830833596715 + 1) ** 2)),
            quantization=Quantization(method="compressed-tensors", recipe=None, not_converted=tuple(INT4["ignore"])),
        ),
    ),
    "gpt-oss-20b": (
        GPT_OSS,
        spec(
            "gpt_oss", layers=24, hidden=2880, vocab=201088, max_positions=131072,
            attention=Gqa(
                heads=64, kv_heads=8, head_dim=64, bias=True, output_bias=True, sinks=True, window=128, windowed_layers=frozenset(range(0, 24, 2))
            ),
            rope=Rope(
                theta=1.5e5, dim=64,
                scaling=YarnScaling(
                    factor=32.0, beta_fast=32.0, beta_slow=1.0, original_positions=4096, attention_factor=pytest.approx(1.3465735902799727), truncate=False
                ),
            ),
            moe=Moe(
                layers=frozenset(range(24)), experts=32, top_k=4, intermediate=2880, router_bias=True, bias=True, activation="clamped_swiglu", limit=7.0
            ),
            quantization=Quantization(
                method="mxfp4", recipe="mxfp4",
                not_converted=("model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"),
            ),
        ),
    ),
}  # fmt: skip


def read(folder: Path, config: dict[str, Any]) -> ModelSpec:
    path = folder / "m.json"
    path.write_text(json.dumps(config))
    return read_model(str(path))


def refusal(folder: Path, config: dict[str, Any]) -> str:
    with pytest.raises(TokenmillError) as caught:
        read(folder, config)
    message = str(caught.value)
    assert "\n" not in message
    return message.removeprefix(f"{folder / 'm.json'}: ")


def fields(value: ModelSpec) -> dict[str, Any]:
    return {name: getattr(value, name) for name in ModelSpec.__slots__ if name != "folder"}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_configs_are_read_as_published(tmp_path: Path, name: str) -> None:
    config, want = PUBLISHED[name]
    got = read(tmp_path, config)
    for key, value in fields(want).items():
        assert getattr(got, key) == value, key


@pytest.mark.parametrize(
    "name, published", [("deepseek-r1", "DeepSeek-V3"), ("deepseek-v3", "DeepSeek-V3"), ("kimi-k2", "Kimi-K2"), ("gpt-oss-20b", "gpt-oss-20b")]
)
def test_the_catalogue_holds_the_published_configs(name: str, published: str) -> None:
    got, want = fields(read_model(name)), fields(PUBLISHED[published][1])
    assert {key for key in got if got[key] != want[key]} == {"name"}


def test_qwen3_30b_is_read_as_published() -> None:
    spec = read_model("qwen3-30b-a3b")
    assert (spec.layers, spec.hidden, spec.vocab, spec.dense_intermediate, spec.rope) == (48, 2048, 151936, None, Rope(theta=1e6, dim=128))
    assert spec.attention == Gqa(heads=32, kv_heads=4, head_dim=128, qk_norm=True)
    assert spec.moe == Moe(layers=frozenset(range(48)), experts=128, top_k=8, intermediate=768)


def test_the_softmax_scale_of_r1() -> None:
    """1 / sqrt(128 + 64), times (0.1 ln 40 + 1)^2 = 1.36888794^2 = 1.87385."""
    assert read_model("deepseek-r1").softmax_scale == pytest.approx(1.87385 / 192**0.5, rel=1e-5)


def test_a_window_that_no_sequence_outgrows_is_none(tmp_path: Path) -> None:
    assert read(tmp_path, {**MIXTRAL, "sliding_window": 65536}) == read(tmp_path, MIXTRAL)
    assert read(tmp_path, {**MISTRAL, "sliding_window": None}).attention == Gqa(heads=32, kv_heads=8, head_dim=128)
    windowed = read(tmp_path, {**MIXTRAL, "sliding_window": 4096}).attention
    assert isinstance(windowed, Gqa)
    assert (windowed.window, windowed.windowed_layers) == (4096, frozenset(range(56)))


def test_an_absent_theta_is_the_familys(tmp_path: Path) -> None:
    for config, theta in ((QWEN3, 1e4), (LLAMA, 1e4), (MIXTRAL, 1e6), (MOONLIGHT, 1e4), (GPT_OSS, 1.5e5)):
        assert read(tmp_path, {**config, "rope_theta": None}).rope.theta == theta


def test_biases(tmp_path: Path) -> None:
    for config in (QWEN3, QWEN3_MOE, LLAMA):
        attention = read(tmp_path, {**config, "attention_bias": True}).attention
        assert isinstance(attention, Gqa)
        assert (attention.bias, attention.output_bias) == (True, True)


def test_qwen3_with_yarn_as_its_model_card_says(tmp_path: Path) -> None:
    """rope_type yarn, factor 4 over 32,768 positions: cosines and sines times 0.1 ln 4 + 1 = 1.13863, the softmax as it was."""
    rope = read(tmp_path, {**QWEN3, "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}}).rope
    assert isinstance(rope.scaling, YarnScaling)
    assert (rope.scaling.attention_factor, rope.softmax_factor) == (pytest.approx(1.1386294), 1.0)


UNKNOWN = [*((name, ()) for name in PUBLISHED), ("Kimi-K2.5", ("text_config",)), ("DeepSeek-V3", ("rope_scaling",)), ("DeepSeek-V3", ("quantization_config",))]


@pytest.mark.parametrize("name, inside", UNKNOWN, ids=str)
def test_every_family_refuses_an_unknown_key(tmp_path: Path, name: str, inside: tuple[str, ...]) -> None:
    config = deepcopy(PUBLISHED[name][0])
    table = config
    for key in inside:
        table = table[key]
    table["index_topk"] = 2048
    assert refusal(tmp_path, config).startswith(".".join([*inside, "index_topk: is not a key tokenmill knows of "]))


@pytest.mark.parametrize(
    "config, changes, says",
    [
        (QWEN3, {"use_sliding_window": True}, "use_sliding_window: sliding-window attention is not supported yet; supported: false"),
        (QWEN3_MOE, {"layer_types": ["linear_attention"] * 94}, "layer_types: layers of type 'linear_attention' are not supported yet"),
        (QWEN3_MOE, {"shared_expert_intermediate_size": 512}, "shared_expert_intermediate_size: is not a key tokenmill knows of qwen3_moe"),
        (LLAMA, {"mlp_bias": True}, "mlp_bias: a bias in the MLP is not supported yet; supported: false"),
        (LLAMA, {"attention_multiplier": 2.0}, "attention_multiplier: is not a key tokenmill knows of llama"),
        (LLAMA, {"rope_scaling": {**LLAMA["rope_scaling"], "low_freq_factor": 4.0}}, "rope_scaling.low_freq_factor: should be below high_freq_factor"),
        (MISTRAL, {"sliding_window": ...}, "sliding_window: is missing; write the window's positions, or null for full attention"),
        (MIXTRAL, {"num_experts_per_tok": 9}, "num_experts_per_tok: 9 experts per token, but the model has 8"),
        (MIXTRAL, {"sliding_window": 0}, "sliding_window: should be from 1"),
        (DEEPSEEK_V3, {"scoring_func": "softmax"}, "scoring_func: scoring 'softmax' is not supported; supported: sigmoid"),
        (DEEPSEEK_V3, {"topk_method": "greedy"}, "topk_method: choosing experts by 'greedy' is not supported; supported: noaux_tc"),
        (DEEPSEEK_V3, {"moe_layer_freq": 2}, "moe_layer_freq: experts in every n-th layer only, n = 2 is not supported; supported: 1"),
        (DEEPSEEK_V3, {"attention_bias": True}, "attention_bias: a bias in latent attention is not supported yet"),
        (DEEPSEEK_V3, {"rope_interleave": False}, "rope_interleave: a checkpoint whose rotary pairs are not interleaved is not supported yet; supported: true"),
        (DEEPSEEK_V3, {"q_lora_rank": ...}, "q_lora_rank: is missing; write null for a query without a low-rank projection"),
        (DEEPSEEK_V3, {"num_key_value_heads": 8}, "num_key_value_heads: is 8, but num_attention_heads is 128; the two should be equal"),
        (DEEPSEEK_V3, {"qk_head_dim": 128}, "qk_head_dim: is 128, but qk_nope_head_dim + qk_rope_head_dim is 192"),
        (DEEPSEEK_V3, {"qk_rope_head_dim": 63}, "qk_rope_head_dim: 63 is odd"),
        (DEEPSEEK_V3, {"n_group": 7}, "n_group: 256 experts cannot be shared evenly by 7 groups"),
        (DEEPSEEK_V3, {"n_group": 256}, "n_group: 256 experts cannot be shared evenly by 256 groups of two or more"),
        (DEEPSEEK_V3, {"topk_group": 9}, "topk_group: should be from 1 to 8, got 9"),
        (DEEPSEEK_V3, {"n_group": 64, "topk_group": 1}, "topk_group: 1 of 64 groups hold 4 experts, but num_experts_per_tok is 8"),
        (DEEPSEEK_V3, {"first_k_dense_replace": 62}, "first_k_dense_replace: should be from 0 to 61"),
        (DEEPSEEK_V3, {"norm_topk_prob": ...}, "norm_topk_prob: is missing"),
        (DEEPSEEK_V3, {"index_n_heads": 64}, "index_n_heads: is not a key tokenmill knows of deepseek_v3"),
        (GPT_OSS, {"swiglu_alpha": 1.5}, "swiglu_alpha: a clamped SwiGLU with alpha 1.5 is not supported; supported: 1.702"),
        (GPT_OSS, {"swiglu_limit": ...}, "swiglu_limit: is missing"),
        (GPT_OSS, {"layer_types": ...}, "layer_types: is missing"),
        (GPT_OSS, {"layer_types": ["chunked_attention"] * 24}, "layer_types: layers of type 'chunked_attention' are not supported yet"),
        (GPT_OSS, {"experts_per_token": 8}, "experts_per_token: is 8, but num_experts_per_tok is 4"),
        (GPT_OSS, {"initial_context_length": 8192}, "initial_context_length: is 8192, but original_max_position_embeddings is 4096"),
        (GPT_OSS, {"rope_scaling": None}, "rope_scaling: is missing"),
        (KIMI_K25, {"text_config": None}, "text_config: is missing"),
        (KIMI_K25, {"text_config": LLAMA}, "text_config.model_type: 'llama' in a kimi_k25 is not supported; supported: kimi_k2, deepseek_v3"),
        (KIMI_K25, {"text_config": {**KIMI_K2, "hidden_size": -1}}, "text_config.hidden_size: should be from 1"),
        (KIMI_K25, {"tie_word_embeddings": True}, "tie_word_embeddings: is true, but text_config.tie_word_embeddings is false"),
    ],
    ids=lambda v: str(v)[:60] if isinstance(v, str) else "",
)
def test_what_a_family_cannot_have_is_refused_by_key(tmp_path: Path, config: dict[str, Any], changes: dict[str, Any], says: str) -> None:
    changed = {key: value for key, value in {**config, **changes}.items() if value is not ...}
    assert refusal(tmp_path, changed).startswith(says)


def test_all_dense_and_all_routed(tmp_path: Path) -> None:
    dense = read(tmp_path, {**MOONLIGHT, "first_k_dense_replace": 27})
    assert (dense.moe, dense.dense_intermediate) == (None, 11264)
    routed = read(tmp_path, {**MOONLIGHT, "first_k_dense_replace": 0, "n_shared_experts": 0})
    assert routed.moe is not None
    assert (routed.moe.layers, routed.moe.shared_intermediate, routed.dense_intermediate) == (frozenset(range(27)), 0, None)


@pytest.mark.parametrize("name", [*(n for n in PUBLISHED if n != "Kimi-K2"), *CATALOGUE])
def test_what_transformers_saves_reads_alike(tmp_path: Path, name: str) -> None:
    """Transformers 4 and 5 spell rope, dtype and experts differently; whichever is installed, the config it writes is the same model."""
    transformers = pytest.importorskip("transformers")
    config = deepcopy(PUBLISHED[name][0]) if name in PUBLISHED else json.loads(CATALOGUE[name].config.read_text())
    if config["model_type"] == "kimi_k2":  # transformers reads it as the same architecture
        config["model_type"] = "deepseek_v3"
    before = read(tmp_path, config)
    if config["model_type"] not in transformers.CONFIG_MAPPING:
        pytest.skip(f"this transformers has no {config['model_type']}")
    transformers.CONFIG_MAPPING[config["model_type"]].from_dict(config).save_pretrained(tmp_path)
    after = fields(read_model(str(tmp_path)))
    assert {key for key, value in fields(before).items() if after[key] != value} == {"name"}
