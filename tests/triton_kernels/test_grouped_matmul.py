"""Expert matmul: its meaning in figures, its place between dispatch and combine, and which instructions it compiles to."""

import math
import os
import subprocess
import sys

import pytest
import torch

from triton_kernels.combine import combine
from triton_kernels.dispatch import dispatch
from triton_kernels.grouped_matmul import grouped_matmul, launch
from triton_kernels.operation import OpCall, Operation, StepFacts, TensorShape, Work
from triton_kernels.route import route


def test_gather_and_weights_by_hand() -> None:
    x_TK = torch.tensor([[1.0], [10.0]])
    w_ENK = torch.tensor([[[2.0]], [[3.0]], [[5.0]]])
    offsets = torch.tensor([0, 1, 1, 3], dtype=torch.int32)  # expert 0: row 0, expert 1: none, expert 2: rows 1 and 2; row 3 is dead
    order = torch.tensor([3, 0, 2, 1], dtype=torch.int32)  # pair 3 is token 1, pair 0 token 0, pair 2 token 1
    weights = torch.tensor([[0.5, 9.0], [2.0, 4.0]])
    y = grouped_matmul(x_TK, w_ENK, None, offsets, order, None, 2, True, "none", 0.0)
    assert y[:3].tolist() == [[20.0], [5.0], [50.0]]
    y = grouped_matmul(x_TK, w_ENK, None, offsets, order, weights, 2, True, "none", 0.0)
    assert y[:3].tolist() == [[80.0], [2.5], [100.0]]
    x_RK = torch.tensor([[1.0], [2.0], [3.0], [float("nan")]])
    y = grouped_matmul(x_RK, w_ENK, None, offsets, order, weights, 2, False, "none", 0.0)
    assert y[:3].tolist() == [[8.0], [5.0], [30.0]]


@pytest.mark.parametrize("run", [grouped_matmul, launch], ids=["reference", "kernel"])
def test_clamped_swiglu_by_hand(run) -> None:
    """Gate 3 + 1 is clamped to 2, up -9 + 1 to -2: 2 sigmoid(3.404) (-2 + 1), weighted by a half. The second token: gate -1 + 1, so nothing."""
    x = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    w = torch.tensor([[[3.0, -1.0], [-9.0, 5.0]]])
    offsets, order = torch.tensor([0, 2], dtype=torch.int32), torch.tensor([0, 1], dtype=torch.int32)
    y = run(x, w, torch.tensor([[1.0, 1.0]]), offsets, order, torch.tensor([[0.5], [1.0]]), 1, True, "clamped_swiglu", 2.0)
    torch.testing.assert_close(y, torch.tensor([[-1 / (1 + math.exp(-3.404))], [0.0]]))


def kernels(op: Operation) -> object:
    return op.launch


@pytest.mark.parametrize("run", [lambda op: op, kernels], ids=["reference", "kernel"])
def test_five_operations_are_a_mixture_of_experts(run) -> None:
    """route, dispatch, grouped matmul twice and combine equal each token through each of its experts, with a quarter of the experts elsewhere."""
    generator = torch.Generator().manual_seed(3)
    tokens, hidden, inner, experts, here, top_k = 9, 32, 16, 8, 6, 3
    x_TH = torch.randn(tokens, hidden, generator=generator)
    gate_up = torch.randn(here, 2 * inner, hidden, generator=generator) / hidden**0.5
    down = torch.randn(here, hidden, inner, generator=generator) / inner**0.5
    ids_TJ, weights_TJ = run(route)(torch.randn(tokens, experts, generator=generator), None, None, top_k, "softmax", 1, 1, True, 1.0)
    offsets = torch.zeros(here + 1, dtype=torch.int32)
    order_R, row_of_TJ = run(dispatch)(ids_TJ, offsets, 0)
    y = run(grouped_matmul)(x_TH, gate_up, None, offsets, order_R, None, top_k, True, "swiglu", 0.0)
    z = run(grouped_matmul)(y, down, None, offsets, order_R, weights_TJ, top_k, False, "none", 0.0)
    got = run(combine)(z, row_of_TJ, None)
    want = torch.zeros(tokens, hidden)
    for t in range(tokens):
        for e, weight in zip(ids_TJ[t].tolist(), weights_TJ[t].tolist(), strict=True):
            if e < here:
                gate, up = (gate_up[e] @ x_TH[t]).chunk(2)
                want[t] += weight * (down[e] @ (gate / (1 + torch.exp(-gate)) * up))
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)


