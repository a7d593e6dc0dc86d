"""What compute-sanitizer and the program under it printed, read: errors by operation, the first error's lines, a refusal in the tool's own words."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from profiler.evidence.text import without_paths

_TOOL = "========="
_SUMMARY = re.compile(r"ERROR SUMMARY: (\d+) error")
# Lines of the tool that are no finding of a kernel: banner, sums, and its own troubles.
_NO_FINDING = ("COMPUTE-SANITIZER", "ERROR SUMMARY", "LEAK SUMMARY", "Error:", "Warning:", "Internal Sanitizer", "Target application", "Process ")
# What it says where a device or a virtual machine does not let it in.
_REFUSALS = ("not supported", "Internal Sanitizer Error", "Unable to find injection library", "before first instrumented API call", "No attachable process")
_LINES_KEPT = 12  # of the first error


@dataclass(kw_only=True)
class Output:
    """`errors`: by operation; None of them is a kernel's where the tool printed it outside any operation. `rows`: the checks that came to their end."""

    errors: dict[str | None, int] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    unfinished: str | None = None  # the operation that was begun last and not ended
    first_error: list[str] = field(default_factory=list)
    summary: int | None = None  # as the tool counts; None: it did not come to its end
    refusal: str | None = None

    @property
    def refused(self) -> bool:
        """Whether the tool could not look at this device at all: it says so, and no kernel ran under it."""
        return self.refusal is not None and not any("error" in row for row in self.rows)


def read_output(text: str) -> Output:
    """Both programs' lines, in the order in which they came."""
    found = Output()
    keep = False
    for line in text.splitlines():
        if line.startswith(_TOOL):
            said = line[len(_TOOL) :]
            starts = _is_finding(said)
            if starts:
                found.errors[found.unfinished] = found.errors.get(found.unfinished, 0) + 1
                keep = not found.first_error
            keep = keep and bool(said.strip()) and len(found.first_error) < _LINES_KEPT
            if keep:
                found.first_error.append(without_paths(said.strip()))
            if match := _SUMMARY.search(said):
                found.summary = int(match[1])
            if found.refusal is None and any(word in said for word in _REFUSALS):
                found.refusal = without_paths(said.strip())[:300]
        elif line.startswith("{"):
            with suppress(ValueError):
                _program_line(found, json.loads(line))
    return found


def _is_finding(said: str) -> bool:
    """The first line of an error stands one space in, what belongs to it further."""
    text = said.strip()
    return bool(text) and not said.startswith("  ") and not text.startswith(_NO_FINDING)


def _program_line(found: Output, row: dict[str, Any]) -> None:
    if "begin" in row:
        found.unfinished = row["begin"]
    else:
        found.unfinished = None
        found.rows.append(row)
