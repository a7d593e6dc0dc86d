"""Known loads for a sensor trial: what they are, and running one for a time with little enqueued ahead, so that whoever ends the process ends the load."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate, count, pairwise
from typing import TYPE_CHECKING

import torch

from profiler.measure.ceilings import SIZES, Call, CeilingSizes, buffer_bytes, copy_call, matmul_call, read_call, scaled_call
from profiler.measure.memory import refuse_what_cannot_fit
from profiler.measure.point_spec import PointSpec
from profiler.measure.timing import recorded_event, seconds_between
from profiler.power.window import Window
from triton_kernels.formats import FORMATS

if TYPE_CHECKING:
    from workloads.model_spec import ModelSpec

BLOCK_S = 0.02  # of calls between two time stamps: 25 in the first half second, and an event's half microsecond vanishes
_AHEAD = 12  # blocks enqueued and not done: a quarter of a second, which a late host does not use up
_REHEARSED = CeilingSizes(buffer_bytes=8 << 20, matmul_size=256, seconds_each=0.0)

UNITS = {"read": "bytes/s", "copy": "bytes/s", "bf16": "FLOP/s", "fp8": "FLOP/s"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Ran:
    """A load that ran: from the first call's beginning to the last one's end; `marks`: (time, calls done by then), the first with 0."""

    window: Window
    marks: tuple[tuple[float, float], ...]


def make_call(name: str, device: torch.device) -> Call:
    """The load called `name` (UNITS), its tensors made. One of profiler.measure.ceilings.UNSUPPORTED where there is no such load here."""
    sizes = SIZES["cuda"] if device.type == "cuda" else _REHEARSED
    make: dict[str, Callable[[], Call]] = {
        "read": lambda: read_call(device, buffer_bytes(device, sizes)),
        "copy": lambda: copy_call(device, buffer_bytes(device, sizes)),
        "bf16": lambda: matmul_call(device, FORMATS["bf16"], sizes.matmul_size),
        "fp8": lambda: scaled_call(device, FORMATS["fp8"], sizes.matmul_size),
    }
    return make[name]()


def decode_call(model: ModelSpec, name: str, device: torch.device, arch: int | None, shape: tuple[int, int]) -> Call:
    """A decode step of the model in its plain format, captured in graphs on a GPU; `shape`: (batch, context). Raises what does not fit or cannot be run."""
    from dataclasses import replace

    import psutil

    from workloads.steps import StepRunner

    batch, context = shape
    precision = "bf16" if device.type == "cuda" else "fp32"
    spec = PointSpec(model=name, phase="decode", precision=precision, kv_cache=precision, batch=batch, context=context)
    memory = torch.cuda.get_device_properties(device).total_memory if device.type == "cuda" else psutil.virtual_memory().total
    refuse_what_cannot_fit(model, spec, int(memory))
    runner = StepRunner(model, replace(spec.deployment, arch=arch), spec.shape, device)
    runner.capture()
    numbers = count()
    return Call(run=lambda: runner.iteration(next(numbers)), amount=1.0)


def block_calls(call: Call, device: torch.device, *, block_s: float = BLOCK_S) -> int:
    """How many calls make a block. Runs it a few times: what the first call compiles, tunes or allocates is then no part of a load."""
    call.run()
    _wait(device)
    start_s = time.monotonic()
    for _ in range(3):
        call.run()
    _wait(device)
    return max(1, round(block_s / max((time.monotonic() - start_s) / 3, 1e-6)))


def run_for(call: Call, device: torch.device, seconds: float, block: int) -> Ran:
    """The load for about `seconds`, nothing before it and nothing left of it behind. Nothing in it calls a sensor."""
    return _run_cuda(call, device, seconds, block) if device.type == "cuda" else _run_cpu(call, seconds, block)


def _run_cpu(call: Call, seconds: float, block: int) -> Ran:
    start_s = time.monotonic()
    marks = [(start_s, 0.0)]
    while marks[-1][0] < start_s + seconds:
        for _ in range(block):
            call.run()
        marks.append((time.monotonic(), len(marks) * float(block)))
    return Ran(window=Window(t_start_s=start_s, t_end_s=marks[-1][0]), marks=tuple(marks))


def _run_cuda(call: Call, device: torch.device, seconds: float, block: int) -> Ran:
    _wait(device)
    start_s = time.monotonic()
    events = [recorded_event()]
    while time.monotonic() < start_s + seconds:
        for _ in range(block):
            call.run()
        events.append(recorded_event())
        if len(events) > _AHEAD:
            events[-1 - _AHEAD].synchronize()
    _wait(device)
    end_s = time.monotonic()
    elapsed_s = list(accumulate((seconds_between(a, b) for a, b in pairwise(events)), initial=0.0))
    # The GPU's clock on the host's: both ends are one moment on either, to some 10 us of launch and wake-up.
    scale = (end_s - start_s) / elapsed_s[-1] if elapsed_s[-1] > 0 else 1.0
    marks = tuple((start_s + scale * t, float(i * block)) for i, t in enumerate(elapsed_s))
    return Ran(window=Window(t_start_s=start_s, t_end_s=end_s), marks=marks)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
