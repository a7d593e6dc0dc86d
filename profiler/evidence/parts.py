"""The parts of the evidence, in order of value: what each needs, what it writes, and the three calls that hold them all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from profiler.evidence import runs
from profiler.evidence.call import Turn
from profiler.evidence.correctness import correctness
from profiler.evidence.documents import sampling, sensors
from profiler.evidence.libraries import libraries
from profiler.evidence.newcomer import newcomer
from profiler.evidence.sanitizer import sanitizer


@dataclass(frozen=True, kw_only=True)
class Part:
    """`run` does it and says whether all was well. Seconds: `least_s` below which it is not begun, on a GPU and in a rehearsal on a CPU; `about_s` that it
    takes on a GPU where nothing hurries it: a sum of the code's own settings and guesses, replaced by what environment.json records.

    `spare`: nothing is kept back for it while parts before it run. `files`: whose absence says that the part is missing. `gpu`: it needs the device.
    """

    run: Callable[[Turn], bool]
    least_s: Mapping[str, float]
    about_s: float
    files: tuple[str, ...]
    what: str
    spare: bool = False
    gpu: bool = True


def _least(cuda: float, cpu: float) -> Mapping[str, float]:
    return {"cuda": cuda, "cpu": cpu}


# A point of a run is taken as 28 s: idle 1, capture with compilation 9, warm-up 4 (2 to 10), five windows of 2 with 0.5 of pause and load around each 12.5,
# tail 1; a run as 25 s beside its points: two starts of Python and torch 12, ceilings 7, weights 6 (of 65 GB and more, and where they are encoded: 15 to 30).
PARTS: Mapping[str, Part] = {
    "correctness": Part(
        run=correctness, least_s=_least(60, 10), about_s=150, files=("correctness.json",),
        what="every kernel against its reference on this GPU: every case in bf16, fp16 and fp32, and every operation of the steps that are measured",
    ),  # 493 checks that compile 606 variants of 0.4 to 4 s of a slow core, 130 s in the longest process, and the steps' own
    "sanitizer": Part(
        run=sanitizer, least_s=_least(45, 15), about_s=90, files=("sanitizer.json",), spare=True,
        what="compute-sanitizer's memcheck over a small run of every kernel",
    ),  # its own limit
    "newcomer": Part(
        run=newcomer, least_s=_least(100, 15), about_s=130, files=("newcomer.json", "newcomer/run.json"),
        what="`tokenmill run` without arguments on a terminal, with the times of its screen",
    ),  # 25 + 4 points, nothing compiled before: 14 more
    "steps": Part(
        run=runs.steps, least_s=_least(180, 12), about_s=370, files=("run.json",),
        what="whole prefill and decode steps of --model in bf16, fp8 and mxfp4 at batch 1, 32, 128, with power",
    ),  # 25 + 12 points + encoding two recipes 20 + comparing their numbers 20
    "released": Part(
        run=runs.released, least_s=_least(80, 12), about_s=125, files=("released/run.json",),
        what="gpt-oss-120b as released, its experts in mxfp4",
    ),  # 25 + 3 points + encoding 15
    "rank": Part(
        run=runs.rank, least_s=_least(90, 12), about_s=130, files=("rank/run.json",),
        what="one rank of DeepSeek-R1 in fp8: of 8 GPUs where 102 GB of weights fit, else of 16",
    ),  # 25 + 2 points + encoding 30 + latent attention's larger compilations 20
    "operations": Part(
        run=runs.operations, least_s=_least(260, 24), about_s=355, files=("operations/run.json", "operations-more/run.json"),
        what="each operation of five steps alone, beside PyTorch's libraries",
    ),  # 155: 25 + a point of 20 + looks 15 + 3 rounds of the 8 largest at 3.7; 200: 25 + 4 points of 15 + looks and rounds of 29 each
    "libraries": Part(
        run=libraries, least_s=_least(15, 5), about_s=45, files=("libraries.json", "explain.txt"), gpu=False,
        what="from those: ten shapes beside the libraries, the worst three with their machine code, a token explained",
    ),  # explain 3, three inspections of 6 to 14
    "sensors": Part(
        run=sensors, least_s=_least(160, 8), about_s=275, files=("sensors.json",),
        what="what the power sensors do under known loads, ceilings in bursts and sustained, spread of joules by window",
    ),  # its schedule: idle 8, four loads of 11, steps 33, spread 72, of a model 45 + 72, start 15
    "sampling": Part(
        run=sampling, least_s=_least(45, 10), about_s=50, files=("sampling.json",), spare=True,
        what="what reading power costs a step, in pairs",
    ),  # start 10, weights 6, capture 15, warm-up 10, 20 windows of 1
    "repeat": Part(
        run=runs.repeat, least_s=_least(50, 9), about_s=50, files=("repeat/run.json",),
        what="the first point of `operations` again, minutes after",
    ),  # 25 + a point
    "longer": Part(
        run=runs.longer, least_s=_least(100, 12), about_s=130, files=("repeat-w5/run.json", "repeat-w10/run.json"), spare=True,
        what="the same point in windows of 5 and of 10 s",
    ),  # 2 runs of 25 + a point, windows 15 and 40 longer
}  # fmt: skip
SUMMARY = "summary"  # always at the end of a call, from the folder's files alone

# The suggested calls, in the order in which their parts run.
CALLS = (
    ("correctness", "steps", "sanitizer"),
    ("operations", "newcomer", "repeat", "longer"),
    ("sensors", "released", "rank", "sampling"),
)
AFTERWARDS = "libraries"  # works on the records, so that no GPU waits for it
CALL_BUDGET = "9m"


def missing_files(out: Path, name: str) -> list[str]:
    """Files of a part that the folder lacks."""
    return [file for file in PARTS[name].files if not (out / file).exists()]
