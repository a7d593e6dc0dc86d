"""What an operation is: one launch, defined once for meta, CPU and CUDA tensors, that can say how much work it does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from triton_kernels.formats import format_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """Least work of one call: arithmetic, and traffic with each byte read and written once."""

    flops: int = 0
    lane: str | None = None  # tensor-core lane that does the flops ("bf16", "fp32", ...); None: no matrix unit
    read_bytes: int = 0  # from device memory
    written_bytes: int = 0  # to device memory
    link_bytes: int = 0  # sent by this rank over NVLink or the network

    @property
    def memory_bytes(self) -> int:
        return self.read_bytes + self.written_bytes

    def __add__(self, other: Work) -> Work:
        assert self.lane is None or other.lane is None or self.lane == other.lane, (self.lane, other.lane)
        return Work(
            flops=self.flops + other.flops,
            lane=self.lane or other.lane,
            read_bytes=self.read_bytes + other.read_bytes,
            written_bytes=self.written_bytes + other.written_bytes,
            link_bytes=self.link_bytes + other.link_bytes,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class StepFacts:
    """What shapes cannot tell about one step; drawn on the host before the step runs."""

    query_len_S: tuple[int, ...] = ()  # tokens of each sequence in this step
    context_len_S: tuple[int, ...] = ()  # KV length of each sequence once this step's tokens are written
    # By decoder layer, for this rank: all four are empty where the model has no experts.
    rows_per_expert_LE: tuple[tuple[int, ...], ...] = ()  # live rows of each local expert; () for a dense layer
    tokens_L: tuple[int, ...] = ()  # rows of x that at least one local expert takes
    sent_rows_L: tuple[int, ...] = ()  # (token, choice) pairs of this rank's tokens whose expert is on another rank
    received_rows_L: tuple[int, ...] = ()  # pairs of other ranks' tokens whose expert is here


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorShape:
    dims: tuple[int, ...]
    dtype: torch.dtype

    @property
    def nbytes(self) -> int:
        size = self.dtype.itemsize
        for dim in self.dims:
            size *= dim
        return size


@dataclass(frozen=True, kw_only=True, slots=True)
class OpCall:
    """One call of an operation: which, where in the model, on what shapes, with what other arguments."""

    op: str
    part: str  # place in the model, e.g. "experts.down"
    layer: int | None  # decoder layer, None outside the layers
    tensors: tuple[tuple[str, TensorShape], ...]  # by argument name; an absent optional tensor is not listed
    attrs: tuple[tuple[str, Any], ...]  # the other arguments, by name

    def dims(self, name: str) -> tuple[int, ...]:
        return self.shape(name).dims

    def shape(self, name: str) -> TensorShape:
        return dict(self.tensors)[name]

    def has(self, name: str) -> bool:
        return name in dict(self.tensors)

    def attr(self, name: str) -> Any:
        return dict(self.attrs)[name]

    def nbytes(self, *names: str) -> int:
        """Bytes of the named tensors together; absent optional ones count nothing."""
        shapes = dict(self.tensors)
        return sum(shapes[n].nbytes for n in names if n in shapes)

    def lane(self, name: str) -> str:
        """The tensor-core lane that multiplies the named tensor."""
        found = format_of(self.shape(name).dtype)
        assert found is not None, (self.op, name, self.shape(name))
        return found.lane


_LIBRARY = torch.library.Library("tokenmill", "FRAGMENT")  # type: ignore[no-untyped-call]


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One operation. Calling it runs `launch` on CUDA tensors, `reference` on CPU tensors, `fake` on meta tensors."""

    name: str
    reference: Callable[..., Any]  # plain torch, any device; the meaning of the operation
    launch: Callable[..., Any]  # the Triton kernel's launcher; runs under the interpreter too
    fake: Callable[..., Any]  # empty outputs of the right shape and type
    work: Callable[[OpCall, StepFacts], Work]  # host arithmetic only
    inputs: Callable[..., dict[str, Any]]  # inputs(generator=, dtype=, **case): random arguments on the CPU by name, unused slots NaN
    cases: tuple[dict[str, Any], ...]  # shapes that `inputs` takes and correctness is proven at: odd, ragged, empty, large
    mutates: tuple[str, ...] = ()  # arguments written in place
    live: Callable[..., Any] | None = None  # live(outputs, **arguments): the part of the outputs that means something; None: all of it
    collective: bool = False  # runs over torch.distributed; has no kernel of its own
    _run: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # Not torch.library.custom_op: up to PyTorch 2.11 its wrapper for autograd, of no use to a step, fails on a written argument left at its default.
        schema = torch.library.infer_schema(self.reference, mutates_args=self.mutates)
        _LIBRARY.define(self.name + schema)  # type: ignore[no-untyped-call]
        _LIBRARY.impl(self.name, self.reference, "CPU")  # type: ignore[no-untyped-call]
        _LIBRARY.impl(self.name, self.launch, "CUDA")  # type: ignore[no-untyped-call]
        torch.library.register_fake(f"tokenmill::{self.name}", self.fake, lib=_LIBRARY)
        object.__setattr__(self, "_run", getattr(torch.ops.tokenmill, self.name).default)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._run(*args, **kwargs)


