import pytest
import torch

from triton_kernels.concat_norm import concat_norm, launch, reference
from triton_kernels.operation import Ledger, StepFacts, Work


@pytest.mark.parametrize("run", [reference, launch])
def test_each_half_has_its_own_scale_and_weight_and_the_embedding_comes_first(run: object) -> None:
    # (3, 4): mean square 12.5; (2, -2): mean square 4
    y_T2H = run(torch.tensor([[3.0, 4]]), torch.tensor([[2.0, -2]]), torch.tensor([1.0, 2]), torch.tensor([5.0, 7]), 0.0)  # type: ignore[operator]
    torch.testing.assert_close(y_T2H, torch.tensor([[0.848528, 2.262742, 5, -7]]))


@pytest.mark.parametrize("run", [reference, launch])
def test_eps_keeps_a_row_of_zeros_finite(run: object) -> None:
    one = torch.ones(2)
    y_T2H = run(torch.zeros(1, 2), torch.tensor([[1.0, 1]]), one, one, 3.0)  # type: ignore[operator]
    assert y_T2H.tolist() == [[0, 0, 0.5, 0.5]]  # 1 / sqrt(1 + 3)


def test_work_by_hand() -> None:
    def empty(*dims: int) -> torch.Tensor:
        return torch.empty(*dims, dtype=torch.bfloat16, device="meta")

    with Ledger() as ledger:
        y_T2H = concat_norm(empty(3, 4), empty(3, 4), empty(4), empty(4), 1e-6)
    assert y_T2H.shape == (3, 8)
    # two inputs of 24 bytes, two weights of 8; 3 x 8 values written
    assert concat_norm.work(ledger.calls[0], StepFacts()) == Work(read_bytes=2 * 24 + 2 * 8, written_bytes=48)
