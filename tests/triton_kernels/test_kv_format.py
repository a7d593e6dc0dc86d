"""e4m3 caches: what is written, what is read back, and what may not be combined, for both families of attention."""

import math
from collections.abc import Callable

import pytest
import torch

from triton_kernels import attention, latent_attention, latent_gather, latent_kv_write, rope_kv_write
from triton_kernels.operation import Ledger, StepFacts

NAN = 0x7F  # the code


def fp8(*values: float) -> torch.Tensor:
    return torch.tensor(values).to(torch.float8_e4m3fn)


def int32(*values: int) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.int32)


def one_slot(run: Callable, v: list[float], scale: float, k: list[float] | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes of k and v after one token of 1 query, 1 key and 1 value head of 4 values at position 0, where nothing turns. k_scale is half of v_scale."""
    k_cache, v_cache = (torch.full((1, 1, 2, 4), NAN, dtype=torch.uint8).view(torch.float8_e4m3fn) for _ in range(2))
    table = torch.tensor([[1.0, 1, 0, 0]])
    qkv = torch.tensor([[1.0, 1, 1, 1, *(k or v), *v]])
    run(qkv, table, int32(0), int32(1), k_cache, v_cache, None, None, 0.0, torch.tensor([scale / 2]), torch.tensor([scale]))
    assert (k_cache[0, 0, 0].view(torch.uint8) == NAN).all()  # the slot beside it
    return k_cache[0, 0, 1], v_cache[0, 0, 1]


RUNS = pytest.mark.parametrize("run", ["reference", "launch"])


@RUNS
def test_codes_are_values_over_the_scale_rounded_to_even(run: str) -> None:
    """At 4 .. 8 codes are 0.5 apart: 1.1 / 0.25 = 4.4 goes to 4.5, 1.0625 / 0.25 = 4.25 lies in the middle and goes to 4; 1.1 / 0.125 = 8.8 to 9."""
    k, v = one_slot(getattr(rope_kv_write, run), [1.1, 1.0625, -1.1, 0.0], scale=0.25)
    assert v.float().tolist() == [4.5, 4, -4.5, 0]
    assert k.float().tolist() == [9, 8, -9, 0]  # 1.0625 / 0.125 = 8.5: in the middle of 8 and 9


@RUNS
def test_codes_saturate_at_448_scales_and_zero_keeps_its_sign(run: str) -> None:
    """2 x 448 = 896; codes at 256 .. 448 are 32 apart: 840 / 2 = 420 goes to 416."""
    _, v = one_slot(getattr(rope_kv_write, run), [1e6, -897.0, 840.0, -0.0], scale=2.0)
    assert v.float().tolist() == [448, -448, 416, 0]
    assert v.view(torch.uint8)[3] == 0x80


def two_positions(**changes: object) -> dict:
    """One query of one head of 16 over two positions; keys 0.5 and 0 in column 0 (codes 2 and 0, scale 1/4), values 4 and 12 (codes 8 and 24, scale 1/2)."""
    k_cache, v_cache = (torch.full((1, 1, 16, 16), NAN, dtype=torch.uint8).view(torch.float8_e4m3fn) for _ in range(2))
    k_cache[0, 0, :2] = fp8(0)
    k_cache[0, 0, 0, 0] = fp8(2)[0]
    v_cache[0, 0, :2] = fp8(8, 24)[:, None]
    q = torch.zeros(1, 1, 16)
    q[..., 0] = math.log(3) / 0.5  # scores log 3 and 0: weights 3/4 and 1/4
    arguments: dict = {
        "q_TAD": q, "k_cache_PGBD": k_cache, "v_cache_PGBD": v_cache, "block_table_SM": int32(0)[None], "query_start_S1": int32(0, 1),
        "context_len_S": int32(2), "sinks_A": None, "scale": 1.0, "max_query_len": 1, "window": 0,
        "k_scale": torch.tensor([0.25]), "v_scale": torch.tensor([0.5]),
    }  # fmt: skip
    return arguments | changes


@RUNS
def test_the_scales_reach_scores_and_values(run: str) -> None:
    torch.testing.assert_close(getattr(attention, run)(**two_positions()), torch.full((1, 1, 16), 3 / 4 * 4 + 1 / 4 * 12))


@RUNS
def test_a_sink_is_a_logit_as_it_is(run: str) -> None:
    """A sink of log 4 beside weights 3 and 1: of eight shares it takes four, whatever the caches' scales."""
    o = getattr(attention, run)(**two_positions(sinks_A=torch.tensor([math.log(4)])))
    torch.testing.assert_close(o, torch.full((1, 1, 16), (3 * 4 + 12) / 8))


@RUNS
def test_a_latent_counts_its_scale_in_scores_and_values(run: str) -> None:
    """Latents 1 and 5 (codes 2 and 10, scale 1/2); the rotated part alone tells them apart: 1 (code 2) and 0. 3/4 x 1 + 1/4 x 5 = 2."""
    cache = torch.full((1, 16, 24), NAN, dtype=torch.uint8).view(torch.float8_e4m3fn)
    cache[0, :2, :16] = fp8(2, 10)[:, None]
    cache[0, :2, 16:] = fp8(0)
    cache[0, 0, 16] = fp8(2)[0]
    q = torch.zeros(1, 2, 24)
    q[..., 16] = math.log(3)
    o = getattr(latent_attention, run)(q, cache, int32(0)[None], int32(0, 1), int32(2), 1.0, 1, 16, torch.tensor([0.5]))
    torch.testing.assert_close(o, torch.full((1, 2, 16), 2.0))


@RUNS
def test_latents_are_gathered_as_values_of_the_type_asked_for(run: str) -> None:
    """Codes 3 and -7 of latent and 0.5 of the key, scale 1/4."""
    latent, key = getattr(latent_gather, run)(fp8(3, -7, 0.5).view(1, 1, 3), int32(0)[None], int32(0, 1), 1, 1, torch.tensor([0.25]), "bf16")
    assert latent.dtype == key.dtype == torch.bfloat16
    assert latent.tolist() == [[0.75, -1.75]]
    assert key.tolist() == [[0.125]]


def test_a_nan_in_the_cache_is_one_outside() -> None:
    cache = torch.tensor([NAN, NAN | 0x80, 0], dtype=torch.uint8).view(torch.float8_e4m3fn).view(1, 1, 3)
    latent, _ = latent_gather.reference(cache, int32(0)[None], int32(0, 1), 1, 1, torch.tensor([0.25]), "bf16")
    assert latent.isnan().all()


@RUNS
def test_what_is_written_is_what_is_read(run: str) -> None:
    """A latent of (1, -1), normed to itself and times (1.1, 1) with scale 1/4: 4.4 and -4 go to 4.5 and -4, that is 1.125 and -1."""
    cache = torch.full((1, 2, 4), NAN, dtype=torch.uint8).view(torch.float8_e4m3fn)
    scale = torch.tensor([0.25])
    a = torch.tensor([[1.0, -1, 0.3, 400]])  # 0.3 / 0.25 = 1.2 goes to 1.25, steps of 1/8; 400 x 4 to 448
    getattr(latent_kv_write, run)(a, torch.tensor([[1.0, 0]]), int32(0), int32(0), cache, None, torch.tensor([1.1, 1]), 0.0, scale)
    latent, key = getattr(latent_gather, run)(cache, int32(0)[None], int32(0, 1), 1, 2, scale, "fp32")
    assert latent.tolist() == [[1.125, -1]]
    assert key.tolist() == [[0.3125, 112]]


def test_work_of_a_coded_cache_by_hand() -> None:
    """Two positions of one head of 16: 32 codes of k and of v, and both scales; q of 16 fp32 values, one table entry, two starts, one length."""
    arguments = two_positions()
    with Ledger() as ledger:
        attention.attention(**arguments)
    work = attention.work(ledger.calls[0], StepFacts(query_len_S=(1,), context_len_S=(2,)))
    assert work.read_bytes == 16 * 4 + 2 * 2 * 16 * 1 + 2 * 4 + 4 + 2 * 4 + 4
    assert work.written_bytes == 16 * 4
    assert work.lane == "fp32"  # codes are widened to q's type


def test_work_of_coded_writes_and_reads_by_hand() -> None:
    def empty(*dims: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        return torch.empty(*dims, dtype=dtype, device="meta")

    def integers(*dims: int) -> torch.Tensor:
        return empty(*dims, dtype=torch.int32)

    scale, table = empty(1), empty(9, 2)
    cache, k_cache, v_cache = (empty(*dims, dtype=torch.float8_e4m3fn) for dims in ((1, 16, 4), (1, 1, 16, 2), (1, 1, 16, 2)))
    with Ledger() as ledger:
        latent_kv_write.latent_kv_write(empty(3, 4), table, integers(3), integers(3), cache, None, empty(2), 0.0, scale)
        latent_gather.latent_gather(cache, integers(1, 1), integers(2), 3, 2, scale, "bf16")
        latent_attention.latent_attention(empty(1, 5, 4), cache, integers(1, 1), integers(2), integers(1), 1.0, 1, 2, scale)
        rope_kv_write.rope_kv_write(empty(2, 6), table, integers(2), integers(2), k_cache, v_cache, None, None, 0.0, scale, scale)
    facts = StepFacts(query_len_S=(1,), context_len_S=(3,))
    write, gather, attend, rope = ledger.calls
    works = (
        latent_kv_write.work(write, facts), latent_gather.work(gather, facts), latent_attention.work(attend, facts), rope_kv_write.work(rope, facts),
    )  # fmt: skip
    # a, table rows, positions and slots, norm, scale; entries of 4 bytes
    assert (works[0].read_bytes, works[0].written_bytes) == (3 * 4 * 4 + 3 * 2 * 4 + 2 * 3 * 4 + 2 * 4 + 4, 3 * 4)
    # entries, one page, starts, scale; entries of 4 bf16 values
    assert (works[1].read_bytes, works[1].written_bytes) == (3 * 4 + 4 + 2 * 4 + 4, 3 * 4 * 2)
    # q of 5 heads, latents, one page, starts, length, scale
    assert works[2].read_bytes == 5 * 4 * 4 + 3 * 4 + 4 + 2 * 4 + 4 + 4
    # qkv, table rows, positions and slots, two scales; q of 2 fp32 values and 4 bytes of k and v for each of 2 tokens
    assert (works[3].read_bytes, works[3].written_bytes) == (2 * 6 * 4 + 2 * 2 * 4 + 2 * 2 * 4 + 2 * 4, 2 * 2 * 4 + 2 * 4)


@pytest.mark.parametrize(
    "changes",
    [
        {"k_scale": None},  # codes without a scale
        {"v_scale": None},
        {"v_cache_PGBD": torch.zeros(1, 1, 16, 16)},  # one cache of codes, one of values
        {"k_cache_PGBD": torch.zeros(1, 1, 16, 16), "v_cache_PGBD": torch.zeros(1, 1, 16, 16)},  # a scale of values
        {"k_scale": torch.tensor([1.0, 1.0])},
        {"v_scale": torch.tensor([1.0], dtype=torch.bfloat16)},
    ],
)
def test_caches_and_scales_that_do_not_go_together_are_refused(changes: dict) -> None:
    with pytest.raises(AssertionError):
        attention.launch(**two_positions(**changes))


def test_a_latent_cache_and_its_scale_go_together() -> None:
    cache, scale = torch.zeros(1, 16, 4).to(torch.float8_e4m3fn), torch.tensor([0.25])
    rest = (int32(0)[None], int32(0, 3), 3, 2)
    for refused in ((cache, *rest), (cache, *rest, scale), (cache, *rest, scale, "mxfp8"), (cache.float(), *rest, scale, "bf16"), (cache, *rest, None, "bf16")):
        for run in (latent_gather.reference, latent_gather.launch, latent_gather.fake):
            with pytest.raises(AssertionError):
                run(*refused)
