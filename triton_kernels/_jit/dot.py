"""The matrix product of two tiles, right in the compiler and in the interpreter."""

import triton
import triton.language as tl

INTERPRETED = tl.constexpr(bool(triton.knobs.runtime.interpret))


@triton.jit
def dot(a, b, acc):
    """acc + a @ b in fp32. fp32 operands stay IEEE: the default would be TF32 on a GPU."""
    if INTERPRETED:  # the interpreter multiplies bf16 bit patterns (triton issue 11584)
        return acc + tl.dot(a.to(tl.float32), b.to(tl.float32), input_precision="ieee")
    else:
        return tl.dot(a, b, acc, input_precision="ieee")
