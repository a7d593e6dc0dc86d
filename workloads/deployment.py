"""How a model is spread over GPUs and in which number formats, and which of its GPUs this process plays. Importable without torch."""

from __future__ import annotations

from dataclasses import dataclass

from triton_kernels.errors import TokenmillError
from triton_kernels.formats import Format, format_named
from workloads.model_spec import Gqa, ModelSpec
from workloads.recipe import Recipe, recipe_named

MOST_GPUS = 4096
FP8_CACHE = "fp8"  # e4m3 with one scale per layer and tensor, as vLLM and TensorRT-LLM keep it


@dataclass(frozen=True, kw_only=True, slots=True)
class Deployment:
    """Number formats and parallel sizes.

    tp shards heads, MLPs and head over GPUs that work on the same sequences; dp groups of tp GPUs work on sequences of their own; ep spreads the experts over
    all of them. GPUs = tp x dp. Where ep is larger than tp, tokens travel between the ranks of the expert-parallel group (all-to-all); where it is not, each
    rank adds its experts' share to the sum over tp, and each expert is itself sharded over tp / ep GPUs.
    """

    precision: str = "bf16"  # a recipe: see workloads.recipe
    kv_cache: str | None = None  # None: as the activations; or "fp8"
    tp: int = 1
    ep: int = 1
    dp: int = 1
    arch: int | None = None  # compute capability x 10 of its GPUs, which decides what a recipe's matrices are multiplied with; None: no GPU

    def __post_init__(self) -> None:
        plain = recipe_named(self.precision).plain.name
        if self.kv_format.name not in (plain, FP8_CACHE):
            raise TokenmillError(f"--kv-cache {self.kv_cache} with --precision {self.precision}: should be {plain} or {FP8_CACHE}")
        for flag, size in (("tp", self.tp), ("ep", self.ep), ("dp", self.dp)):
            if not 1 <= size <= MOST_GPUS:
                raise TokenmillError(f"--{flag} {size}: should be from 1 to {MOST_GPUS}")
        if self.gpus % self.ep:
            raise TokenmillError(f"--ep {self.ep}: should divide the {self.gpus} GPUs of --tp {self.tp} --dp {self.dp}")
        if self.ep % self.tp and self.tp % self.ep:
            raise TokenmillError(f"--ep {self.ep} with --tp {self.tp}: one should be a multiple of the other")

    @property
    def recipe(self) -> Recipe:
        return recipe_named(self.precision)

    @property
    def activation_format(self) -> Format:
        return self.recipe.plain

    @property
    def kv_format(self) -> Format:
        return format_named(self.kv_cache) if self.kv_cache else self.activation_format

    @property
    def gpus(self) -> int:
        return self.tp * self.dp

    @property
    def exchanges(self) -> bool:
        """Whether tokens travel to their experts' ranks."""
        return self.ep > self.tp

    @property
    def token_ranks(self) -> int:
        """Ranks of the expert-parallel group that hold tokens of their own: all of it where tokens travel."""
        return self.ep if self.exchanges else 1

    @property
    def expert_shards(self) -> int:
        """GPUs that share one expert, each with a part of its intermediate width."""
        return 1 if self.exchanges else self.tp // self.ep

    def check(self, spec: ModelSpec) -> None:
        """TokenmillError where the model's dimensions cannot be divided so."""
        if spec.moe is None and self.ep > 1:
            raise TokenmillError(f"--ep {self.ep}: {spec.name} has no experts")
        if spec.moe is not None and spec.moe.experts % self.ep:
            raise TokenmillError(f"--ep {self.ep}: should divide the {spec.moe.experts} experts of {spec.name}")
        widths = [("attention heads", spec.attention.heads), ("rows of the head (vocabulary)", spec.vocab), ("hidden size", spec.hidden)]
        if isinstance(spec.attention, Gqa) and spec.attention.kv_heads % self.tp and self.tp % spec.attention.kv_heads:
            raise TokenmillError(f"--tp {self.tp}: should divide the {spec.attention.kv_heads} key/value heads of {spec.name}, or be a multiple of them")
        if spec.dense_intermediate is not None:
            widths.append(("columns of the MLP", spec.dense_intermediate))
        for what, size in widths:
            if size % self.tp:
                raise TokenmillError(f"--tp {self.tp}: should divide the {size} {what} of {spec.name}")
        if spec.moe is not None:
            if spec.moe.intermediate % self.expert_shards:
                raise TokenmillError(f"--tp {self.tp} --ep {self.ep}: {self.expert_shards} GPUs cannot share an expert of {spec.moe.intermediate} columns")
            if spec.moe.shared_intermediate % self.tp:
                raise TokenmillError(f"--tp {self.tp}: should divide the {spec.moe.shared_intermediate} columns of the shared expert of {spec.name}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Rank:
    """The place of one process in a deployment: number `index` of tp x dp GPUs, tensor-parallel neighbours first."""

    deployment: Deployment
    index: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.deployment.gpus:
            raise TokenmillError(f"--rank {self.index}: should be from 0 to {self.deployment.gpus - 1}")

    @property
    def tp(self) -> int:
        """Place in the tensor-parallel group."""
        return self.index % self.deployment.tp

    @property
    def ep(self) -> int:
        """Place in the expert-parallel group."""
        if self.deployment.exchanges:
            return self.index % self.deployment.ep
        return self.tp // self.deployment.expert_shards

    @property
    def expert_shard(self) -> int:
        """Which part of its experts' intermediate width this rank has."""
        return self.tp % self.deployment.expert_shards


def deployment_of(
    *, precision: str, kv_cache: str | None = None, tp: int = 1, ep: int = 1, dp: int | None = None, arch: int | None = None
) -> Deployment:
    """A deployment from command-line options: `--ep N` alone means N GPUs, dp = N / tp."""
    if dp is None:
        dp = max(1, ep // tp) if tp >= 1 else 1
        if ep > tp >= 1 and ep % tp:
            raise TokenmillError(f"--ep {ep} with --tp {tp}: should be a multiple of it; or give --dp")
    return Deployment(precision=precision, kv_cache=kv_cache, tp=tp, ep=ep, dp=dp, arch=arch)
