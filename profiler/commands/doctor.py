"""`tokenmill doctor`: what is this machine, what can be measured, what is in the way, the fix for each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def doctor(
    out: Annotated[Path, typer.Option(help="Folder that records would go to.")] = Path("runs"),
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> int:
    """What this machine can measure, what is in the way, and the fix for each."""
    from profiler.measure.machine_checks import all_checks

    checks = all_checks(out=out)
    failed = any(check.status == "fail" for check in checks)
    if as_json:
        print(json.dumps({"checks": [check.json() for check in checks], "ok": not failed}, allow_nan=False))
        return 2 if failed else 0
    from rich.console import Console

    from profiler.report.text import printable

    console = Console()
    colours = {"ok": "green", "warn": "yellow", "fail": "red", "info": "dim"}
    width = max(len(check.name) for check in checks)
    for check in checks:
        fix = f" · {printable(check.fix)}" if check.fix else ""
        line = f"[{colours[check.status]}]{check.status:<4}[/]  {check.name:<{width}}  {printable(check.text)}{fix}"
        console.print(line, highlight=False, soft_wrap=True)
    return 2 if failed else 0
