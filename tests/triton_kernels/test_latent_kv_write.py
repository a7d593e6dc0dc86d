import math

import pytest
import torch

from triton_kernels.latent_kv_write import latent_kv_write, launch, reference
from triton_kernels.operation import Ledger, StepFacts

# u = (3, 4), mean square 12.5; latent = (2, -2), mean square 4; key = (1, 0 | 0, 1)
A_TX = torch.tensor([[3.0, 4, 2, -2, 1, 0, 0, 1]])
QUARTER_TURNS = torch.arange(4)[:, None] * math.pi / 2 * torch.tensor([[1.0, 2.0]])  # the second pair turns twice as fast


def one_token(run: object, slot: int, *, a_TX: torch.Tensor = A_TX, q_norm_U: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
    """u and the cache of 2 pages of 2 slots, after one token at position 1."""
    cache_PBW = torch.full((2, 2, 6), float("nan"))
    table_QD = torch.cat((QUARTER_TURNS.cos(), QUARTER_TURNS.sin()), 1)
    places = torch.tensor([1], dtype=torch.int32), torch.tensor([slot], dtype=torch.int32)
    return run(a_TX, table_QD, *places, cache_PBW, q_norm_U, torch.tensor([5.0, 7]), 0.0), cache_PBW  # type: ignore[operator]


@pytest.mark.parametrize("run", [reference, launch])
def test_the_latent_is_normed_and_the_key_turned(run: object) -> None:
    u_TU, cache_PBW = one_token(run, 3, q_norm_U=torch.tensor([1.0, 2]))
    torch.testing.assert_close(u_TU, torch.tensor([[0.848528, 2.262742]]))  # 3 / sqrt(12.5), 2 x 4 / sqrt(12.5)
    # the pair (1, 0) turns by 90 degrees to (0, 1), the pair (0, 1) by 180 to (0, -1)
    torch.testing.assert_close(cache_PBW[1, 1], torch.tensor([5.0, -7, 0, 0, 1, -1]), atol=1e-6, rtol=0)
    assert cache_PBW.isnan().sum() == 3 * 6  # the other three slots


@pytest.mark.parametrize("run", [reference, launch])
def test_slot_minus_one_writes_nothing_but_returns_u(run: object) -> None:
    u_TU, cache_PBW = one_token(run, -1, q_norm_U=torch.tensor([1.0, 2]))
    torch.testing.assert_close(u_TU, torch.tensor([[0.848528, 2.262742]]))
    assert cache_PBW.isnan().all()


@pytest.mark.parametrize("run", [reference, launch])
def test_a_query_without_a_low_rank_has_no_columns(run: object) -> None:
    u_TU, cache_PBW = one_token(run, 0, a_TX=A_TX[:, 2:].contiguous(), q_norm_U=None)
    assert u_TU.shape == (1, 0)
    torch.testing.assert_close(cache_PBW[0, 0], torch.tensor([5.0, -7, 0, 0, 1, -1]), atol=1e-6, rtol=0)


@pytest.mark.parametrize("run", [reference, launch])
def test_columns_that_no_norm_accounts_for_are_refused(run: object) -> None:
    with pytest.raises(AssertionError, match="8, 2, 4, 2"):
        one_token(run, 0, q_norm_U=None)


def test_work_is_one_read_of_the_projection_and_one_write_of_u_and_entry() -> None:
    def empty(*dims: int, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
        return torch.empty(*dims, dtype=dtype, device="meta")

    with Ledger() as ledger:
        latent_kv_write(
            empty(3, 4 + 6 + 2), empty(100, 2, dtype=torch.float32), empty(3, dtype=torch.int32), empty(3, dtype=torch.int32),
            empty(5, 16, 6 + 2), empty(4), empty(6), 1e-6,
        )  # fmt: skip
    work = latent_kv_write.work(ledger.calls[0], StepFacts())
    assert work.read_bytes == 3 * 12 * 2 + 3 * 2 * 4 + 2 * 3 * 4 + (4 + 6) * 2  # a, table rows, positions and slots, weights
    assert work.written_bytes == 3 * 4 * 2 + 3 * 8 * 2  # u, entries
    assert (work.flops, work.lane) == (0, None)
