"""The first screen's times, beside the bars."""

from __future__ import annotations

from profiler.evidence.page.folder import Folder
from profiler.report.inert_markdown import md
from profiler.report.numbers import duration


def newcomer(folder: Folder) -> list[str]:
    found = folder.documents.get("newcomer")
    if found is None:
        return []
    told = []
    for name, words in (("first_figure_s", "first figure"), ("end_s", "end")):
        bar, within = found["bars"][name], found["within"][name]
        verdict = {True: "met", False: "**missed**", None: "not reached"}[within]
        told.append(f"{words} after {duration(found[name])} (bar {duration(bar)}: {verdict})")
    ended = f", ended by {md(found['ended_by'])}" if found["ended_by"] else ""
    return ["## A newcomer", f"{md(found['command'])}, Triton's cache empty: {'; '.join(told)}; exit code {found['exit_code']}{ended}."]
