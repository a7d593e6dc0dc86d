"""Every kernel that a step of a published model launches compiles for GPUs that are not here: the plan's own calls, launched on meta tensors."""

import os
import subprocess
import sys

import pytest

COMPILE = """
import inspect
import sys
import torch
from triton_kernels.launch import compiling
from triton_kernels.operations import OPERATIONS
from workloads.deployment import deployment_of
from workloads.planning import plan_step
from workloads.read_model import read_model
from workloads.shape import StepShape
from workloads.step_inputs import Sampling

model, arch, ep = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
with compiling(arch) as variants:
    for phase, batch, context in (("decode", 1, 4096), ("decode", 128, 4096), ("prefill", 1, 8192)):
        shape = StepShape(phase=phase, batch=batch, context=context)
        plan, _ = plan_step(read_model(model), deployment_of(precision="bf16", ep=ep), shape, sampling=Sampling())
        for first, *_ in plan.groups.values():
            launch = OPERATIONS[first.op].launch
            arguments = dict.fromkeys(inspect.signature(launch).parameters) | dict(first.attrs)
            arguments |= {name: torch.empty(t.dims, dtype=t.dtype, device="meta") for name, t in first.tensors}
            launch(**arguments)
names = sorted({v.kernel for v in variants.values()})
print(len(variants), *names)
products = [v for v in variants.values() if "matmul_kernel" in v.kernel and dict(v.signature)["x_ptr"] == "*bf16"]
instruction = {90: "wgmma.mma_async", 100: "tcgen05.mma"}[arch]
assert products and all(instruction in v.compiled.asm["ptx"] for v in products)
"""


KERNELS = {
    "qwen3-30b-a3b": (1, ("add_norm", "attention", "combine", "dispatch", "embedding", "grouped_matmul", "matmul", "rope_kv_write", "route", "greedy")),
    "deepseek-r1": (8, ("latent_kv_write", "head_matmul", "latent_attention", "latent_gather", "expanded_attention", "ep_dispatch", "ep_combine", "route")),
    "gpt-oss-120b": (1, ("attention", "grouped_matmul", "rope_kv_write", "route")),
}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("arch", [90, 100])
@pytest.mark.parametrize("model", KERNELS)
def test_every_kernel_of_a_published_model_compiles_to_the_tensor_cores(model: str, arch: int) -> None:
    ep, kernels = KERNELS[model]
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    done = subprocess.run([sys.executable, "-c", COMPILE, model, str(arch), str(ep)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    for kernel in kernels:
        assert kernel in done.stdout, f"no variant of {kernel} in {done.stdout}"
