"""all_reduce and all_to_all: between two processes, and as one emulated rank."""

import os
import subprocess
import sys
from pathlib import Path

import torch

from triton_kernels.all_reduce import all_reduce
from triton_kernels.all_to_all import all_to_all
from triton_kernels.operation import OpCall, StepFacts, TensorShape, Work

RANK = """
import sys
import torch
from triton_kernels.all_reduce import all_reduce
from triton_kernels.all_to_all import all_to_all

rank, meeting = int(sys.argv[1]), sys.argv[2]
torch.distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
mine = torch.tensor([[1.0, 2.0]]) * 10**rank  # (1, 2) and (10, 20)
total = all_reduce(mine, 2)
assert total.tolist() == [[11.0, 22.0]], total
assert mine.tolist() == [[1.0 * 10**rank, 2.0 * 10**rank]], mine
assert all_reduce(mine, 4).tolist() == mine.tolist()  # a group of another size is emulated
x_GCH = torch.tensor([[[1.0], [2.0]], [[3.0], [4.0]]]) * 10**rank  # what is for rank 0, then what is for rank 1
got = all_to_all(x_GCH, 2).flatten().tolist()
assert got == ([1.0, 2.0, 10.0, 20.0] if rank == 0 else [3.0, 4.0, 30.0, 40.0]), got
print("done", flush=True)
sys.stdin.read()  # neither leaves before both are done: gloo reports a peer that closed its connection early as a failure of one's own
torch.distributed.destroy_process_group()
"""


def test_two_processes_add_up_and_exchange(tmp_path: Path) -> None:
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo0" if sys.platform == "darwin" else "lo"}
    arguments = [sys.executable, "-c", RANK]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    ranks = [subprocess.Popen([*arguments, str(rank), str(tmp_path / "meeting")], env=environment, text=True, **pipes) for rank in (0, 1)]
    said = [process.stdout.readline() for process in ranks if process.stdout is not None]  # "" from one that failed
    errors = [process.communicate(timeout=120)[1] for process in ranks]  # closes their stdin
    assert [process.returncode for process in ranks] == [0, 0], errors
    assert said == ["done\n", "done\n"]


def test_an_emulated_rank_gets_a_copy_of_its_own() -> None:
    x_GCH = torch.arange(24.0).view(4, 3, 2)
    for y in (all_to_all(x_GCH, 4), all_reduce(x_GCH[0], 4)):
        assert torch.equal(y, x_GCH.view(-1)[: y.numel()].view(y.shape))
        assert y.data_ptr() != x_GCH.data_ptr()


def test_link_bytes_by_hand() -> None:
    # 8 x 16 bf16 values are 256 bytes. A ring over 4 ranks sends 2 x 3/4 of them from each; an exchange 3/4. One rank sends nothing
    for group_size, reduced, exchanged in ((4, 384, 192), (1, 0, 0)):
        attrs = (("group_size", group_size),)
        call = OpCall(op="all_reduce", part="", layer=0, tensors=(("x_TH", TensorShape(dims=(8, 16), dtype=torch.bfloat16)),), attrs=attrs)
        assert all_reduce.work(call, StepFacts()) == Work(read_bytes=256, written_bytes=256, link_bytes=reduced)
        call = OpCall(op="all_to_all", part="", layer=0, tensors=(("x_GCH", TensorShape(dims=(4, 2, 16), dtype=torch.bfloat16)),), attrs=attrs)
        assert all_to_all.work(call, StepFacts()) == Work(read_bytes=256, written_bytes=256, link_bytes=exchanged)
