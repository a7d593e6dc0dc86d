"""Results of attention's operations in a number format: groups in one head, scales where the next product looks for them."""

import pytest
import torch

from triton_kernels import attention, expanded_attention, head_matmul, latent_kv_write
from triton_kernels.formats import FORMATS
from triton_kernels.operation import Ledger, StepFacts
from triton_kernels.results import decode_result, unwritten_scale

RUNS = pytest.mark.parametrize("run", ["reference", "launch"])


def int32(*values: int) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.int32)


def itself(v: torch.Tensor, out_format: str, **changes: object) -> dict:
    """One token that sees itself alone: o is v [A, D], head by head."""
    heads, dim = v.shape
    cache = torch.zeros(1, heads, 16, dim)
    cache[0, :, 0] = v
    arguments: dict = {
        "q_TAD": torch.ones(1, heads, dim), "k_cache_PGBD": torch.zeros_like(cache), "v_cache_PGBD": cache, "block_table_SM": int32(0)[None],
        "query_start_S1": int32(0, 1), "context_len_S": int32(1), "sinks_A": None, "scale": 1.0, "max_query_len": 1, "window": 0,
        "y_scale": unwritten_scale((1, heads, dim), out_format), "out_format": out_format,
    }  # fmt: skip
    return arguments | changes


@RUNS
def test_every_head_has_groups_of_its_own(run: str) -> None:
    """Largest values 448 and 896 of the two heads: scales 1 and 2, codes 448 both; 3 is 3 of the one and 1.5 of the other."""
    v = torch.full((2, 128), 3.0)
    v[0, 5], v[1, 127] = -448, 896
    arguments = itself(v, "fp8_1x128")
    values = getattr(attention, run)(**arguments)
    assert values.shape == (1, 2, 128)
    assert arguments["y_scale"].tolist() == [[1, 2]]
    assert values[0, :, 0].float().tolist() == [3, 1.5]
    assert (values[0, 0, 5].item(), values[0, 1, 127].item()) == (-448, 448)


@RUNS
@pytest.mark.parametrize("table_width", [1, 64])
def test_four_bits_share_a_byte_and_a_head_of_96_has_three_groups(run: str, table_width: int) -> None:
    """Largest value 6 x 2^g of group g: scale 2^g, code 127 + g; 1.5 x 2^g is code 3, 6 x 2^g code 7. A wide table splits: the combining kernel encodes."""
    v = torch.tensor([1.5, 6.0]).repeat(48).view(1, 3, 32) * 2.0 ** torch.arange(3)[:, None]
    table = torch.full((1, table_width), 0, dtype=torch.int32)
    arguments = itself(v.view(1, 96), "mxfp4", block_table_SM=table)
    values = getattr(attention, run)(**arguments)
    assert values.shape == (1, 1, 48)
    assert values.unique().tolist() == [3 | 7 << 4]
    assert arguments["y_scale"].tolist() == [[127, 128, 129]]


def test_where_groups_lie_in_one_head() -> None:
    fused = {(name, dim): attention.fuses(FORMATS[name], dim) for name in ("fp8_1x128", "mxfp8", "nvfp4", "fp8_row", "fp8") for dim in (64, 80, 128, 256)}
    assert {key for key, yes in fused.items() if yes} == {
        ("fp8_1x128", 128), ("fp8_1x128", 256), ("mxfp8", 64), ("mxfp8", 128), ("mxfp8", 256),
        ("nvfp4", 64), ("nvfp4", 80), ("nvfp4", 128), ("nvfp4", 256),
    }  # fmt: skip


@RUNS
@pytest.mark.parametrize("out_format, dim", [("fp8_1x128", 64), ("fp8_row", 128), ("fp8_128x128", 128)])
def test_groups_over_several_heads_are_refused(run: str, out_format: str, dim: int) -> None:
    with pytest.raises(AssertionError):
        getattr(attention, run)(**itself(torch.ones(2, dim), out_format))


@pytest.mark.parametrize(
    "changes",
    [{"y_scale": None}, {"out_format": ""}, {"y_scale": torch.ones(1, 1)}, {"y_scale": torch.ones(1, 2, dtype=torch.float64)}, {"out_format": "mxfp8"}],
)
def test_scales_that_do_not_fit_are_refused(changes: dict) -> None:
    with pytest.raises(AssertionError):
        attention.launch(**(itself(torch.ones(2, 128), "fp8_1x128") | changes))


