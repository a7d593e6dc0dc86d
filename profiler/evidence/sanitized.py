"""What runs under compute-sanitizer: cases of every operation in bf16, the smallest of each first, until the time is up.

    compute-sanitizer --tool memcheck python3 -m profiler.evidence.sanitized cuda 60 add_norm matmul ...

A JSON line before each case, {"begin": op}, and one after it with the check's row: what the tool prints between them is of that operation.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from profiler.evidence.check_operation import arch_of, checked

_SETTLE_S = 0.05  # for what the tool still has to say of a kernel


def main() -> int:
    import torch

    from triton_kernels.correctness import multiplied
    from triton_kernels.operations import OPERATIONS

    device, names = sys.argv[1], sys.argv[3:]
    until_s = time.monotonic() + float(sys.argv[2])
    arch = arch_of(device)
    cases = {name: sorted((case for case in OPERATIONS[name].cases if multiplied(case, torch.bfloat16, arch)), key=size) for name in names}
    for turn in range(max(map(len, cases.values()), default=0)):
        for name, own in cases.items():
            if turn < len(own) and (turn == 0 or time.monotonic() < until_s):
                print(json.dumps({"begin": name}), flush=True)
                row = checked(OPERATIONS[name], own[turn], torch.bfloat16, device)
                if device == "cuda":
                    time.sleep(_SETTLE_S)
                print(json.dumps(row), flush=True)
    return 0


def size(case: dict[str, Any]) -> int:
    """A guess of how much a case computes: the product of its sizes, a list's being its sum."""
    product = 1
    for value in case.values():
        if isinstance(value, list | tuple) and all(isinstance(one, int) for one in value):
            product *= max(1, sum(value))
        elif isinstance(value, int) and not isinstance(value, bool):
            product *= max(1, value)
    return product


if __name__ == "__main__":
    sys.exit(main())
