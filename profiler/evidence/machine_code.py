"""What the machine code of our kernels says at one row's shape: facts beside a ratio, from `tokenmill kernels --inspect`, which needs no GPU."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from profiler.evidence import child
from profiler.evidence.call import Turn
from profiler.evidence.text import first_line, shown
from triton_kernels.sass import TENSOR_CORE

_REHEARSED_ARCH = 90  # a CPU's steps launch no kernel: those of Hopper are shown
_FACTS = (
    "variant", "warps", "stages", "registers", "spill_bytes", "spill_instructions", "spills_in_main_loop", "shared_bytes", "programs_per_sm", "limited_by",
    "kinds", "expected", "failures",
)  # fmt: skip


def why_facts(turn: Turn, row: Mapping[str, Any]) -> dict[str, Any]:
    """The variants of the row's operation that its step launches, of all places in the model. `why_not`: why there are none, else null."""
    command = inspect_command(row)
    if turn.left_s < 1:
        return {"command": shown(command), "triton": None, "variants": [], "why_not": "no time left"}
    ended = child.run(command, seconds=turn.left_s, interrupted=turn.call.interrupted, quiet=True)
    if ended.why or ended.code:
        return {"command": shown(command), "triton": None, "variants": [], "why_not": ended.why or first_line(ended.err)}
    found = json.loads(ended.out)
    variants = [_facts(kernel) for kernel in found["kernels"] if step_name(row) in kernel["used_by"]]
    return {"command": shown(command), "triton": found["triton"], "variants": variants, "why_not": None if variants else "no variant is of this step"}


def inspect_command(row: Mapping[str, Any]) -> list[str]:
    """`tokenmill kernels` for the row's step and operation alone."""
    arch = row["arch"] or _REHEARSED_ARCH
    steps = ["--batch", "1", "--prefill", str(row["context"])]
    if row["phase"] == "decode":
        steps = ["--batch", str(row["batch"]), "--context", str(row["context"]), "--prefill", "none"]
    words = (row["op"], "--inspect", f"sm_{arch}", "--model", row["model"], "--precision", row["precision"])
    return child.tokenmill("kernels", *map(str, words), *steps, "--json")


def step_name(row: Mapping[str, Any]) -> str:
    """As the command's `used_by` names the row's step."""
    return f"{row['model']} {row['precision']} {row['phase']} {row['batch']}"


def _facts(kernel: Mapping[str, Any]) -> dict[str, Any]:
    instructions = kernel["instructions"] or {}
    return {name: kernel[name] for name in _FACTS} | {"tensor_core": {name: instructions[name] for name in TENSOR_CORE if name in instructions}}
