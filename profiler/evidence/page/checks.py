"""Are the kernels right: correctness and memcheck, by operation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from profiler.evidence.correctness import worst_share
from profiler.evidence.page.folder import Folder
from profiler.evidence.page.table import table
from profiler.report.inert_markdown import md
from profiler.report.numbers import NONE

_BESIDE = 3  # operations on one line of the table, at most
_HEADINGS = ("operation", "passed", "failed", "worst", "memcheck")


def checks(folder: Folder) -> list[str]:
    """A table by operation; the memory check beside it."""
    found = folder.documents.get("correctness")
    memory = folder.documents.get("sanitizer")
    if found is None and memory is None:
        return []
    rows = [] if found is None else found["rows"]
    operations = {} if memory is None else {row["op"]: row for row in memory["operations"]}
    names = list(dict.fromkeys([*(row["op"] for row in rows), *operations]))
    cells = [_operation(name, [row for row in rows if row["op"] == name], operations.get(name)) for name in names]
    beside = max(1, min(_BESIDE, len(cells)))
    height = -(-len(cells) // beside)
    filled = [*cells, *[[""] * len(_HEADINGS)] * (height * beside - len(cells))]
    lines = [[cell for column in range(beside) for cell in filled[line + column * height]] for line in range(height)]
    failed = sum(not row["ok"] for row in rows)
    totals = f"Against the references: {len(rows) - failed} checks passed, {failed} failed" if rows else "Against the references: not run"
    steps = _steps([] if found is None else found.get("steps") or [])
    words = f"{totals}; worst: the largest error as a share of what is allowed. {steps}{_memory(memory)}"
    return ["## Correctness", words, "", *table(_HEADINGS * beside, lines)]


def _operation(name: str, rows: list[dict[str, Any]], memory: Mapping[str, Any] | None) -> list[str]:
    failed, worst = sum(not row["ok"] for row in rows), worst_share(rows)
    looked = NONE if memory is None or memory["ok"] is None else f"{memory['cases']} ok" if memory["ok"] else f"**{md(_bad(memory))}**"
    counted = [str(len(rows) - failed), f"**{failed}**" if failed else "0"] if rows else [NONE, NONE]
    return [md(name), *counted, NONE if worst is None else f"{worst:.2f}", looked]


def _steps(rows: list[dict[str, Any]]) -> str:
    """Operations of the steps that are measured, on their own tensors."""
    if not rows:
        return "On the tensors of whole steps: not run. "
    bad = [f"{row['part'] or 'the step'} ({row['model']} {row['precision']} {row['phase']} {row['batch']}x{row['context']})" for row in rows if not row["ok"]]
    worst = worst_share(rows)
    said = f": **{md(', '.join(bad[:5]))}{', ...' if len(bad) > 5 else ''}**" if bad else ""
    shown = NONE if worst is None else f"{worst:.2f}"
    return f"On the tensors of whole steps: {len(rows) - len(bad)} passed, {len(bad)} failed{said}, worst {shown}. "


def _bad(memory: Mapping[str, Any]) -> str:
    counted = [f"{memory[name]} {words}" for name, words in (("errors", "errors"), ("wrong_results", "wrong")) if memory[name]]
    return ", ".join(counted) or str(memory["why_not"])


def _memory(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "memcheck: not run."
    if found["refused"]:
        return f"memcheck: the machine does not let it in ({md(found['refused'])})."
    first = f"; the first: {md(' / '.join(found['first_error'][:3]))}" if found["first_error"] else ""
    tool = f"compute-sanitizer {md(found['version'] or 'of unknown version')}, each tensor an allocation; cases in bf16"
    return f"memcheck ({tool}): {found['errors']} errors{first}."
