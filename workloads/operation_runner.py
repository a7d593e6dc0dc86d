"""Each operation of a step alone: the calls that the model really made, kept with their arguments and made again and again.

A kept call has the step's own weights, cache pages, drawn experts and activations, so alone it does what it does in a step. Calls of several layers take
turns, so that weights come from memory as they do in a step, not out of a cache that the call before has filled with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import psutil
import torch

from triton_kernels.libraries import Library, libraries_of
from triton_kernels.operation import Ledger, OpCall, StepFacts
from triton_kernels.operations import OPERATIONS
from workloads.call_runner import CallRunner
from workloads.plan import group_of
from workloads.steps import StepRunner

LEAST_CALLS = 8  # of one operation: what eight draws of the experts cost is near what all cost
RECORDED_STEPS = 2  # input sets whose calls are kept, the second where one alone does not fill the caches
CPU_CACHE_BYTES = 32 << 20  # where it cannot be asked for: last-level caches of servers, per socket, are about this and more

# Operations that add in place, and what it is that they add. Called again and again they would grow until rounding stalls them; so every other call
# adds the negative. Nothing drifts after one round: u + v - v + v - v is u + v - v, each step rounded (Knuth, TAOCP 2, 4.2.2, theorem D).
_ADDS = {"add_norm": "x_TH"}


@dataclass(frozen=True, kw_only=True)
class KeptCall:
    """One call of an operation with its arguments."""

    function: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def __call__(self) -> Any:
        return self.function(*self.args, **self.kwargs)

    @property
    def arguments(self) -> dict[str, Any]:
        """All arguments by name, those that were not given at their defaults."""
        names = [argument.name for argument in self.function._schema.arguments]
        defaults = {argument.name: argument.default_value for argument in self.function._schema.arguments}
        return defaults | dict(zip(names, self.args, strict=False)) | self.kwargs


@dataclass(kw_only=True)
class _Kept:
    """The calls kept of one entry of the plan, what one round of them reads, and the activations that they hold in memory."""

    calls: list[KeptCall] = field(default_factory=list)
    rounds_read_bytes: int = 0
    held_bytes: int = 0


class CallKeeper(Ledger):  # type: ignore[no-untyped-call]
    """Keeps calls of a step that runs for real: of each entry of the plan at least one, then more until a round reads twice the caches and holds LEAST_CALLS.

    `room_bytes`: most activations that are kept for one entry beyond its first call; weights, cache and inputs are there anyway.
    """

    def __init__(self, *, facts: StepFacts, least_read_bytes: int, room_bytes: int, kept: dict[tuple[Any, ...], _Kept]) -> None:
        super().__init__()
        self._facts, self._least_read_bytes, self._room_bytes, self._kept = facts, least_read_bytes, room_bytes, kept
        self._made: set[int] = set()  # memory that came into being in this step: activations

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        result = super().__torch_dispatch__(func, types, args, kwargs)
        given = _memory((*args, *(kwargs or {}).values()))
        self._made.update(_memory(result if isinstance(result, tuple | list) else (result,)).keys() - given.keys())
        return result

    def about_to_run(self, call: OpCall, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        operation, kept = OPERATIONS[call.op], self._kept.setdefault(group_of(call), _Kept())
        if operation.collective or self._enough(kept):
            return
        held_bytes = sum(size for where, size in _memory((*args, *kwargs.values())).items() if where in self._made)
        if kept.calls and kept.held_bytes + held_bytes > self._room_bytes:
            return
        kept.calls += _kept_calls(call, KeptCall(function=func, args=args, kwargs=kwargs))
        kept.held_bytes += held_bytes
        kept.rounds_read_bytes += operation.work(call, self._facts).read_bytes

    def _enough(self, kept: _Kept) -> bool:
        return len(kept.calls) >= LEAST_CALLS and kept.rounds_read_bytes >= self._least_read_bytes


def _memory(values: Iterable[Any]) -> dict[int, int]:
    """Where the tensors among the values lie, and how many bytes are held there."""
    storages = [value.untyped_storage() for value in values if isinstance(value, torch.Tensor)]
    return {storage.data_ptr(): storage.nbytes() for storage in storages}


def _kept_calls(call: OpCall, kept: KeptCall) -> list[KeptCall]:
    """The call itself; of one that adds in place two, the second taking back what the first adds, on tensors of their own: a step goes on."""
    if call.op not in _ADDS:
        return [kept]
    added = _ADDS[call.op]
    places = {argument.name: place for place, argument in enumerate(kept.function._schema.arguments)}
    args = list(kept.args)
    for name in OPERATIONS[call.op].mutates:
        if call.has(name):
            args[places[name]] = args[places[name]].clone()
    own = replace(kept, args=tuple(args))
    if not call.has(added):
        return [own]
    args[places[added]] = -args[places[added]]
    return [own, replace(kept, args=tuple(args))]


class OperationRunner(CallRunner):
    """One entry of a plan, alone. `why_not`: why there is nothing to run, else None."""

    def __init__(self, *, entry: int, call: OpCall, count: int, kept: Iterable[KeptCall], device: torch.device, why_not: str | None = None) -> None:
        self._kept = tuple(kept)
        super().__init__(self._kept, device)
        self.entry, self.op, self.part, self.count, self.why_not = entry, call.op, call.part, count, why_not

    @property
    def arguments(self) -> dict[str, Any]:
        """Of the first call, by name."""
        return self._kept[0].arguments

    def libraries(self) -> list[Callable[[], LibraryRunner]]:
        """What makes PyTorch's counterparts of these calls, nearest in meaning first; each may raise what triton_kernels.libraries says, made or run."""
        return [partial(self._library, place, first) for place, first in enumerate(libraries_of(self.op, self.arguments) if self._kept else ())]

    @torch.inference_mode()
    def _library(self, place: int, first: Library) -> LibraryRunner:
        """Copies that it needs take a quarter of the device's free memory at most, and one call's at least."""
        most = max(1, free_bytes(self.device) // 4 // first.copied_bytes) if first.copied_bytes else self.rotated
        calls = [libraries_of(self.op, kept.arguments)[place].prepare() for kept in self._kept[:most]]
        return LibraryRunner(name=first.name, differs=first.differs, calls=calls, device=self.device)


class LibraryRunner(CallRunner):
    """A library's counterpart of an operation's calls. `differs`: what of the operation it does not do."""

    def __init__(self, *, name: str, differs: str, calls: Iterable[Callable[[], Any]], device: torch.device) -> None:
        super().__init__(calls, device)
        self.name, self.differs = name, differs

    def capture(self, pool: Any) -> None:
        """As any calls; one that waits for the GPU is refused before, since a capture that fails leaves PyTorch (before 2.12) unable to make another."""
        if self.device.type == "cuda":
            before = torch.cuda.get_sync_debug_mode()
            torch.cuda.set_sync_debug_mode("error")
            try:
                self.call(0)
            finally:
                torch.cuda.set_sync_debug_mode(before)
        super().capture(pool)


def free_bytes(device: torch.device) -> int:
    """Memory that nobody holds now; a CPU's is the machine's."""
    return int(torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available)


def operation_runners(runner: StepRunner, *, most_bytes: int) -> list[OperationRunner]:
    """One runner for each entry of the step's plan, in its order. Runs steps of `runner` eagerly to get the calls.

    `most_bytes`: of activations kept beyond one call of each operation. Raises torch.OutOfMemoryError where even those do not fit.
    """
    groups = runner.plan.groups
    kept: dict[tuple[Any, ...], _Kept] = {}
    for i in range(min(RECORDED_STEPS, runner.sets)):
        keeper = CallKeeper(facts=runner.facts(i), least_read_bytes=2 * _cache_bytes(runner.device), room_bytes=most_bytes // len(groups), kept=kept)
        with torch.inference_mode(), keeper:
            runner.step(i)
        assert tuple(keeper.calls) == runner.plan.calls, "a step that makes other calls than its plan"
    return [
        OperationRunner(entry=entry, call=calls[0], count=len(calls), kept=kept[key].calls, device=runner.device, why_not=_why_not(calls[0]))
        for entry, (key, calls) in enumerate(groups.items())
    ]


def _why_not(call: OpCall) -> str | None:
    return "collective: its link is modelled" if OPERATIONS[call.op].collective else None


def _cache_bytes(device: torch.device) -> int:
    return int(torch.cuda.get_device_properties(device).L2_cache_size) if device.type == "cuda" else CPU_CACHE_BYTES
