"""Launching a kernel, or, for an architecture that is not there, compiling exactly the variant that would be launched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
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
    """One variant of a kernel: what is asked for and, once it is looked at, what comes out."""

    kernel: str
    arch: int
    signature: tuple[tuple[str, str], ...]
    constexprs: tuple[tuple[str, Any], ...]
    aligned: tuple[str, ...]  # arguments that are multiples of 16
    options: tuple[tuple[str, int], ...]
    function: Any  # the jitted function

    @cached_property
    def compiled(self) -> Any:
        """Triton's CompiledKernel: .asm["ptx"], .asm["cubin"], .metadata."""
        import triton
        from triton.backends.compiler import GPUTarget
        from triton.compiler import ASTSource

        place = self.function.arg_names.index
        source = ASTSource(
            fn=self.function,
            signature=dict(self.signature),
            constexprs={(place(name),): value for name, value in self.constexprs},
            attrs={(place(name),): [["tt.divisibility", 16]] for name in self.aligned},
        )
        return triton.compile(source, target=GPUTarget("cuda", self.arch, 32), options=dict(self.options))


_variants: ContextVar[tuple[dict[Any, Variant], bool] | None] = ContextVar("variants", default=None)


@contextmanager
def compiling(arch: int, *, later: bool = False) -> Iterator[dict[Any, Variant]]:
    """Inside, `launch` calls on meta tensors compile for `arch` instead of launching; yields what was compiled, each variant once.

    `later`: they are written down, and each compiles when its `compiled` is first looked at. Needs triton but no GPU, and a process without
    TRITON_INTERPRET.
    """
    variants: dict[Any, Variant] = {}
    token = _variants.set((variants, later))
    try:
        with compiling_for(arch):
            yield variants
    finally:
        _variants.reset(token)


def launch_kernel(kernel: Any, grid: tuple[int, ...], /, *args: Any, **named: Any) -> None:
    """Runs `kernel` over `grid`. Positional arguments are run-time ones, in order; named ones are constexprs or compile options."""
    named.setdefault("enable_fp_fusion", True)  # multiply-add in one rounding; Triton 3.10 makes it the exception
    asked = _variants.get()
    if asked is None:
        if all(grid):  # an empty grid is an empty result
            kernel[grid](*args, **named)
        return
    variants, later = asked
    variant = _specialised(kernel, args, named)
    key = (variant.kernel, variant.arch, variant.signature, str(variant.constexprs), variant.aligned, variant.options)
    kept = variants.setdefault(key, variant)
    if not later:
        _ = kept.compiled


def _specialised(kernel: Any, args: tuple[Any, ...], named: dict[str, Any]) -> Variant:
    """What the run-time specialiser would compile: 16-divisible pointers and integers marked, ones and None folded."""
    signature: dict[str, str] = {}
    constexprs: list[tuple[str, Any]] = []
    aligned: list[str] = []
    for i, (name, value) in enumerate(zip(kernel.arg_names, args, strict=False)):
        if value is None or value is True or value is False or (isinstance(value, int) and value == 1):
            signature[name] = "constexpr"
            constexprs.append((name, value))
            continue
        signature[name] = _POINTERS[value.dtype] if isinstance(value, torch.Tensor) else _scalar(value)
        markable = not kernel.params[i].do_not_specialize_on_alignment
        if markable and (isinstance(value, torch.Tensor) or (isinstance(value, int) and value % 16 == 0)):
            aligned.append(name)
    for name, value in named.items():
        if name not in _OPTIONS:
            signature[name] = "constexpr"
            constexprs.append((name, value))
    chip = chip_compiled_for()
    assert chip is not None
    return Variant(
        kernel=kernel.fn.__name__, arch=chip.arch, signature=tuple(signature.items()), constexprs=tuple(constexprs), aligned=tuple(aligned),
        options=tuple((k, v) for k, v in named.items() if k in _OPTIONS), function=kernel,
    )  # fmt: skip


def _scalar(value: Any) -> str:
    if isinstance(value, float):
        return "fp32"
    assert isinstance(value, int), value
    return "i32" if -(2**31) <= value < 2**31 else "i64"
