"""Evidence from a GPU node, in one command a call and from an uninstalled tree.

    scripts/gpu_evidence --calls                                                       which calls hold all parts, and how long each takes
    scripts/gpu_evidence --out docs/evidence/h200-2026-11-28 --time-budget 9m          all parts, the most valuable first, as far as time goes
    scripts/gpu_evidence --out docs/evidence/h200-2026-11-28 --part summary            the page alone, from the folder's files; no GPU
    scripts/gpu_evidence --out rehearsal --device cpu --operations embedding,steps     a rehearsal without a GPU: no evidence, and marked so

Calls into one folder add to it; a part that is run again replaces its own files. Stops in time, says what was left out, writes few files, and changes no
setting of the GPU. Exit codes: 0 all that ran is as it should be, 1 something is not, 2 for you to fix, 130/143 interrupted with what was finished kept.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from profiler.evidence.call import Call, Turn
from profiler.evidence.machine import Machine, ask_machine
from profiler.evidence.page.page import write_page
from profiler.evidence.parts import AFTERWARDS, CALL_BUDGET, CALLS, PARTS, SUMMARY
from profiler.evidence.record import Record, device_of, source
from profiler.evidence.text import first_line, place
from profiler.sweep.expand import parse_budget
from profiler.sweep.interruption import Interruption
from triton_kernels.errors import TokenmillError

STEPS = "steps"  # beside the names of operations
MODELS = {"cuda": "qwen3-30b-a3b", "cpu": "tiny-moe"}


@dataclass(frozen=True, kw_only=True)
class Options:
    """The command line."""

    parts: tuple[str, ...]
    budget_s: float
    out: Path
    model: str
    precision: str
    operations: tuple[str, ...]  # as asked for; (): all
    device: str
    words: tuple[str, ...]

    @property
    def command(self) -> str:
        """As it is published: the folder without the way to it."""
        out = {str(self.out): place(self.out), f"--out={self.out}": f"--out={place(self.out)}"}
        return shlex.join(["scripts/gpu_evidence", *(out.get(word, word) for word in self.words)])


def main(words: Sequence[str] | None = None) -> int:
    words = tuple(sys.argv[1:] if words is None else words)
    try:
        options = _parsed(words)
        if options is None:
            print(calls_text())
            return 0
        if options.parts == (SUMMARY,):
            print(f"wrote {write_page(options.out)}")
            return 0
        options.out.mkdir(parents=True, exist_ok=True)
        with Interruption() as interruption:
            return _carried_out(options, interruption)
    except TokenmillError as e:
        print(f"gpu_evidence: {e}", file=sys.stderr)
        return e.exit_code


def _parsed(words: Sequence[str]) -> Options | None:
    """None where only the suggested calls are asked for."""
    parser = argparse.ArgumentParser(prog="gpu_evidence", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = (*PARTS, SUMMARY)
    parser.add_argument("--part", default=",".join(names), help=f"comma list of {', '.join(names)} (default: all)")
    parser.add_argument("--time-budget", default=CALL_BUDGET, help=f"stop within this time, such as 540s or 9m (default: {CALL_BUDGET})")
    parser.add_argument("--out", type=Path, help="folder for the evidence (created)")
    parser.add_argument("--model", help="model of the parts that do not name their own (default: qwen3-30b-a3b, in a rehearsal tiny-moe)")
    parser.add_argument("--precision", default="bf16,fp8,mxfp4", help="recipes of the steps part (default: bf16,fp8,mxfp4)")
    checked = f"comma list of operations whose kernels are checked, and {STEPS} for those of whole steps (default: all)"
    parser.add_argument("--operations", default="", help=checked)
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"), help="cpu rehearses: no evidence, and marked so")
    parser.add_argument("--calls", action="store_true", help="print the suggested calls and what each part needs; needs no GPU")
    found = parser.parse_args(words)
    if found.calls:
        return None
    parts = tuple(dict.fromkeys(part for part in found.part.split(",") if part))
    if not found.out or not parts or any(part not in names for part in parts):
        parser.error(f"--out FOLDER is needed, and --part takes {', '.join(names)}")
    return Options(
        parts=parts, budget_s=parse_budget(found.time_budget) or 0.0, out=found.out, model=found.model or MODELS[found.device], precision=found.precision,
        operations=tuple(name for name in found.operations.split(",") if name), device=found.device, words=tuple(words),
    )  # fmt: skip


def _carried_out(options: Options, interruption: Interruption) -> int:
    """The parts in the order asked for, each in its share of the time, then the page."""
    deadline_s = time.monotonic() + options.budget_s
    names = [name for name in options.parts if name in PARTS]
    machine = ask_machine(options.device, interruption) if any(PARTS[name].gpu for name in names) else None
    device = options.device if machine else device_of(options.out) or options.device
    call = _call(options, device, machine, interruption)
    record = Record(options.out, command=options.command, device=device if machine else None, environment=machine.environment if machine else None)
    results = []
    for number, name in enumerate(names):
        seconds = share_s(names[number:], deadline_s - time.monotonic(), device)
        if interruption():
            record.not_begun(name, "interrupted")
        elif seconds is None:
            record.not_begun(name, f"only {max(0.0, deadline_s - time.monotonic()):.0f} s left, of at least {PARTS[name].least_s[device]:.0f}")
        else:
            results.append(_one(record, name, Turn(call=call, deadline_s=time.monotonic() + seconds)))
    ok = bool(results) and all(results)
    record.finish(ok=ok)
    print(f"wrote {write_page(options.out)}")
    print("left out: " + ("; ".join(record.lines) or "nothing"))
    print(f"{'evidence' if device == 'cuda' else 'a rehearsal'} in {options.out}: {'all passed' if ok else 'FAILURES, see above'}")
    return interruption.exit_code if interruption() else 0 if ok else 1


def _call(options: Options, device: str, machine: Machine | None, interruption: Interruption) -> Call:
    kernels = machine.kernels if machine else ()
    if unknown := [name for name in options.operations if machine and name not in (*kernels, STEPS)]:
        raise TokenmillError(f"--operations: unknown {', '.join(unknown)}; known: {', '.join((*kernels, STEPS))}")
    checked = tuple(name for name in options.operations if name != STEPS) if options.operations else kernels
    return Call(
        out=options.out.resolve(), device=device, model=options.model, precision=options.precision, checked=checked,
        check_steps=not options.operations or STEPS in options.operations, memory_bytes=machine.memory_bytes if machine else None, interrupted=interruption,
    )  # fmt: skip


def share_s(names: Sequence[str], left_s: float, device: str) -> float | None:
    """Seconds for the first of `names`: all that is left but for the least that each later part needs, and its own least in any case. None: less is left."""
    least_s = PARTS[names[0]].least_s[device]
    later_s = sum(PARTS[name].least_s[device] for name in names[1:] if not PARTS[name].spare)
    return None if left_s < least_s else max(least_s, left_s - later_s)


def _one(record: Record, name: str, turn: Turn) -> bool:
    """One part. Whatever goes wrong in it is said, and the parts behind it have their turn: time on a GPU is scarce."""
    print(f"== {name}, at most {turn.left_s:.0f} s", flush=True)
    began_s = time.monotonic()
    try:
        ok = PARTS[name].run(turn)
    except Exception as e:
        traceback.print_exc()
        turn.left_out.append(f"{name} (failed: {first_line(f'{type(e).__name__}: {e}')})")
        ok = False
    record.part(name, ok=ok, wall_s=time.monotonic() - began_s, left_out=turn.left_out)
    return ok


def calls_text() -> str:
    """The suggested calls, what each part needs, and which tree this is."""
    lines = ["Calls into one folder, about nine minutes each (name the folder by GPU and date):", ""]
    for names in CALLS:
        lines.append(f"  scripts/gpu_evidence --out docs/evidence/h200-2026-11-28 --time-budget {CALL_BUDGET} --part {','.join(names)}")
    lines.append(f"  scripts/gpu_evidence --out docs/evidence/h200-2026-11-28 --part {AFTERWARDS},{SUMMARY}        (no GPU)")
    lines += ["", f"{'part':12s} {'least':>6s} {'about':>6s}   seconds on a GPU; about: summed from the code's settings, not measured"]
    lines += [f"{name:12s} {part.least_s['cuda']:6.0f} {part.about_s:6.0f}   {part.what}" for name, part in PARTS.items()]
    lines += [f"{SUMMARY:12s} {'-':>6s} {1:6d}   summary.md, at the end of every call; alone it needs no GPU", ""]
    tree = source(Path("docs/evidence"))
    state = {None: "no git here", True: "clean", False: "changed since"}[tree["clean"]]
    return "\n".join([*lines, f"this tree: commit {tree['commit'] or 'unknown'}, {state}; sources_sha256 {tree['sources_sha256']}"])
