"""Rows and columns of a coded matrix: what happens to values happens to their codes and scales, and codes are given up only where they must be."""

from dataclasses import replace

import pytest
import torch

from triton_kernels.formats import FORMATS, Format
from triton_kernels.operand import Operand, decode, encode
from workloads.coded import Coded, plain_tensor, stacked

CODED = [FORMATS[name] for name in ("fp8_128x128", "mxfp8", "mxfp4", "nvfp4")]
EACH = pytest.mark.parametrize("fmt", CODED, ids=lambda f: f.name)


def coded(fmt: Format, rows: int = 300, columns: int = 384, seed: int = 0, whole: float = 0.25) -> Coded:
    """Random codes at scales that differ from block to block, the global one given."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, columns, generator=generator) * torch.rand(rows, columns // fmt.group, generator=generator).repeat_interleave(fmt.group, 1)
    operand = encode(x, fmt)
    assert operand.scale is not None
    assert fmt.block is not None
    scale = operand.scale.repeat_interleave(fmt.block[0], 0)[:rows]
    return Coded(format=fmt, values=operand.values, scale=scale, whole=torch.full((1, 1), whole) if fmt.global_scale else None)


def same(got: torch.Tensor | None, want: torch.Tensor | None) -> bool:
    if got is None or want is None:
        return got is want
    return got.dtype == want.dtype and torch.equal(got.contiguous().view(torch.uint8), want.contiguous().view(torch.uint8))


@EACH
def test_an_untouched_matrix_is_the_operand_it_was(fmt: Format) -> None:
    x = torch.randn(300, 384)
    operand = encode(x, fmt)
    assert operand.scale is not None
    assert fmt.block is not None
    mine = Coded(format=fmt, values=operand.values, scale=operand.scale.repeat_interleave(fmt.block[0], 0)[:300], whole=operand.global_scale)
    assert torch.equal(mine.decoded(), decode(operand))
    for layout in ("neighbours", "halves"):
        kept = mine.kept(fmt, layout)
        assert kept is not None
        want = operand.in_layout(layout)
        assert kept.layout == want.layout
        assert same(kept.values, want.values)
        assert same(kept.scale, want.scale)
        assert same(kept.global_scale, want.global_scale)


@EACH
def test_rows_take_their_codes_and_scales_along(fmt: Format) -> None:
    """Two blocks of rows trade places; inside each, rows are mixed."""
    mine = coded(fmt)
    generator = torch.Generator().manual_seed(1)
    order = torch.cat((128 + torch.randperm(128, generator=generator), torch.randperm(128, generator=generator), 256 + torch.randperm(44, generator=generator)))
    moved = mine.rows(order)
    assert torch.equal(moved.decoded(), mine.decoded()[order])
    kept = moved.kept(fmt, "neighbours")
    assert kept is not None
    assert same(kept.values, mine.values.view(torch.uint8)[order].view(mine.values.dtype))
    assert torch.equal(decode(kept), mine.decoded()[order])


def test_rows_of_one_block_need_one_scale() -> None:
    """Row 128 of another block among the first 128: its codes mean nothing at their scale."""
    fmt = FORMATS["fp8_128x128"]
    mine = coded(fmt)
    mixed = mine.rows(torch.tensor([*range(127), 128, 127, *range(129, 300)]))
    assert mixed.kept(fmt, "neighbours") is None
    assert mixed.encoded_twice(fmt) == "its blocks of (128, 128) do not stay whole"
    again = mixed.to_operand(fmt, "neighbours")
    want = encode(mixed.decoded(), fmt)
    assert same(again.values, want.values)
    assert same(again.scale, want.scale)


@EACH
def test_columns_take_their_codes_and_scales_along(fmt: Format) -> None:
    mine = coded(fmt)
    part = mine.columns(((128, 256), (256, 384)))
    assert torch.equal(part.decoded(), mine.decoded()[:, 128:])
    kept = part.kept(fmt, "neighbours")
    assert kept is not None
    assert same(kept.values, mine.values[:, 128 // fmt.per_byte :])


@EACH
def test_columns_that_cut_a_group_give_up_the_codes(fmt: Format) -> None:
    mine = coded(fmt)
    for ranges in (((8, 128),), ((0, 120), (128, 256))):
        part = mine.columns(ranges)
        assert torch.equal(part.decoded(), torch.cat([mine.decoded()[:, first:last] for first, last in ranges], 1))
        assert part.kept(fmt, "neighbours") is None
        assert part.encoded_twice(fmt) == "a rank's columns cut through its blocks"
        assert part.encoded_twice(FORMATS["bf16"]) is None


def test_the_last_block_of_columns_may_be_narrow() -> None:
    """160 columns are blocks of 128 and 32: the second by itself is a matrix of 32 columns."""
    fmt = FORMATS["fp8_128x128"]
    operand = encode(torch.randn(4, 160), fmt)
    assert operand.scale is not None
    mine = Coded(format=fmt, values=operand.values, scale=operand.scale.expand(4, 2))
    part = mine.columns(((128, 160),)).kept(fmt, "neighbours")
    assert part is not None
    assert part.scale is not None
    assert part.scale.tolist() == operand.scale[:, 1:].tolist()
    assert torch.equal(decode(part), decode(operand)[:, 128:])


@EACH
def test_a_stack_is_one_below_the_other(fmt: Format) -> None:
    both = [coded(fmt, rows=256, seed=1), coded(fmt, rows=40, seed=2)]
    whole = stacked(both)
    assert torch.equal(whole.decoded(), torch.cat([part.decoded() for part in both]))
    kept = whole.kept(fmt, "neighbours")
    assert kept is not None
    assert same(kept.values[:256], both[0].values)
    assert same(kept.values[256:], both[1].values)


def test_parts_with_different_global_scales_are_encoded_again() -> None:
    fmt = FORMATS["nvfp4"]
    both = [coded(fmt, seed=1, whole=0.25), coded(fmt, seed=2, whole=0.5)]
    whole = stacked(both)
    assert torch.equal(whole.decoded(), torch.cat([part.decoded() for part in both]))
    assert whole.kept(fmt, "neighbours") is None
    assert whole.encoded_twice(fmt) == "its parts have different global scales"
    again = whole.to_operand(fmt, "halves")
    assert again.layout == "halves"
    assert same(again.values, encode(whole.decoded(), fmt, layout="halves").values)
    equal = stacked([replace(part, whole=torch.full((1, 1), 0.5)) for part in both])
    assert equal.kept(fmt, "neighbours") is not None


def test_parts_in_different_formats_are_encoded_again() -> None:
    both = [coded(FORMATS["fp8_128x128"]), plain_tensor(torch.randn(5, 384, dtype=torch.bfloat16))]
    whole = stacked(both)
    assert torch.equal(whole.decoded(), torch.cat([both[0].decoded(), both[1].values.float()]))
    assert whole.encoded_twice(FORMATS["fp8_128x128"]) == "its parts are in different formats"


@pytest.mark.parametrize("wanted", [*CODED, FORMATS["bf16"]], ids=lambda f: f.name)
@pytest.mark.parametrize("fmt", [*CODED, FORMATS["bf16"]], ids=lambda f: f.name)
def test_any_format_becomes_any_other(fmt: Format, wanted: Format) -> None:
    mine = plain_tensor(torch.randn(300, 384).bfloat16()) if fmt.plain else coded(fmt)
    got = mine.to_operand(wanted, "neighbours")
    assert got.format is wanted
    if fmt is wanted:
        assert torch.equal(decode(got), mine.decoded())
        return
    want: Operand = encode(mine.decoded(), wanted)
    assert same(got.values, want.values)
    assert same(got.scale, want.scale)
    assert same(got.global_scale, want.global_scale)
    twice = mine.encoded_twice(wanted)
    assert twice == (None if fmt.plain or wanted.plain else f"it is published in {fmt.name}")


def test_plain_tensors_are_what_they_were() -> None:
    bias = plain_tensor(torch.arange(5.0))
    assert bias.rows(torch.tensor([4, 0])).decoded().tolist() == [4, 0]
    assert stacked([bias, bias]).decoded().tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4]
    assert plain_tensor(torch.ones(2, dtype=torch.float64)).format is FORMATS["fp32"]
    mixed = stacked([plain_tensor(torch.ones(1, 2, dtype=torch.bfloat16)), plain_tensor(torch.full((1, 2), 0.1))])
    assert mixed.decoded().dtype == torch.float32
