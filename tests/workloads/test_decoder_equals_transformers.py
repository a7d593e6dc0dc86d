"""The decoder against Hugging Face's own, every parameter randomised, from the very files save_pretrained writes."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from workloads.decoder import Decoder, KvCache, Sampling, StepInputs
from workloads.deployment import Deployment
from workloads.inputs import PAGE_SLOTS
from workloads.model_spec import ModelSpec, read_model
from workloads.planning import make_cache
from workloads.shape import StepShape
from workloads.steps import build_decoder

CPU = torch.device("cpu")
TOLERANCE = 1e-4  # of the logits' standard deviation

SHARED = dict(
    hidden_size=48, num_attention_heads=6, num_key_value_heads=2, head_dim=16, num_hidden_layers=3, vocab_size=131, intermediate_size=80,
    max_position_embeddings=512, rms_norm_eps=1e-5, rope_theta=10_000.0, tie_word_embeddings=False,
)  # fmt: skip
MOE = dict(num_experts=7, num_experts_per_tok=3, moe_intermediate_size=40)
FAMILIES = {
    "qwen3": ("Qwen3", {}),
    "qwen3-bias-tied": ("Qwen3", dict(attention_bias=True, tie_word_embeddings=True)),
    "qwen3-moe": ("Qwen3Moe", dict(MOE, norm_topk_prob=True)),
    "qwen3-moe-mixed": ("Qwen3Moe", dict(MOE, norm_topk_prob=False, decoder_sparse_step=2, attention_bias=True)),
}


@pytest.fixture(params=FAMILIES, scope="module")
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, torch.nn.Module]:
    """A tiny random model, saved in several shards."""
    import transformers

    family, extra = FAMILIES[request.param]
    config = getattr(transformers, f"{family}Config")(**{**SHARED, **extra})
    torch.manual_seed(0)
    model = getattr(transformers, f"{family}ForCausalLM")(config).float().eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():  # HF starts norms at one and biases at zero, which hides a missing one
            parameter.normal_(1.0 if "norm" in name else 0.0, 0.3 if parameter.dim() == 1 else parameter.shape[-1] ** -0.5)
    folder = tmp_path_factory.mktemp(request.param)
    model.save_pretrained(folder, max_shard_size="40KB")
    assert len(list(folder.glob("*.safetensors"))) > 1
    return folder, model


class Session:
    """A few sequences with their own cache pages, stepped by any number of tokens at a time."""

    def __init__(self, spec: ModelSpec, decoder: Decoder, sequences: int) -> None:
        shape = StepShape(phase="prefill", batch=sequences, context=128)
        self.spec, self.decoder = spec, decoder
        self.cache: KvCache = make_cache(spec, shape, torch.float32, CPU)
        for pages in self.cache.k_LPGBD + self.cache.v_LPGBD:
            pages.fill_(float("nan"))  # nothing may read a slot that no token wrote
        pages_each = 128 // PAGE_SLOTS
        self.block_table_SM = np.random.default_rng(5).permutation(sequences * pages_each).reshape(sequences, pages_each)
        self.lengths = [0] * sequences

    def step(self, tokens: list[list[int]]) -> torch.Tensor:
        """Logits of every given token, sequence after sequence."""
        starts = self.lengths
        self.lengths = [start + len(t) for start, t in zip(starts, tokens, strict=True)]
        positions = [np.arange(start, end) for start, end in zip(starts, self.lengths, strict=True)]
        slots = [self.block_table_SM[s, p // PAGE_SLOTS] * PAGE_SLOTS + p % PAGE_SLOTS for s, p in enumerate(positions)]
        rows = sum(len(t) for t in tokens)

        def put(values: object) -> torch.Tensor:
            return torch.as_tensor(np.asarray(values), dtype=torch.int32)

        inputs = StepInputs(
            ids_T=put([i for t in tokens for i in t]),
            positions_T=put(np.concatenate(positions)),
            slots_T=put(np.concatenate(slots)),
            block_table_SM=put(self.block_table_SM),
            query_start_S1=put(np.cumsum([0] + [len(t) for t in tokens])),
            context_len_S=put(self.lengths),
            last_row_S=None,
            forced_ids_LTJ=None,
            uniform_S=torch.zeros(rows),
            offsets_LE1=torch.zeros(self.spec.layers, self.spec.experts + 1, dtype=torch.int32),
            max_query_len=max(len(t) for t in tokens),
        )
        with torch.inference_mode():
            logits, ids = self.decoder.step(inputs, self.cache, Sampling())
        assert torch.equal(ids, logits.argmax(-1).int())  # greedy
        return logits


def load(folder: Path) -> tuple[ModelSpec, Decoder]:
    spec = read_model(str(folder))
    assert spec.weights == "files"
    return spec, build_decoder(spec, Deployment(precision="fp32"), CPU, seed=0, positions=512)


def prompts(vocab: int) -> list[list[int]]:
    rng = np.random.default_rng(7)
    return [rng.integers(0, vocab, n).tolist() for n in (70, 1, 33)]


def expected(model: torch.nn.Module, tokens: list[list[int]]) -> torch.Tensor:
    with torch.no_grad():
        return torch.cat([model(torch.tensor([t])).logits[0] for t in tokens])


def error(got: torch.Tensor, want: torch.Tensor) -> float:
    return ((got - want).abs().max() / want.std()).item()


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
    folder, model = saved
    spec, decoder = load(folder)
    prompt = prompts(spec.vocab)[0]
    session = Session(spec, decoder, 1)
    chunks = [session.step([prompt[a:b]]) for a, b in ((0, 17), (17, 64), (64, 65), (65, 70))]
    assert error(torch.cat(chunks), expected(model, [prompt])) <= TOLERANCE


def test_transformers_4_and_5_spellings_of_the_config_give_the_same_model(saved: tuple[Path, torch.nn.Module]) -> None:
    folder, _ = saved
    path = folder / "config.json"
    values = json.loads(path.read_text())
    theta = (values.get("rope_parameters") or {}).get("rope_theta", values.get("rope_theta"))
    five = {k: v for k, v in values.items() if k not in ("rope_theta", "rope_scaling", "torch_dtype")}
    five |= {"rope_parameters": {"rope_theta": theta, "rope_type": "default"}, "dtype": "float32"}
    four = {k: v for k, v in values.items() if k not in ("rope_parameters", "dtype", "num_local_experts", "num_experts")}
    four |= {"rope_theta": theta, "rope_scaling": None, "torch_dtype": "float32"}
    experts = values.get("num_local_experts", values.get("num_experts"))
    if experts is not None:
        four["num_experts"] = five["num_local_experts"] = experts
        five.pop("num_experts", None)
    specs = []
    for spelling in (four, five):
        path.write_text(json.dumps(spelling))
        specs.append(read_model(str(folder)))
    path.write_text(json.dumps(values))
    assert specs[0] == specs[1] == read_model(str(folder))
    assert specs[0].rope_theta == 10_000.0
