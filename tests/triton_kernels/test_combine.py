"""The sum of a token's rows in figures."""

import pytest
import torch

from triton_kernels.combine import combine, launch
from triton_kernels.operation import OpCall, StepFacts, TensorShape, Work


@pytest.mark.parametrize("run", [combine, launch], ids=["reference", "kernel"])
def test_sums_by_hand(run) -> None:
    y = torch.tensor([[1.0, 2.0], [10.0, 20.0], [100.0, 200.0], [float("nan")] * 2])
    row_of = torch.tensor([[2, 0], [-1, 1], [-1, -1]], dtype=torch.int32)
    assert run(y, row_of, None).tolist() == [[101.0, 202.0], [10.0, 20.0], [0.0, 0.0]]


@pytest.mark.parametrize("run", [combine, launch], ids=["reference", "kernel"])
def test_the_shared_expert_is_added(run) -> None:
    y, add = torch.tensor([[1.0], [10.0]]), torch.tensor([[0.5], [7.0]])
    assert run(y, torch.tensor([[0, 1], [-1, -1]], dtype=torch.int32), add).tolist() == [[11.5], [7.0]]
    assert add.tolist() == [[0.5], [7.0]]


@pytest.mark.parametrize("run", [combine, launch], ids=["reference", "kernel"])
def test_sums_wider_than_it_stores(run) -> None:
    """256 + 1 is 256 in bf16, which has 8 bits: added up in bf16 the ones would be lost, in fp32 the sum is 260."""
    y = torch.tensor([[256.0], [1.0], [1.0], [1.0], [1.0]], dtype=torch.bfloat16)
    assert run(y, torch.tensor([[0, 1, 2, 3, 4]], dtype=torch.int32), None).item() == 260.0


def test_work_reads_live_rows_only() -> None:
    # 5 live rows of 8 bf16 values, 6 places of 4 bytes; writes 3 tokens
    tensors = (("y_RH", TensorShape(dims=(6, 8), dtype=torch.bfloat16)), ("row_of_TJ", TensorShape(dims=(3, 2), dtype=torch.int32)))
    call = OpCall(op="combine", part="", layer=0, tensors=tensors, attrs=())
    assert combine.work(call, StepFacts(rows_per_expert_LE=((4, 1),))) == Work(read_bytes=80 + 24, written_bytes=48)
    # and what is added: 3 tokens
    added = OpCall(op="combine", part="", layer=0, tensors=(*tensors, ("add_TH", TensorShape(dims=(3, 8), dtype=torch.bfloat16))), attrs=())
    assert combine.work(added, StepFacts(rows_per_expert_LE=((4, 1),))) == Work(read_bytes=80 + 24 + 48, written_bytes=48)
