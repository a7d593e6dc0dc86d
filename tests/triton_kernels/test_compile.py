"""Every kernel variant that the cases launch compiles for GPUs that are not here, in a process without the interpreter."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

COMPILE = """
import sys
import torch
from triton_kernels.correctness import dtypes_of, multiplied
from triton_kernels.launch import compiling
from triton_kernels.operations import OPERATIONS

arch = int(sys.argv[1])

for op in OPERATIONS.values():
    if op.collective:
        continue
    with compiling(arch) as variants:
        for case in op.cases:
            # fp16 has bf16's tiles, fp32 few users on a GPU: one case of each shows that they compile.
            for dtype in dtypes_of(case) if case is op.cases[0] else (torch.bfloat16,):
                if not multiplied(case, dtype, arch):
                    continue
                arguments = op.inputs(generator=torch.Generator().manual_seed(0), dtype=dtype, **case)
                op.launch(**{k: v.to("meta") if isinstance(v, torch.Tensor) else v for k, v in arguments.items()})
    assert variants, op.name
    print(op.name, len(variants))
"""


ARCHS = (90, 100)


@pytest.fixture(scope="module")
def compilers() -> Iterator[dict[int, subprocess.Popen[str]]]:
    """One process per architecture, side by side: compiling is most of the suite's time."""
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    running = {arch: subprocess.Popen([sys.executable, "-c", COMPILE, str(arch)], env=environment, text=True, **pipes) for arch in ARCHS}
    yield running
    for process in running.values():
        process.kill()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("arch", ARCHS)
def test_every_variant_compiles(arch: int, compilers: dict[int, subprocess.Popen[str]]) -> None:
    out, errors = compilers[arch].communicate()
    assert compilers[arch].returncode == 0, out + errors[-3000:]
