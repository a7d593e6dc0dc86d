import torch

from triton_kernels.embedding import embedding
from triton_kernels.operation import Ledger, StepFacts


def test_work_counts_the_rows_asked_for_and_not_the_table() -> None:
    ids_T, table_VH = torch.zeros(3, dtype=torch.int32), torch.zeros(1000, 8, dtype=torch.bfloat16)
    with Ledger() as ledger:
        embedding(ids_T, table_VH)
    work = embedding.work(ledger.calls[0], StepFacts())
    assert work.read_bytes == 3 * 4 + 3 * 8 * 2  # ids, rows
    assert work.written_bytes == 3 * 8 * 2
    assert work.flops == 0


def test_rows_come_in_the_order_of_the_ids() -> None:
    table_VH = torch.arange(6.0).view(3, 2)
    x_TH = embedding(torch.tensor([2, 0, 2]), table_VH)
    assert x_TH.tolist() == [[4, 5], [0, 1], [4, 5]]
