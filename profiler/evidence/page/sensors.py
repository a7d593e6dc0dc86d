"""What the sensors do, as `tokenmill doctor --sensors` says it, and what reading them costs a step."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from profiler.evidence.documents import TRACE
from profiler.evidence.page.folder import Folder
from profiler.evidence.text import place
from profiler.report.inert_markdown import fenced, md
from profiler.report.numbers import plus_minus
from profiler.report.sensors import WIDTH, print_sensors


def sensors(folder: Folder) -> list[str]:
    """The findings of the power sensors without the table of loads, and the sampling ratio."""
    found, sampled = folder.documents.get("sensors"), folder.documents.get("sampling")
    lines = []
    if found is not None:
        lines = [fenced(_screen(found)), f"By load: `tokenmill doctor --sensors --replay {place(folder.path)}/{TRACE}`.", ""]
    if sampled is not None:
        note = f" ({md(sampled['note'])})" if sampled.get("note") else ""
        lines.append(f"A step with the sampler over one without: {plus_minus(sampled['ratio'], sampled['ci95'])}, {sampled['pairs']} pairs{note}.")
    return ["## Sensors", *lines] if lines else []


def _screen(found: Mapping[str, Any]) -> list[str]:
    """The command's own screen, less its table of loads."""
    from rich.console import Console

    out = io.StringIO()
    print_sensors(found, Console(file=out, width=WIDTH, highlight=False, no_color=True))
    blocks = [[line.rstrip() for line in block.splitlines()] for block in out.getvalue().strip("\n").split("\n\n")]
    return [line for block in blocks if not block[0].startswith("load ") for line in block]
