"""Options that several commands read alike: comma lists."""

from __future__ import annotations

from triton_kernels.errors import TokenmillError


def names(text: str) -> list[str]:
    """`a, b` as ["a", "b"]."""
    return [item.strip() for item in text.split(",") if item.strip()]


def whole_numbers(flag: str, text: str) -> list[int]:
    """`1,32,128` as numbers; a TokenmillError that names the flag for anything else, or for nothing."""
    try:
        numbers = [int(item) for item in names(text)]
    except ValueError:
        numbers = []
    if not numbers:
        raise TokenmillError(f"{flag} {text[:60]!r}: should be whole numbers separated by commas, such as 1,32,128")
    return numbers
