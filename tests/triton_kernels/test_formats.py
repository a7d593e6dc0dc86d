"""Codes of every format against the definitions of OFP8 1.0 (tables 1 and 2) and MX 1.0 (5.3, 5.4), worked out here from their bits; packing and scales."""

import itertools
import math

import numpy as np
import pytest
import torch

from triton_kernels.codes import LAYOUTS, decode_e8m0, decode_element, encode_e8m0, encode_element, pack, repack, unpack
from triton_kernels.formats import ELEMENTS, FORMATS, Format
from triton_kernels.operand import Operand, decode, empty_operand, encode, scale_dims, scale_dtype

# Bits of exponent and mantissa, bias.
LAYOUT_OF = {"e4m3": (4, 3, 7), "e5m2": (5, 2, 15), "e2m1": (2, 1, 1)}


def defined(name: str, code: int) -> float:
    """e4m3: all ones is NaN and there are no infinities. e5m2: as IEEE 754. e2m1: neither."""
    exponent_bits, mantissa_bits, bias = LAYOUT_OF[name]
    mantissa = code & ((1 << mantissa_bits) - 1)
    exponent = code >> mantissa_bits & ((1 << exponent_bits) - 1)
    sign = -1.0 if code >> (exponent_bits + mantissa_bits) else 1.0
    if name == "e4m3" and (exponent, mantissa) == (15, 7):
        return math.nan
    if name == "e5m2" and exponent == 31:
        return math.nan if mantissa else sign * math.inf
    fraction = mantissa / (1 << mantissa_bits)
    return sign * (math.ldexp(fraction, 1 - bias) if exponent == 0 else math.ldexp(1 + fraction, exponent - bias))


def codes_of(name: str) -> torch.Tensor:
    """Every code, as tensors hold them."""
    if name == "e2m1":
        return torch.arange(16, dtype=torch.uint8)
    return torch.arange(256, dtype=torch.uint8).view(getattr(torch, ELEMENTS[name].torch_name))


def encoded(name: str, values: list[float]) -> list[int]:
    return encode_element(torch.tensor(values), ELEMENTS[name]).view(torch.uint8).tolist()


def magnitudes(name: str) -> list[float]:
    """By code, 0 up to the largest finite one."""
    values = [defined(name, code) for code in range(1 << (ELEMENTS[name].bits - 1))]
    return [v for v in values if math.isfinite(v)]


@pytest.mark.parametrize(
    "name, largest, least_normal, largest_subnormal, smallest",
    [
        ("e4m3", 448, 2**-6, 0.875 * 2**-6, 2**-9),
        ("e5m2", 57344, 2**-14, 0.75 * 2**-14, 2**-16),
        ("e2m1", 6, 1, 0.5, 0.5),
    ],
)
def test_the_published_extremes(name: str, largest: float, least_normal: float, largest_subnormal: float, smallest: float) -> None:
    values, steps = magnitudes(name), 1 << LAYOUT_OF[name][1]
    assert (values[-1], values[steps], values[steps - 1], values[1]) == (largest, least_normal, largest_subnormal, smallest)
    assert (ELEMENTS[name].largest, ELEMENTS[name].smallest, ELEMENTS[name].mantissa_bits) == (largest, smallest, LAYOUT_OF[name][1])


@pytest.mark.parametrize("name", LAYOUT_OF)
def test_every_code_means_what_is_published_and_comes_back(name: str) -> None:
    codes = codes_of(name)
    values = decode_element(codes, ELEMENTS[name])
    want = [defined(name, code) for code in range(len(codes))]
    np.testing.assert_array_equal(values.numpy(), np.array(want, dtype=np.float32))  # NaN equals NaN
    finite = [code for code, value in enumerate(want) if math.isfinite(value)]
    assert len(finite) == {"e4m3": 254, "e5m2": 248, "e2m1": 16}[name]
    assert encoded(name, [want[code] for code in finite]) == finite  # -0 too


