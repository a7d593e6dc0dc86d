"""What lies in a folder of evidence, read once. What is not there is left out; what cannot be read is named."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from profiler.evidence.packing import label
from profiler.evidence.record import read_calls
from profiler.record.store import Run, read_run
from triton_kernels.errors import TokenmillError

DOCUMENTS = ("correctness", "sanitizer", "newcomer", "libraries", "sensors", "sampling")


@dataclass(frozen=True, kw_only=True)
class Folder:
    """`documents` by the name of their file, without .json; `runs` by the folder they are packed in, that of steps as "."; `damaged`: a line for each file."""

    path: Path
    calls: Sequence[Mapping[str, Any]]
    documents: Mapping[str, Mapping[str, Any]]
    runs: Mapping[str, Run]
    damaged: Sequence[str]

    @property
    def measured(self) -> list[Mapping[str, Any]]:
        """The calls that used the device, oldest first."""
        return [call for call in self.calls if call.get("device")]

    @property
    def rehearsal(self) -> bool:
        return any(call["device"] == "cpu" for call in self.measured)


def read_folder(path: Path) -> Folder:
    """TokenmillError where `path` holds no call of ours."""
    calls = read_calls(path)
    if not calls:
        raise TokenmillError(f"--out {path}: holds no evidence yet; run other parts than summary first")
    documents, runs, damaged = {}, {}, []
    for name in DOCUMENTS:
        if (path / f"{name}.json").exists():
            try:
                documents[name] = _object(path / f"{name}.json")
            except (OSError, ValueError) as e:
                damaged.append(f"{name}.json cannot be read ({type(e).__name__})")
    for header in sorted([path / "run.json", *path.glob("*/run.json")]):
        name = "." if header.parent == path else header.parent.name
        if header.exists():
            try:
                runs[name] = read_run(header.parent)
            except TokenmillError:
                damaged.append(f"the run of {label(name)} cannot be read")
    return Folder(path=path, calls=calls, documents=documents, runs=runs, damaged=damaged)


def _object(path: Path) -> Mapping[str, Any]:
    value = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(value, dict):
        raise ValueError("no object")
    return value
