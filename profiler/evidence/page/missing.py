"""What is not there: parts with the command that would run them, and what the last call of each left out."""

from __future__ import annotations

from profiler.evidence.page.folder import Folder
from profiler.evidence.parts import CALL_BUDGET, PARTS, missing_files
from profiler.evidence.text import place
from profiler.report.inert_markdown import md

_MOST = 12  # lines; environment.json has all


def missing(folder: Folder) -> list[str]:
    lines = []
    for name in PARTS:
        files = missing_files(folder.path, name)
        if files:
            why = next((f"; {md(call['not_begun'][name])}" for call in reversed(folder.calls) if name in call["not_begun"]), "")
            device = " --device cpu" if folder.rehearsal else ""
            command = f"scripts/gpu_evidence --out {place(folder.path)}{device} --time-budget {CALL_BUDGET} --part {name}"
            lines.append(f"- {name} ({', '.join(files)}{why}): `{command}`")
    last = {name: part for call in folder.calls for name, part in call["parts"].items()}
    said = [f"- {md(line)}" for part in last.values() for line in part["left_out"]]
    lines += [f"- **{name} failed**: see its file and the call's output" for name, part in last.items() if not part["ok"]]
    lines += said if len(said) <= _MOST else [*said[: _MOST - 1], f"- and {len(said) - _MOST + 1} more: environment.json"]
    lines += [f"- {md(line)}" for line in folder.damaged]
    return ["## Missing", *(lines or ["- nothing"])]
