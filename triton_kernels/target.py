"""The one place that asks GPU or CPU, and what chip a kernel is launched on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache

import torch

from triton_kernels.errors import TokenmillError


@dataclass(frozen=True, kw_only=True, slots=True)
class Chip:
    """What a launcher needs to know to choose tiles and grids."""

    arch: int  # compute capability x 10: 90 Hopper, 100 Blackwell
    sm_count: int


# What a kernel is compiled for when no GPU is there: `tokenmill kernels --inspect` and the compile tests. SM counts: H200, B200, B300, RTX PRO 6000 datasheets.
CHIPS = {90: Chip(arch=90, sm_count=132), 100: Chip(arch=100, sm_count=148), 103: Chip(arch=103, sm_count=148), 120: Chip(arch=120, sm_count=188)}

# The interpreter runs a grid's programs one after another: few of them, yet enough that a persistent kernel goes round more than once.
INTERPRETED_CHIP = Chip(arch=90, sm_count=3)

_compiling_for: ContextVar[Chip | None] = ContextVar("compiling_for", default=None)
_launching_as: ContextVar[Chip | None] = ContextVar("launching_as", default=None)


@contextmanager
def compiling_for(arch: int) -> Iterator[Chip]:
    """Inside, launches on meta tensors choose tiles and grids for `arch`, which need not be present."""
    token = _compiling_for.set(CHIPS[arch])
    try:
        yield CHIPS[arch]
    finally:
        _compiling_for.reset(token)


@contextmanager
def launching_as(chip: Chip | None) -> Iterator[None]:
    """Inside, launches choose tiles and grids as on `chip`, which must run what the one that is there runs. None: as on that one."""
    token = _launching_as.set(chip)
    try:
        yield
    finally:
        _launching_as.reset(token)


def chip_compiled_for() -> Chip | None:
    """The chip of the enclosing `compiling_for`, or None outside."""
    return _compiling_for.get()


@lru_cache
def _cuda_chip(index: int) -> Chip:
    properties = torch.cuda.get_device_properties(index)
    return Chip(arch=properties.major * 10 + properties.minor, sm_count=properties.multi_processor_count)


def chip_of(x: torch.Tensor) -> Chip:
    """The chip that a kernel over `x` is launched on: its GPU, the architecture compiled for, or the interpreter's."""
    if x.is_cuda:
        return _launching_as.get() or _cuda_chip(x.get_device())
    return _compiling_for.get() or _launching_as.get() or INTERPRETED_CHIP


def resolve_device(wanted: str) -> torch.device:
    """`auto`, `cuda` or `cpu` as a torch device. `cuda` without a usable GPU is an error that says why."""
    if wanted not in ("auto", "cuda", "cpu"):
        raise TokenmillError(f"unknown device {wanted!r}; use auto, cuda or cpu")
    if wanted == "cpu":
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    if wanted == "cuda":
        why = "this PyTorch is a CPU build" if torch.version.cuda is None else "PyTorch sees no GPU (check nvidia-smi and CUDA_VISIBLE_DEVICES)"
        raise TokenmillError(f"--device cuda: {why}; use --device cpu, or run `tokenmill doctor`")
    return torch.device("cpu")
