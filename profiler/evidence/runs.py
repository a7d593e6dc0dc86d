"""Parts that are runs of tokenmill, each packed in a folder of its own: which, as one literal table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from profiler.evidence import child
from profiler.evidence.call import Turn
from profiler.evidence.packing import SCRATCH, label, pack, scratch
from profiler.evidence.text import shown

NOT_VALID = 3  # tokenmill run: measured, but a point is not valid


@dataclass(frozen=True, kw_only=True)
class PlannedRun:
    """`arguments` of `tokenmill run MODEL` on a GPU, PRECISION standing for --precision's; `rehearsed`: on a CPU, "" where another run shows the way.

    `weight`: of the part's time, beside the others'. `model`: None takes --model's. `memory_bytes`: of GPUs that it is for, from (included) to.
    `times_only`: its windows are too short for joules, so that its points are not valid by design.
    """

    folder: str
    arguments: str
    rehearsed: str
    weight: float = 1.0
    model: str | None = None
    memory_bytes: tuple[float, float] = (0.0, float("inf"))
    times_only: bool = False


_TINY = "--batch 2 --mix 64/16 --window 0.05 --windows 2"
_TINY_STEP = "--phase decode --batch 2 --context 64 --windows 2 --layers 1"
_TINY_ALONE = "--batch 2 --context 64 --window 0.05 --windows 2 --layers 1 --per-op"
_POINT = "--precision bf16 --phase decode --batch 32 --context 4k"

RUNS: Mapping[str, tuple[PlannedRun, ...]] = {
    # Batch 128 at 4.5k takes 58 GB of cache: with 61 GB of weights it fits 141 GB.
    "steps": (PlannedRun(folder=".", arguments="--precision PRECISION --batch 1,32,128 --mix 4k/1k", rehearsed=_TINY),),
    # As published: experts in mxfp4 (65.2 GB of weights), widened to bf16 as they are read on Hopper; batch 128 at 4.5k takes 42 GB of cache.
    "released": (
        PlannedRun(
            folder="released", model="gpt-oss-120b", arguments="--precision mxfp4 --batch 32,128 --mix 4k/1k",
            rehearsed=f"{_TINY_STEP} --precision mxfp4 --window 0.05",
        ),
    ),
    # One GPU's part of the smallest deployment without tensor parallelism that fits: 102 GB of weights of EP 8 into 141 GB (batch 64 at most), 61 GB of EP 16
    # into 80 GB.
    "rank": (
        PlannedRun(
            folder="rank", model="deepseek-r1", arguments="--precision fp8 --ep 8 --batch 32 --mix 4k/1k", rehearsed=f"--ep 2 --layers 1 {_TINY}",
            memory_bytes=(130e9, float("inf")),
        ),
        PlannedRun(
            folder="rank", model="deepseek-r1", arguments="--precision fp8 --ep 16 --batch 32 --mix 4k/1k", rehearsed="", memory_bytes=(0.0, 130e9),
        ),
    ),
    # The first with joules and a valid point, which `explain` is shown of; the other for times beside libraries.
    "operations": (
        PlannedRun(folder="operations", weight=155, arguments=f"{_POINT} --window 2 --windows 3 --per-op", rehearsed=f"--phase decode {_TINY_ALONE}"),
        PlannedRun(
            folder="operations-more", weight=200, arguments="--precision bf16,fp8 --phase both --batch 128 --context 4k --window 0.2 --windows 3 --per-op",
            rehearsed=f"--phase both --precision bf16 {_TINY_ALONE}", times_only=True,
        ),
    ),
    # The first point of `operations` again, with other parts between, and in longer windows.
    "repeat": (PlannedRun(folder="repeat", arguments=_POINT, rehearsed=f"{_TINY_STEP} --window 0.05"),),
    "longer": (
        PlannedRun(folder="repeat-w5", arguments=f"{_POINT} --window 5", rehearsed=f"{_TINY_STEP} --window 0.1"),
        PlannedRun(folder="repeat-w10", arguments=f"{_POINT} --window 10", rehearsed=f"{_TINY_STEP} --window 0.2"),
    ),
}  # fmt: skip
LEAST_S = {"cuda": 45.0, "cpu": 8.0}  # of one run: start, ceilings, weights, one short point
_BESIDE_S = {"cuda": 30.0, "cpu": 5.0}  # start and ceilings, which --time-budget does not count


def fitting(turn: Turn, part: str) -> list[PlannedRun]:
    """The part's runs for this GPU; those that a CPU rehearses."""
    memory = turn.call.memory_bytes
    if memory is None:
        return [run for run in RUNS[part] if run.rehearsed]
    return [run for run in RUNS[part] if run.memory_bytes[0] <= memory < run.memory_bytes[1]]


def recorded(turn: Turn, part: str) -> bool:
    """Records the part's runs, each in its share of the time that is left."""
    planned = fitting(turn, part)
    results = []
    for place, run in enumerate(planned):
        share = run.weight / sum(later.weight for later in planned[place:])
        results.append(_recorded(turn, run, turn.left_s * share))
    return all(results)


steps, released, rank, operations, repeat, longer = (partial(recorded, part=name) for name in RUNS)


def _recorded(turn: Turn, run: PlannedRun, seconds: float) -> bool:
    """One run into its folder, in at most so many seconds."""
    call, model = turn.call, turn.call.model if turn.call.rehearsal or run.model is None else run.model
    if seconds < LEAST_S[call.device]:
        turn.left_out.append(f"{label(run.folder)} of {model} (only {seconds:.0f} s left)")
        return True
    command = child.tokenmill("run", model, "--device", call.device, *_arguments(turn, run))
    command += ["--out", SCRATCH, "--time-budget", f"{max(5, int(seconds - _BESIDE_S[call.device]))}s", "--json"]
    print(f"$ {shown(command)}", flush=True)
    runs = scratch(call.out)
    ended = child.run(command, seconds=seconds, interrupted=call.interrupted, cwd=call.out)
    if ended.why:
        turn.left_out.append(f"the end of {label(run.folder)} of {model} ({ended.why}; finished points are kept)")
        return pack(runs, call.out, run.folder, turn.left_out)
    if ended.code not in _accepted(run):
        print(f"tokenmill run ended with {ended.code}")
    return pack(runs, call.out, run.folder, turn.left_out) and ended.code in _accepted(run)


def _arguments(turn: Turn, run: PlannedRun) -> Sequence[str]:
    words = (run.rehearsed if turn.call.rehearsal else run.arguments).split()
    return [turn.call.precision if word == "PRECISION" else word for word in words]


def _accepted(run: PlannedRun) -> tuple[int, ...]:
    return (0, NOT_VALID) if run.times_only else (0,)
