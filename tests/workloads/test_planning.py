"""Sizes and plans of the catalogue's models against what their publishers say and what can be worked out by hand."""

import numpy as np
import pytest
import torch

from triton_kernels.operation import Ledger
from workloads.catalogue import CATALOGUE
from workloads.deployment import Deployment, deployment_of
from workloads.depth import reduced
from workloads.facts import step_facts
from workloads.plan import plan_id
from workloads.planning import plan_step, rank_sizes
from workloads.read_model import read_model
from workloads.recipe import RECIPES
from workloads.routing import parse_routing
from workloads.shape import StepShape
from workloads.step_inputs import Sampling
from workloads.steps import StepRunner

CPU = torch.device("cpu")


def plan(name: str, phase: str = "decode", batch: int = 1, context: int = 4096, precision: str = "bf16"):
    spec, shape = read_model(name), StepShape(phase=phase, batch=batch, context=context)
    steps, sizes = plan_step(spec, Deployment(precision=precision), shape, sampling=Sampling())
    facts, _ = step_facts(spec, Deployment(precision=precision), shape, parse_routing("uniform"), "hottest", np.random.default_rng(0))
    return steps, sizes, facts


@pytest.mark.parametrize("name", [n for n, e in CATALOGUE.items() if e.published_total_params])
def test_parameter_counts_are_the_published_ones(name: str) -> None:
    _, sizes, _ = plan(name)
    entry = CATALOGUE[name]
    assert sizes.params.total == pytest.approx(entry.published_total_params, rel=0.005)
    if entry.published_active_params:
        active = {"with_embedding": sizes.params.active, "without_embedding": sizes.params.active_without_embedding}[entry.active_convention]
        assert active == pytest.approx(entry.published_active_params, rel=0.03)


def test_both_active_conventions_of_qwen3_30b() -> None:
    """Per layer 2 x 2048 x 4096 + 2 x 2048 x 512 (attention) + 2048 x 128 (router) + 8 x 3 x 2048 x 768 (experts) + 4352 (norms) = 56,889,600;
    x 48, + 2048 (last norm) + 151936 x 2048 (head) = 3.042 B; with as many for the embedding 3.353 B."""
    _, sizes, _ = plan("qwen3-30b-a3b")
    assert sizes.params.active_without_embedding == 48 * 56_889_600 + 2048 + 151936 * 2048
    assert sizes.params.active == sizes.params.active_without_embedding + 151936 * 2048
    assert sizes.params.active == pytest.approx(3.35e9, rel=0.002)


@pytest.mark.parametrize(
    "name, kv_bytes",
    [
        ("qwen3-30b-a3b", 98_304), ("qwen3-235b-a22b", 192_512), ("qwen3-8b", 147_456), ("llama-3.1-70b", 327_680), ("llama-3.1-405b", 516_096),
        ("mixtral-8x7b", 131_072), ("gpt-oss-120b", 73_728), ("gpt-oss-20b", 49_152), ("deepseek-r1", 70_272), ("kimi-k2", 70_272),
    ],
)  # fmt: skip
def test_kv_bytes_per_token(name: str, kv_bytes: int) -> None:
    """2 (K and V) x layers x key/value heads x head dim x 2 bytes, such as 48 x 4 x 128; latents: layers x (512 + 64) x 2 bytes = 61 x 1152."""
    assert rank_sizes(read_model(name), Deployment()).kv_bytes_per_token == kv_bytes


def test_a_gpu_of_a_deployment_holds_its_part() -> None:
    """R1 in bf16 over 32 GPUs: 8 of 256 experts a layer (58 x 8 x 3 x 7168 x 2048 = 20.43 B), everything else whole: attention 61 x 187.1 M = 11.41 B, shared
    experts 58 x 44.04 M = 2.55 B, dense layers 3 x 396.4 M = 1.19 B, routers 58 x 1.835 M = 0.11 B, embedding and head 1.85 B; norms and biases are 1.1 M."""
    sizes = rank_sizes(read_model("deepseek-r1"), deployment_of(precision="bf16", ep=32))
    assert sizes.params.total == pytest.approx(671.03e9, rel=1e-4)
    attention = 7168 * (1536 + 576) + 1536 * 128 * 192 + 512 * 128 * 256 + 128 * 128 * 7168
    parts = 58 * (8 * 3 + 3) * 7168 * 2048 + 61 * attention + 3 * 3 * 7168 * 18432 + 58 * 256 * 7168 + 2 * 129280 * 7168
    assert sizes.weight_bytes == pytest.approx(2 * parts, rel=1e-4)


