"""One rank of a tiny sharded model, started by torchrun from test_sharded.py: its logits must be those of the whole model."""

import json
import sys
import zlib
from dataclasses import replace

import numpy as np
import torch

from triton_kernels.operand import plain
from workloads.decoder import Decoder
from workloads.deployment import Deployment, Rank
from workloads.inputs import offsets_dims
from workloads.model_spec import Gqa, Mla, ModelSpec, Moe
from workloads.planning import make_cache
from workloads.ranks import connect, disconnect
from workloads.rope import Rope, rotary_table
from workloads.shape import StepShape
from workloads.step_inputs import Sampling, StepInputs
from workloads.weights import Cut, Matrix

CPU = torch.device("cpu")
ROPE = Rope(theta=1e4, dim=8)
GQA = Gqa(heads=4, kv_heads=2, head_dim=8, qk_norm=True)
BIASED = Gqa(heads=4, kv_heads=2, head_dim=8, bias=True, output_bias=True, sinks=True, window=5, windowed_layers=frozenset({0}))
MLA = Mla(heads=4, query_rank=12, latent_rank=24, nope_dim=8, rope_dim=8, value_dim=8)
SOFTMAX = Moe(layers=frozenset({1, 2}), experts=8, top_k=3, intermediate=16)
OSS = Moe(layers=frozenset({0, 1, 2}), experts=8, top_k=2, intermediate=16, router_bias=True, bias=True, activation="clamped_swiglu", limit=1.0)
DEEPSEEK = replace(
    SOFTMAX, shared_intermediate=32, scoring="sigmoid", correction_bias=True, groups=4, groups_kept=2, scaling=2.5
)  # fmt: skip
MODELS = {"dense": (GQA, None), "qwen3": (GQA, SOFTMAX), "gpt-oss": (BIASED, OSS), "deepseek": (MLA, DEEPSEEK)}


def spec_of(name: str) -> ModelSpec:
    attention, moe = MODELS[name]
    return ModelSpec(
        name=name, model_type=name, layers=3, hidden=32, vocab=48, attention=attention, moe=moe, dense_intermediate=24, mtp_modules=1 if name == "deepseek"
        else 0,
        tied_embeddings=name == "qwen3", rope=ROPE, rms_norm_eps=1e-6, max_positions=64, quantization=None, folder=None,
    )  # fmt: skip


class NamedWeights:
    """The same values for the same name, whoever asks, cut to the asker's part."""

    def __call__(self, name: str, *dims: int, std: float | None, cuts: tuple[Cut, ...] = ()) -> torch.Tensor:
        generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
        values = torch.randn(dims, generator=generator) * (0.1 if std is None else std) + (1.0 if std is None else 0.0)
        for one in cuts:
            values = torch.cat([values.narrow(one.dim, first, last - first) for first, last in one.ranges], one.dim)
        return values.contiguous()

    def matrix(self, name: str, *dims: int, std: float, cuts: tuple[Cut, ...] = ()) -> Matrix:
        weight = plain(self(name, *dims, std=std, cuts=cuts))
        return Matrix(weight=weight, takes=weight.format)

    def cache_scale(self, name: str) -> torch.Tensor:
        return torch.ones(1)


def logits_of(spec: ModelSpec, rank: Rank, prompts: np.ndarray) -> list[torch.Tensor]:
    """A prefill, then a decode step with a draft where the model has one: logits of every row."""
    sequences, length = prompts.shape
    mtp = bool(spec.mtp_modules)
    shape = StepShape(phase="prefill", batch=sequences, context=64, mtp=mtp)
    decoder = Decoder(spec, NamedWeights(), rotary_table(spec.rope, 64, CPU), rank, mtp=mtp)
    cache = make_cache(spec, rank.deployment, shape, CPU)
    for pages in cache.tensors:
        pages.fill_(float("nan"))
    results: list[torch.Tensor] = []
    for start, end in ((0, length - 1), (length - 1, length)):
        q = end - start

        def put(values: object) -> torch.Tensor:
            return torch.as_tensor(np.asarray(values), dtype=torch.int32)

        positions = np.tile(np.arange(start, end), sequences)
        inputs = StepInputs(
            ids_T=put(prompts[:, start:end].reshape(-1)), positions_T=put(positions),
            slots_T=put((np.arange(sequences)[:, None] * 64 + np.arange(start, end)).reshape(-1)), block_table_SM=put(np.arange(sequences)[:, None]),
            query_start_S1=put(np.arange(sequences + 1) * q), context_len_S=put([end] * sequences), context_start_S1=put(np.arange(sequences + 1) * end),
            context_tokens=sequences * end, last_row_S=None, next_ids_T=put(prompts[:, start:end].reshape(-1)) if mtp else None, forced_ids_LTJ=None,
            drawn_ids_LYJ=None, uniform_S=torch.zeros(sequences * q), offsets_LE1=torch.zeros(offsets_dims(spec, rank.deployment, shape), dtype=torch.int32),
            max_query_len=q,
        )  # fmt: skip
        with torch.inference_mode():
            out = decoder.step_and_draft(inputs, cache, Sampling()) if mtp else decoder.step(inputs, cache, Sampling())
        results += [x for x in out if x.is_floating_point()]
    return results


def main() -> None:
    name, tp, ep, dp = sys.argv[1], *map(int, sys.argv[2:5])
    deployment = Deployment(precision="fp32", tp=tp, ep=ep, dp=dp)
    spec = spec_of(name)
    deployment.check(spec)
    rank = connect(deployment, CPU)
    prompts = np.random.default_rng(0).integers(0, spec.vocab, (4 * dp, 13))
    mine = slice(rank.index // tp * 4, rank.index // tp * 4 + 4)
    got = logits_of(spec, rank, prompts[mine])
    disconnect()
    want = logits_of(spec, Rank(deployment=Deployment(precision="fp32")), prompts[mine])
    errors = [((g - w).abs().max() / w.std()).item() for g, w in zip(got, want, strict=True)]
    print(json.dumps({"rank": rank.index, "errors": errors}), flush=True)


if __name__ == "__main__":
    main()
