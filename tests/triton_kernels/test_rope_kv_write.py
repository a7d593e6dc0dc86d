import math

import torch

from triton_kernels.operation import Ledger, StepFacts
from triton_kernels.rope_kv_write import rope_kv_write


def one_token(position: int, slot: int, *, weight: bool = False) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """q, and the caches, after writing one token of 1 query, 1 key and 1 value head of 4 values; 2 pages of 2 slots."""
    qkv_TW = torch.tensor([[1.0, 0, 0, 1, 2, 0, 0, 0, 5, 6, 7, 8]])
    quarter_turns = torch.arange(4)[:, None] * math.pi / 2 * torch.tensor([[1.0, 2.0]])  # the second pair turns twice as fast
    k_cache_PGBD, v_cache_PGBD = torch.full((2, 1, 2, 4), float("nan")), torch.full((2, 1, 2, 4), float("nan"))
    arguments = (torch.cat((quarter_turns.cos(), quarter_turns.sin()), 1), torch.tensor([position], dtype=torch.int32), torch.tensor([slot], dtype=torch.int32))
    weight_D = torch.tensor([1.0, 1, 1, 10]) if weight else None
    q_TAD = rope_kv_write(qkv_TW, *arguments, k_cache_PGBD, v_cache_PGBD, weight_D, weight_D, 0.0)
    return q_TAD, k_cache_PGBD, v_cache_PGBD


def test_a_quarter_turn_takes_the_low_half_to_the_high_half() -> None:
    q_TAD, k_cache_PGBD, v_cache_PGBD = one_token(position=1, slot=3)
    # q = (1, 0 | 0, 1): the pair (1, 0) turns by 90 degrees to (0, 1), the pair (0, 1) by 180 to (0, -1)
    torch.testing.assert_close(q_TAD, torch.tensor([[[0.0, 0, 1, -1]]]), atol=1e-6, rtol=0)
    torch.testing.assert_close(k_cache_PGBD[1, 0, 1], torch.tensor([0.0, 0, 2, 0]), atol=1e-6, rtol=0)
    assert v_cache_PGBD[1, 0, 1].tolist() == [5, 6, 7, 8]
    assert k_cache_PGBD.isnan().sum() == v_cache_PGBD.isnan().sum() == 3 * 4  # the other three slots


def test_slot_minus_one_writes_nothing() -> None:
    q_TAD, k_cache_PGBD, v_cache_PGBD = one_token(position=0, slot=-1)
    assert q_TAD.tolist() == [[[1, 0, 0, 1]]]
    assert k_cache_PGBD.isnan().all()
    assert v_cache_PGBD.isnan().all()


def test_heads_are_normed_before_they_turn() -> None:
    q_TAD, k_cache_PGBD, _ = one_token(position=0, slot=0, weight=True)
    # q: mean square 1/2; k = (2, 0, 0, 0): mean square 1
    torch.testing.assert_close(q_TAD, torch.tensor([[[math.sqrt(2), 0, 0, 10 * math.sqrt(2)]]]))
    torch.testing.assert_close(k_cache_PGBD[0, 0, 0], torch.tensor([2.0, 0, 0, 0]))


def test_work_is_one_read_of_qkv_and_one_write_of_q_k_and_v() -> None:
    tokens, heads, kv_heads, dim = 3, 4, 2, 8
    with Ledger() as ledger:
        rope_kv_write(
            torch.empty(tokens, (heads + 2 * kv_heads) * dim, dtype=torch.bfloat16, device="meta"),
            torch.empty(100, dim, device="meta"),
            torch.empty(tokens, dtype=torch.int32, device="meta"),
            torch.empty(tokens, dtype=torch.int32, device="meta"),
            torch.empty(5, kv_heads, 16, dim, dtype=torch.bfloat16, device="meta"),
            torch.empty(5, kv_heads, 16, dim, dtype=torch.bfloat16, device="meta"),
            torch.empty(dim, dtype=torch.bfloat16, device="meta"),
            torch.empty(dim, dtype=torch.bfloat16, device="meta"),
            1e-6,
        )
    work = rope_kv_write.work(ledger.calls[0], StepFacts())
    assert work.read_bytes == 3 * 64 * 2 + 3 * 8 * 4 + 2 * 3 * 4 + 2 * 8 * 2  # qkv, table rows, positions and slots, weights
    assert work.written_bytes == 3 * 32 * 2 + 2 * 3 * 16 * 2  # q, k and v
