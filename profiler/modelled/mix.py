"""A mix: how many input, cached and output tokens a request has. Every price of a token names the mix it holds for."""

from __future__ import annotations

import re
from dataclasses import dataclass

from triton_kernels.errors import TokenmillError

MAX_TOKENS = 1 << 24
_COUNT = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)(k|m)?", re.ASCII)
_SCALE = {None: 1, "k": 1 << 10, "m": 1 << 20}  # "8k/1k" is 8192/1024, as in InferenceX and in `vllm bench`'s presets


@dataclass(frozen=True, kw_only=True, slots=True)
class Mix:
    """Tokens of one request: `isl` input, of which the first `cached` are found in a cache, and `osl` output."""

    isl: int
    osl: int
    cached: int = 0

    @property
    def fresh(self) -> int:
        """Input tokens that have to be computed."""
        return self.isl - self.cached

    @property
    def name(self) -> str:
        """The mix as it is written: `8k/1k`, `1000/200`, `8k/1k/6k`. One name for one mix, whatever the user typed."""
        return "/".join(_short(n) for n in (self.isl, self.osl, self.cached)[: 3 if self.cached else 2])


def parse_mix(text: str) -> Mix:
    """ISL/OSL[/cached], each a count of tokens with an optional k (1024) or m. A TokenmillError for anything else."""
    parts = [_count(part) for part in text.strip().lower().split("/")]
    if len(parts) not in (2, 3) or any(part is None for part in parts):
        raise TokenmillError(f"mix {text[:60]!r}: should be input/output[/cached] tokens, such as 8k/1k, 1024/256 or 8k/1k/6k (k is 1024)")
    isl, osl, cached = (*(part or 0 for part in parts), 0)[:3]
    if not (1 <= isl <= MAX_TOKENS and 1 <= osl <= MAX_TOKENS):
        raise TokenmillError(f"mix {text[:60]!r}: input and output should be from 1 to {MAX_TOKENS} tokens")
    if cached >= isl:
        raise TokenmillError(f"mix {text[:60]!r}: cached tokens should be fewer than the {isl} input tokens, whose last is always computed")
    return Mix(isl=isl, osl=osl, cached=cached)


def _count(text: str) -> int | None:
    match = _COUNT.fullmatch(text.strip())
    if match is None:
        return None
    value = float(match[1]) * _SCALE[match[2]]
    return int(value) if value == int(value) else None


def _short(tokens: int) -> str:
    return f"{tokens >> 10}k" if tokens and tokens % 1024 == 0 else str(tokens)
