"""Weights in e2m1 with a power-of-two scale for every 32, two codes to a byte.

Source: OCP Microscaling Formats (MX) 1.0, 5.3.3 and 5.4; gpt-oss is published so.
"""

from __future__ import annotations

import torch

GROUP = 32  # values that share a scale
GROUP_BYTES = GROUP // 2  # the low nibble is the earlier value
NAN_SCALE = 255
# Value of each code: a sign, two bits of exponent, one of mantissa.
E2M1 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0)
_E8M0_BIAS = 127


def decode(blocks: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """blocks uint8 [..., groups, 16] and scales uint8 [..., groups] -> values in fp32, [..., groups * 32]."""
    values = torch.tensor(E2M1, device=blocks.device)
    pairs = torch.stack((values[(blocks & 15).int()], values[(blocks >> 4).int()]), dim=-1)
    scaled = torch.ldexp(pairs.flatten(-2), (scales.int() - _E8M0_BIAS).unsqueeze(-1))
    return scaled.flatten(-2)
