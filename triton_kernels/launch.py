"""Launching a kernel, or, for an architecture that is not there, compiling exactly the variant that would be launched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch

from triton_kernels.target import chip_compiled_for, compiling_for

_OPTIONS = ("num_warps", "num_stages", "maxnreg", "launch_pdl", "enable_fp_fusion")
_POINTERS = {
    torch.bfloat16: "*bf16", torch.float16: "*fp16", torch.float32: "*fp32", torch.float64: "*fp64",
    torch.int32: "*i32", torch.int64: "*i64", torch.uint8: "*u8", torch.int8: "*i8", torch.bool: "*i1",
    torch.float8_e4m3fn: "*fp8e4nv", torch.float8_e5m2: "*fp8e5",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One compiled variant of a kernel: what was asked for and what came out."""

    kernel: str
    arch: int
    signature: tuple[tuple[str, str], ...]
    constexprs: tuple[tuple[str, Any], ...]
    options: tuple[tuple[str, int], ...]
    compiled: Any  # triton's CompiledKernel; .asm["ptx"], .asm["cubin"], .metadata


_variants: ContextVar[dict[Any, Variant] | None] = ContextVar("variants", default=None)


@contextmanager
def compiling(arch: int) -> Iterator[dict[Any, Variant]]:
    """Inside, `launch` calls on meta tensors compile for `arch` instead of launching; yields what was compiled, each variant once.

    Needs triton but no GPU, and a process without TRITON_INTERPRET.
    """
    variants: dict[Any, Variant] = {}
    token = _variants.set(variants)
    try:
        with compiling_for(arch):
            yield variants
    finally:
        _variants.reset(token)


def launch_kernel(kernel: Any, grid: tuple[int, ...], /, *args: Any, **named: Any) -> None:
    """Runs `kernel` over `grid`. Positional arguments are run-time ones, in order; named ones are constexprs or compile options."""
    named.setdefault("enable_fp_fusion", True)  # multiply-add in one rounding; Triton 3.10 makes it the exception
    variants = _variants.get()
    if variants is None:
        if all(grid):  # an empty grid is an empty result
            kernel[grid](*args, **named)
        return
    _compile(variants, kernel, args, named)


def _compile(variants: dict[Any, Variant], kernel: Any, args: tuple[Any, ...], named: dict[str, Any]) -> None:
    """Compiles what the run-time specialiser would: 16-divisible pointers and integers marked, ones and None folded."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    signature: dict[str, str] = {}
    constexprs: dict[tuple[int, ...], Any] = {}
    attrs: dict[tuple[int, ...], list[list[Any]]] = {}
    for i, (name, value) in enumerate(zip(kernel.arg_names, args, strict=False)):
        if value is None or value is True or value is False or (isinstance(value, int) and value == 1):
            signature[name] = "constexpr"
            constexprs[(i,)] = value
            continue
        signature[name] = _POINTERS[value.dtype] if isinstance(value, torch.Tensor) else _scalar(value)
        aligned = not kernel.params[i].do_not_specialize_on_alignment
        if aligned and (isinstance(value, torch.Tensor) or (isinstance(value, int) and value % 16 == 0)):
            attrs[(i,)] = [["tt.divisibility", 16]]
    options = {k: v for k, v in named.items() if k in _OPTIONS}
    for name, value in named.items():
        if name not in _OPTIONS:
            signature[name] = "constexpr"
            constexprs[(kernel.arg_names.index(name),)] = value
    chip = chip_compiled_for()
    assert chip is not None
    readable = tuple((kernel.arg_names[i], v) for (i,), v in constexprs.items())
    key = (kernel.fn.__name__, chip.arch, tuple(signature.items()), str(readable), tuple(attrs), tuple(options.items()))
    if key in variants:
        return
    source = ASTSource(fn=kernel, signature=signature, constexprs=constexprs, attrs=attrs)
    compiled = triton.compile(source, target=GPUTarget("cuda", chip.arch, 32), options=options)
    variants[key] = Variant(
        kernel=kernel.fn.__name__, arch=chip.arch, signature=tuple(signature.items()), constexprs=readable, options=tuple(options.items()), compiled=compiled
    )


def _scalar(value: Any) -> str:
    if isinstance(value, float):
        return "fp32"
    assert isinstance(value, int), value
    return "i32" if -(2**31) <= value < 2**31 else "i64"
