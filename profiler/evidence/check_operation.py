"""Every case of one operation in every format against its reference, in a process of its own: a broken kernel poisons only itself.

    python3 -m profiler.evidence.check_operation add_norm cuda 0        one JSON line a check, from the check of that number on

Ends with POISONED after a check that the GPU's context did not survive: the checks behind it need another process.
"""

from __future__ import annotations

import json
import math
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from triton_kernels.operation import Operation

INTERPRETED_ARCH = 100  # the interpreter takes what Blackwell does
POISONED = 75


def main() -> int:
    from triton_kernels.correctness import dtypes_of, multiplied
    from triton_kernels.operations import OPERATIONS

    op, device, first = OPERATIONS[sys.argv[1]], sys.argv[2], int(sys.argv[3])
    checks = [(case, dtype) for case in op.cases for dtype in dtypes_of(case)]
    for number, (case, dtype) in enumerate(checks[first:], first):
        if not multiplied(case, dtype, arch_of(device)):
            print(f"{op.name} {case}: no instructions for these formats on this GPU", file=sys.stderr)
            continue
        row = checked(op, case, dtype, device) | {"check": number}
        print(json.dumps(row), flush=True)
        if "raised" in row and not answers(device):
            return POISONED
    return 0


def answers(device: str) -> bool:
    """Whether the GPU's context still does: after an illegal access it never does again."""
    import torch

    try:
        if device == "cuda":
            torch.cuda.synchronize()
    except RuntimeError:
        return False
    return True


def arch_of(device: str) -> int:
    """Ten times the compute capability."""
    import torch

    major, minor = torch.cuda.get_device_capability() if device == "cuda" else divmod(INTERPRETED_ARCH, 10)
    return major * 10 + minor


def checked(op: Operation, case: dict[str, Any], dtype: torch.dtype, device: str) -> dict[str, Any]:
    """One check as a row: error beside tolerance, or what was raised."""
    import torch

    from triton_kernels.correctness import check

    began_s = time.monotonic()
    row: dict[str, Any] = {"op": op.name, "case": case, "dtype": str(dtype).removeprefix("torch.")}
    try:
        result = check(op, case, dtype, torch.device(device))
        finite = math.isfinite(result.error)  # NaN: a number where none may be, or none where one should; infinite: integers differ. Neither is JSON
        row |= {"error": result.error if finite else None, "tolerance": result.tolerance, "ok": result.ok}
        row |= {} if finite else {"not_finite": str(result.error)}
    except Exception as e:  # whatever a kernel does wrong is a row of the evidence
        row |= {"ok": False, "raised": f"{type(e).__name__}: {str(e)[:300]}"}
    return row | {"wall_s": round(time.monotonic() - began_s, 3)}


if __name__ == "__main__":
    sys.exit(main())
