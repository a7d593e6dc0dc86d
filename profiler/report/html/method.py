"""What a reader needs to believe the page: what was not valid and why, warnings, machines, prices, and the command that measures it again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from profiler.economics.derive import Derived
from profiler.economics.prices import PricePick, price_summary
from profiler.measure.reasons import REASONS, name_of
from profiler.record.store import Run
from profiler.report import advice, subject
from profiler.report.html.items import Item, Reported
from profiler.report.html.words import cut, joined, unmarked
from profiler.report.precisions import precision_lines

KINDS = {
    "measured": "by the machine named, in the run named",
    "emulated": "one rank of a larger deployment was measured, its links are modelled",
    "replayed": "computed from a recorded trace",
    "reference": "somebody else's figure, cited",
    "modelled": "computed from other figures",
    "assumed": "declared by whoever ran it, or by the reader of this page",
}

_AS_READ = "as read"  # of warnings that are sentences about a file, and no reason's name
_ENVIRONMENT = ("driver", "cuda", "torch", "triton", "python", "platform", "cpu", "cpu_count", "tokenmill", "git")


@dataclass(frozen=True, kw_only=True)
class Said:
    """A reason or a warning: its name, what it means, what to do, and the lines that it is said of."""

    name: str
    meaning: str
    remedy: str
    lines: str
    details: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Source:
    """One run: what it says of itself, and its command."""

    run_id: str
    path: str
    command: str
    facts: tuple[tuple[str, str], ...]


def invalid(items: Sequence[Item], labels: Mapping[int, str]) -> list[Said]:
    """Why points are in no headline, each reason once."""
    found: dict[str, dict[str, None]] = {}
    for item in items:
        for reason in item.row.invalid_reasons:
            found.setdefault(reason, {})[labels[item.place]] = None
    return [_said(reason, list(lines), ()) for reason, lines in found.items()]


def warnings(items: Sequence[Item], labels: Mapping[int, str]) -> list[Said]:
    """What to know before believing a figure, each warning once with what it says of each point; what was made of other tools' files by itself."""
    found: dict[str, tuple[dict[str, None], dict[str, None]]] = {}
    for item in items:
        for text in (str(warning) for point in item.row.points for warning in point.get("warnings") or ()):
            known = name_of(text) in REASONS
            lines, details = found.setdefault(name_of(text) if known else _AS_READ, ({}, {}))
            lines[labels[item.place]] = None
            details[text.partition(": ")[2] if known else text] = None
    return [_said(name, list(lines), tuple(detail for detail in details if detail)[:5]) for name, (lines, details) in found.items()]


def _said(name: str, lines: Sequence[str], details: tuple[str, ...]) -> Said:
    known = REASONS.get(name)
    meaning, remedy = (known.meaning, known.remedy) if known else ("a reason that this version does not know", "read the record")
    if known is None and ": " in name:  # it says by itself what it means: `no tokens/s per GPU: the file does not say ...; name the file as ...`
        name, _, said = name.partition(": ")
        meaning, _, remedy = said.partition("; ")
    if name == _AS_READ:
        meaning, remedy = "how another tool's file was understood", "read the file"
    return Said(name=name, meaning=meaning, remedy=remedy, lines=joined(list(lines), 4, "; "), details=details)


def failed(items: Sequence[Item]) -> list[tuple[str, str, str]]:
    """(point, status, error) of what did not run; out of memory is a result too."""
    found = [(point, item) for item in items for point in item.row.points if point.get("status", "ok") != "ok"]
    return [(f"{p.get('phase') or p.get('kind')} {p.get('precision')}, {item.size}", str(p.get("status")), str(p.get("error") or "")) for p, item in found]


def sources(reported: Reported) -> list[Source]:
    return [_source(*each) for each in reported]


def _source(run: Run, price: PricePick, derived: Derived) -> Source:
    points, header = derived.points, run.header
    facts = [
        ("created", str(header.get("created") or "")),
        ("status", str(header.get("status") or "")),
        ("machine", unmarked(subject.machine(header, points))),
        ("model", unmarked(subject.model(points))),
        *(("formats", unmarked(line)) for line in precision_lines(points)),
        ("mix", unmarked(subject.mix(points))),
        ("price", price_summary(price)),
        ("ceilings", unmarked(subject.ceilings(points))),
        ("environment", _environment(header.get("environment"))),
        ("not in it", unmarked(advice.not_covered(points, price))),
        *(("not measured", str(line)) for line in (header.get("not_measured") or ())[:5]),
    ]
    known = tuple((name, cut(text, 1000)) for name, text in facts if text and text != "–")
    return Source(run_id=run.run_id, path=str(run.path), command=command_of(header), facts=known)


def command_of(header: Mapping[str, Any]) -> str:
    """The command that made the run, quoted for a shell: what its record has, with secrets already out of it."""
    argv = header.get("argv")
    if isinstance(argv, list) and argv:
        return shlex.join(["tokenmill", *map(str, argv)])
    return str(header.get("command") or "")


def _environment(environment: Any) -> str:
    if not isinstance(environment, Mapping):
        return ""
    return ", ".join(f"{name} {environment[name]}" for name in _ENVIRONMENT if environment.get(name) is not None)
