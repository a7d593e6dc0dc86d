"""Results of `add_norm` in every format, worked out by hand, from its reference and from its kernel."""

from collections.abc import Callable

import pytest
import torch

from triton_kernels.add_norm import add_norm, launch, normed, reference
from triton_kernels.formats import FORMATS
from triton_kernels.operand import decode
from triton_kernels.operation import Ledger, StepFacts, Work
from triton_kernels.results import unwritten_scale

Run = Callable[..., torch.Tensor]
BOTH = pytest.mark.parametrize("run", [reference, launch], ids=["reference", "kernel"])


@BOTH
def test_the_plain_result_is_what_it_was(run: Run) -> None:
    """1 + 2 and 4 - 8: mean square 12.5, with eps 3.5 exactly 16."""
    residual = torch.tensor([[1.0, 4.0]])
    y = run(residual, torch.tensor([[2.0, -8.0]]), torch.tensor([2.0, 1.0]), 3.5)
    torch.testing.assert_close(y, torch.tensor([[1.5, -1.0]]))
    assert residual.tolist() == [[3, -4]]


def row_of_ones(k: int, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    """A row whose norm is 1 everywhere: half of it from the residual and half from x."""
    return torch.full((1, k), 0.25, dtype=dtype), torch.full((1, k), 0.75, dtype=dtype)


@BOTH
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    "name, codes, scales",
    [
        # The weight is the result: 448, 2 and 17, a tie of 16 (code 88) and 18. 2 is code 64.
        ("fp8_row", [126, 64, 88], [1.0]),
        # Groups of 128 of which the second has 16 columns, its largest 224: scale 0.5, and 112 = 224 of it, code 118.
        ("fp8_1x128", [126, 64, 88], [1.0, 0.5]),
        ("mxfp8", [126, 64, 88], None),
    ],
)
def test_codes_by_hand(run: Run, dtype: torch.dtype, name: str, codes: list[int], scales: list[float] | None) -> None:
    k = 160 if name == "mxfp8" else 144
    residual, x = row_of_ones(k, dtype)
    weight = torch.zeros(k, dtype=dtype)
    weight[:3], weight[128], weight[129] = torch.tensor([448.0, 2, 17]), 224, 112
    y_scale = unwritten_scale((1, k), name)
    assert y_scale is not None
    y = run(residual, x, weight, 0.0, y_scale, None, name)
    assert y.view(torch.uint8)[0, :3].tolist() == codes
    assert int(y.view(torch.uint8).count_nonzero()) == 5
    assert residual.eq(1).all()
    if scales is None:  # groups of zeros have the least scale, 2^-127; the last one's, of 32 columns, is 0.5
        assert y_scale.tolist() == [[127, 0, 0, 0, 126]]
    else:
        assert y_scale.tolist() == [scales]
    if name == "fp8_1x128":
        assert y.view(torch.uint8)[0, 128:130].tolist() == [126, 118]


