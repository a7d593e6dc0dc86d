"""What the machine is, asked in a process that ends: one that stayed would be a foreign process on the GPU to every measurement.

    python3 -m profiler.evidence.machine cuda        one JSON document: environment, and the operations that have a kernel
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any

from profiler.evidence import child
from profiler.sweep.interruption import Interruption
from triton_kernels.errors import TokenmillError

_MOST_S = 180.0  # importing torch from a cold network disk


@dataclass(frozen=True, kw_only=True)
class Machine:
    """`environment` as profiler.measure.environment has it; `kernels`: names of operations."""

    environment: dict[str, Any]
    kernels: tuple[str, ...]

    @property
    def memory_bytes(self) -> float | None:
        gpu = self.environment.get("gpu")
        return None if gpu is None else float(gpu["memory_bytes"])


def ask_machine(device: str, interrupted: Interruption) -> Machine:
    """Ends this program with a line where the device cannot be used."""
    done = child.run(child.module("machine", device), seconds=_MOST_S, interrupted=interrupted, quiet=True)
    if done.why == child.INTERRUPTED:
        raise TokenmillError("interrupted before the first part", exit_code=interrupted.exit_code)
    if done.code or done.why:
        print(done.err[-2000:], file=sys.stderr)
        sys.exit(f"gpu_evidence: cannot use {device}; see above")
    said = json.loads(done.out)
    return Machine(environment=said["environment"], kernels=tuple(said["kernels"]))


def main() -> int:
    from profiler.measure.session import Session
    from triton_kernels.operations import OPERATIONS

    try:
        environment = Session(lambda stage, fraction, note, **_: None).environment(sys.argv[1])
    except TokenmillError as e:
        print(e, file=sys.stderr)
        return 2
    print(json.dumps({"environment": environment, "kernels": [name for name, op in OPERATIONS.items() if not op.collective]}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
