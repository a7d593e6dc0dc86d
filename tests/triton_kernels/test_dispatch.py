"""The sort of pairs by expert in figures, and its two ways of running against each other."""

import pytest
import torch

from triton_kernels import dispatch as module
from triton_kernels.dispatch import dispatch, launch
from triton_kernels.operation import OpCall, StepFacts, TensorShape, Work


@pytest.mark.parametrize("first", [0, 64])
@pytest.mark.parametrize("run", [dispatch, launch], ids=["reference", "kernel"])
def test_sort_by_hand(run, first: int) -> None:
    ids = torch.tensor([[2, 0], [5, 2], [0, -1]], dtype=torch.int32)  # experts 5 and -1 are elsewhere
    offsets = torch.full((4,), -7, dtype=torch.int32)
    order, row_of = run(ids + first, offsets, first)
    assert offsets.tolist() == [0, 2, 2, 4]
    assert order[:4].tolist() == [1, 4, 0, 3]  # expert 0: pairs 1 and 4, expert 2: pairs 0 and 3, each in their first order
    assert row_of.tolist() == [[2, 0], [-1, 3], [1, -1]]
    assert order.dtype == row_of.dtype == torch.int32


@pytest.mark.parametrize("experts", [3, 37])
def test_blocks_of_pairs_equal_one_launch(experts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = torch.randint(-1, experts + 2, (350, 5), generator=torch.Generator().manual_seed(0), dtype=torch.int32)
    results = []
    for small_rows in (2048, 0):  # 1750 pairs: one launch, then four blocks of 512
        monkeypatch.setattr(module, "_SMALL_ROWS", small_rows)
        offsets = torch.empty(experts + 1, dtype=torch.int32)
        order, row_of = launch(ids + 5, offsets, 5)
        results.append((offsets, order[: offsets[-1]], row_of))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    assert 0 < results[0][0][-1] < ids.numel()


def test_one_layers_slice_of_the_offsets_is_filled_and_no_more() -> None:
    offsets_LE1 = torch.full((3, 6), -7, dtype=torch.int32)
    launch(torch.tensor([[4], [1]], dtype=torch.int32), offsets_LE1[1], 0)
    assert offsets_LE1.tolist() == [[-7] * 6, [0, 0, 1, 1, 1, 2], [-7] * 6]


def test_work_by_hand() -> None:
    # 6 pairs, 4 of them live: reads 6 ids; writes 6 rows, 4 offsets, 4 places, 4 bytes each
    tensors = (("ids_TJ", TensorShape(dims=(3, 2), dtype=torch.int32)), ("offsets_E1", TensorShape(dims=(4,), dtype=torch.int32)))
    call = OpCall(op="dispatch", part="", layer=0, tensors=tensors, attrs=())
    assert dispatch.work(call, StepFacts(rows_per_expert_LE=((2, 0, 2),))) == Work(read_bytes=24, written_bytes=24 + 16 + 16)