@BOTH
@pytest.mark.parametrize("name, scale", [("mxfp4", 129), ("nvfp4", 4.0)])
def test_four_bits_by_hand(run: Run, name: str, scale: float) -> None:
    """24 / 6 is 4 in either format: 24, -12 and 5 are 6, -3 and 1.25, a tie that goes to 1: codes 7, 13 and 2. Hidden 96 is not a power of two."""
    residual, x = row_of_ones(96)
    weight = torch.zeros(96)
    weight[:3], weight[80] = torch.tensor([24.0, -12, 5]), 24
    y_scale = unwritten_scale((1, 96), name)
    assert y_scale is not None
    y = run(residual, x, weight, 0.0, y_scale, None, name)
    assert y.shape == (1, 48)
    assert y[0, [0, 1, 40]].tolist() == [0xD7, 0x02, 0x07]
    assert int(y.count_nonzero()) == 3
    assert (y_scale[0, 0].item(), y_scale[0, 80 // FORMATS[name].group].item(), y_scale[0, 1].item()) == (scale, scale, 0)


@BOTH
@pytest.mark.parametrize("name", ["fp8_row", "fp8_1x128", "mxfp8", "mxfp4", "nvfp4"])
def test_a_row_of_zeros_and_one_beside_it(run: Run, name: str) -> None:
    """eps keeps the zeros what they are, and makes 2 / sqrt(4 + 12) a half; the plain result lies beside the codes, in the residual's type."""
    residual = torch.zeros(2, 128, dtype=torch.bfloat16)
    residual[1] = 2
    y_scale, plain_TH = unwritten_scale((2, 128), name), torch.full((2, 128), torch.nan, dtype=torch.bfloat16)
    y = run(residual, None, torch.full((128,), 3.0, dtype=torch.bfloat16), 12.0, y_scale, plain_TH, name)
    assert int(y[0].view(torch.uint8).count_nonzero()) == 0
    assert plain_TH.tolist() == [[0.0] * 128, [1.5] * 128]
    assert residual.tolist() == [[0.0] * 128, [2.0] * 128]


@pytest.mark.parametrize("name, hidden", [("fp8_row", 131), ("fp8_1x128", 300), ("mxfp8", 96), ("nvfp4", 48)])
def test_nothing_is_written_outside(name: str, hidden: int) -> None:
    """Scales and the plain result lie inside larger tensors, whose other rows stay."""
    generator = torch.Generator().manual_seed(0)
    residual, weight = torch.randn(2, hidden, generator=generator), torch.randn(hidden, generator=generator)
    scales, plains = unwritten_scale((6, hidden), name), torch.full((6, hidden), -5.0)
    assert scales is not None
    before = scales.clone().view(torch.uint8)
    launch(residual, None, weight, 1e-6, scales[2:4], plains[2:4], name)
    assert torch.equal(scales.view(torch.uint8)[[0, 1, 4, 5]], before[[0, 1, 4, 5]])
    assert plains[[0, 1, 4, 5]].eq(-5).all()
    torch.testing.assert_close(plains[2:4], reference(residual, None, weight, 1e-6))


@pytest.mark.parametrize("name, hidden", [("mxfp8", 40), ("nvfp4", 24), ("mxfp4", 33)])
def test_groups_that_do_not_divide_are_refused(name: str, hidden: int) -> None:
    with pytest.raises(AssertionError, match=str(hidden)):
        launch(torch.zeros(1, hidden), None, torch.ones(hidden), 1e-6, unwritten_scale((1, 64), name), None, name)


def test_a_plain_copy_of_a_plain_result_is_refused() -> None:
    with pytest.raises(AssertionError):
        launch(torch.zeros(1, 8), None, torch.ones(8), 1e-6, None, torch.zeros(1, 8))


def test_the_norm_in_the_format_that_is_wanted() -> None:
    residual, x = row_of_ones(128)
    plain, kept = normed(residual.clone(), x, torch.ones(128), 0.0, out=FORMATS["fp32"], keep=True)
    assert (plain.format.name, plain.scale) == ("fp32", None)
    assert kept is plain.values
    coded, kept = normed(residual, x, torch.ones(128), 0.0, out=FORMATS["nvfp4"], keep=True)
    assert (coded.format.name, coded.dims) == ("nvfp4", (1, 128))
    assert kept is not None
    assert kept.eq(1).all()
    # 1 / 6 is 0.1667; e4m3 steps by 1 / 64 there: 11 / 64, and 64 / 11 = 5.8 is 6 again
    torch.testing.assert_close(decode(coded), torch.full((1, 128), 6 * 11 / 64))
    assert normed(residual, None, torch.ones(128), 0.0, out=FORMATS["fp32"])[1] is None


@pytest.mark.parametrize(
    "name, keep, written",
    [
        ("bf16", True, 3 * 512),  # the result is its own copy
        ("fp8_1x128", False, 3 * (256 + 2 * 4)),
        ("fp8_1x128", True, 3 * (256 + 2 * 4) + 3 * 512),
        ("fp8_row", False, 3 * (256 + 4)),
        ("mxfp8", False, 3 * (256 + 8)),
        ("mxfp4", False, 3 * (128 + 8)),
        ("nvfp4", True, 3 * (128 + 16) + 3 * 512),
    ],
)
def test_work_by_hand(name: str, keep: bool, written: int) -> None:
    """3 rows of 256 bf16 values: residual and x read, 1536 bytes each, a weight of 512; the residual written back, and what the format asks for."""

    def empty(*dims: int) -> torch.Tensor:
        return torch.empty(*dims, dtype=torch.bfloat16, device="meta")

    with Ledger() as ledger:
        normed(empty(3, 256), empty(3, 256), empty(256), 1e-6, out=FORMATS[name], keep=keep)
    assert add_norm.work(ledger.calls[0], StepFacts()) == Work(read_bytes=2 * 1536 + 512, written_bytes=1536 + written)
