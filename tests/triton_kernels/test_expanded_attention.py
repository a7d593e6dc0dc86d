import math

import pytest
import torch

from triton_kernels.expanded_attention import TILES, expanded_attention, launch, reference, tile_for
from triton_kernels.operation import Ledger, StepFacts, Work


def dense(arguments: dict) -> torch.Tensor:
    """Attention from its formula, pair by pair, in fp64; a rotary pair turns as a complex number does."""
    q_TAF, kv_NAO, key_ND = (arguments[name].double() for name in ("q_TAF", "kv_NAO", "key_ND"))
    starts, contexts = arguments["query_start_S1"].tolist(), arguments["context_start_S1"].tolist()
    dim = key_ND.shape[1]
    k = q_TAF.shape[2] - dim
    o_TAV = torch.empty(*q_TAF.shape[:2], kv_NAO.shape[2] - k, dtype=torch.float64)
    for s in range(len(starts) - 1):
        for t in range(starts[s], starts[s + 1]):
            seen = slice(contexts[s], contexts[s + 1] - (starts[s + 1] - 1 - t))
            cos, sin = arguments["cos_sin_QD"][arguments["positions_T"][t].item()].double().chunk(2)
            for a in range(q_TAF.shape[1]):
                turned = torch.complex(*q_TAF[t, a, k:].chunk(2)) * torch.complex(cos, sin)
                scores = kv_NAO[seen, a, :k] @ q_TAF[t, a, :k] + key_ND[seen] @ torch.cat((turned.real, turned.imag))
                o_TAV[t, a] = (scores * arguments["scale"]).softmax(0) @ kv_NAO[seen, a, k:]
    return o_TAV


@pytest.mark.parametrize("run", [reference, launch])
def test_every_query_sees_what_came_before_it_and_itself(run: object) -> None:
    case = {"queries": [3, 0, 1, 2], "contexts": [19, 4, 33, 2], "heads": 3, "k": 5, "dim": 4, "v": 7, "spare_rows": 2}
    arguments = expanded_attention.inputs(generator=torch.Generator().manual_seed(3), dtype=torch.float32, **case)
    torch.testing.assert_close(run(**arguments).double(), dense(arguments), atol=1e-5, rtol=1e-5)  # type: ignore[operator]


@pytest.mark.parametrize("context", [15, 16, 17, 31, 32, 33])
def test_the_end_of_a_tile_is_no_edge(context: int) -> None:
    case = {"queries": [14], "contexts": [context], "heads": 1, "k": 3, "dim": 2, "v": 2}
    arguments = expanded_attention.inputs(generator=torch.Generator().manual_seed(4), dtype=torch.float32, **case)
    torch.testing.assert_close(launch(**arguments).double(), dense(arguments), atol=1e-5, rtol=1e-5)


def by_hand(run: object, q_TAF: torch.Tensor, keys_ND: list[list[float]]) -> list[float]:
    """Outputs for three context positions whose values are 1, 3 and 8 and whose keys without position are 0.

    The scale is ln 2; every query is at position 1, a quarter turn.
    """
    tokens = q_TAF.shape[0]
    o_TAV = run(  # type: ignore[operator]
        q_TAF,
        torch.tensor([[[0.0, 1]], [[0, 3]], [[0, 8]]]),
        torch.tensor(keys_ND, dtype=torch.float32),
        torch.tensor([[1.0, 0], [0, 1]]),
        torch.ones(tokens, dtype=torch.int32),
        torch.tensor([0, tokens], dtype=torch.int32),
        torch.tensor([0, 3], dtype=torch.int32),
        math.log(2),
        tokens,
    )
    return o_TAV.flatten().tolist()


@pytest.mark.parametrize("run", [reference, launch])
def test_equal_scores_give_the_mean_of_what_is_seen(run: object) -> None:
    # the first of two queries sees 1 and 3, the second 1, 3 and 8
    assert by_hand(run, torch.zeros(2, 1, 3), [[0, 0], [0, 0], [0, 0]]) == pytest.approx([2, 4], rel=1e-6)


@pytest.mark.parametrize("run", [reference, launch])
def test_the_query_turns_before_it_meets_the_shared_key(run: object) -> None:
    # (1, 0) turns to (0, 1): scores 1, 0, 0 and weights 2 : 1 : 1; unturned, the last key would take all
    q_TAF = torch.tensor([[[7.0, 1, 0]]])
    assert by_hand(run, q_TAF, [[0, 1], [0, 0], [50, 0]]) == pytest.approx([(2 * 1 + 3 + 8) / 4], rel=1e-6)


def test_work_counts_live_pairs_and_reads_each_row_of_a_sequence_in_the_step_once() -> None:
    case = {"queries": [3, 0, 1], "contexts": [5, 4, 17], "heads": 2, "k": 3, "dim": 2, "v": 4, "spare_rows": 50}
    arguments = expanded_attention.inputs(generator=torch.Generator().manual_seed(3), dtype=torch.bfloat16, **case)
    on_meta = {k: v.to("meta") if isinstance(v, torch.Tensor) else v for k, v in arguments.items()}
    with Ledger() as ledger:
        expanded_attention(**on_meta)
    work = expanded_attention.work(ledger.calls[0], StepFacts(query_len_S=(3, 0, 1), context_len_S=(5, 4, 17)))
    pairs = 3 + 4 + 5 + 17  # the second sequence is not part of the step
    rows = (5 + 17) * (2 * 7 + 2) * 2  # 2 heads of 3 + 4 values, and the shared key
    assert work == Work(
        flops=2 * (5 + 4) * 2 * pairs,
        lane="bf16",
        read_bytes=4 * 2 * 5 * 2 + rows + 4 * 2 * 4 + 4 * 4 + 2 * 4 * 4,  # q, keys and values, table rows, positions, starts
        written_bytes=4 * 2 * 4 * 2,
    )


@pytest.mark.parametrize("family", TILES)
def test_there_is_a_tile_for_any_length(family: str) -> None:
    most = [rows for rows, _ in TILES[family]]
    assert most[-1] is None
    assert most[:-1] == sorted(most[:-1])
    assert all(rows <= tile.rows for rows, tile in TILES[family] if rows is not None)


def test_prefill_tiles_have_the_rows_that_wgmma_multiplies() -> None:
    for arch in (90, 100):
        assert tile_for(torch.bfloat16, arch, 4096).rows == 128
        assert tile_for(torch.bfloat16, arch, 1).rows == 64
