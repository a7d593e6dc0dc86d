"""Sizes and plans of the catalogue's models against what their publishers say and what can be worked out by hand."""

import numpy as np
import pytest
import torch

from triton_kernels.operation import Ledger
from workloads.catalogue import CATALOGUE
from workloads.decoder import Sampling
from workloads.deployment import Deployment
from workloads.inputs import step_facts
from workloads.model_spec import read_model
from workloads.plan import plan_id
from workloads.planning import plan_step
from workloads.shape import StepShape
from workloads.steps import StepRunner

CPU = torch.device("cpu")


def plan(name: str, phase: str = "decode", batch: int = 1, context: int = 4096, precision: str = "bf16"):
    spec, shape = read_model(name), StepShape(phase=phase, batch=batch, context=context)
    steps, sizes = plan_step(spec, Deployment(precision=precision), shape, sampling=Sampling())
    facts, _ = step_facts(spec, shape, "uniform", np.random.default_rng(0))
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


@pytest.mark.parametrize("name, kv_bytes", [("qwen3-30b-a3b", 98_304), ("qwen3-235b-a22b", 192_512), ("qwen3-8b", 147_456)])
def test_kv_bytes_per_token(name: str, kv_bytes: int) -> None:
    """2 (K and V) x layers x key/value heads x 128 x 2 bytes: 48 x 4, 94 x 4, 36 x 8."""
    assert plan(name)[1].kv_bytes_per_token == kv_bytes


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