def wide(x: torch.Tensor) -> torch.Tensor:
    """x in at least fp32: references accumulate there, whatever they store in."""
    return x if x.dtype == torch.float64 else x.float()


_part: ContextVar[str] = ContextVar("part", default="")
_layer: ContextVar[int | None] = ContextVar("layer", default=None)


@contextmanager
def part(name: str, *, layer: int | None = None) -> Iterator[None]:
    """Names the place in the model that the calls inside belong to; nests with dots. `layer` is the decoder layer, kept apart from the name."""
    outer = _part.get()
    part_token = _part.set(f"{outer}.{name}" if outer and name else outer or name)
    layer_token = _layer.set(_layer.get() if layer is None else layer)
    try:
        yield
    finally:
        _part.reset(part_token)
        _layer.reset(layer_token)


def place() -> tuple[str, int | None]:
    """Where in the model we are: the name of the innermost `part`, and the decoder layer."""
    return _part.get(), _layer.get()


# Views and allocations move no data; anything else in a step must be one of our operations.
_FREE = frozenset(
    f"aten::{name}"
    for name in (
        "view", "reshape", "_unsafe_view", "_reshape_alias", "slice", "select", "split", "split_with_sizes", "unbind", "narrow", "unsqueeze", "squeeze",
        "transpose", "t", "permute", "expand", "as_strided", "empty", "empty_strided", "new_empty", "new_empty_strided", "empty_like", "detach", "alias",
    )
)  # fmt: skip


class Ledger(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Writes down every operation of a step. On meta tensors this is the plan of a model of any size.

    Raises AssertionError on any other aten call that is not a view or an allocation: plain torch operations decompose differently by device.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[OpCall] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name
        if name.startswith("tokenmill::"):
            self.calls.append(_op_call(func, args, kwargs))
            self.about_to_run(self.calls[-1], func, args, kwargs)
        elif name not in _FREE:
            raise AssertionError(f"{name} in a step: plain torch operations decompose differently by device; make it an Operation")
        return func(*args, **kwargs)

    def about_to_run(self, call: OpCall, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Told of every operation before it runs as func(*args, **kwargs): for ledgers that keep more than what was called."""


def _op_call(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> OpCall:
    tensors, attrs = [], []
    for i, argument in enumerate(func._schema.arguments):
        value = args[i] if i < len(args) else kwargs.get(argument.name, argument.default_value)
        if isinstance(value, torch.Tensor):
            tensors.append((argument.name, TensorShape(dims=tuple(value.shape), dtype=value.dtype)))
        elif value is not None:
            attrs.append((argument.name, tuple(value) if isinstance(value, list) else value))
    op = func._schema.name.removeprefix("tokenmill::")
    return OpCall(op=op, part=_part.get(), layer=_layer.get(), tensors=tuple(tensors), attrs=tuple(attrs))
