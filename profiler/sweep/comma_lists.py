"""Comma lists, which every command's options read alike."""

from __future__ import annotations

import re

from triton_kernels.errors import TokenmillError


def names(flag: str, text: str) -> list[str]:
    """`a, b` as ["a", "b"]; a TokenmillError that names the flag for nothing."""
    found = [item.strip() for item in text.split(",") if item.strip()]
    if not found:
        raise TokenmillError(f"{flag} {text[:60]!r}: is empty; give a value or a comma list")
    return found


def whole_numbers(flag: str, text: str) -> list[int]:
    """`1,32,4k` as numbers, k being 1024 as in a mix; a TokenmillError that names the flag for anything else, or for nothing."""
    numbers: list[int] = []
    for item in names(flag, text):
        match = re.fullmatch(r"(\d{1,9})(k?)", item.lower(), re.ASCII)
        if match is None:
            raise TokenmillError(f"{flag} {text[:60]!r}: should be whole numbers separated by commas, such as 1,32,128")
        numbers.append(int(match[1]) * (1024 if match[2] else 1))
    return numbers
