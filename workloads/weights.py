"""Where a model's parameters come from. The model asks for each of them once, by name and whole shape; a source answers with this rank's part of it.

Shapes: V vocabulary, H hidden, W fused qkv width, A query heads, D head dim, E experts, I expert or MLP intermediate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import torch

from triton_kernels.errors import TokenmillError
from triton_kernels.formats import Format
from triton_kernels.matmul import multiply
from triton_kernels.operand import Operand, empty_operand, encode
from triton_kernels.quantize import quantized
from workloads.recipe import Use

UseOf = Callable[[str, tuple[int, ...]], Use]  # how a parameter is kept, by name and whole shape: see workloads.recipe


@dataclass(frozen=True, kw_only=True, slots=True)
class Cut:
    """Which part of a dimension a rank keeps: the given ranges, one behind the other."""

    dim: int
    ranges: tuple[tuple[int, int], ...]

    @property
    def size(self) -> int:
        return sum(last - first for first, last in self.ranges)


def cut(dim: int, blocks: tuple[int, ...], *, part: int, parts: int) -> tuple[Cut, ...]:
    """Part `part` of `parts` of each block of a dimension, blocks behind one another (gate and up; query, key and value heads). Nothing to cut: ()."""
    if parts == 1:
        return ()
    ranges, start = [], 0
    for size in blocks:
        assert size % parts == 0, (blocks, parts)
        ranges.append((start + size // parts * part, start + size // parts * (part + 1)))
        start += size
    return (Cut(dim=dim, ranges=tuple(ranges)),)


def local_dims(dims: tuple[int, ...], cuts: tuple[Cut, ...]) -> tuple[int, ...]:
    """The shape of a rank's part."""
    local = list(dims)
    for one in cuts:
        local[one.dim] = one.size
    return tuple(local)


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """A matrix that is multiplied: its values as they are kept, [.., outputs, inputs], and the format of what they are multiplied with."""

    weight: Operand
    takes: Format

    def __call__(self, x: Operand, bias_N: torch.Tensor | None = None, activation: str = "none", *, out: Format | None = None) -> Operand:
        """activation(x @ weight.T + bias) in the format `out`, or plain. x is quantised first where its producer could not."""
        return multiply(quantized(x, self.takes), self.weight, bias_N, activation, out=out)


class WeightSource(Protocol):
    def __call__(self, name: str, *dims: int, std: float | None, cuts: tuple[Cut, ...] = ()) -> torch.Tensor:
        """This rank's part of the parameter `name`, whose whole shape is `dims`, in a plain format. `std`: spread of random values around 0; None: a norm's
        gain, around 1."""
        ...

    def matrix(self, name: str, *dims: int, std: float, cuts: tuple[Cut, ...] = ()) -> Matrix:
        """The same for a matrix that a recipe may quantise."""
        ...

    def cache_scale(self, name: str) -> torch.Tensor:
        """fp32 [1]: what the codes of an fp8 cache are multiplied by. `name`: of a layer's k_scale, v_scale or latent_scale."""
        ...


def check_groups(name: str, dims: tuple[int, ...], fmt: Format) -> None:
    """TokenmillError where a rank's matrix does not divide into the groups that share a scale. Blocks of 128 may be ragged, as DeepSeek's are."""
    if fmt.scale in ("e8m0", "e4m3") and dims[-1] % fmt.group:
        raise TokenmillError(f"{fmt.name}: {name} has {dims[-1]} inputs on a rank, no multiple of the {fmt.group} that share a scale; choose another --tp")


