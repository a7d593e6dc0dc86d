"""Captured steps against eager ones, where there is a GPU: what replays is what was planned, from whichever input set."""

import pytest
import torch

from workloads.deployment import Deployment
from workloads.read_model import read_model
from workloads.shape import StepShape
from workloads.steps import StepRunner


@pytest.mark.gpu
@pytest.mark.parametrize("phase, batch, context", [("decode", 8, 300), ("prefill", 2, 200)])
@pytest.mark.parametrize("routing", ["uniform", "model"])
def test_replays_equal_eager_steps(phase: str, batch: int, context: int, routing: str) -> None:
    shape = StepShape(phase=phase, batch=batch, context=context)
    runner = StepRunner(read_model("tiny-moe"), Deployment(precision="bf16"), shape, torch.device("cuda"), routing=routing)
    eager = [runner.step(i) for i in range(runner.sets)]
    runner.capture()
    for i in range(2 * runner.sets):
        runner.iteration(i)
    torch.cuda.synchronize()
    assert runner.facts_mismatch() is None
    for (logits, ids), (expected, expected_ids) in zip(runner._outputs, eager, strict=True):
        assert logits.isfinite().all()
        torch.testing.assert_close(logits, expected, rtol=0, atol=0)
        assert torch.equal(ids, expected_ids)


@pytest.mark.gpu
def test_a_runner_s_memory_is_given_back() -> None:
    def used() -> int:
        torch.cuda.empty_cache()
        return torch.cuda.memory_reserved()

    shape = StepShape(phase="decode", batch=4, context=256)
    first = StepRunner(read_model("tiny-moe"), Deployment(precision="bf16"), shape, torch.device("cuda"))
    decoder, after = first.decoder, []
    del first
    for _ in range(3):
        runner = StepRunner(read_model("tiny-moe"), Deployment(precision="bf16"), shape, torch.device("cuda"), decoder=decoder)
        runner.capture()
        runner.iteration(0)
        torch.cuda.synchronize()
        del runner
        after.append(used())
    assert after[2] <= after[0]