def test_tensor_parallel_gpus_share_heads_and_cache() -> None:
    """Llama-3.1-70B over 8: an eighth of every matrix, and one of 8 key/value heads, 327,680 / 8 bytes per token. Over 16 the heads are copies."""
    whole, eighth = (rank_sizes(read_model("llama-3.1-70b"), Deployment(tp=tp)) for tp in (1, 8))
    assert eighth.weight_bytes == pytest.approx(whole.weight_bytes / 8, rel=1e-3)  # norms are whole
    assert (eighth.kv_bytes_per_token, rank_sizes(read_model("llama-3.1-70b"), Deployment(tp=16)).kv_bytes_per_token) == (40_960, 40_960)
    assert eighth.params == whole.params


def test_fp8_weights_are_a_byte_but_for_what_stays() -> None:
    """R1: all but embedding and head (2 x 926.7 M), routers (58 x 1.835 M) and the latents' expansions (61 x 16.78 M) are one byte, and 4 for 16384 of them."""
    sizes = rank_sizes(read_model("deepseek-r1"), Deployment(precision="fp8"))
    stays = 2 * 129280 * 7168 + 58 * 256 * 7168 + 61 * 128 * 256 * 512
    scales = (671.03e9 - stays) * 4 / 16384
    assert sizes.weight_bytes == pytest.approx(671.03e9 + stays + scales, rel=1e-5)


def test_each_recipe_weighs_what_its_formats_do() -> None:
    """R1's experts, 58 x 256 x 3 x 2048 x 7168, are most of it: in mxfp4 17/32 of a byte, in nvfp4 9/16, one fp32 more for each matrix of an expert."""
    spec = read_model("deepseek-r1")
    mx, nv = (rank_sizes(spec, Deployment(precision=precision)).weight_bytes for precision in ("mxfp4", "nvfp4"))
    shared_and_dense = 58 * 3 * 2048 * 7168 + 3 * 3 * 18432 * 7168
    values, matrices = 58 * 256 * 3 * 2048 * 7168 + shared_and_dense, 58 * 2 * 257 + 3 * 2
    assert nv - mx == values * (9 / 16 - 17 / 32) + 4 * matrices


def test_what_a_checkpoint_left_in_bf16_stays_so() -> None:
    """The config of Qwen3-30B-A3B-FP8 leaves out the head;
    gpt-oss-120b's attention, router, embedding and head, so that in fp8 its experts alone are a byte."""
    spec = read_model("gpt-oss-120b")
    in_fp8, in_bf16 = (rank_sizes(spec, Deployment(precision=precision)) for precision in ("fp8", "bf16"))
    experts = 36 * 128 * 3 * 2880 * 2880
    scales = 36 * 128 * (45 * 23 + 23 * 23) * 4  # blocks of 128 x 128 in 5760 x 2880 and 2880 x 2880, those at the edge half empty
    assert in_bf16.weight_bytes - in_fp8.weight_bytes == experts - scales


@pytest.mark.parametrize("tp, ep, dp", [(1, 1, 1), (1, 4, 4), (2, 1, 1), (2, 2, 1), (2, 4, 2), (4, 2, 1)])
@pytest.mark.parametrize("model", ["tiny-moe", "tiny-mla"])
def test_an_emulated_rank_runs_what_was_planned(model: str, tp: int, ep: int, dp: int) -> None:
    spec, deployment = read_model(model), Deployment(precision="fp32", tp=tp, ep=ep, dp=dp)
    spec, _ = reduced(spec, 1)
    runner = StepRunner(spec, deployment, StepShape(phase="decode", batch=8, context=70), CPU, routing="zipf:1")
    with torch.inference_mode(), Ledger() as ledger:
        logits, _ = runner.step(0)
    assert tuple(ledger.calls) == runner.plan.calls
    assert logits.isfinite().all()
    for i in range(runner.sets):
        runner.iteration(i)
    assert runner.facts_mismatch() is None
    links = sum(entry["work"]["link_bytes"] for entry in runner.plan.json(runner.all_facts())["calls"])
    assert (links > 0) == (tp * dp > 1)


@pytest.mark.parametrize("phase", ["decode", "prefill"])
def test_a_draft_is_one_layer_and_one_head_more(phase: str) -> None:
    spec, _ = reduced(read_model("tiny-mla"), 1)
    shape = StepShape(phase=phase, batch=2, context=40, mtp=True)
    runner = StepRunner(spec, Deployment(precision="fp32"), shape, CPU)
    logits, ids, draft_logits, draft_ids = runner.step(0)
    assert logits.shape == draft_logits.shape
    assert ids.shape == draft_ids.shape == (2,)
    assert draft_logits.isfinite().all()
    parts = [calls[0].part for calls in runner.plan.groups.values()]
    assert "mtp.projection" in parts
    assert "mtp.head.logits" in parts
    for i in range(runner.sets):
        runner.iteration(i)
    assert runner.facts_mismatch() is None


