import triton
import triton.language as tl

from triton_kernels._jit.codec import e4m3_codes


@triton.jit
def to_cache(x, cache_ptr, scale_ptr):
    """x as the cache keeps it: codes of x / scale where there is a scale."""
    if scale_ptr is None:
        return x.to(cache_ptr.dtype.element_ty)
    else:
        x = x.to(tl.float32)
        return e4m3_codes(tl.div_rn(x, tl.zeros_like(x) + tl.load(scale_ptr)))
