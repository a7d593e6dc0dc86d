"""What this machine's memory and tensor cores reach in simple, large operations: the rates that floors use.

Read: `torch.sum` over a buffer far larger than the caches. Copy: `copy_` between two such buffers; bytes read plus bytes written. Matmul: square
`torch.mm` of random data in one format per tensor-core lane, because zeros draw less power and so run faster than any real input; on a GPU also
`torch._scaled_mm` (cuBLASLt) of e4m3 and of nvfp4. Each is repeated for a fixed time and its median kept. These are rates of PyTorch's kernels, lower
bounds of what the hardware can do.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch

from profiler.measure.statistics import median
from profiler.measure.timing import recorded_event, seconds_between
from triton_kernels.formats import FORMATS, Format
from triton_kernels.operand import encode


@dataclass(frozen=True, kw_only=True, slots=True)
class CeilingSizes:
    """How large and how long. `buffer_bytes` must exceed every cache: 50 MB of L2 on H100, 126 MB on B200, 32 MB and more of L3 on CPUs."""

    buffer_bytes: int
    matmul_size: int
    seconds_each: float


# 8192 cubed is 1.1 TFLOP: one to two milliseconds on the GPUs of the catalogue.
SIZES = {
    "cuda": CeilingSizes(buffer_bytes=2 << 30, matmul_size=8192, seconds_each=0.7),
    "cpu": CeilingSizes(buffer_bytes=256 << 20, matmul_size=512, seconds_each=0.15),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """Something to repeat, its tensors with it. `amount`: the bytes that one call moves, or the FLOP that it counts."""

    run: Callable[[], object]
    amount: float


# The formats of two scaled operands that stand for a lane: one scale for the tensor; blocks of 16, which compute capability 10.0 and up multiply.
SCALED = ("fp8", "nvfp4")
UNSUPPORTED = (NotImplementedError, RuntimeError, ValueError)  # each for unsupported types, sizes or devices, by version of PyTorch


def measure_ceilings(device: torch.device, sizes: CeilingSizes | None = None) -> dict[str, Any]:
    """{"bandwidth_bytes_per_s", "copy_bytes_per_s", "flops_per_s": {lane: rate}} as measured now. A lane without a kernel here is left out.

    Call before the model's weights are made: the buffers take up to 4 GiB and are freed again.
    """
    sizes = sizes or SIZES[device.type]
    nbytes = buffer_bytes(device, sizes)
    read, copied = (_rate(device, make(device, nbytes), sizes.seconds_each) for make in (read_call, copy_call))
    lanes: dict[str, float] = {}
    for fmt in FORMATS.values():
        if fmt.plain and fmt.lane not in lanes and (rate := _matmul_rate(device, fmt, sizes)) is not None:
            lanes[fmt.lane] = rate
    if device.type == "cuda":
        for fmt in (FORMATS[name] for name in SCALED):
            if (rate := scaled_rate(device, fmt, sizes)) is not None:
                lanes[fmt.lane] = rate
        torch.cuda.empty_cache()
    return {"bandwidth_bytes_per_s": read, "copy_bytes_per_s": copied, "flops_per_s": lanes}


def buffer_bytes(device: torch.device, sizes: CeilingSizes) -> int:
    """Of each buffer: a quarter of the memory that is free at most."""
    return min(sizes.buffer_bytes, torch.cuda.mem_get_info(device)[0] // 4) if device.type == "cuda" else sizes.buffer_bytes


def read_call(device: torch.device, nbytes: int) -> Call:
    """A sum over a random buffer."""
    source = torch.empty(nbytes // 4, dtype=torch.float32, device=device).uniform_()
    return Call(run=lambda: source.sum(), amount=source.nbytes)


def copy_call(device: torch.device, nbytes: int) -> Call:
    """From one such buffer to another: bytes read plus bytes written."""
    source = torch.empty(nbytes // 4, dtype=torch.float32, device=device).uniform_()
    target = torch.empty_like(source)
    return Call(run=lambda: target.copy_(source), amount=2 * source.nbytes)


def matmul_call(device: torch.device, fmt: Format, n: int) -> Call:
    """A product of two random n x n matrices in a plain format."""
    a, b = (torch.randn(n, n, device=device).to(fmt.dtype) for _ in range(2))
    out = torch.empty_like(a)
    return Call(run=lambda: torch.mm(a, b, out=out), amount=2 * n**3)


def scaled_call(device: torch.device, fmt: Format, n: int) -> Call:
    """`scaled_product` as a Call. Making or running it raises one of UNSUPPORTED where this build or this GPU has no such product."""
    return Call(run=scaled_product(device, fmt, n), amount=2 * n**3)


def _rate(device: torch.device, call: Call, seconds: float) -> float:
    return call.amount / _median_s(device, call.run, seconds)


def _matmul_rate(device: torch.device, fmt: Format, sizes: CeilingSizes) -> float | None:
    try:
        return _rate(device, matmul_call(device, fmt, sizes.matmul_size), sizes.seconds_each)
    except NotImplementedError:  # this build of PyTorch has no such matmul
        return None


def scaled_rate(device: torch.device, fmt: Format, sizes: CeilingSizes) -> float | None:
    """FLOP/s of two operands with scales, or None where this build or this GPU has no such product."""
    try:
        return _rate(device, scaled_call(device, fmt, sizes.matmul_size), sizes.seconds_each)
    except torch.OutOfMemoryError:
        raise
    except UNSUPPORTED:
        return None


def scaled_product(device: torch.device, fmt: Format, n: int) -> Callable[[], torch.Tensor]:
    """A product of two random n x n matrices in `fmt`, rows of the one by rows of the other, accumulated in fp32 and written in bf16.

    Block scales are not brought into the order that tensor cores read them in: they meet other values than their own, at the same rate.
    """
    values, scales = [], []
    for _ in range(2):
        operand = encode(torch.randn(n, n, device=device), fmt, scale_whole=False)
        assert operand.scale is not None, fmt.name
        values.append(operand.values if fmt.per_byte == 1 else operand.values.view(_e2m1_pairs()))
        scales.append(operand.scale)
    a, b = values[0], values[1].t()  # the second operand is wanted column by column
    return lambda: torch._scaled_mm(a, b, scale_a=scales[0], scale_b=scales[1], out_dtype=torch.bfloat16, use_fast_accum=False)


def _e2m1_pairs() -> torch.dtype:
    dtype = getattr(torch, "float4_e2m1fn_x2", None)
    if not isinstance(dtype, torch.dtype):
        raise NotImplementedError("this build of PyTorch has no e2m1")
    return dtype


def _median_s(device: torch.device, run: Callable[[], object], seconds: float) -> float:
    """Median seconds of one call over about `seconds`, the first call left out. On a GPU each call is timed by its own pair of events."""
    run()
    if device.type == "cuda":
        return _median_cuda_s(device, run, seconds)
    times: list[float] = []
    until_s = time.monotonic() + seconds
    while len(times) < 3 or time.monotonic() < until_s:
        start_s = time.monotonic()
        run()
        times.append(time.monotonic() - start_s)
    return median(times)


def _median_cuda_s(device: torch.device, run: Callable[[], object], seconds: float) -> float:
    start = recorded_event()
    run()
    end = recorded_event()
    end.synchronize()
    once_s = max(seconds_between(start, end), 1e-6)
    events = [recorded_event()]
    for _ in range(max(5, min(2000, round(seconds / once_s)))):
        run()
        events.append(recorded_event())
    torch.cuda.synchronize(device)
    return median([seconds_between(a, b) for a, b in pairwise(events)])
