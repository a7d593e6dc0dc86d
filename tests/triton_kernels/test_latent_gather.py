import pytest
import torch

from triton_kernels.latent_gather import latent_gather, launch, live, reference
from triton_kernels.operation import Ledger, StepFacts


def arguments(tables: list[list[int]], starts: list[int], rows: int) -> dict:
    """A cache of 3 pages of 2 slots; an entry says where it lies: (page, slot | 10 page + slot)."""
    page, slot = torch.meshgrid(torch.arange(3.0), torch.arange(2.0), indexing="ij")
    return {
        "latent_cache_PBW": torch.stack((page, slot, 10 * page + slot), -1),
        "block_table_SM": torch.tensor(tables, dtype=torch.int32),
        "context_start_S1": torch.tensor(starts, dtype=torch.int32),
        "rows": rows,
        "rotary_dim": 1,
    }


@pytest.mark.parametrize("run", [reference, launch])
def test_sequences_follow_each_other_page_by_page(run: object) -> None:
    # three positions in pages 2 and 0, a sequence of none, one position in page 1; two rows that nobody owns
    given = arguments([[2, 0], [2**30, -1], [1, 2**30]], [0, 3, 3, 4], rows=6)
    outputs = run(**given)  # type: ignore[operator]
    assert [x.shape for x in outputs] == [(6, 2), (6, 1)]
    latent, key = live(outputs, **given)
    assert latent.tolist() == [[2, 0], [2, 1], [0, 0], [1, 0]]
    assert key.tolist() == [[20], [21], [0], [10]]


@pytest.mark.parametrize("sequences", [1, 2, 3, 4, 5, 8, 9])
def test_every_row_finds_its_sequence_whatever_their_number(sequences: int) -> None:
    given = arguments([[s % 3] for s in range(sequences)], list(range(sequences + 1)), rows=sequences)
    assert launch(**given)[1].flatten().tolist() == [10 * (s % 3) for s in range(sequences)]


def test_rows_that_do_not_hold_the_contexts_are_refused() -> None:
    with pytest.raises(AssertionError, match=r"\(3, 2\)"):
        reference(**arguments([[2, 0]], [0, 3], rows=2))


def test_work_moves_each_live_entry_once() -> None:
    given = arguments([[2, 0], [1, 0]], [0, 3, 4], rows=100)
    on_meta = {k: v.to("meta") if isinstance(v, torch.Tensor) else v for k, v in given.items()}
    with Ledger() as ledger:
        latent_gather(**on_meta)
    work = latent_gather.work(ledger.calls[0], StepFacts(query_len_S=(1, 1), context_len_S=(3, 1)))
    assert work.read_bytes == 4 * 3 * 4 + (2 + 1) * 4 + 3 * 4  # entries of 3 fp32 values, 3 pages named, 3 starts
    assert work.written_bytes == 4 * 3 * 4
    assert (work.flops, work.lane) == (0, None)
