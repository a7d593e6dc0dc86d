"""The kernels' own encoding and decoding, run in the interpreter, against triton_kernels.codes and operand.encode: bit for bit."""

import math

import pytest
import torch
import triton
import triton.language as tl

from triton_kernels._jit.codec import e2m1_codes, e2m1_values, e4m3_codes, e8m0_codes, e8m0_values, encoded, scale_values
from triton_kernels.codes import E2M1_VALUES, decode_e8m0, encode_e8m0, encode_element
from triton_kernels.formats import ELEMENTS, FORMATS
from triton_kernels.operand import empty_operand, encode

ACTIVATIONS = ("fp8_row", "fp8_1x128", "mxfp8", "mxfp4", "nvfp4")


@triton.jit
def one_by_one(x_ptr, y_ptr, WHAT: tl.constexpr, SIZE: tl.constexpr):
    i = tl.arange(0, SIZE)
    x = tl.load(x_ptr + i)
    if WHAT == "e4m3_codes":
        y = e4m3_codes(x)
    elif WHAT == "e2m1_codes":
        y = e2m1_codes(x)
    elif WHAT == "e2m1_values":
        y = e2m1_values(x)
    elif WHAT == "e8m0_codes":
        y = e8m0_codes(x)
    elif WHAT == "e8m0_values":
        y = e8m0_values(x)
    else:
        y = scale_values(x, WHAT)
    tl.store(y_ptr + i, y)


@triton.jit
def block(x_ptr, values_ptr, scale_ptr, FORMAT: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, BYTES: tl.constexpr, SCALES: tl.constexpr):
    row = tl.arange(0, ROWS)[:, None]
    values, scale = encoded(tl.load(x_ptr + row * COLUMNS + tl.arange(0, COLUMNS)[None, :]), FORMAT, ROWS, COLUMNS)
    tl.store(values_ptr + row * BYTES + tl.arange(0, BYTES)[None, :], values)
    tl.store(scale_ptr + row * SCALES + tl.arange(0, SCALES)[None, :], scale)


def run(what: str, x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    size = triton.next_power_of_2(x.numel())
    y = torch.empty(size, dtype=dtype)
    padded = torch.zeros(size, dtype=x.dtype)
    padded[: x.numel()] = x
    one_by_one[(1,)](padded, y, WHAT=what, SIZE=size)
    return y[: x.numel()]


def trying(values: torch.Tensor) -> torch.Tensor:
    """Finite values in order, the middles between neighbours, a hair to both sides of all of them, and what lies beyond."""
    both = torch.cat((values, (values[1:] + values[:-1]) / 2))
    beyond = torch.tensor([-math.inf, -3e38, -0.0, 1e-45, 1e-30, 3e38, math.inf]) if math.isfinite(values.max()) else torch.empty(0)
    return torch.cat((both, torch.nextafter(both, torch.tensor(math.inf)), torch.nextafter(both, torch.tensor(-math.inf)), beyond))


def test_e4m3() -> None:
    codes = torch.arange(256, dtype=torch.uint8).view(torch.float8_e4m3fn).float()
    x = trying(codes[codes.isfinite()].unique())
    got, want = run("e4m3_codes", x, torch.float8_e4m3fn), encode_element(x, ELEMENTS["e4m3"])
    assert torch.equal(got.view(torch.uint8), want.view(torch.uint8))
    assert run("e4m3_codes", torch.tensor([math.nan, -math.nan]), torch.float8_e4m3fn).float().isnan().all()


def test_e2m1() -> None:
    x = trying(torch.tensor(E2M1_VALUES).unique())
    assert torch.equal(run("e2m1_codes", x, torch.int32), encode_element(x, ELEMENTS["e2m1"]).int())
    values = run("e2m1_values", torch.arange(16, dtype=torch.int32), torch.float32)
    assert torch.equal(values.view(torch.int32), torch.tensor(E2M1_VALUES).view(torch.int32))  # -0 too


def test_e8m0() -> None:
    codes = torch.arange(256, dtype=torch.uint8)
    values = decode_e8m0(codes)
    got = run("e8m0_values", codes.int(), torch.float32)
    assert got[255].isnan()
    assert torch.equal(got[:255], values[:255])
    x = trying(values[:255])
    x = x[~x.signbit() & x.isfinite()]
    assert torch.equal(run("e8m0_codes", x, torch.int32), encode_e8m0(x).int())


def test_scales_of_every_type() -> None:
    codes = torch.arange(255, dtype=torch.uint8)
    assert torch.equal(run("e8m0", codes, torch.float32), decode_e8m0(codes))
    e4m3 = torch.arange(127, dtype=torch.uint8).view(torch.float8_e4m3fn)
    assert torch.equal(run("e4m3", e4m3, torch.float32), e4m3.float())
    assert run("fp32", torch.tensor([0.1, 3e-39]), torch.float32).tolist() == torch.tensor([0.1, 3e-39]).tolist()


@pytest.mark.filterwarnings("ignore:All-NaN slice encountered")
@pytest.mark.parametrize("spread", [1e-3, 1.0, 100.0])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_blocks(name: str, spread: float) -> None:
    """Heavy tails, so that a block's largest value stands far from the rest; a row of zeros, half a row of them, a row of tiny values, NaN among numbers."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(16, 256, generator=generator) * spread * torch.exp(torch.randn(16, 256, generator=generator))
    x[3], x[5, 128:] = 0, 0
    x[6] *= 1e-30
    x[7, 9], x[8] = math.nan, math.nan
    fmt = FORMATS[name]
    want, got = encode(x, fmt, scale_whole=False), empty_operand(tuple(x.shape), fmt, torch.device("cpu"))
    assert want.scale is not None
    assert got.scale is not None
    block[(1,)](x, got.values, got.scale, FORMAT=name, ROWS=16, COLUMNS=256, BYTES=got.values.shape[1], SCALES=got.scale.shape[1])
    assert torch.equal(got.scale.view(torch.uint8), want.scale.view(torch.uint8))
    assert torch.equal(got.values.view(torch.uint8), want.values.view(torch.uint8))
