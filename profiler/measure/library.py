"""An operation beside PyTorch's own library: the first counterpart that runs, its time in the same rounds, the ratio with its interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from profiler.measure.memory import ran_out
from profiler.measure.statistics import mean_interval, median
from profiler.measure.timing import Iterations, TimedWindow, warm_up

# What PyTorch raises for types, sizes or devices that a library does not take, by version.
_REFUSALS = (RuntimeError, ValueError, TypeError, NotImplementedError)
NONE_HERE = "PyTorch has no counterpart"


class Library(Iterations, Protocol):
    """A library's counterpart of an operation: workloads.operation_runner.LibraryRunner, or a test's stand-in."""

    name: str
    differs: str

    @property
    def calls_per_iteration(self) -> int: ...

    def capture(self, pool: Any) -> None: ...


class HasLibraries(Protocol):
    def libraries(self) -> Sequence[Callable[[], Library]]: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Counterpart:
    """What an operation is compared with, or why there is nothing (`library` None). `note`: what the library does not do, and which ways did not run."""

    library: Library | None
    iteration_s: float = 0.0
    note: str = ""


def first_that_runs(operation: HasLibraries, look_s: float) -> Counterpart:
    """The nearest counterpart that this GPU and this PyTorch run, captured in memory of its own and looked at for `look_s` seconds."""
    refused: list[str] = []
    for make in operation.libraries():
        try:
            library = make()
            library.capture(None)
            look = warm_up(library, least_s=look_s, most_s=look_s)
        except Exception as e:
            if not (ran_out(e) or isinstance(e, _REFUSALS)):
                raise
            refused.append(f"does not run here: {'out of memory' if ran_out(e) else _one_line(e)}")
        else:
            return Counterpart(library=library, iteration_s=look.step_s, note="; ".join(said for said in (library.differs, *refused) if said))
        _still_answers(refused[-1])
    return Counterpart(library=None, note="; ".join(refused) or NONE_HERE)


def _still_answers(said: str) -> None:
    """Raises where the library took the GPU's context with it: otherwise the next of our kernels would be blamed."""
    import torch

    try:
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            torch.cuda.synchronize()
    except RuntimeError as e:
        raise RuntimeError(f"a library that {said} left the GPU unusable: {_one_line(e)}") from e


def _one_line(e: Exception) -> str:
    return f"{type(e).__name__}: {str(e).partition(chr(10))[0][:120]}"


def library_fields(counterpart: Counterpart | None, ours: Sequence[TimedWindow], our_calls: int, theirs: Sequence[TimedWindow]) -> dict[str, Any]:
    """The row's fields of the comparison (profiler.record.schema); all null where nobody compared. `our_calls`: of one iteration of ours."""
    fields: dict[str, Any] = dict.fromkeys(("library", "library_s", "library_note", "kernel_ratio", "kernel_ratio_ci95"))
    if counterpart is None:
        return fields
    if counterpart.library is None:
        return fields | {"library_note": counterpart.note}
    if not theirs:
        return fields
    seconds = [window.busy_s / (window.steps * counterpart.library.calls_per_iteration) for window in theirs]
    # Windows of one round are neighbours in time: what slows both cancels.
    logs = [math.log(s / (window.busy_s / (window.steps * our_calls))) for s, window in zip(seconds, ours, strict=True)]
    interval, ratio_interval = mean_interval(seconds), mean_interval(logs)
    return fields | {
        "library": counterpart.library.name,
        "library_note": counterpart.note or None,
        "library_s": {"median": median(seconds), "ci95": None if interval is None else list(interval), "n": len(seconds)},
        "kernel_ratio": math.exp(math.fsum(logs) / len(logs)),
        "kernel_ratio_ci95": None if ratio_interval is None else [math.exp(edge) for edge in ratio_interval],
    }


def ratio_of_step(rows: Sequence[Mapping[str, Any]]) -> float | None:
    """Library's time over ours of all operations that were compared, each as often as a step calls it; None where they are less than half of the operations'
    time: then they say little of the step."""
    timed = [row for row in rows if row["call_s"] is not None]
    ours_s, theirs_s = (
        math.fsum(row["count"] * row[name]["median"] for row in timed if row["kernel_ratio"] is not None) for name in ("call_s", "library_s")
    )
    whole_s = math.fsum(row["count"] * row["call_s"]["median"] for row in timed)
    return theirs_s / ours_s if ours_s and ours_s >= whole_s / 2 else None