def test_the_plan_is_one_call_per_operation_and_layer() -> None:
    steps, _, _ = plan("qwen3-30b-a3b")
    assert len(steps.calls) == 1 + 48 * 12 + 3  # embedding; 12 operations a layer; norm, logits, sample
    counts = {calls[0].part: len(calls) for calls in steps.groups.values()}
    assert counts["experts.down"] == 48
    assert counts["head.logits"] == 1


def test_a_prefill_asks_only_for_the_last_rows_logits() -> None:
    steps, _, facts = plan("qwen3-8b", phase="prefill", batch=2, context=100)
    logits = next(call for call in steps.calls if call.part == "head.logits")
    assert logits.dims("x_TK") == (2, 4096)
    assert facts.query_len_S == (100, 100)


def test_decode_work_of_one_token_is_its_parameters_and_its_cache() -> None:
    """Batch 1 reads each active parameter once (3.042 B x 2 bytes: the embedding gives one row) and 4096 tokens of cache (98,304 bytes each)."""
    steps, sizes, facts = plan("qwen3-30b-a3b")
    entries = steps.json([facts])["calls"]
    read = sum(entry["work"]["read_bytes"] for entry in entries)
    assert read == pytest.approx(sizes.params.active_without_embedding * 2 + 4096 * 98_304, rel=0.002)
    flops = sum(entry["work"]["flops"] for entry in entries)
    attention = 4 * 4096 * 32 * 128 * 48  # two products of 4096 keys x 32 heads x 128, multiply and add
    assert flops == pytest.approx(2 * sizes.params.active_without_embedding + attention, rel=0.001)


def test_the_plan_id_is_of_its_content() -> None:
    steps, _, facts = plan("tiny-moe", batch=2, context=64)
    again, _, _ = plan("tiny-moe", batch=2, context=64)
    other, _, _ = plan("tiny-moe", batch=3, context=64)
    assert plan_id(steps.json([facts])) == plan_id(again.json([facts])) != plan_id(other.json([facts]))


@pytest.mark.parametrize("phase, batch, context", [("decode", 3, 70), ("decode", 8, 96), ("prefill", 2, 65)])
@pytest.mark.parametrize("routing", ["uniform", "balanced", "model"])
def test_what_runs_is_what_was_planned(phase: str, batch: int, context: int, routing: str) -> None:
    """The calls of a real step on the CPU are the plan's, and the device's own counts are the facts."""
    runner = StepRunner(read_model("tiny-moe"), Deployment(precision="fp32"), StepShape(phase=phase, batch=batch, context=context), CPU, routing=routing)
    with torch.inference_mode(), Ledger() as ledger:
        logits, ids = runner.step(0)
    assert tuple(ledger.calls) == runner.plan.calls
    assert logits.isfinite().all()
    assert ids.shape == (batch,)
    for i in range(2 * runner.sets):  # a second round finds in the cache what the first one wrote
        runner.iteration(i)
    assert runner.facts_mismatch() is None
    assert sum(runner.facts(0).rows_per_expert_LE[0]) == batch * (1 if phase == "decode" else context) * 4


def test_a_wrong_fact_is_a_mismatch() -> None:
    runner = StepRunner(read_model("tiny-moe"), Deployment(precision="fp32"), StepShape(phase="decode", batch=2, context=64), CPU)
    for i in range(runner.sets):
        runner.iteration(i)
    runner._drawn[3].inputs.offsets_LE1[2, 5] += 1  # what a broken dispatch would leave behind
    assert runner.facts_mismatch() == "facts_mismatch: rows_per_expert_LE of input set 3 differs on the device from what was drawn"


@pytest.mark.parametrize("precision", [name for name, recipe in RECIPES.items() if recipe.parts])
@pytest.mark.parametrize("model", CATALOGUE)
def test_every_model_plans_in_every_recipe_on_hopper_and_blackwell(model: str, precision: str) -> None:
    spec, _ = reduced(read_model(model), 1)
    for arch in (90, 100):
        for shape in (StepShape(phase="decode", batch=3, context=100), StepShape(phase="prefill", batch=1, context=200)):
            deployment = Deployment(precision=precision, arch=arch, kv_cache="fp8")
            steps, sizes = plan_step(spec, deployment, shape, sampling=Sampling())
            facts, _ = step_facts(spec, deployment, shape, parse_routing("uniform"), "hottest", np.random.default_rng(0))
            lanes = {entry["work"]["lane"] for entry in steps.json([facts])["calls"]} - {None}
            native = RECIPES[precision].emulated_on(arch) is None
            wanted = {"fp8": "fp8", "mxfp8": "fp8", "mxfp4": "fp8", "nvfp4": "fp4"}[precision]
            assert lanes == ({"bf16", wanted} if native else {"bf16"})
            assert sizes.weight_bytes > 0
