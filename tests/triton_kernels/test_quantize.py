"""Codes and scales of `quantize` worked out by hand, from its reference and from its kernel."""

import math
from collections.abc import Callable

import pytest
import torch

from triton_kernels.formats import FORMATS
from triton_kernels.operand import Operand, plain
from triton_kernels.operation import Ledger, StepFacts, Work
from triton_kernels.quantize import launch, quantize, quantized, reference
from triton_kernels.results import unwritten_scale

Run = Callable[[torch.Tensor, str, torch.Tensor], torch.Tensor]
BOTH = pytest.mark.parametrize("run", [reference, launch], ids=["reference", "kernel"])
NAMES = ("fp8_row", "fp8_1x128", "mxfp8", "mxfp4", "nvfp4")


def row(*values: float, k: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """[1, k]: the values, then zeros."""
    x = torch.zeros(1, k, dtype=dtype)
    x[0, : len(values)] = torch.tensor(values, dtype=dtype)
    return x


def encoded(run: Run, x: torch.Tensor, name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Bytes of the codes, and the scales (bytes of e8m0, numbers otherwise)."""
    y_scale = unwritten_scale(tuple(x.shape), name)
    assert y_scale is not None
    values = run(x, name, y_scale)
    assert values.dtype == FORMATS[name].dtype
    return values.view(torch.uint8), y_scale.float() if FORMATS[name].scale != "e8m0" else y_scale


@BOTH
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_a_scale_for_each_128(run: Run, dtype: torch.dtype) -> None:
    """The largest, 224 = 448 x 0.5, gets e4m3's largest code; 0.5, 1 and -1.5 halves are 1, 2 and -3.

    e4m3 codes: exponent + 7 in four bits, three of mantissa. 448 = 1.75 x 2^8: 15, 6: 126. 1: 7, 0: 56. 2: 64. 3 = 1.5 x 2: 68, and 128 for the sign.
    The second group's largest is 448 x 2: its scale is 2, and 2 is code 56.
    """
    x = row(224, 0.5, 1, -1.5, k=256, dtype=dtype)
    x[0, 128], x[0, 255] = -896, 2
    codes, scale = encoded(run, x, "fp8_1x128")
    assert codes[0, :5].tolist() == [126, 56, 64, 128 + 68, 0]
    assert (codes[0, 128].item(), codes[0, 255].item()) == (128 + 126, 56)
    assert scale.tolist() == [[0.5, 2.0]]


@BOTH
def test_a_scale_for_each_row(run: Run) -> None:
    """The same numbers under one scale, 2, which the other row does not share: a quarter is 2^-2, code 5 x 8; 112 is 1.75 x 2^6, code 13 x 8 + 6."""
    x = torch.zeros(2, 256)
    x[0, 0], x[0, 1], x[0, 255] = 224, 0.5, -896
    x[1, 7] = 448
    codes, scale = encoded(run, x, "fp8_row")
    assert (codes[0, 0].item(), codes[0, 1].item(), codes[0, 255].item(), codes[1, 7].item()) == (110, 40, 254, 126)
    assert int(codes.count_nonzero()) == 4
    assert scale.tolist() == [[2.0], [1.0]]


@BOTH
def test_e4m3_ties_go_to_the_even_code(run: Run) -> None:
    """Under scale 1 neighbours from 16 on are 2 apart: 17 lies between 16 (code 88) and 18 (89), 19 between 18 and 20 (90). Just beside, the nearer one."""
    codes, _ = encoded(run, row(448, 17, 19, -17, 17.001, 18.999, k=128), "fp8_1x128")
    assert codes[0, 1:6].tolist() == [88, 90, 128 + 88, 89, 89]


@BOTH
def test_powers_of_two_are_rounded_up(run: Run) -> None:
    """e8m0 is 127 + the exponent. 448 needs scale 1 and 449 already 2, or it would saturate; groups of 32 do not share."""
    x = row(448, 1, k=96)
    x[0, 32], x[0, 33] = 449, 1
    codes, scale = encoded(run, x, "mxfp8")
    assert scale.tolist() == [[127, 128, 0]]  # of zeros the least, 2^-127
    # 449 / 2 = 224.5 is 224 = 1.75 x 2^7: (14, 6); 1 / 2 is (6, 0)
    assert codes[0, [0, 1, 32, 33, 64]].tolist() == [126, 56, 118, 48, 0]


@BOTH
def test_two_codes_of_mxfp4_to_a_byte(run: Run) -> None:
    """6 x 4 is the largest: scale 4, code 129. In units of 4: 6, -3, 1.25 (a tie of 1 and 1.5: the even code, 1), 2.5 (of 2 and 3: 2), 5 (of 4 and 6: 4),
    0.25 (of 0 and 0.5: 0), 1.75 (of 1.5 and 2: 2), -0.75 (of 0.5 and 1: 1). Codes of 0, 0.5, 1, 1.5, 2, 3, 4, 6: 0 to 7; 8 more for a minus."""
    codes, scale = encoded(run, row(24, -12, 5, 10, 20, 1, 7, -3, k=32), "mxfp4")
    assert scale.tolist() == [[129]]
    assert codes.shape == (1, 16)
    # the earlier value in the low nibble: 7, 13; 2, 4; 6, 0; 4, 10
    assert codes[0].tolist() == [0xD7, 0x42, 0x06, 0xA4] + [0] * 12


@BOTH
def test_nvfp4_scales_are_e4m3(run: Run) -> None:
    """Groups of 16. 12 / 6 = 2 is a scale as it is. 100 / 6 = 16.67 lies between 16 and 18, nearer 16: 100 / 16 = 6.25 then saturates at 6."""
    x = row(12, 1, -8, k=32)
    x[0, 16], x[0, 17] = 100, 48
    codes, scale = encoded(run, x, "nvfp4")
    assert scale.tolist() == [[2.0, 16.0]]
    # 6, 0.5; -4, 0 and 6, 3
    assert codes[0, [0, 1, 8]].tolist() == [0x17, 0x0E, 0x57]
    assert int(codes.count_nonzero()) == 3


@BOTH
@pytest.mark.parametrize("name, least", [("fp8_row", 1.0), ("fp8_1x128", 1.0), ("mxfp8", 0), ("mxfp4", 0), ("nvfp4", 0.0)])
def test_a_row_of_zeros(run: Run, name: str, least: float) -> None:
    codes, scale = encoded(run, torch.zeros(2, 128), name)
    assert int(codes.count_nonzero()) == 0
    assert bool((scale == least).all())


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numpy's, in the interpreter
@BOTH
@pytest.mark.parametrize("name", NAMES)
def test_nan_and_infinity(run: Run, name: str) -> None:
    """NaN counts for no scale: the numbers beside it are encoded as without it, a row of it as zeros' scale; its code is NaN in e4m3 and a zero in e2m1.

    An infinity is the largest code under the largest scale (e8m0: 2^127; nvfp4: 448); an infinite fp32 scale leaves nothing of its group but NaN.
    """
    x = torch.zeros(4, 128)
    x[0, 0], x[0, 1] = math.nan, 2
    x[1, 1] = 2
    x[2] = math.nan
    x[3, 0], x[3, 1] = -math.inf, 3
    codes, scale = encoded(run, x, name)
    assert torch.equal(scale[0], scale[1])
    assert torch.equal(codes[0, 1:], codes[1, 1:])
    if FORMATS[name].per_byte == 1:
        assert bool(codes[[0, 2], [0, 5]].bitwise_and(127).eq(127).all())
        assert scale[2, 0].item() in (1.0, 0)
    else:
        assert codes[0, 0].item() & 0x77 == codes[1, 0].item() & 0x70  # the first of the byte's two
        assert int((codes[2] & 0x77).count_nonzero()) == 0
    if FORMATS[name].scale == "fp32":
        assert scale[3, 0].item() == math.inf
    else:
        assert scale[3, 0].item() == {"mxfp8": 254, "mxfp4": 254, "nvfp4": 448.0}[name]
        assert codes[3, 0].item() & (0xFF if name == "mxfp8" else 0x0F) == (254 if name == "mxfp8" else 15)


@pytest.mark.parametrize("name, k", [("fp8_row", 131), ("fp8_1x128", 300), ("mxfp8", 96), ("mxfp4", 1056), ("nvfp4", 1040)])
def test_nothing_is_written_outside(name: str, k: int) -> None:
    """Scales and codes lie inside larger tensors, whose other elements stay."""
    fmt, x = FORMATS[name], torch.randn(3, k, generator=torch.Generator().manual_seed(0))
    whole = unwritten_scale((7, k), name)
    assert whole is not None
    y_scale, before = whole[2:5], whole.clone().view(torch.uint8)
    launch(x, name, y_scale)
    written = whole.view(torch.uint8)
    assert torch.equal(written[[0, 1, 5, 6]], before[[0, 1, 5, 6]])
    want = torch.empty_like(y_scale)
    reference(x, name, want)
    assert torch.equal(written[2:5], want.view(torch.uint8))
    assert want.shape == (3, 1 if name == "fp8_row" else -(-k // fmt.group))


def test_tiles_run_on_over_the_ends_of_rows(monkeypatch) -> None:
    """Rows of 64, 32 to a tile of those that large x has. 1 / 448 lies between 2^-9 and 2^-8: scale code 119, and 1 is 256, code 120."""
    monkeypatch.setattr("triton_kernels.quantize._MANY", 1)
    x = torch.zeros(70, 64)
    x[:, 3], x[:, 40] = 448, 1
    x[-1, 40] = 896
    y_scale = torch.empty(70, 2, dtype=torch.uint8)
    codes = launch(x, "mxfp8", y_scale).view(torch.uint8)
    assert y_scale[:-1].eq(torch.tensor([127, 119], dtype=torch.uint8)).all()
    assert y_scale[-1].tolist() == [127, 128]
    assert codes[:, 3].eq(126).all()
    assert codes[:-1, 40].eq(120).all()
    assert codes[-1, 40] == 126
    assert int(codes.count_nonzero()) == 2 * 70


@pytest.mark.parametrize(
    "name, k, said",
    [("mxfp4", 33, "33"), ("mxfp8", 40, "40"), ("nvfp4", 24, "24"), ("fp8", 128, "fp8"), ("fp8_128x128", 128, "fp8_128x128")],
)
def test_what_does_not_divide_is_refused(name: str, k: int, said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        launch(torch.zeros(1, k), name, torch.empty(1, 1))


def test_scales_of_another_shape_are_refused() -> None:
    with pytest.raises(AssertionError, match=r"\[1, 1\]"):
        launch(torch.zeros(1, 256), "fp8_1x128", torch.empty(1, 1))


@pytest.mark.parametrize(
    "name, codes, scales",
    [
        ("fp8_row", 3 * 256, 3 * 4),
        ("fp8_1x128", 3 * 256, 3 * 2 * 4),
        ("mxfp8", 3 * 256, 3 * 8),
        ("mxfp4", 3 * 128, 3 * 8),
        ("nvfp4", 3 * 128, 3 * 16),
    ],
)
def test_work_by_hand(name: str, codes: int, scales: int) -> None:
    """3 rows of 256 bf16 values read."""
    with Ledger() as ledger:
        y = quantized(plain(torch.empty(3, 256, dtype=torch.bfloat16, device="meta")), FORMATS[name])
    assert (y.dims, y.nbytes) == ((3, 256), codes + scales)
    assert quantize.work(ledger.calls[0], StepFacts()) == Work(read_bytes=3 * 512, written_bytes=codes + scales)


def test_what_is_encoded_already_is_left_alone() -> None:
    x = plain(torch.ones(1, 32))
    y = quantized(x, FORMATS["mxfp8"])
    assert (y.format.name, quantized(y, FORMATS["mxfp8"])) == ("mxfp8", y)
    assert quantized(x, x.format) is x
    with pytest.raises(AssertionError, match="mxfp8"):  # nothing is encoded twice
        quantized(Operand(format=y.format, values=y.values, scale=y.scale), FORMATS["nvfp4"])