@dataclass(kw_only=True)
class MetaWeights:
    """Shapes without values: a model of any size costs no memory. Counts what was asked for: whole shapes, and this rank's bytes."""

    use_of: UseOf
    parameters: dict[str, tuple[int, ...]] = field(default_factory=dict)
    matrices: dict[str, Use] = field(default_factory=dict)  # how those that a recipe may quantise are kept and multiplied
    rank_bytes: int = 0

    def __call__(self, name: str, *dims: int, std: float | None, cuts: tuple[Cut, ...] = ()) -> torch.Tensor:
        return self._asked(name, dims, cuts).weight.values

    def matrix(self, name: str, *dims: int, std: float, cuts: tuple[Cut, ...] = ()) -> Matrix:
        self.matrices[name] = self.use_of(name, dims)
        return self._asked(name, dims, cuts)

    def cache_scale(self, name: str) -> torch.Tensor:
        return torch.empty(1, dtype=torch.float32, device="meta")

    def _asked(self, name: str, dims: tuple[int, ...], cuts: tuple[Cut, ...]) -> Matrix:
        self.parameters[name] = dims
        use, local = self.use_of(name, dims), local_dims(dims, cuts)
        check_groups(name, local, use.weight)
        if len(local) == 1:
            weight = Operand(format=use.weight, values=torch.empty(local, dtype=use.weight.dtype, device="meta"))
        else:
            weight = empty_operand(local, use.weight, torch.device("meta"), layout=use.layout)
        self.rank_bytes += weight.nbytes
        return Matrix(weight=weight, takes=use.takes)


class RandomWeights:
    """Values of a trained model's scale, made on the device that will use them: never zeros, which run faster than real data.

    The same seed gives the same values under every recipe: a quantised matrix holds what the plain one would, encoded.
    """

    def __init__(self, *, use_of: UseOf, device: torch.device, seed: int) -> None:
        self.use_of = use_of
        self.device = device
        self._generator = torch.Generator(device=device).manual_seed(seed)

    def __call__(self, name: str, *dims: int, std: float | None, cuts: tuple[Cut, ...] = ()) -> torch.Tensor:
        values = torch.empty(local_dims(dims, cuts), dtype=self.use_of(name, dims).weight.dtype, device=self.device)
        mean, spread = (1.0, 0.1) if std is None else (0.0, std)
        return values.normal_(mean, spread, generator=self._generator)

    def matrix(self, name: str, *dims: int, std: float, cuts: tuple[Cut, ...] = ()) -> Matrix:
        use, local = self.use_of(name, dims), local_dims(dims, cuts)
        check_groups(name, local, use.weight)
        weight = empty_operand(local, use.weight, self.device, layout=use.layout)
        # One expert at a time: encoding takes several times the memory of what it encodes.
        for expert in range(local[0]) if len(local) == 3 else (slice(None),):
            drawn = torch.empty(local[-2:], dtype=use.weight.dtype if use.weight.plain else torch.bfloat16, device=self.device)
            put(weight, expert, encode(drawn.normal_(0.0, std, generator=self._generator), use.weight, layout=use.layout))
        return Matrix(weight=weight, takes=use.takes)

    def cache_scale(self, name: str) -> torch.Tensor:
        return torch.ones(1, device=self.device)  # as vLLM without a calibrated one


def put(weight: Operand, place: int | slice, part: Operand) -> None:
    """Writes one expert's operand into its place in that of all."""
    for whole, values in ((weight.values, part.values), (weight.scale, part.scale), (weight.global_scale, part.global_scale)):
        if whole is not None and values is not None:
            whole[place].copy_(values)


@dataclass(frozen=True, kw_only=True, slots=True)
class ParameterCount:
    """Parameters of the whole model, and those one token touches: publishers count the embedding table in (3.35 B of Qwen3-30B-A3B) or out (3.04 B)."""

    total: int
    active: int
    active_without_embedding: int


def count_parameters(parameters: dict[str, tuple[int, ...]], *, experts: int, top_k: int) -> ParameterCount:
    """Counts what the model asked for. Names under `.experts.` hold all experts in their first dimension; a token touches top_k of them.

    Multi-token-prediction modules (names under `mtp.`) are not counted, as publishers do not.
    """
    total = active = embedding = 0
    for name, dims in parameters.items():
        if name.startswith("mtp."):
            continue
        size = 1
        for dim in dims:
            size *= dim
        total += size
        active += size * top_k // experts if ".experts." in name else size
        embedding += size if name == "embedding" else 0
    # A tied table is also the head, which every token multiplies with: it stays active.
    tied = "head" not in parameters
    return ParameterCount(total=total, active=active, active_without_embedding=active - (0 if tied else embedding))
