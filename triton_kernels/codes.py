"""Single values to codes and back, correctly rounded: e4m3, e5m2, e2m1 and the power-of-two scale e8m0; and two 4-bit codes to a byte. In plain torch.

Rounding is to nearest, ties to even, saturating at the largest finite value (OFP8 1.0, 5.2; MX 1.0, 6.3). Scales are rounded up, so that nothing
saturates that need not.
"""

from __future__ import annotations

import torch

from triton_kernels.formats import ELEMENTS, Element

E8M0_NAN = 255
# Value of each e2m1 code: a sign, two bits of exponent, one of mantissa. Source: MX 1.0, table 5.
E2M1_VALUES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0)
# The magnitude between two neighbours above which the larger is nearer. In the middle itself the even code wins: "from" where that is the larger.
_E2M1_ABOVE = (0.25, 1.25, 2.5, 5.0)
_E2M1_FROM = (0.75, 1.75, 3.5)

# How two 4-bit values of a row of K share a byte: byte j holds 2j and 2j + 1 (checkpoints, tcgen05), or j and j + K/2 (see _jit/tile_product.py); low
# nibble first.
LAYOUTS = ("neighbours", "halves")


def encode_element(x: torch.Tensor, element: Element) -> torch.Tensor:
    """Codes of fp32 values, one for each: e2m1 as uint8 0 .. 15, the others in their own dtype. NaN stays NaN where the element has one."""
    if element is ELEMENTS["e2m1"]:
        magnitude = x.abs()
        code = torch.zeros_like(x, dtype=torch.uint8)
        for limit in _E2M1_ABOVE:
            code += magnitude > limit
        for limit in _E2M1_FROM:
            code += magnitude >= limit
        return code | (torch.signbit(x).to(torch.uint8) << 3)
    dtype = getattr(torch, element.torch_name)
    return x.clamp(-element.largest, element.largest).to(dtype)


def decode_element(codes: torch.Tensor, element: Element) -> torch.Tensor:
    """Values in fp32."""
    if element is ELEMENTS["e2m1"]:
        return torch.tensor(E2M1_VALUES, device=codes.device)[codes.int()]
    return codes.float()


def encode_e8m0(x: torch.Tensor) -> torch.Tensor:
    """uint8 codes of the least powers of two that are no smaller than the fp32 values (0 and up), at most 2^127; 2^-126 for subnormal ones."""
    bits = x.float().view(torch.int32)  # exponent and mantissa: any mantissa at all carries into the exponent
    return ((bits + 0x7FFFFF) >> 23).clamp(0, E8M0_NAN - 1).to(torch.uint8)


def decode_e8m0(codes: torch.Tensor) -> torch.Tensor:
    """2^(code - 127) in fp32; NaN for code 255."""
    bits = torch.where(codes == 0, 1 << 22, codes.int() << 23)  # the code is fp32's exponent; 2^-127 is subnormal there
    return torch.where(codes == E8M0_NAN, torch.nan, bits.view(torch.float32))


def pack(codes: torch.Tensor, layout: str) -> torch.Tensor:
    """4-bit codes [..., K] to bytes [..., K / 2]. K even."""
    assert layout in LAYOUTS, layout
    assert codes.shape[-1] % 2 == 0, codes.shape
    low, high = (codes[..., 0::2], codes[..., 1::2]) if layout == "neighbours" else codes.chunk(2, -1)
    return (low | (high << 4)).contiguous()


def unpack(packed: torch.Tensor, layout: str) -> torch.Tensor:
    """Bytes [..., K / 2] to 4-bit codes [..., K]."""
    assert layout in LAYOUTS, layout
    low, high = packed & 15, packed >> 4
    return torch.stack((low, high), -1).flatten(-2) if layout == "neighbours" else torch.cat((low, high), -1)


def repack(packed: torch.Tensor, *, old: str, new: str) -> torch.Tensor:
    """The same codes in another layout."""
    return packed if old == new else pack(unpack(packed, old), new)
