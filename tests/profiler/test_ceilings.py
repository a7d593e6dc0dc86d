"""Rates of this machine's memory and matrix units, and the calls that would measure those of a GPU."""

from typing import Any

import pytest
import torch

from profiler.measure.ceilings import SCALED, CeilingSizes, measure_ceilings, scaled_product, scaled_rate
from triton_kernels.formats import FORMATS

CPU = torch.device("cpu")


def test_ceilings_of_this_cpu() -> None:
    sizes = CeilingSizes(buffer_bytes=8 << 20, matmul_size=64, seconds_each=0.02)
    found = measure_ceilings(CPU, sizes)
    # Any machine that runs this reads between 0.1 GB/s and 10 TB/s, and multiplies between 10 MFLOP/s and 1 PFLOP/s.
    assert 1e8 < found["bandwidth_bytes_per_s"] < 1e13
    assert 1e8 < found["copy_bytes_per_s"] < 1e13
    assert set(found["flops_per_s"]) == {"bf16", "fp32"}
    assert all(1e7 < rate < 1e15 for rate in found["flops_per_s"].values())


@pytest.mark.parametrize(
    "name, columns, values, scales",
    [
        ("fp8", 64, torch.float8_e4m3fn, (1, torch.float32)),
        ("nvfp4", 32, torch.float4_e2m1fn_x2, (64 * 4, torch.float8_e4m3fn)),  # two to a byte; a scale for 16
    ],
)
def test_scaled_products_are_called_as_tensor_cores_want_them(
    monkeypatch, name: str, columns: int, values: torch.dtype, scales: tuple[int, torch.dtype]
) -> None:
    """Of 64 x 64 values: rows by rows, so the second operand lies column by column; fp32 sums."""
    calls: list[tuple[Any, ...]] = []
    monkeypatch.setattr(torch, "_scaled_mm", lambda a, b, **named: calls.append((a, b, named)))
    scaled_product(CPU, FORMATS[name], 64)()
    [(a, b, named)] = calls
    assert (a.shape, a.stride(), a.dtype) == ((64, columns), (columns, 1), values)
    assert (b.shape, b.stride(), b.dtype) == ((columns, 64), (1, columns), values)
    for scale in (named["scale_a"], named["scale_b"]):
        assert (scale.numel(), scale.dtype, scale.is_contiguous()) == (*scales, True)
        assert bool((scale.float() > 0).all())  # of real data: zeros would run faster
    assert (named["out_dtype"], named["use_fast_accum"]) == (torch.bfloat16, False)


@pytest.mark.parametrize("name", SCALED)
def test_pytorchs_own_checks_take_a_scaled_product(name: str) -> None:
    product = scaled_product(torch.device("meta"), FORMATS[name], 256)()
    assert (product.shape, product.dtype) == ((256, 256), torch.bfloat16)


@pytest.mark.parametrize("error", [RuntimeError, NotImplementedError, ValueError])
def test_a_lane_that_is_not_there_is_not_measured(monkeypatch, error: type[Exception]) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error("unsupported")

    sizes = CeilingSizes(buffer_bytes=1, matmul_size=32, seconds_each=0.0)
    monkeypatch.setattr(torch, "_scaled_mm", lambda a, b, **_: None)
    assert (scaled_rate(CPU, FORMATS["fp8"], sizes) or 0) > 0
    monkeypatch.setattr(torch, "_scaled_mm", refuse)
    assert scaled_rate(CPU, FORMATS["fp8"], sizes) is None
    monkeypatch.delattr(torch, "float4_e2m1fn_x2")  # an older build
    assert scaled_rate(CPU, FORMATS["nvfp4"], sizes) is None
