"""Number formats: what a value costs in memory and which tensor-core lane multiplies it. Importable without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from triton_kernels.errors import unknown

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True, slots=True)
class Format:
    """One number format. `bits` per value; `lane` is the tensor-core lane whose rate bounds its matmuls."""

    name: str
    torch_name: str
    bits: int
    lane: str
    runs: bool = True  # False: known to plans, no kernel multiplies it yet

    @property
    def bytes_per_value(self) -> float:
        return self.bits / 8

    @property
    def dtype(self) -> torch.dtype:
        import torch

        dtype = getattr(torch, self.torch_name)
        assert isinstance(dtype, torch.dtype)
        return dtype


# fp16 runs at bf16's tensor-core rate on every GPU of the catalogue. fp32 has no IEEE tensor-core lane: "fp32" is the CUDA-core rate.
FORMATS = {
    f.name: f
    for f in (
        Format(name="bf16", torch_name="bfloat16", bits=16, lane="bf16"),
        Format(name="fp16", torch_name="float16", bits=16, lane="bf16"),
        Format(name="fp32", torch_name="float32", bits=32, lane="fp32"),
        Format(name="fp8", torch_name="float8_e4m3fn", bits=8, lane="fp8", runs=False),  # e4m3
    )
}


def format_named(name: str) -> Format:
    """The format called `name`; a TokenmillError offering the nearest names otherwise."""
    if name not in FORMATS:
        raise unknown("number format", name, FORMATS)
    return FORMATS[name]


def format_of(dtype: torch.dtype) -> Format | None:
    """The format that tensors of `dtype` hold, or None for integers and others."""
    torch_name = str(dtype).removeprefix("torch.")
    return next((f for f in FORMATS.values() if f.torch_name == torch_name), None)