def test_the_kernel_leaves_dead_rows_unwritten() -> None:
    """Deterministic allocations are filled with NaN; whatever a kernel wrote over would be a number."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        offsets = torch.tensor([0, 3, 5], dtype=torch.int32)
        y = launch(torch.ones(40, 16), torch.ones(2, 8, 16), None, offsets, torch.arange(40, dtype=torch.int32), None, 1, False, "none", 0.0)
    finally:
        torch.use_deterministic_algorithms(before)
    assert y[:5].eq(16).all()
    assert y[5:].isnan().all()


def test_weights_beyond_2_to_the_31_values() -> None:
    """16400 experts of 128 x 1024 are 2149580800 values; only the last expert has a row, so that no other page of the 4 GB is ever touched."""
    experts = 16400
    w_ENK = torch.empty(experts, 128, 1024, dtype=torch.bfloat16)
    w_ENK[-1] = 1.0
    offsets = torch.zeros(experts + 1, dtype=torch.int32)
    offsets[-1] = 1
    y = launch(torch.ones(1, 1024, dtype=torch.bfloat16), w_ENK, None, offsets, torch.zeros(1, dtype=torch.int32), None, 1, True, "none", 0.0)
    assert y.eq(1024).all()


def call(*, gather: bool, weighted: bool, activation: str, bias: bool = False) -> OpCall:
    bf16, int32 = torch.bfloat16, torch.int32
    tensors = [
        ("x_XK", TensorShape(dims=(4 if gather else 8, 16), dtype=bf16)),
        ("w_ENK", TensorShape(dims=(3, 10, 16), dtype=bf16)),
        ("offsets_E1", TensorShape(dims=(4,), dtype=int32)),
        ("order_R", TensorShape(dims=(8,), dtype=int32)),
    ]
    if weighted:
        tensors.append(("weights_TJ", TensorShape(dims=(4, 2), dtype=torch.float32)))
    if bias:
        tensors.append(("bias_EN", TensorShape(dims=(3, 10), dtype=bf16)))
    attrs = (("top_k", 2), ("gather", gather), ("activation", activation))
    return OpCall(op="grouped_matmul", part="experts", layer=1, tensors=tuple(tensors), attrs=attrs)


def test_work_counts_live_rows_and_touched_experts() -> None:
    facts = StepFacts(rows_per_expert_LE=((), (5, 0, 1)))  # layer 0 is dense; layer 1 has 6 live rows on 2 of 3 experts
    # flops 2 x 6 x 10 x 16. Reads 4 tokens x 16 x 2 bytes, 2 experts x 10 x 16 x 2, 6 places, 4 offsets; writes 6 x 5 x 2
    gathered = grouped_matmul.work(call(gather=True, weighted=False, activation="swiglu"), facts)
    assert gathered == Work(flops=1920, lane="bf16", read_bytes=128 + 640 + 24 + 16, written_bytes=60)
    # on a rank that has some of the experts, 3 tokens' rows are read however many pairs they are
    fewer = StepFacts(rows_per_expert_LE=((), (5, 0, 1)), tokens_L=(0, 3), sent_rows_L=(0, 0), received_rows_L=(0, 0))
    assert grouped_matmul.work(call(gather=True, weighted=False, activation="swiglu"), fewer).read_bytes == 96 + 640 + 24 + 16
    # reads 6 rows, and places and weights of 4 bytes; writes 6 x 10 x 2
    weighted = grouped_matmul.work(call(gather=False, weighted=True, activation="none"), facts)
    assert weighted == Work(flops=1920, lane="bf16", read_bytes=192 + 640 + 24 + 24 + 16, written_bytes=120)
    # biases of the 2 touched experts, 10 bf16 values each; clamped SwiGLU leaves as many columns as the plain one
    biased = grouped_matmul.work(call(gather=True, weighted=False, activation="clamped_swiglu", bias=True), facts)
    assert biased == Work(flops=1920, lane="bf16", read_bytes=128 + 640 + 40 + 24 + 16, written_bytes=60)
    # neither gathered nor weighted: nobody reads the places
    assert grouped_matmul.work(call(gather=False, weighted=False, activation="none"), facts).read_bytes == 192 + 640 + 16


INSTRUCTIONS = """
import sys
import torch
from triton_kernels.grouped_matmul import grouped_matmul
from triton_kernels.launch import compiling

def meta(*dims, dtype=torch.bfloat16):
    return torch.empty(*dims, dtype=dtype, device="meta")

arch, instruction = int(sys.argv[1]), sys.argv[2]
for tokens in (1, 32, 256, 512, 8192):  # Qwen3-30B-A3B: 128 experts, 8 choices
    offsets, order, weights = meta(129, dtype=torch.int32), meta(8 * tokens, dtype=torch.int32), meta(tokens, 8, dtype=torch.float32)
    with compiling(arch) as variants:
        grouped_matmul.launch(meta(tokens, 2048), meta(128, 1536, 2048), None, offsets, order, None, 8, True, "swiglu", 0.0)
        grouped_matmul.launch(meta(8 * tokens, 768), meta(128, 2048, 768), None, offsets, order, weights, 8, False, "none", 0.0)
    assert len(variants) == 2, tokens
    for variant in variants.values():
        ptx = variant.compiled.asm["ptx"]
        assert instruction in ptx, tokens
        assert "mma.sync" not in ptx, tokens
        assert "cp.async.cg.shared.global" in ptx, ("not pipelined", tokens)
"""


@pytest.mark.parametrize("arch, instruction", [("90", "wgmma.mma_async"), ("100", "tcgen05.mma")])
def test_tensor_cores_at_every_size(arch: str, instruction: str) -> None:
    """Weights on the M side while experts have few rows keep Hopper's and Blackwell's own instruction; their older one is mma.sync."""
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    done = subprocess.run([sys.executable, "-c", INSTRUCTIONS, arch, instruction], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
