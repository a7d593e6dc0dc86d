import math
import os
import subprocess
import sys

import pytest
import torch

from triton_kernels.head_matmul import TILES, head_matmul, launch, reference
from triton_kernels.operation import Ledger, StepFacts, Work

X_TAF = torch.tensor([[[1.0, 2], [3, 4]]])
W_ANK = torch.tensor([[[1.0, 0], [0, 1], [1, 1]], [[2, 0], [0, 0], [1, -1]]])


@pytest.mark.parametrize("run", [reference, launch])
@pytest.mark.parametrize("transposed", [False, True])
def test_every_head_has_its_own_weights(run: object, transposed: bool) -> None:
    w_ANK = W_ANK.transpose(1, 2).contiguous().transpose(1, 2) if transposed else W_ANK
    assert run(X_TAF, w_ANK, None, None).tolist() == [[[1, 2, 3], [6, 0, -1]]]  # type: ignore[operator]


@pytest.mark.parametrize("run", [reference, launch])
def test_the_last_columns_are_turned_and_appended(run: object) -> None:
    quarter_turns = torch.arange(4)[:, None] * math.pi / 2 * torch.tensor([[1.0, 2.0]])  # the second pair turns twice as fast
    rotary = torch.tensor([[[1.0, 0, 0, 1], [0, 3, 0, 0]]])
    table_QD = torch.cat((quarter_turns.cos(), quarter_turns.sin()), 1)
    y = run(torch.cat((X_TAF, rotary), 2), W_ANK, table_QD, torch.tensor([1], dtype=torch.int32))  # type: ignore[operator]
    # position 1: the first pair, (low[0], high[0]), turns by 90 degrees, the second by 180
    torch.testing.assert_close(y, torch.tensor([[[1.0, 2, 3, 0, 0, 1, -1], [6, 0, -1, 0, -3, 0, 0]]]), atol=1e-6, rtol=0)


def test_columns_that_do_not_fit_the_weights_are_refused() -> None:
    with pytest.raises(AssertionError, match="2, 3"):
        launch(torch.ones(1, 2, 3), W_ANK, None, None)


def test_work_by_hand() -> None:
    def empty(*dims: int, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
        return torch.empty(*dims, dtype=dtype, device="meta")

    # 3 tokens, 2 heads, N = 5, K = 4, D = 2; w is a view of twice as many rows
    w_ANK = empty(2, 8, 5)[:, :4].transpose(1, 2)
    with Ledger() as ledger:
        head_matmul(empty(3, 2, 4 + 2), w_ANK, empty(100, 2, dtype=torch.float32), empty(3, dtype=torch.int32))
        head_matmul(empty(3, 2, 4), w_ANK, None, None)
    rotated, plain = (head_matmul.work(call, StepFacts()) for call in ledger.calls)
    # x 72 bytes, w 80, positions 12, table rows 3 x 2 x 4; y 3 x 2 x 7 values
    assert rotated == Work(flops=240, lane="bf16", read_bytes=72 + 80 + 12 + 24, written_bytes=84)
    assert plain == Work(flops=240, lane="bf16", read_bytes=48 + 80, written_bytes=60)


@pytest.mark.parametrize("family", TILES)
def test_there_is_a_tile_for_any_number_of_tokens(family: str) -> None:
    most = [tokens for tokens, _ in TILES[family]]
    assert most[-1] is None
    assert most[:-1] == sorted(most[:-1])
    assert all(tokens <= tile.rows for tokens, tile in TILES[family] if tokens is not None)


INSTRUCTIONS = """
import sys
import torch
from triton_kernels.head_matmul import head_matmul
from triton_kernels.launch import compiling

arch, instruction = int(sys.argv[1]), sys.argv[2]
kv_b = torch.empty(16, 256, 512, dtype=torch.bfloat16, device="meta")
for tokens in (1, 32, 64, 4096):
    for k, w in ((128, kv_b[:, :128].transpose(1, 2)), (512, kv_b[:, 128:])):
        with compiling(arch) as variants:
            head_matmul.launch(torch.empty(tokens, 16, k, dtype=torch.bfloat16, device="meta"), w, None, None)
        ptx = next(v.compiled.asm["ptx"] for v in variants.values())
        assert instruction in ptx, (tokens, k)
        assert "mma.sync" not in ptx, (tokens, k)
        assert "cp.async.cg.shared.global" in ptx, ("not pipelined", tokens, k)
        assert "ld.global" not in ptx, ("weights through registers", tokens, k)
"""


@pytest.mark.parametrize("arch, instruction", [("90", "wgmma.mma_async"), ("100", "tcgen05.mma")])
def test_tensor_cores_fed_past_the_registers_from_either_view(arch: str, instruction: str) -> None:
    """Both halves of one projection, as DeepSeek-V3 has it, outputs next to each other in memory or inputs."""
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    done = subprocess.run([sys.executable, "-c", INSTRUCTIONS, arch, instruction], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
