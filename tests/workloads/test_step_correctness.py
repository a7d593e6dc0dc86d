"""A step's operations against their references on the step's own tensors, under the interpreter: all are right, and one that is not is found."""

from dataclasses import fields
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from triton_kernels.operations import OPERATIONS
from workloads.deployment import Deployment
from workloads.read_model import read_model
from workloads.shape import StepShape
from workloads.step_correctness import check_step
from workloads.steps import StepRunner


def test_a_step_is_right_but_for_what_is_planted(monkeypatch: pytest.MonkeyPatch) -> None:
    """`combine` with its last row doubled: of two rows alike the error is about 1 / sqrt(2), and nothing else is off."""
    combine = OPERATIONS["combine"]

    def doubled(*args: Any, **named: Any) -> torch.Tensor:
        out: torch.Tensor = combine.launch(*args, **named)
        out[-1] *= 2
        return out

    planted = {field.name: getattr(combine, field.name) for field in fields(combine)} | {"launch": doubled}
    monkeypatch.setitem(OPERATIONS, "combine", SimpleNamespace(**planted))
    shape = StepShape(phase="decode", batch=2, context=20)
    runner = StepRunner(read_model("tiny-moe"), Deployment(precision="bf16", arch=90), shape, torch.device("cpu"))
    found = dict(check_step(runner))
    assert [part for part, check in found.items() if not check.ok] == ["experts.combine"]
    assert found["experts.combine"].error == pytest.approx(0.5**0.5, rel=0.2)
    assert list(found) == list(dict.fromkeys(call.part for call in runner.plan.calls))
    assert found["attention.qkv"].case["x_TK"] == [2, runner.spec.hidden]
