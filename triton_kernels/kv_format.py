"""A KV cache's number format: the model's own, or e4m3 codes that one fp32 scale of the layer multiplies, as vLLM and TensorRT-LLM keep them."""

from __future__ import annotations

import torch

from triton_kernels.codes import encode_element
from triton_kernels.formats import ELEMENTS

# Of the random caches that inputs draw: not a power of two, and small enough that a few normal values saturate (448 x 0.006 = 2.7).
DRAWN_SCALE = 0.006


def check_cache(dtype: torch.dtype, cache: torch.Tensor, scale: torch.Tensor | None) -> None:
    """Asserts that the cache holds values of `dtype`, or e4m3 codes with their scale."""
    if scale is None:
        assert cache.dtype == dtype, (cache.dtype, dtype)
        return
    assert cache.dtype == torch.float8_e4m3fn, cache.dtype
    assert scale.dtype == torch.float32, scale.dtype
    assert scale.shape == (1,), scale.shape


def store_cached(cache: torch.Tensor, place: tuple[slice | torch.Tensor, ...], x: torch.Tensor, scale: torch.Tensor | None) -> None:
    """cache[place] = x, or with a scale the codes of x / scale, saturating."""
    if scale is None:
        assert cache.dtype != torch.float8_e4m3fn, cache.dtype
        cache[place] = x.to(cache.dtype)
    else:  # as bytes: torch stores no float8 by index
        cache.view(torch.uint8)[place] = encode_element(x.float() / scale.float(), ELEMENTS["e4m3"]).view(torch.uint8)


def uncached(values: torch.Tensor, scale: torch.Tensor | None, dtype: torch.dtype) -> torch.Tensor:
    """What was read from a cache, in `dtype`."""
    if scale is None:
        assert values.dtype == dtype, (values.dtype, dtype)
        return values
    return (values.float() * scale).to(dtype)


def drawn_cache(values: torch.Tensor, cache_format: str, dtype: torch.dtype, scale: float = DRAWN_SCALE) -> tuple[torch.Tensor, torch.Tensor | None]:
    """A cache of fp32 values (NaN: unused) for an operation's inputs, and its scale. cache_format: "fp8", or "" for `dtype`."""
    if not cache_format:
        return values.to(dtype), None
    assert cache_format == "fp8", cache_format
    return encode_element(values / scale, ELEMENTS["e4m3"]), torch.tensor([scale])
