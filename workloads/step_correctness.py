"""Every operation of a step against its reference, on the step's own tensors: the tiles and grids that a measurement launches, not those of small cases."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from triton_kernels.correctness import Check, check_call
from triton_kernels.formats import FORMATS
from triton_kernels.operations import OPERATIONS
from workloads.operation_runner import OperationRunner, operation_runners
from workloads.steps import StepRunner


def check_step(runner: StepRunner) -> Iterator[tuple[str, Check]]:
    """(part of the model, its first call checked) of each entry of the plan with a kernel of its own. The reference runs on the same device, in fp32.

    A few layers say what all do (workloads.depth): the references of a whole model's calls need no more memory, its weights do.
    """
    step_type = FORMATS[runner.deployment.recipe.plain.name].dtype
    for operation in operation_runners(runner, most_bytes=0):
        if operation.why_not is None:
            yield operation.part, _checked(operation, step_type)


@torch.inference_mode()
def _checked(operation: OperationRunner, step_type: torch.dtype) -> Check:
    return check_call(OPERATIONS[operation.op], operation.arguments, step_type, operation.device, case=_sizes(operation.arguments))


def _sizes(arguments: dict[str, object]) -> dict[str, object]:
    """The call in a line: dims of its tensors by name, other arguments as they are."""
    return {name: list(value.shape) if isinstance(value, torch.Tensor) else value for name, value in arguments.items() if value not in (None, "")}