@pytest.mark.parametrize("name", LAYOUT_OF)
def test_a_value_between_two_codes_goes_to_the_nearer_and_from_the_middle_to_the_even(name: str) -> None:
    values, sign = magnitudes(name), 1 << (ELEMENTS[name].bits - 1)
    for code, (low, high) in enumerate(itertools.pairwise(values)):
        middle = np.float32((low + high) / 2)
        below, above = float(np.nextafter(middle, np.float32(0))), float(np.nextafter(middle, np.float32(np.inf)))
        even = code + code % 2
        assert encoded(name, [below, float(middle), above]) == [code, even, code + 1], (low, high)
        assert encoded(name, [-below, -float(middle), -above]) == [sign | code, sign | even, sign | (code + 1)], (low, high)


@pytest.mark.parametrize("name", LAYOUT_OF)
def test_what_is_beyond_the_largest_becomes_it(name: str) -> None:
    values = magnitudes(name)
    last, sign = len(values) - 1, 1 << (ELEMENTS[name].bits - 1)
    beyond = [values[-1] * 1.0001, values[-1] * 1.1, values[-1] * 2, 3e38, math.inf]
    assert encoded(name, beyond) == [last] * 5
    assert encoded(name, [-x for x in beyond]) == [sign | last] * 5


def test_nan_stays_nan_where_there_is_one() -> None:
    for name in ("e4m3", "e5m2"):
        assert decode_element(encode_element(torch.tensor([math.nan, -math.nan]), ELEMENTS[name]), ELEMENTS[name]).isnan().all()


def test_every_power_of_two_scale() -> None:
    """MX 1.0, table 6: 2^(code - 127), 255 is NaN. Below 2^-126, where fp32 is subnormal, the encoding is one code above the least."""
    values = decode_e8m0(torch.arange(256, dtype=torch.uint8))
    assert values[255].isnan()
    assert values[:255].tolist() == [math.ldexp(1, code - 127) for code in range(255)]
    assert encode_e8m0(values[1:255]).tolist() == list(range(1, 255))
    assert encode_e8m0(torch.tensor([0.0, 2.0**-149, 2.0**-127])).tolist() == [0, 1, 1]


def test_power_of_two_scales_are_rounded_up() -> None:
    for exponent in range(-126, 127):
        power = np.float32(math.ldexp(1, exponent))
        beyond, before = float(np.nextafter(power, np.float32(np.inf))), float(np.nextafter(power, np.float32(0)))
        want = [exponent + 127, exponent + 128, exponent + 128, exponent + 127]
        got = encode_e8m0(torch.tensor([float(power), beyond, float(power) * 1.5, before])).tolist()
        assert got[:3] == want[:3]
        assert got[3] == max(want[3], 1)
    assert encode_e8m0(torch.tensor([1.5 * 2.0**127, math.inf])).tolist() == [254, 254]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_pair_of_codes_shares_a_byte(layout: str) -> None:
    low, high = torch.arange(256, dtype=torch.uint8) & 15, torch.arange(256, dtype=torch.uint8) >> 4
    codes = torch.stack((low, high), -1)  # rows of two: both layouts put them into the one byte
    assert pack(codes, layout).flatten().tolist() == list(range(256))
    assert torch.equal(unpack(pack(codes, layout), layout), codes)
    row = torch.arange(6, dtype=torch.uint8)
    assert pack(row, layout).tolist() == {"neighbours": [0x10, 0x32, 0x54], "halves": [0x30, 0x41, 0x52]}[layout]
    assert torch.equal(unpack(pack(row, layout), layout), row)
    for other in LAYOUTS:
        assert torch.equal(repack(pack(row, layout), old=layout, new=other), pack(row, other))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_odd_number_of_codes_is_refused(layout: str) -> None:
    with pytest.raises(AssertionError, match="3"):
        pack(torch.zeros(2, 3, dtype=torch.uint8), layout)


