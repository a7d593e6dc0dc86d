"""Machine code that was read before, kept in the user's cache folder by the cubin's hash: disassembling is most of a second run's time."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from triton_kernels.machine_code import READER, MachineCode, read_machine_code, triton_version


def read_or_recall(cubin: bytes, folder: Path | None = None) -> MachineCode:
    """What the cubin's machine code says, from an earlier reading where there is a sound one."""
    name = f"{hashlib.sha256(cubin).hexdigest()}-{READER}-{triton_version()}.json"
    path = (folder or cache_folder()) / name
    kept = _recalled(path)
    if kept is not None:
        return kept
    code = read_machine_code(cubin)
    with suppress(OSError):  # a full or read-only disk costs the next run some time, not this one its answer
        _keep(path, code)
    return code


def cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base and Path(base).is_absolute() else Path.home() / ".cache") / "tokenmill" / "machine-code"


def _recalled(path: Path) -> MachineCode | None:
    """None for what is not there, torn, or not what a reading looks like."""
    try:
        found = json.loads(path.read_bytes())
        code = MachineCode(**found)
    except (OSError, ValueError, TypeError):
        return None
    numbers = (code.registers, code.spill_bytes, code.spills_in_main_loop)
    if not isinstance(code.instructions, dict) or not all(type(number) is int for number in (*numbers, *code.instructions.values())):
        return None
    return code


def _keep(path: Path, code: MachineCode) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
        json.dump(asdict(code), file)
    os.replace(file.name, path)
