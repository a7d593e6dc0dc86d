import math

import pytest
import torch

from triton_kernels.attention import attention, launch, reference
from triton_kernels.attention_tiles import TILES, splits_for, tile_for
from triton_kernels.operation import Ledger, StepFacts
from triton_kernels.target import CHIPS


def draw(**case: object) -> dict:
    shape = {"heads": 4, "kv_heads": 2, "dim": 32, "page_size": 16}
    return attention.inputs(generator=torch.Generator().manual_seed(3), dtype=torch.float32, **(shape | case))


def dense(arguments: dict) -> torch.Tensor:
    """Attention from its formula, position by position, in fp64."""
    q_TAD, starts = arguments["q_TAD"].double(), arguments["query_start_S1"].tolist()
    page_size = arguments["k_cache_PGBD"].shape[2]
    group = q_TAD.shape[1] // arguments["k_cache_PGBD"].shape[1]
    o_TAD = torch.empty_like(q_TAD)
    for s, context in enumerate(arguments["context_len_S"].tolist()):
        table = arguments["block_table_SM"][s].tolist()
        for t in range(starts[s], starts[s + 1]):
            visible = context - (starts[s + 1] - 1 - t)
            low = max(0, visible - arguments["window"]) if arguments["window"] else 0
            for a in range(q_TAD.shape[1]):
                k, v = (
                    torch.stack([cache[table[j // page_size], a // group, j % page_size] for j in range(low, visible)]).double()
                    for cache in (arguments["k_cache_PGBD"], arguments["v_cache_PGBD"])
                )
                mass = (k @ q_TAD[t, a] * arguments["scale"]).exp()
                sink = arguments["sinks_A"][a].double().exp() if arguments["sinks_A"] is not None else 0.0
                o_TAD[t, a] = mass @ v / (mass.sum() + sink)
    return o_TAD


@pytest.mark.parametrize("run", [reference, launch])
def test_every_query_sees_what_came_before_it_and_itself(run: object) -> None:
    arguments = draw(queries=[3, 0, 1, 2], contexts=[19, 4, 33, 2])
    torch.testing.assert_close(run(**arguments).double(), dense(arguments), atol=1e-5, rtol=1e-5)  # type: ignore[operator]


@pytest.mark.parametrize("run", [reference, launch])
@pytest.mark.parametrize("window, sinks", [(0, True), (7, False), (16, True), (100, True)])
def test_windows_and_sinks(run: object, window: int, sinks: bool) -> None:
    arguments = draw(queries=[3, 0, 1, 40], contexts=[19, 4, 63, 57], window=window, sinks=sinks)
    torch.testing.assert_close(run(**arguments).double(), dense(arguments), atol=1e-5, rtol=1e-5)  # type: ignore[operator]


@pytest.mark.parametrize("run", [reference, launch])
def test_a_sink_takes_its_share_by_hand(run: object) -> None:
    """One position with score 0 and a sink of log 3: the value counts 1 / (1 + 3)."""
    arguments = draw(queries=[1], contexts=[1], sinks=True)
    arguments["q_TAD"].zero_()
    arguments["sinks_A"].fill_(math.log(3))
    page = arguments["block_table_SM"][0, 0]
    value_GD = arguments["v_cache_PGBD"][page, :, 0]
    torch.testing.assert_close(run(**arguments)[0], value_GD.repeat_interleave(2, 0) / 4)  # type: ignore[operator]


def test_work_of_a_window_by_hand() -> None:
    """Window 4: queries at positions 2, 3, 4 of a context of 5 see 3, 4 and 4; the one at 16 sees 4. Keys 0..4 and 13..16 are read, from pages 0 and 0..1."""
    arguments = draw(queries=[3, 0, 1], contexts=[5, 40, 17], window=4, sinks=True)
    with Ledger() as ledger:
        attention(**arguments)
    work = attention.work(ledger.calls[0], StepFacts(query_len_S=(3, 0, 1), context_len_S=(5, 40, 17)))
    assert work.flops == 4 * 32 * 4 * (3 + 4 + 4 + 4)
    q_bytes, keys_and_values, sinks = 4 * 4 * 32 * 4, (5 + 4) * 2 * 32 * 2 * 4, 4 * 4
    assert work.read_bytes == q_bytes + keys_and_values + (1 + 2) * 4 + sinks + 4 * 4 + 3 * 4


@pytest.mark.parametrize("context", [15, 16, 17])
def test_the_end_of_a_page_is_no_edge(context: int) -> None:
    arguments = draw(queries=[1], contexts=[context])
    torch.testing.assert_close(launch(**arguments).double(), dense(arguments), atol=1e-5, rtol=1e-5)


def test_work_counts_live_pairs_and_reads_each_live_key_once() -> None:
    arguments = draw(queries=[3, 0, 1], contexts=[5, 40, 17])
    with Ledger() as ledger:
        attention(**arguments)
    work = attention.work(ledger.calls[0], StepFacts(query_len_S=(3, 0, 1), context_len_S=(5, 40, 17)))
    pairs = 3 + 4 + 5 + 17  # the second sequence is not part of the step
    assert work.flops == 4 * 32 * 4 * pairs
    assert work.lane == "fp32"
    tokens_of_q_and_o = 4 * 4 * 32 * 4
    keys_and_values = (5 + 17) * 2 * 32 * 2 * 4
    entries = (1 + 2) * 4
    assert work.read_bytes == tokens_of_q_and_o + keys_and_values + entries + 4 * 4 + 3 * 4
    assert work.written_bytes == tokens_of_q_and_o


def test_splits_fill_the_gpu_in_decode_and_only_an_idle_one_in_prefill() -> None:
    chip = CHIPS[90]  # 132 SMs
    assert splits_for(True, 64, chip, programs=128, context=4096) == 4  # 3 x 132 / 128
    assert splits_for(True, 64, chip, programs=512, context=4096) == 1
    assert splits_for(True, 64, chip, programs=4, context=4096) == 64  # one step each: 99 would find nothing to do
    assert splits_for(False, 128, chip, programs=2048, context=8192) == 1
    assert splits_for(False, 128, chip, programs=36, context=32768) == 3
    assert splits_for(False, 128, chip, programs=4, context=1024) == 2  # four steps each


@pytest.mark.parametrize("key", TILES)
def test_there_is_a_tile_for_any_number_of_rows(key: tuple[str, bool]) -> None:
    most = [rows for rows, _ in TILES[key]]
    assert most[-1] is None
    assert most[:-1] == sorted(most[:-1])
    assert all(rows <= tile.rows for rows, tile in TILES[key] if rows is not None)


def test_prefill_tiles_have_the_rows_that_wgmma_multiplies() -> None:
    for arch in (90, 100):
        for dim in (64, 128, 256):
            assert tile_for(torch.bfloat16, arch, 4096, dim, 64).rows >= 64
