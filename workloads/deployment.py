"""How a model is spread over GPUs and in which number formats. Importable without torch."""

from __future__ import annotations

from dataclasses import dataclass

from triton_kernels.errors import TokenmillError
from triton_kernels.formats import Format, format_named


@dataclass(frozen=True, kw_only=True, slots=True)
class Deployment:
    """Number formats and parallel sizes. One GPU for now: larger sizes are refused, never silently priced as one."""

    precision: str = "bf16"  # weights and activations
    kv_cache: str | None = None  # None: as the activations
    tp: int = 1
    ep: int = 1
    dp: int = 1

    def __post_init__(self) -> None:
        format_named(self.precision)
        if self.kv_format is not self.activation_format:
            raise TokenmillError(f"--kv-cache {self.kv_cache} with --precision {self.precision}: the cache must have the activations' format for now")
        for flag, size in (("tp", self.tp), ("ep", self.ep), ("dp", self.dp)):
            if size != 1:
                raise TokenmillError(f"--{flag} {size}: deployments of several GPUs are not supported yet; use --{flag} 1")

    @property
    def weight_format(self) -> Format:
        return format_named(self.precision)

    @property
    def activation_format(self) -> Format:
        return format_named(self.precision)

    @property
    def kv_format(self) -> Format:
        return format_named(self.kv_cache or self.precision)

    @property
    def gpus(self) -> int:
        return self.tp * self.dp
