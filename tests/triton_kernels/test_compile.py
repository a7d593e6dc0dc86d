"""Every kernel variant that the cases launch compiles for GPUs that are not here, in a process without the interpreter."""

import os
import subprocess
import sys

import pytest

COMPILE = """
import sys
import torch
from triton_kernels.launch import compiling
from triton_kernels.operations import OPERATIONS

arch = int(sys.argv[1])
for op in OPERATIONS.values():
    if op.collective:
        continue
    with compiling(arch) as variants:
        for dtype in (torch.bfloat16, torch.float16, torch.float32):
            for case in op.cases:
                arguments = op.inputs(generator=torch.Generator().manual_seed(0), dtype=dtype, **case)
                op.launch(**{k: v.to("meta") if isinstance(v, torch.Tensor) else v for k, v in arguments.items()})
    assert variants, op.name
    print(op.name, len(variants))
"""


@pytest.mark.timeout(900)
@pytest.mark.parametrize("arch", [90, 100])
def test_every_variant_compiles(arch: int) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    done = subprocess.run([sys.executable, "-c", COMPILE, str(arch)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
