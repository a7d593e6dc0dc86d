"""What one step is asked to do. Importable without torch."""

from __future__ import annotations

from dataclasses import dataclass

from triton_kernels.errors import TokenmillError

PHASES = ("decode", "prefill")


@dataclass(frozen=True, kw_only=True, slots=True)
class StepShape:
    """decode: one new token for each of `batch` sequences, whose KV length is then `context`. prefill: `context` new tokens each, nothing before.

    `batch` is of one data-parallel rank. `mtp`: after the step the multi-token-prediction module drafts one token more for each sequence.
    """

    phase: str
    batch: int
    context: int
    mtp: bool = False

    def __post_init__(self) -> None:
        if self.phase not in PHASES:
            raise TokenmillError(f"unknown phase {self.phase!r}; use decode or prefill")
        for flag, value in (("batch", self.batch), ("context", self.context)):
            if not 1 <= value <= 1 << 24:
                raise TokenmillError(f"--{flag} {value}: should be from 1 to {1 << 24}")
        if self.tokens > 1 << 24:
            raise TokenmillError(f"--batch {self.batch} with --context {self.context}: {self.tokens} new tokens in one step; should be at most {1 << 24}")

    @property
    def query_len(self) -> int:
        """New tokens of each sequence."""
        return 1 if self.phase == "decode" else self.context

    @property
    def tokens(self) -> int:
        """New tokens of the whole step."""
        return self.batch * self.query_len
