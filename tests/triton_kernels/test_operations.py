"""What holds for every operation of the table, on every one of its cases."""

import pytest
import torch

from triton_kernels.correctness import check, dtypes_of, multiplied
from triton_kernels.operation import Ledger, Operation
from triton_kernels.operations import OPERATIONS

CASES = [pytest.param(op, case, id=f"{op.name}-{'-'.join(f'{k}={v}' for k, v in case.items())}") for op in OPERATIONS.values() for case in op.cases]

TYPED = [pytest.param(*c.values, dtype, id=f"{c.id}-{dtype}") for c in CASES if not c.values[0].collective for dtype in dtypes_of(c.values[1])]


@pytest.mark.parametrize("op, case, dtype", TYPED)
def test_kernel_equals_reference(op: Operation, case: dict, dtype: torch.dtype) -> None:
    result = check(op, case, dtype, torch.device("cpu"))
    assert result.ok, f"error {result.error:.3g} > {result.tolerance:.3g}"


@pytest.mark.gpu
@pytest.mark.parametrize("op, case, dtype", TYPED)
def test_kernel_equals_reference_on_the_gpu(op: Operation, case: dict, dtype: torch.dtype) -> None:
    major, minor = torch.cuda.get_device_capability()
    if not multiplied(case, dtype, major * 10 + minor):
        pytest.skip("this GPU has no instructions for these formats")
    result = check(op, case, dtype, torch.device("cuda"))
    assert result.ok, f"error {result.error:.3g} > {result.tolerance:.3g}"


def draw(op: Operation, case: dict, dtype: torch.dtype = torch.float32) -> dict:
    return op.inputs(generator=torch.Generator().manual_seed(1), dtype=dtype, **case)


@pytest.mark.parametrize("op", OPERATIONS.values(), ids=lambda op: op.name)
def test_schema_meta_and_cpu_agree(op: Operation) -> None:
    """PyTorch's own check of the schema: nothing aliased, nothing mutated undeclared, the fake tells the truth."""
    # NaN in unused slots would fail opcheck's comparison of a call with itself
    arguments = {k: v.nan_to_num() if isinstance(v, torch.Tensor) and v.is_floating_point() else v for k, v in draw(op, op.cases[0]).items()}
    torch.library.opcheck(op._run, (), arguments, test_utils=("test_schema", "test_faketensor"))


@pytest.mark.parametrize("op, case", CASES)
def test_plan_and_run_are_the_same_calls(op: Operation, case: dict) -> None:
    ledgers = []
    for device in ("meta", "cpu"):
        arguments = {k: v.to(device) if isinstance(v, torch.Tensor) else v for k, v in draw(op, case).items()}
        with Ledger() as ledger:
            outputs = op(**arguments)
        ledgers.append((ledger.calls, [(o.shape, o.dtype) for o in ([outputs] if isinstance(outputs, torch.Tensor) else outputs or [])]))
    assert ledgers[0] == ledgers[1]
