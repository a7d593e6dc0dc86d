"""Part `correctness`: every Triton kernel against its reference on this GPU, in every format at odd sizes, and on the tensors of the steps that are measured
-> correctness.json."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from threading import Semaphore
from typing import Any

from profiler.evidence import child
from profiler.evidence.call import Call, Turn
from profiler.evidence.check_operation import POISONED
from profiler.evidence.text import first_line, without_paths

_WORKERS = 12  # compiling the variants takes the time, one core each; the checks themselves are milliseconds and may share the GPU
_LEAST_S = 5.0  # to begin a process
_MOST_S = 240.0  # of one: its compilations take half of it on a slow core; a kernel that never ends must not take the others' time
_AT_ONCE = Semaphore(2)  # processes that check steps: one holds weights, caches and their copies in fp32, 50 GB of gpt-oss-120b's
INTERPRETED = {"TRITON_INTERPRET": "1"}

# Steps whose every operation is checked: model (None: --model's), recipe (None: each of --precision's), expert-parallel size, steps.
_OF_EACH_BATCH = ("decode:1x4096", "decode:32x4096", "decode:128x4096", "prefill:1x4096")
STEPS: tuple[tuple[str | None, str | None, int, tuple[str, ...]], ...] = (
    (None, None, 1, _OF_EACH_BATCH),
    ("gpt-oss-120b", "mxfp4", 1, _OF_EACH_BATCH),
    ("deepseek-r1", "fp8", 8, ("decode:32x4096", "prefill:1x2048")),
)
_REHEARSED_STEPS = ((None, "bf16", 1, ("decode:2x16",)),)


@dataclass(frozen=True, kw_only=True)
class Found:
    """The rows of one process; `problem`: why there are no more, "" where all are there."""

    name: str
    of_steps: bool
    rows: list[dict[str, Any]]
    problem: str
    broken: bool  # its process failed, which no kernel should make it do
    poisoned: bool = False  # its last check is the failure that ended it

    @property
    def bad(self) -> list[dict[str, Any]]:
        return [row for row in self.rows if not row["ok"]]


def correctness(turn: Turn) -> bool:
    """Whether every check passed, and at least one was made."""
    jobs = list(_jobs(turn.call))
    with ThreadPoolExecutor(max_workers=_WORKERS) as pool:
        found = list(pool.map(lambda job: _found(turn, *job), jobs))
    rows = {of_steps: [row for one in found if one.of_steps == of_steps for row in one.rows] for of_steps in (False, True)}
    problems = {one.name: one.problem for one in found if one.problem}
    turn.call.write("correctness.json", {"rows": rows[False], "steps": rows[True], "problems": problems})
    for one in found:
        _say(one)
    turn.left_out.extend(f"correctness of {name} ({problem})" for name, problem in problems.items())
    checked = rows[False] + rows[True]
    return bool(checked) and all(row["ok"] for row in checked) and not any(one.broken for one in found)


def _jobs(call: Call) -> Iterator[tuple[str, bool, list[str]]]:
    """Name, whether it is of steps, command. Steps first: they take longest."""
    for model, precision, ep, steps in (_REHEARSED_STEPS if call.rehearsal else STEPS) if call.check_steps else ():
        for recipe in [precision] if precision else call.precision.split(","):
            name = model or call.model
            yield f"{name} {recipe} steps", True, child.module("check_steps", name, recipe, str(ep), call.device, *steps)
    for name in call.checked:
        yield name, False, child.module("check_operation", name, call.device, "0")


def _found(turn: Turn, name: str, of_steps: bool, command: Sequence[str]) -> Found:
    """All checks of a process; where one took the GPU's context with it, another process makes those behind it."""
    if of_steps:
        with _AT_ONCE:
            return _once(turn, name, of_steps, command)
    found = _once(turn, name, of_steps, command)
    rows = found.rows
    while found.poisoned and found.rows:
        found = _once(turn, name, of_steps, [*command[:-1], str(found.rows[-1]["check"] + 1)])
        rows = rows + found.rows
    return replace(found, rows=rows)


def _once(turn: Turn, name: str, of_steps: bool, command: Sequence[str]) -> Found:
    left_s = min(turn.left_s, _MOST_S)
    if left_s < _LEAST_S:
        return Found(name=name, of_steps=of_steps, rows=[], problem="no time left", broken=False)
    # References run on the CPU: threads of all processes together as many as there are cores.
    variables = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // _WORKERS)), **(INTERPRETED if turn.call.rehearsal else {})}
    done = child.run(command, seconds=left_s, interrupted=turn.call.interrupted, variables=variables, quiet=True)
    rows = child.json_rows(done.out)
    for row in rows:
        if "raised" in row:
            row["raised"] = without_paths(row["raised"])
    hung = done.why == child.OUT_OF_TIME and left_s == _MOST_S  # its own time, not the call's
    poisoned = done.why is None and done.code == POISONED
    broken = hung or (done.why is None and done.code not in (0, POISONED))
    problem = done.why or ""
    if hung:
        problem = f"did not end in {_MOST_S:.0f} s"
    elif broken:
        problem = f"exit {done.code}: {first_line(done.err)}"
    elif poisoned:
        problem = "a check took the GPU's context with it: those behind it were not made"
    return Found(name=name, of_steps=of_steps, rows=rows, problem=problem, broken=broken, poisoned=poisoned)


def worst_share(rows: Sequence[dict[str, Any]]) -> float | None:
    """The largest error of checks that gave one, as a share of what is allowed; None where there is none."""
    return max((row["error"] / row["tolerance"] for row in rows if row.get("error") is not None and row["tolerance"]), default=None)


def _say(one: Found) -> None:
    worst = worst_share(one.rows)
    share = "-" if worst is None else f"{worst:.2f}"
    print(f"{one.name:28s} {len(one.rows) - len(one.bad):3d} passed {len(one.bad):3d} failed  worst error {share} of allowed  {one.problem}", flush=True)
    for row in one.bad[:5]:
        print(f"    {row}")
