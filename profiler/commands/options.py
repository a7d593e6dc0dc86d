"""Options that several commands read alike: comma lists."""

from __future__ import annotations

from triton_kernels.errors import TokenmillError


def names(flag: str, text: str) -> list[str]:
    """`a, b` as ["a", "b"]; a TokenmillError that names the flag for nothing."""
    found = [item.strip() for item in text.split(",") if item.strip()]
    if not found:
        raise TokenmillError(f"{flag} {text[:60]!r}: is empty; give a name or a comma list")
    return found


def whole_numbers(flag: str, text: str) -> list[int]:
    """`1,32,128` as numbers; a TokenmillError that names the flag for anything else, or for nothing."""
    try:
        return [int(item) for item in names(flag, text)]
    except ValueError as e:
        raise TokenmillError(f"{flag} {text[:60]!r}: should be whole numbers separated by commas, such as 1,32,128") from e
