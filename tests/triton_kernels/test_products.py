"""Products of operands with scales: their meaning in figures, in the reference and in the kernel, their work, and which GPU multiplies what."""

import pytest
import torch

from triton_kernels.formats import FORMATS
from triton_kernels.grouped_matmul import grouped_matmul, multiply_grouped
from triton_kernels.grouped_matmul import launch as launch_grouped
from triton_kernels.matmul import launch, matmul, multiply
from triton_kernels.operand import decode, encode, plain
from triton_kernels.operation import Ledger, StepFacts, Work, part
from triton_kernels.product import COMPILE_ONLY, product_of

K = 128
PAIRS = [
    ("fp8", "fp8"), ("fp8_row", "fp8_row"), ("fp8_1x128", "fp8_128x128"), ("fp8_1x128", "mxfp4"), ("fp8_row", "mxfp4"),
    ("mxfp8", "mxfp8"), ("mxfp8", "mxfp4"), ("mxfp4", "mxfp4"), ("nvfp4", "nvfp4"),
    ("fp8_e5m2", "fp8_e5m2"), ("fp8_e5m2_1x128", "fp8_e5m2_128x128"), ("", "fp8_e5m2_128x128"),
    ("", "fp8_row"), ("", "fp8_128x128"), ("", "mxfp8"), ("", "mxfp4"), ("", "nvfp4"),
]  # fmt: skip


def sides(x_format: str, w_format: str) -> dict:
    """x is 1.5 and -3 in its rows, w 2 and -1: every format holds them exactly, but for the last bit of an fp32 scale."""
    x_TK = torch.tensor([1.5, -3.0])[:, None].expand(2, K).contiguous()
    w_NK = torch.tensor([2.0, -1.0])[:, None].expand(2, K).contiguous()
    x = encode(x_TK, FORMATS[x_format], scale_whole=False) if x_format else plain(x_TK.bfloat16())
    product = product_of(x.format, FORMATS[w_format], 100) or product_of(x.format, FORMATS[w_format], 90)
    assert product is not None
    w = encode(w_NK, FORMATS[w_format], layout=product.layout)
    return {
        "x_TK": x.values, "w_NK": w.values, "bias_N": None, "activation": "none", "x_scale": x.scale, "w_scale": w.scale, "w_global": w.global_scale,
        "x_format": x_format, "w_format": w_format, "w_layout": w.layout,
    }  # fmt: skip


@pytest.mark.parametrize("run", [matmul, launch], ids=["reference", "kernel"])
@pytest.mark.parametrize("x_format, w_format", PAIRS)
def test_every_product_by_hand(run, x_format: str, w_format: str) -> None:
    """128 x 1.5 x 2 = 384, 128 x 1.5 x -1 = -192, and -2 times as much in the second row: all of them bf16 values."""
    y = run(**sides(x_format, w_format))
    assert y.dtype == torch.bfloat16
    assert y.tolist() == [[384.0, -192.0], [-768.0, 384.0]]


@pytest.mark.parametrize("out", ["fp8_1x128", "mxfp8", "mxfp4", "nvfp4"])
def test_an_encoded_result_is_what_the_next_product_reads(out: str) -> None:
    """Gate 384 / 384, up 1: silu(1) in every column, which is one group's largest value and so exact but for the rounding of its scale."""
    x = plain(torch.ones(1, 32))
    w = plain(torch.cat((torch.full((128, 32), 1 / 32), torch.full((128, 32), 1 / 32))))
    y = multiply(x, w, None, "swiglu", out=FORMATS[out])
    assert y.dims == (1, 128)
    # e8m0 scales are powers of two and e4m3 has 3 bits: a value is off by 1/16 at most, in 4 bits by 1/4 at most
    torch.testing.assert_close(decode(y), torch.full((1, 128), 0.731059), rtol=0.25 if FORMATS[out].bits == 4 else 1 / 16, atol=0)