def test_work_counts_codes_and_scales() -> None:
    """Two heads of 128: 256 bytes and 2 scales of fp32; as nvfp4 128 bytes and 16 scales of one."""
    facts = StepFacts(query_len_S=(1,), context_len_S=(1,))
    calls = [itself(torch.ones(2, 128), out_format) for out_format in ("fp8_1x128", "nvfp4")]
    with Ledger() as ledger:
        for arguments in calls:
            attention.attention(**arguments)
    assert [attention.work(call, facts).written_bytes for call in ledger.calls] == [256 + 2 * 4, 128 + 16]


@RUNS
def test_expanded_attention_encodes_the_value_of_the_one_position_it_sees(run: str) -> None:
    """Values 3 and 6 in groups of 16: nvfp4's scales are 3 / 6 and 6 / 6, all codes 7, that is 6."""
    kv = torch.cat((torch.zeros(1, 2, 16), torch.tensor([3.0, 6]).view(1, 2, 1).expand(1, 2, 16)), -1).contiguous()
    y_scale = unwritten_scale((1, 2, 16), "nvfp4")
    values = getattr(expanded_attention, run)(
        torch.ones(1, 2, 18), kv, torch.zeros(1, 2), torch.tensor([[1.0, 0]]), int32(0), int32(0, 1), int32(0, 1), 1.0, 1, y_scale, "nvfp4"
    )
    assert values.shape == (1, 2, 8)
    assert values.unique().tolist() == [7 | 7 << 4]
    assert y_scale is not None
    assert y_scale.float().tolist() == [[0.5, 1]]


@RUNS
def test_a_head_s_product_is_encoded_head_by_head(run: str) -> None:
    """x = 2 and 4 times ones: y is 2 of the one head and 4 of the other; mxfp8's scales are the powers of two from 2 / 448 and 4 / 448: 2^-7 and 2^-6."""
    y_scale = unwritten_scale((1, 2, 32), "mxfp8")
    values = getattr(head_matmul, run)(torch.tensor([[[2.0], [4.0]]]), torch.ones(2, 32, 1), None, None, y_scale, "mxfp8")
    assert y_scale is not None
    assert y_scale.tolist() == [[120, 121]]
    assert values.float().unique().tolist() == [256]
    with pytest.raises(AssertionError):  # what is turned is no product's result
        getattr(head_matmul, run)(torch.ones(1, 2, 3), torch.ones(2, 32, 1), torch.ones(4, 2), int32(0), y_scale, "mxfp8")


@RUNS
@pytest.mark.parametrize("out_format, scales", [("fp8_row", [1.0]), ("fp8_1x128", [1.0, 1 / 448])])
def test_the_query_s_normed_part_over_the_edge_of_a_group(run: str, out_format: str, scales: list[float]) -> None:
    """130 values of 1, weights 1 but for the first, 448: one group of 128 and one of 2, or all of them one."""
    weight = torch.ones(130)
    weight[0] = 448
    y_scale = unwritten_scale((1, 130), out_format)
    cache = torch.zeros(1, 16, 4)
    values = getattr(latent_kv_write, run)(
        torch.ones(1, 134), torch.tensor([[1.0, 0]]), int32(0), int32(-1), cache, weight, torch.ones(2), 0.0, None, y_scale, out_format
    )
    assert y_scale is not None
    torch.testing.assert_close(y_scale, torch.tensor([scales]))
    torch.testing.assert_close(decode_result(values, out_format, y_scale)[0], weight)


def test_work_of_other_encoded_results() -> None:
    empty = {"dtype": torch.bfloat16, "device": "meta"}
    scale = torch.empty(3, 2, device="meta")
    with Ledger() as ledger:
        head_matmul.head_matmul(torch.empty(3, 2, 4, **empty), torch.empty(2, 128, 4, **empty), None, None, scale, "fp8_1x128")  # type: ignore[arg-type]
    assert head_matmul.work(ledger.calls[0], StepFacts()).written_bytes == 3 * 2 * 128 + 3 * 2 * 4
