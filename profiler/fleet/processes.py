"""A fleet's jobs in several processes: reading is arithmetic on text, and one processor does 100,000 points in twice the time of two."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

from triton_kernels.errors import TokenmillError

In = TypeVar("In")
Out = TypeVar("Out")

MOST_PROCESSES = 8
FEW_BYTES = 16 << 20  # of points: read here in less time than a process takes to start
JOB_BYTES, JOB_RUNS = 4 << 20, 50  # of one job: enough of them to share evenly


def in_jobs(paths: Sequence[Path]) -> list[list[Path]]:
    """The runs in jobs of about the same size, in their order."""
    jobs: list[list[Path]] = []
    room = 0
    for path in paths:
        size = points_bytes(path)
        if not jobs or size > room or len(jobs[-1]) >= JOB_RUNS:
            jobs.append([])
            room = JOB_BYTES
        jobs[-1].append(path)
        room -= size
    return jobs


def points_bytes(path: Path) -> int:
    """Size of a run's points; 0 where there are none to read."""
    try:
        return (path / "points.jsonl").stat().st_size
    except (OSError, ValueError):
        return 0


def processes_for(paths: Sequence[Path]) -> int:
    """How many processes pay for these runs: 1 is none beside this one."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 1 if sum(map(points_bytes, paths)) < FEW_BYTES else max(2, min(MOST_PROCESSES, here))


def done(work: Callable[[In], Out], jobs: Sequence[In], processes: int) -> Iterator[Out]:
    """What `work` makes of each job, in their order; one process works here. `work` is a function of a module, as others import it."""
    if processes == 1:
        yield from map(work, jobs)
        return
    # Started fresh, not forked: a fork would take over whatever threads and locks this process holds.
    executor = ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_begin)
    try:
        yield from executor.map(partial(_worked, work), jobs)
    except BrokenProcessPool as error:
        raise TokenmillError("a process that read runs was killed, perhaps for its memory: report fewer runs at once") from error
    finally:
        executor.shutdown(cancel_futures=True)


def _begin() -> None:
    """Ctrl-C is for the parent to answer. Cycles wait for the end of a job: looking for them while it holds 60,000 points takes longer than reading those."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.disable()


def _worked(work: Callable[[In], Out], job: In) -> Out:
    found = work(job)
    gc.collect()
    return found
