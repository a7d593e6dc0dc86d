"""Dense matmul: its meaning in figures, how it is cut up, and which instructions it compiles to."""

import os
import subprocess
import sys

import pytest
import torch

from triton_kernels.matmul import launch, matmul, plan
from triton_kernels.operation import OpCall, StepFacts, TensorShape, Work


def test_activations_by_hand() -> None:
    x = torch.tensor([[1.0, 2.0]])
    w = torch.tensor([[1.0, 0.0], [0.0, -1.0]])  # x @ w.T = (1, -2)
    bias = torch.tensor([-1.0, 5.0])  # with bias (0, 3)
    assert matmul(x, w, None, "none").tolist() == [[1.0, -2.0]]
    assert matmul(x, w, bias, "none").tolist() == [[0.0, 3.0]]
    # silu(z) = z / (1 + exp(-z)): silu(1) = 0.731059, silu(-2) = -0.238406
    torch.testing.assert_close(matmul(x, w, None, "silu"), torch.tensor([[0.731059, -0.238406]]), rtol=1e-5, atol=0)
    # first half gate, second half up: silu(1) x -2
    torch.testing.assert_close(matmul(x, w, None, "swiglu"), torch.tensor([[-1.462117]]), rtol=1e-5, atol=0)


def test_an_activation_nobody_knows_or_an_odd_swiglu_is_refused() -> None:
    with pytest.raises(AssertionError, match="gelu"):
        matmul(torch.ones(1, 2), torch.ones(2, 2), None, "gelu")
    with pytest.raises(AssertionError, match="3"):
        launch(torch.ones(1, 2), torch.ones(3, 2), None, "swiglu")


def shapes(**dims: tuple[int, ...]) -> tuple[tuple[str, TensorShape], ...]:
    return tuple((name, TensorShape(dims=d, dtype=torch.bfloat16)) for name, d in dims.items())


def test_work_by_hand() -> None:
    # 3 tokens, K = 8, N = 10: 2 x 3 x 10 x 8 = 480 flops; reads (24 + 80 + 10) x 2 bytes; writes 3 x 10 x 2, or half of it after SwiGLU
    tensors = shapes(x_TK=(3, 8), w_NK=(10, 8), bias_N=(10,))
    plain = OpCall(op="matmul", part="", layer=None, tensors=tensors, attrs=(("activation", "none"),))
    gated = OpCall(op="matmul", part="", layer=None, tensors=tensors[:2], attrs=(("activation", "swiglu"),))
    assert matmul.work(plain, StepFacts()) == Work(flops=480, lane="bf16", read_bytes=228, written_bytes=60)
    assert matmul.work(gated, StepFacts()) == Work(flops=480, lane="bf16", read_bytes=208, written_bytes=30)


def test_k_is_split_until_the_tiles_cover_the_sms() -> None:
    # 2048 outputs are 32 tiles of 64: 132 SMs take 4 splits each. K = 4096 is 32 steps of 128: 8 steps, 1024 inputs, for each split
    tile, splits, split_k = plan(1, 2048, 4096, "none", arch=90, sm_count=132, dtype=torch.bfloat16)
    assert (tile.swap, tile.rows, tile.outputs, splits, split_k) == (True, 16, 64, 4, 1024)
    # 151936 outputs are 2374 tiles: enough without splits
    assert plan(1, 151936, 2048, "none", arch=90, sm_count=132, dtype=torch.bfloat16)[1] == 1
    # 128 router outputs are 2 tiles, 66 splits would fit, but 16 steps allow 4 splits of 4
    assert plan(1, 128, 2048, "none", arch=90, sm_count=132, dtype=torch.bfloat16)[1:] == (4, 512)
    # prefill does not split; 20 x 64 tiles of 128 x 256 are more than the SMs
    tile, splits, split_k = plan(8192, 5120, 2048, "none", arch=90, sm_count=132, dtype=torch.bfloat16)
    assert (tile.swap, tile.rows, tile.outputs, splits, split_k) == (False, 128, 256, 1, 2048)


@pytest.mark.parametrize("k", [1, 63, 64, 2000, 2880, 7168])
@pytest.mark.parametrize("tokens", [1, 17, 64, 130, 256])
@pytest.mark.parametrize("arch", [90, 100, 120])
def test_splits_cover_k_and_none_is_empty(arch: int, tokens: int, k: int) -> None:
    tile, splits, split_k = plan(tokens, 128, k, "none", arch=arch, sm_count=132, dtype=torch.float16)
    assert split_k % tile.inputs == 0
    assert (splits - 1) * split_k < k <= splits * split_k


def test_no_tokens_give_no_rows() -> None:
    assert launch(torch.ones(0, 4), torch.ones(6, 4), None, "swiglu").shape == (0, 3)


INSTRUCTIONS = """
import sys
import torch
from triton_kernels.launch import compiling
from triton_kernels.matmul import matmul

arch, instruction = int(sys.argv[1]), sys.argv[2]
for tokens in (1, 32, 64, 128, 256, 8192):
    for activation in ("none", "swiglu"):
        with compiling(arch) as variants:
            matmul.launch(*(torch.empty(*d, dtype=torch.bfloat16, device="meta") for d in ((tokens, 2048), (5120, 2048), (5120,))), activation)
        ptx = next(v.compiled.asm["ptx"] for v in variants.values() if v.kernel == "matmul_kernel")
        assert instruction in ptx, (tokens, activation)
        assert "mma.sync" not in ptx, (tokens, activation)
        assert "cp.async.cg.shared.global" in ptx, ("not pipelined", tokens, activation)
"""


@pytest.mark.parametrize("arch, instruction", [("90", "wgmma.mma_async"), ("100", "tcgen05.mma")])
def test_tensor_cores_at_every_size(arch: str, instruction: str) -> None:
    """Weights on the M side below 64 tokens keep Hopper's and Blackwell's own instruction; their older one is mma.sync."""
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    done = subprocess.run([sys.executable, "-c", INSTRUCTIONS, arch, instruction], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
