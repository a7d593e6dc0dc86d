"""Number formats: what a value costs in memory, how values share scales, and which tensor-core lane multiplies them. Importable without torch.

Sources: OCP 8-bit Floating Point Specification (OFP8) 1.0; OCP Microscaling Formats (MX) 1.0; NVFP4: NVIDIA cuDNN and TensorRT Model Optimizer documentation;
blocks of 128: DeepSeek-V3, arXiv 2412.19437, 3.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from triton_kernels.errors import unknown

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True, slots=True)
class Element:
    """One value by itself, before any scale: `largest` is its greatest finite magnitude, `smallest` its least above 0."""

    name: str
    bits: int
    torch_name: str  # dtype of the tensors that hold it; e2m1 lies two to a byte
    largest: float
    smallest: float
    mantissa_bits: int


ELEMENTS = {
    e.name: e
    for e in (
        Element(name="fp32", bits=32, torch_name="float32", largest=(2 - 2**-23) * 2.0**127, smallest=2.0**-149, mantissa_bits=23),
        Element(name="bf16", bits=16, torch_name="bfloat16", largest=(2 - 2**-7) * 2.0**127, smallest=2.0**-133, mantissa_bits=7),
        Element(name="fp16", bits=16, torch_name="float16", largest=65504.0, smallest=2.0**-24, mantissa_bits=10),
        Element(name="e4m3", bits=8, torch_name="float8_e4m3fn", largest=448.0, smallest=2.0**-9, mantissa_bits=3),
        Element(name="e5m2", bits=8, torch_name="float8_e5m2", largest=57344.0, smallest=2.0**-16, mantissa_bits=2),
        Element(name="e2m1", bits=4, torch_name="uint8", largest=6.0, smallest=0.5, mantissa_bits=1),
    )
}

# Bits of a scale, by its type. e8m0 is a power of two alone, 2^(code - 127), stored in a byte; e4m3 scales are stored as float8_e4m3fn.
SCALE_BITS = {"fp32": 32, "e8m0": 8, "e4m3": 8}


@dataclass(frozen=True, kw_only=True, slots=True)
class Format:
    """One number format. Values of a block of `block` = (rows, columns) share one scale of type `scale`; 0 means all of that dimension, None no scale.

    `lane` is the tensor-core lane whose rate bounds a matmul of two such operands. `global_scale`: one fp32 more multiplies the whole tensor.
    `normal_error`: root mean square error of normally distributed values of spread 1, relative to theirs, in a matrix of 4096 x 4096; worked out by
    triton_kernels/quantization_error.py, to three digits.
    """

    name: str
    element: Element
    lane: str
    normal_error: float
    block: tuple[int, int] | None = None
    scale: str | None = None
    global_scale: bool = False

    @property
    def bits(self) -> int:
        """Of one value, its share of a scale not counted."""
        return self.element.bits

    @property
    def bytes_per_value(self) -> float:
        """With its share of the block's scale; scales of whole rows or tensors weigh nothing here."""
        rows, columns = self.block or (0, 0)
        scale_bits = SCALE_BITS[self.scale] / (rows * columns) if self.scale is not None and rows and columns else 0.0
        return (self.element.bits + scale_bits) / 8

    @property
    def dtype(self) -> torch.dtype:
        """Of the tensor that holds the values."""
        import torch

        dtype = getattr(torch, self.element.torch_name)
        assert isinstance(dtype, torch.dtype)
        return dtype

    @property
    def per_byte(self) -> int:
        """Values in one element of the tensor that holds them: 2 for e2m1."""
        return 2 if self.element.bits == 4 else 1

    @property
    def plain(self) -> bool:
        """Whether values stand for themselves, without scales."""
        return self.scale is None

    @property
    def group(self) -> int:
        """Values along a row that share a scale: 128, 32, 16; 0 where all of a row, or of the tensor, do."""
        return self.block[1] if self.block else 0


def _plain(name: str, lane: str, error: float) -> Format:
    return Format(name=name, element=ELEMENTS[name], lane=lane, normal_error=error)


def _fp8(name: str, element: str, block: tuple[int, int], error: float) -> Format:
    return Format(name=name, element=ELEMENTS[element], lane="fp8", block=block, scale="fp32", normal_error=error)


# fp16 runs at bf16's tensor-core rate on every GPU of the catalogue. fp32 has no IEEE tensor-core lane: "fp32" is the CUDA-core rate.
FORMATS = {
    f.name: f
    for f in (
        _plain("bf16", "bf16", 0.00166),
        _plain("fp16", "bf16", 0.000208),
        _plain("fp32", "fp32", 2.54e-8),
        _fp8("fp8", "e4m3", (0, 0), 0.0265),  # one scale for the tensor: vLLM's and TensorRT-LLM's fp8 caches and per-tensor checkpoints
        _fp8("fp8_row", "e4m3", (1, 0), 0.0265),  # one scale for a row: a token, or an output channel
        _fp8("fp8_1x128", "e4m3", (1, 128), 0.0257),  # DeepSeek-V3's activations
        _fp8("fp8_128x128", "e4m3", (128, 128), 0.0265),  # and weights
        _fp8("fp8_e5m2", "e5m2", (0, 0), 0.0528),
        _fp8("fp8_e5m2_row", "e5m2", (1, 0), 0.0527),
        _fp8("fp8_e5m2_1x128", "e5m2", (1, 128), 0.0513),
        _fp8("fp8_e5m2_128x128", "e5m2", (128, 128), 0.0526),
        Format(name="mxfp8", element=ELEMENTS["e4m3"], lane="fp8", block=(1, 32), scale="e8m0", normal_error=0.0265),
        Format(name="mxfp4", element=ELEMENTS["e2m1"], lane="fp4", block=(1, 32), scale="e8m0", normal_error=0.115),
        Format(name="nvfp4", element=ELEMENTS["e2m1"], lane="fp4", block=(1, 16), scale="e4m3", global_scale=True, normal_error=0.0951),
    )
}


def format_named(name: str) -> Format:
    """The format called `name`; a TokenmillError offering the nearest names otherwise."""
    if name not in FORMATS:
        raise unknown("number format", name, FORMATS)
    return FORMATS[name]


def format_of(dtype: torch.dtype) -> Format | None:
    """The format that tensors of `dtype` hold by themselves, or None: integers, and values that mean nothing without their scales."""
    torch_name = str(dtype).removeprefix("torch.")
    return next((f for f in FORMATS.values() if f.plain and f.element.torch_name == torch_name), None)


def product_lane(x: Format, w: Format) -> str:
    """The tensor-core lane of a product: that of the operand with more bits, to which the other is widened."""
    return (x if x.bits >= w.bits else w).lane
