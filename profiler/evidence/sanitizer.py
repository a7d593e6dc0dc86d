"""Part `sanitizer`: compute-sanitizer's memcheck over a small run of every operation's kernel -> sanitizer.json."""

from __future__ import annotations

import re
import shutil
import time
from dataclasses import dataclass
from typing import Any

from profiler.evidence import child
from profiler.evidence.call import Turn
from profiler.evidence.correctness import INTERPRETED
from profiler.evidence.sanitizer_output import Output, read_output
from profiler.evidence.text import first_line, shown

MOST_S = 90.0  # of the call's time, however much is left
_START_S = 20.0  # for importing torch under the tool, and for its end
TOOL = "compute-sanitizer"
# Errors of kernels only, whatever PyTorch tries of the driver's functions; after one the kernel ends, and the context lives for the operations behind it.
_OPTIONS = (
    "--tool", "memcheck", "--target-processes", "application-only", "--destroy-on-device-error", "kernel", "--report-api-errors", "no",
    "--show-backtrace", "device", "--print-limit", "1000",
)  # fmt: skip
# Without PyTorch's cache of memory each tensor is an allocation of its own, and the tool sees its bounds.
VARIABLES = {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}


@dataclass(frozen=True, kw_only=True)
class _Round:
    """One process under the tool."""

    ended: child.Ended
    output: Output

    @property
    def lost(self) -> str | None:
        """The operation that its process did not survive."""
        return self.output.unfinished if self.ended.why is None else None


def sanitizer(turn: Turn) -> bool:
    """Whether no kernel touched memory that is not its own. A tool that is missing or is not let in says nothing of the kernels."""
    tool = shutil.which(TOOL)
    if tool is None:
        turn.left_out.append(f"sanitizer ({TOOL} is not on PATH)")
        return True
    rounds = _rounds(turn, tool)
    document = _document(turn, rounds, version=_version(turn, tool))
    turn.call.write("sanitizer.json", document)
    return _said(turn, document, rounds)


def _rounds(turn: Turn, tool: str) -> list[_Round]:
    """One process for all operations; where a kernel took it with it, another for those behind."""
    names, rounds = list(turn.call.checked), list[_Round]()
    deadline_s = min(turn.deadline_s, time.monotonic() + MOST_S)
    while names and (not rounds or deadline_s - time.monotonic() > _START_S):
        rounds.append(_run(turn, tool, names, deadline_s - time.monotonic()))
        lost = rounds[-1].lost
        names = [] if lost is None or rounds[-1].output.refused else names[names.index(lost) + 1 :]
    return rounds


def _run(turn: Turn, tool: str, names: list[str], seconds: float) -> _Round:
    variables = VARIABLES | (INTERPRETED if turn.call.rehearsal else {})
    command = [tool, *_OPTIONS, *child.module("sanitized", turn.call.device, f"{max(1.0, seconds - _START_S):.0f}", *names)]
    ended = child.run(command, seconds=seconds, interrupted=turn.call.interrupted, variables=variables, quiet=True)
    return _Round(ended=ended, output=read_output(ended.out + ended.err))


def _version(turn: Turn, tool: str) -> str | None:
    said = child.run([tool, "--version"], seconds=20, interrupted=turn.call.interrupted, quiet=True).out
    found = re.search(r"Version (\S+)", said)
    return found[1] if found else None


def _document(turn: Turn, rounds: list[_Round], *, version: str | None) -> dict[str, Any]:
    outputs = [one.output for one in rounds]
    refused = next((output.refusal for output in outputs if output.refused), None)
    command = [TOOL, *_OPTIONS, *child.module("sanitized", turn.call.device, "SECONDS", "OPERATION...")]
    errors = [(name, count) for output in outputs for name, count in output.errors.items()]
    return {
        "tool": "memcheck",
        "version": version,
        "command": shown(command),
        "variables": VARIABLES,
        "refused": refused,
        "errors": None if refused else sum(count for _, count in errors),
        "errors_outside_operations": None if refused else sum(count for name, count in errors if name is None),
        "operations": [_operation(name, rounds, refused=refused) for name in turn.call.checked],
        "first_error": next((output.first_error for output in outputs if output.first_error), []),
    }


def _operation(name: str, rounds: list[_Round], *, refused: str | None) -> dict[str, Any]:
    """`ok`: null where no case of it came to its end under the tool, and nothing was found."""
    own = [] if refused else [row for one in rounds for row in one.output.rows if row["op"] == name]
    errors = 0 if refused else sum(one.output.errors.get(name, 0) for one in rounds)
    wrong, lost = sum(not row["ok"] for row in own), not refused and name in [one.lost for one in rounds]
    why = "the tool was refused" if refused else "its process ended in it" if lost else None if own or errors else "no time left"
    ok = not (errors or wrong or lost) if own or errors or lost else None
    return {"op": name, "cases": len(own), "errors": errors, "wrong_results": wrong, "ok": ok, "why_not": why}


def _said(turn: Turn, document: dict[str, Any], rounds: list[_Round]) -> bool:
    if document["refused"]:
        turn.left_out.append(f"sanitizer ({TOOL} is not let in here: {document['refused']})")
        return True
    looked = [row for row in document["operations"] if row["ok"] is not None]
    missing = [row["op"] for row in document["operations"] if row["ok"] is None]
    if not looked:
        turn.left_out.append(f"sanitizer (nothing ran under it: {rounds[-1].ended.why or first_line(rounds[-1].ended.err)})")
        return False
    if missing:
        turn.left_out.append(f"sanitizer of {', '.join(missing)} (no time left)")
    bad = [row["op"] for row in looked if not row["ok"]]
    cases, where = sum(row["cases"] for row in looked), f": {', '.join(bad)}" if bad else ""
    print(f"sanitizer: {document['errors']} errors in {cases} cases of {len(looked)} operations{where}", flush=True)
    for line in document["first_error"]:
        print(f"    {line}")
    return not document["errors"] and not bad