def test_work_by_hand() -> None:
    """3 tokens, K = 64, N = 10: 2 x 3 x 10 x 64 = 3840 flops, in the lane of the wider side.

    mxfp8: 64 bytes and 2 scales a row; mxfp4 and nvfp4: 32 bytes and 2 or 4 scales, nvfp4's global scale 4 bytes; bf16: 128 bytes. Written in bf16.
    """
    x = torch.randn(3, 64)
    mxfp8, w = encode(x, FORMATS["mxfp8"]), torch.randn(10, 64)
    for side, weight, lane, read in (
        (mxfp8, encode(w, FORMATS["mxfp4"]), "fp8", 3 * 66 + 10 * 34),
        (plain(x.bfloat16()), encode(w, FORMATS["nvfp4"]), "bf16", 3 * 128 + 10 * 36 + 4),
    ):
        with Ledger() as ledger:
            multiply(side, weight, None, "none")
        assert matmul.work(ledger.calls[0], StepFacts()) == Work(flops=3840, lane=lane, read_bytes=read, written_bytes=60)
    gate_up = encode(torch.randn(64, 64), FORMATS["mxfp8"])
    with Ledger() as ledger:
        multiply(mxfp8, gate_up, None, "swiglu", out=FORMATS["mxfp8"])
    assert matmul.work(ledger.calls[0], StepFacts()).written_bytes == 3 * 32 + 3 * 1  # half of 64 columns, a scale for each 32


def test_work_of_experts_counts_touched_ones_and_live_rows() -> None:
    """8 rows, 6 of them live, on 2 of 3 experts; K = 64, N = 64, nvfp4: 36 bytes a row of x and of w, an expert's global scale 4.

    Reads 6 rows of x, 2 x (64 rows + 4), offsets 16; writes 6 rows of 32 SwiGLU columns in nvfp4: 16 bytes and 2 scales.
    """
    x, w = encode(torch.randn(8, 64), FORMATS["nvfp4"], scale_whole=False), encode(torch.randn(3, 64, 64), FORMATS["nvfp4"])
    offsets, order = torch.tensor([0, 5, 5, 6], dtype=torch.int32), torch.arange(8, dtype=torch.int32)
    with part("experts", layer=0), Ledger() as ledger:
        multiply_grouped(x, w, None, offsets, order, None, top_k=1, gather=False, activation="swiglu", limit=0.0, out=FORMATS["nvfp4"])
    work = grouped_matmul.work(ledger.calls[0], StepFacts(rows_per_expert_LE=((5, 0, 1),)))
    assert work == Work(flops=2 * 6 * 64 * 64, lane="fp4", read_bytes=6 * 36 + 2 * (64 * 36 + 4) + 16, written_bytes=6 * 18)


def test_what_each_gpu_multiplies() -> None:
    f = FORMATS
    assert product_of(f["fp8_1x128"], f["fp8_128x128"], 90).kind == "wgmma e4m3"  # type: ignore[union-attr]
    assert product_of(f["fp8_1x128"], f["fp8_128x128"], 80) is None  # Ampere has no fp8
    assert product_of(f["nvfp4"], f["nvfp4"], 90) is None
    assert product_of(f["nvfp4"], f["nvfp4"], 103).kind == "tcgen05 mxf4nvf4"  # type: ignore[union-attr]
    decoded = product_of(f["bf16"], f["mxfp4"], 90)
    assert decoded is not None
    assert (decoded.name, decoded.layout) == ("decoded", "halves")
    assert "native" in COMPILE_ONLY


def test_shapes_that_do_not_divide_into_groups_are_refused() -> None:
    arguments = sides("mxfp8", "mxfp8")
    with pytest.raises(AssertionError, match="48"):
        launch(**arguments | {"x_TK": arguments["x_TK"][:, :48].contiguous(), "w_NK": arguments["w_NK"][:, :48].contiguous()})
    with pytest.raises(AssertionError, match="neighbours"):
        launch(**sides("", "mxfp4") | {"w_layout": "neighbours"})


def test_rows_spread_over_other_ranks_experts_are_not_expected_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """2048 rows on 8 experts look like 256 each, a prefill; spread over 32 ranks' experts they are 8 each: the tile with the weights on the wide side."""
    tiles = []
    monkeypatch.setattr("triton_kernels.grouped_matmul.launch_kernel", lambda *_, **named: tiles.append((named["ROWS"], named["SWAP"])))
    x, w = torch.empty(2048, 64, dtype=torch.bfloat16), torch.empty(8, 64, 64, dtype=torch.bfloat16)
    offsets, order = torch.zeros(9, dtype=torch.int32), torch.zeros(2048, dtype=torch.int32)
    for share in (1, 32):
        launch_grouped(x, w, None, offsets, order, None, 1, False, "none", 0.0, share=share)
    assert tiles == [(128, False), (16, True)]
