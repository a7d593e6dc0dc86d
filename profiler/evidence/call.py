"""What the parts of one call share, and the time that each has."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REHEARSAL = "rehearsal on a CPU: no evidence"


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call of the command. `checked`: the operations whose kernels are checked; `check_steps`: those of whole steps too; `memory_bytes` of the GPU, None
    on a CPU."""

    out: Path
    device: str  # "cuda" or "cpu"
    model: str
    precision: str
    checked: tuple[str, ...]
    check_steps: bool
    memory_bytes: float | None
    interrupted: Callable[[], bool]

    @property
    def rehearsal(self) -> bool:
        return self.device == "cpu"

    def write(self, name: str, document: Mapping[str, Any]) -> None:
        """A JSON file of the folder; one of a rehearsal says so in its first field."""
        marked = {"rehearsal": REHEARSAL, **document} if self.rehearsal else dict(document)
        (self.out / name).write_text(json.dumps(marked, indent=1, allow_nan=False, default=str) + "\n", encoding="utf-8")


@dataclass(frozen=True, kw_only=True)
class Turn:
    """A part's turn: until when (monotonic seconds), and a line for everything that it leaves out."""

    call: Call
    deadline_s: float
    left_out: list[str] = field(default_factory=list)

    @property
    def left_s(self) -> float:
        return max(0.0, self.deadline_s - time.monotonic())
