"""environment.json: the calls that filled the folder, each with its command, machine, source and what became of its parts."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from profiler.evidence.text import ROOT, place
from triton_kernels.errors import TokenmillError

NAME = "environment.json"
_SOURCES = ("profiler", "scripts", "triton_kernels", "workloads", "tokenmill.py", "pyproject.toml")


class Record:
    """The file, with this call's entry at its end, written anew whenever something is known: a killed call leaves what it did."""

    def __init__(self, out: Path, *, command: str, device: str | None, environment: dict[str, Any] | None) -> None:
        """`device`, `environment`: None for a call that needs none. TokenmillError for a folder of the other kind, evidence or rehearsal."""
        self._path = out / NAME
        self._calls = read_calls(out)
        others = {call["device"] for call in self._calls if call.get("device")} - {device}
        if device is not None and others:
            raise TokenmillError(f"--out {out}: holds {'a rehearsal' if 'cpu' in others else 'evidence of a GPU'}, and this is none; choose another folder")
        self._entry: dict[str, Any] = {
            "command": command, "device": device, "started": _now(), "finished": None, "source": source(out), "environment": environment, "parts": {},
            "not_begun": {}, "left_out": [], "ok": None,
        }  # fmt: skip
        self._write()

    def part(self, name: str, *, ok: bool, wall_s: float, left_out: Sequence[str]) -> None:
        """A part is over."""
        self._entry["parts"][name] = {"ok": ok, "wall_s": round(wall_s, 1), "left_out": list(left_out)}
        self._entry["left_out"] += left_out
        self._write()

    def not_begun(self, name: str, why: str) -> None:
        """A part was asked for and had no turn."""
        self._entry["not_begun"][name] = why
        self._entry["left_out"].append(f"{name} ({why})")
        self._write()

    def finish(self, *, ok: bool) -> None:
        self._entry |= {"finished": _now(), "ok": ok}
        self._write()

    @property
    def lines(self) -> list[str]:
        """All that this call left out."""
        return list(self._entry["left_out"])

    def _write(self) -> None:
        self._path.write_text(json.dumps({"schema_version": 1, "calls": [*self._calls, self._entry]}, indent=1) + "\n", encoding="utf-8")


def read_calls(out: Path) -> list[dict[str, Any]]:
    """The calls in the folder, oldest first; [] in a new one. TokenmillError for a file that is none of ours."""
    if not (out / NAME).exists():
        return []
    try:
        calls = json.loads((out / NAME).read_text(encoding="utf-8"))["calls"]
        if not isinstance(calls, list) or not all(isinstance(call, dict) for call in calls):
            raise ValueError("calls")
    except (OSError, ValueError, LookupError, TypeError) as e:
        raise TokenmillError(f"{out / NAME}: is no list of calls; choose another folder") from e
    return calls


def device_of(out: Path) -> str | None:
    """What the folder's calls ran on; None where none needed a device."""
    return next((str(call["device"]) for call in reversed(read_calls(out)) if call.get("device")), None)


def source(out: Path) -> dict[str, Any]:
    """What was run: the commit, and whether everything but the folder of evidence was as committed (both None without git); a digest of the code itself,
    which tells the commit where a tree travelled without its history."""
    beside = [f":(exclude){place(out)}"] if out.resolve().is_relative_to(ROOT) else []
    commit, changes = _git("rev-parse", "HEAD"), _git("status", "--porcelain", "--untracked-files=all", "--", ".", *beside)
    return {"commit": commit, "clean": None if changes is None else not changes, "sources_sha256": sources_sha256(ROOT)}


def sources_sha256(root: Path) -> str:
    """Over names and contents of all files that are code or its data, in the order of their names."""
    digest = hashlib.sha256()
    for name in _SOURCES:
        files = [root / name] if (root / name).is_file() else sorted(path for path in (root / name).rglob("*") if path.is_file())
        for path in files:
            if "__pycache__" not in path.parts:
                digest.update(f"{path.relative_to(root).as_posix()}\0{path.stat().st_size}\0".encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()


def _git(*arguments: str) -> str | None:
    if not (ROOT / ".git").exists():
        return None
    try:
        return subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, timeout=20, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