@pytest.mark.parametrize(
    "name, bytes_per_value",
    [("bf16", 2), ("fp32", 4), ("fp8", 1), ("fp8_row", 1), ("fp8_1x128", 1.03125), ("fp8_128x128", 1 + 4 / 16384), ("mxfp8", 1.03125), ("mxfp4", 0.53125),
     ("nvfp4", 0.5625)],
)  # fmt: skip
def test_bytes_per_value(name: str, bytes_per_value: float) -> None:
    fmt = FORMATS[name]
    assert fmt.bytes_per_value == bytes_per_value
    operand = empty_operand((256, 512), fmt, torch.device("cpu"))
    shared = {"fp8": 4, "fp8_row": 4 * 256, "nvfp4": 4}.get(name, 0)  # scales that the figure leaves out
    assert operand.nbytes == 256 * 512 * bytes_per_value + shared


@pytest.mark.parametrize(
    "name, dims, want",
    [
        ("fp8", (5, 70), (1, 1)), ("fp8", (3, 5, 70), (3, 1, 1)), ("fp8_row", (5, 70), (5, 1)), ("fp8_1x128", (5, 130), (5, 2)),
        ("fp8_128x128", (130, 260), (2, 3)), ("fp8_128x128", (3, 128, 256), (3, 1, 2)), ("mxfp8", (5, 64), (5, 2)), ("mxfp4", (3, 5, 96), (3, 5, 3)),
        ("nvfp4", (5, 64), (5, 4)),
    ],
)  # fmt: skip
def test_shapes_and_types_of_an_operand(name: str, dims: tuple[int, ...], want: tuple[int, ...]) -> None:
    fmt = FORMATS[name]
    assert scale_dims(dims, fmt) == want
    operand, empty = encode(torch.randn(dims), fmt), empty_operand(dims, fmt, torch.device("meta"))
    assert operand.dims == empty.dims == dims
    for mine, planned in ((operand.values, empty.values), (operand.scale, empty.scale), (operand.global_scale, empty.global_scale)):
        assert (mine is None) == (planned is None)
        if mine is not None and planned is not None:
            assert (mine.shape, mine.dtype) == (planned.shape, planned.dtype)
    assert operand.scale is not None
    assert tuple(operand.scale.shape) == want
    assert operand.scale.dtype == scale_dtype(fmt)


def scales(operand: Operand) -> list[list[float]]:
    assert operand.scale is not None
    scale = decode_e8m0(operand.scale) if operand.format.scale == "e8m0" else operand.scale.float()
    found: list[list[float]] = scale.tolist()
    return found


def test_the_scale_is_the_least_that_the_largest_value_needs() -> None:
    """Largest values 7, 6 and 6.5 of e2m1's 6: 2, 1 and 2 in powers of two. 480 and 448 of e4m3's 448."""
    x = torch.zeros(3, 32)
    x[:, 5] = torch.tensor([7.0, -6.0, 6.5])
    operand = encode(x, FORMATS["mxfp4"])
    assert scales(operand) == [[2], [1], [2]]
    assert decode(operand)[:, 5].tolist() == [8, -6, 6]  # 3.5 is in the middle of 3 and 4, 3.25 is nearer 3
    x[:, 5] = torch.tensor([480.0, 448.0, 2.0**-10])
    assert scales(encode(x, FORMATS["mxfp8"])) == [[2], [1], [2.0**-18]]  # 2^-10 / 448 = 2^-18.8
    assert scales(encode(x, FORMATS["fp8_row"]))[1] == [1.0]


