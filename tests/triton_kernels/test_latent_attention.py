"""Attention over latents in figures and against its formula."""

import math

import pytest
import torch

from triton_kernels.latent_attention import latent_attention, launch, reference
from triton_kernels.operation import Ledger, StepFacts


def draw(**case: object) -> dict:
    shape = {"heads": 3, "latent": 24, "rotary": 8, "page_size": 16}
    return latent_attention.inputs(generator=torch.Generator().manual_seed(3), dtype=torch.float32, **(shape | case))


@pytest.mark.parametrize("run", [reference, launch])
def test_every_head_attends_to_the_same_latents(run: object) -> None:
    arguments = draw(queries=[3, 0, 1, 20], contexts=[19, 4, 33, 50])
    q_TAW, cache = arguments["q_TAW"].double(), arguments["latent_cache_PBW"].double()
    starts = arguments["query_start_S1"].tolist()
    want = torch.empty(q_TAW.shape[0], 3, 24, dtype=torch.float64)
    for s, context in enumerate(arguments["context_len_S"].tolist()):
        table = arguments["block_table_SM"][s].tolist()
        for t in range(starts[s], starts[s + 1]):
            visible = context - (starts[s + 1] - 1 - t)
            latents = torch.stack([cache[table[j // 16], j % 16] for j in range(visible)])
            want[t] = (q_TAW[t] @ latents.T * arguments["scale"]).softmax(-1) @ latents[:, :24]
    torch.testing.assert_close(run(**arguments).double(), want, atol=1e-5, rtol=1e-5)  # type: ignore[operator]


@pytest.mark.parametrize("run", [reference, launch])
def test_two_positions_by_hand(run: object) -> None:
    """Scores log 3 and 0 of two latents that are 1 and 5 in every column: 3/4 x 1 + 1/4 x 5 = 2. Only the rotated key, which is no value, tells them apart."""
    arguments = draw(queries=[1], contexts=[2])
    page = arguments["block_table_SM"][0, 0]
    arguments["latent_cache_PBW"][page, :2, :24] = torch.tensor([[1.0], [5.0]])
    arguments["latent_cache_PBW"][page, :2, 24:] = torch.tensor([[1.0], [0.0]])
    arguments["q_TAW"].zero_()
    arguments["q_TAW"][:, :, 24] = math.log(3) / arguments["scale"]
    torch.testing.assert_close(run(**arguments), torch.full((1, 3, 24), 2.0))  # type: ignore[operator]


def test_work_reads_each_latent_once_for_all_heads() -> None:
    """2 (32 + 24) flops for each of 3 heads and 3 + 4 + 5 + 17 pairs;
    22 latents of 32 fp32 values, 3 table entries, 4 starts, 3 lengths, 4 x 3 heads of q and o."""
    arguments = draw(queries=[3, 0, 1], contexts=[5, 40, 17])
    with Ledger() as ledger:
        latent_attention(**arguments)
    work = latent_attention.work(ledger.calls[0], StepFacts(query_len_S=(3, 0, 1), context_len_S=(5, 40, 17)))
    assert work.flops == 2 * 56 * 3 * 29
    assert work.read_bytes == 4 * 3 * 32 * 4 + 22 * 32 * 4 + 3 * 4 + 4 * 4 + 3 * 4
    assert work.written_bytes == 4 * 3 * 24 * 4
