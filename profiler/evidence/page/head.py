"""Where, when, with which software and by which commands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from profiler.evidence.call import REHEARSAL
from profiler.evidence.page.folder import Folder
from profiler.report.inert_markdown import fenced, md
from profiler.report.numbers import NONE, si


def title(folder: Folder) -> list[str]:
    """The first line; of a rehearsal it says that it is no evidence."""
    calls = folder.measured
    if not calls:
        return ["# No evidence: nothing was measured here"]
    machine = calls[-1]["environment"]
    name = (machine.get("gpu") or {}).get("name") or machine.get("cpu") or "unknown machine"
    days = sorted({str(call["started"])[:10] for call in calls})
    when = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    return [f"# {REHEARSAL[0].upper()}{REHEARSAL[1:]} ({md(name)}, {when})" if folder.rehearsal else f"# Evidence: {md(name)}, {when}"]


def head(folder: Folder) -> list[str]:
    calls = folder.measured
    if not calls:
        return []
    lines = [f"- {line}" for line in dict.fromkeys(_machine(call["environment"]) for call in calls)]
    lines += [f"- {line}" for line in dict.fromkeys(_source(call) for call in calls)]
    boards = {(call["environment"].get("gpu") or {}).get("uuid_hash") for call in calls}
    lines += [f"- **{len(boards)} boards**: figures of different calls are of different ones"] if len(boards) > 1 else []
    return [*lines, "", fenced([str(call["command"]) for call in folder.calls], "sh")]


def _machine(environment: Mapping[str, Any]) -> str:
    gpu = environment.get("gpu") or {}
    parts = [
        ", ".join((md(gpu["name"]), si(gpu.get("memory_bytes"), "B"), f"{gpu.get('sm_count')} SMs", f"power limit {si(gpu.get('power_limit_w'), 'W')}"))
        if gpu
        else "no GPU",
        f"driver {md(environment.get('driver') or NONE)}, CUDA {md(environment.get('cuda') or NONE)}",
        ", ".join(f"{name} {md(environment.get(name) or NONE)}" for name in ("torch", "triton", "python")),
        f"{md(environment.get('cpu') or 'CPU')} x {environment.get('cpu_count')}, {md(environment.get('platform') or NONE)}",
    ]
    return "; ".join(parts)


def _source(call: Mapping[str, Any]) -> str:
    tree = call["source"]
    state = {True: "clean tree", False: "**tree with changes**", None: "no git there"}[tree.get("clean")]
    return f"tokenmill at {md(str(tree.get('commit') or 'a commit that is not known')[:12])}, {state}; sources\\_sha256 {md(str(tree['sources_sha256'])[:16])}"