def test_nvfp4_has_two_scales() -> None:
    """Blocks with 2688 and 12: the global scale is 1, the blocks' 448 and 2. Half as large, the global scale is a half, and as activations the blocks'."""
    x = torch.zeros(1, 32)
    x[0, 3], x[0, 20] = 2688, -12
    for factor in (1.0, 0.5):
        weights = encode(x * factor, FORMATS["nvfp4"])
        assert weights.global_scale is not None
        assert weights.global_scale.tolist() == [[factor]]
        assert scales(weights) == [[448, 2]]
        activations = encode(x * factor, FORMATS["nvfp4"], scale_whole=False)
        assert activations.global_scale is None
        assert scales(activations) == [[448 * factor, 2 * factor]]
        assert torch.equal(decode(weights), x * factor)
        assert torch.equal(decode(activations), x * factor)
    # 7 / 6 lies between e4m3's 1.125 and 1.25 and is nearer the first: 7 / 1.125 is beyond 6 and saturates.
    x[0, 3], x[0, 20] = 7, 0
    operand = encode(x, FORMATS["nvfp4"], scale_whole=False)
    assert scales(operand) == [[1.125, 0]]
    assert decode(operand)[0, 3] == 6.75


SCALED = [f for f in FORMATS.values() if not f.plain]


@pytest.mark.parametrize("fmt", SCALED, ids=lambda f: f.name)
def test_zeros_and_a_single_value(fmt: Format) -> None:
    x = torch.zeros(2, 3, 256)
    x[1, 2, 200] = -3.0  # of every format a value at a scale that it can have
    operand = encode(x, fmt)
    assert torch.equal(decode(operand), x)
    assert scales_of_zeros(operand) == {"fp32": 1.0, "e8m0": 2.0**-127, "e4m3": 0.0}[str(fmt.scale)]


def scales_of_zeros(operand: Operand) -> float:
    """Of the first expert's first block, which is all zeros."""
    assert operand.scale is not None
    first = operand.scale[0, 0, 0]
    return (decode_e8m0(first) if operand.format.scale == "e8m0" else first.float()).item()


@pytest.mark.parametrize("fmt", SCALED, ids=lambda f: f.name)
def test_nan_counts_for_no_scale(fmt: Format) -> None:
    """It stays NaN in 8 bits and is a zero in 4, and takes nothing from its block."""
    x = torch.randn(3, 256)
    x[1, 7] = 0
    want = decode(encode(x, fmt))
    x[1, 7] = math.nan
    got = decode(encode(x, fmt))
    if fmt.per_byte == 1:
        want[1, 7] = math.nan
    torch.testing.assert_close(got, want, rtol=0, atol=0, equal_nan=True)


def test_a_block_at_the_edge_has_a_scale_of_its_own() -> None:
    """130 x 260 in blocks of 128: 2 x 3 of them, filled with 448 times 1 .. 6."""
    x = torch.empty(130, 260)
    want = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
    for i in range(2):
        for j in range(3):
            x[128 * i : 128 * (i + 1), 128 * j : 128 * (j + 1)] = 448 * want[i][j]
    operand = encode(x, FORMATS["fp8_128x128"])
    assert scales(operand) == want
    assert torch.equal(decode(operand), x)
    assert scales(encode(x[:, :129], FORMATS["fp8_1x128"])) == [[1.0, 2.0]] * 128 + [[4.0, 5.0]] * 2


def test_experts_have_scales_of_their_own() -> None:
    x = torch.randn(3, 40, 64) * torch.tensor([1.0, 100.0, 0.01])[:, None, None]
    for fmt in SCALED:
        whole = encode(x, fmt)
        for e in range(3):
            assert torch.equal(decode(whole)[e], decode(encode(x[e], fmt))), fmt.name


def test_both_layouts_hold_the_same_values() -> None:
    x = torch.randn(2, 5, 64)
    for name in ("mxfp4", "nvfp4"):
        neighbours, halves = (encode(x, FORMATS[name], layout=layout) for layout in LAYOUTS)
        assert torch.equal(decode(neighbours), decode(halves))
        assert torch.equal(neighbours.in_layout("halves").values, halves.values)
        assert torch.equal(halves.in_layout("neighbours").values, neighbours.values)
        codes = unpack(neighbours.values, "neighbours")
        assert torch.equal(halves.values, codes[..., :32] | codes[..., 32:] << 4)
