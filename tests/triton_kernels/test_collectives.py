"""Collectives: between real processes, as one emulated rank, and what they count. Whole models over them: tests/workloads/test_sharded.py."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from triton_kernels.all_gather import all_gather
from triton_kernels.all_reduce import all_reduce
from triton_kernels.ep_combine import ep_combine
from triton_kernels.ep_dispatch import ep_dispatch, exchanged
from triton_kernels.formats import FORMATS
from triton_kernels.gather_rows import gather_rows
from triton_kernels.operand import Operand, decode, plain
from triton_kernels.operation import OpCall, StepFacts, TensorShape, Work

# Four ranks, in two pairs and all together. Rank r holds r in every place, so that sums and orders can be read off.
RANKS = """
import json
import torch
from triton_kernels.all_gather import all_gather
from triton_kernels.all_reduce import all_reduce
from triton_kernels.dispatch import dispatch
from triton_kernels.ep_combine import ep_combine
from triton_kernels.ep_dispatch import ep_dispatch
from triton_kernels.gather_rows import gather_rows
from triton_kernels.groups import register

torch.distributed.init_process_group("gloo")
rank = torch.distributed.get_rank()
for pair in ([0, 1], [2, 3]):
    group = torch.distributed.new_group(pair)
    if rank in pair:
        register("tp", group)
register("ep", torch.distributed.new_group([0, 1, 2, 3]))

mine = torch.full((2, 3), float(rank))
found = {
    "rank": rank,
    "sum": all_reduce(mine, "tp", 2)[0, 0].item(),
    "emulated": all_reduce(mine, "tp", 8)[0, 0].item(),
    "columns": all_gather(mine, "tp", 2)[1].tolist(),
    "rows": gather_rows(mine, "ep", 4)[:, 0].tolist(),
}
# Each rank has one token, for experts rank and rank + 1 of four, with weights 1 and 10; expert e is on rank e and multiplies by e + 1.
x_TH = torch.full((1, 2), float(rank))
ids_TJ = torch.tensor([[rank, (rank + 1) % 4]], dtype=torch.int32)
x_YH, ids_YJ, weights_YJ = ep_dispatch(x_TH, ids_TJ, torch.tensor([[1.0, 10.0]]), None, "ep", 4, rank, 1, "fp32")
offsets = torch.zeros(2, dtype=torch.int32)
order_R, row_of_YJ = dispatch(ids_YJ, offsets, rank)
live = int(offsets[-1])
z_RH = torch.full((8, 2), float("nan"))
pairs = order_R[:live].long()
z_RH[:live] = x_YH[pairs // 2] * weights_YJ.flatten()[pairs, None] * (rank + 1)
found["live"] = live
found["combined"] = ep_combine(z_RH, row_of_YJ, offsets, torch.full((1, 2), 0.5), "ep", 4, "fp32")[0].tolist()
# The same token as an e4m3 code, rank + 1, under a scale of rank halves.
codes_TH, scales = torch.full((1, 2), rank + 1.0).to(torch.float8_e4m3fn), torch.full((1, 1), rank / 2)
all_scales = torch.full((4, 1), float("nan"))
codes_YH, _, _ = ep_dispatch(codes_TH, ids_TJ, torch.tensor([[1.0, 10.0]]), None, "ep", 4, rank, 1, "", scales, all_scales)
found["coded"] = (codes_YH.float() * all_scales)[:, 1].tolist()
byte_scales = torch.empty(4, 1, dtype=torch.float8_e4m3fn)
bytes_YH, _, _ = ep_dispatch(
    torch.full((1, 2), 16 * rank, dtype=torch.uint8), ids_TJ, torch.ones(1, 2), None, "ep", 4, rank, 1, "", scales.to(torch.float8_e4m3fn), byte_scales
)
found["packed"] = [bytes_YH[:, 1].tolist(), byte_scales.float()[:, 0].tolist()]
torch.distributed.barrier()  # neither leaves before all are done: gloo takes a peer that closed its connection early for a failure
torch.distributed.destroy_process_group()
print(json.dumps(found), flush=True)
"""


def test_four_processes_in_pairs_and_together(tmp_path: Path) -> None:
    program = tmp_path / "ranks.py"
    program.write_text(RANKS)
    root = str(Path(__file__).resolve().parents[2])
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo0" if sys.platform == "darwin" else "lo", "OMP_NUM_THREADS": "1", "PYTHONPATH": root}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "4", str(program)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    said = sorted((json.loads(one) for one in re.findall(r"\{[^{}]*\}", done.stdout)), key=lambda one: one["rank"])
    assert [one["sum"] for one in said] == [1, 1, 5, 5]
    assert [one["emulated"] for one in said] == [0, 1, 2, 3]  # a group of another size is not there
    assert [one["columns"] for one in said] == [[0, 0, 0, 1, 1, 1]] * 2 + [[2, 2, 2, 3, 3, 3]] * 2
    assert [one["rows"] for one in said] == [[0, 0, 1, 1, 2, 2, 3, 3]] * 4
    assert [one["coded"] for one in said] == [[0, 1, 3, 6]] * 4  # (rank + 1) x rank / 2
    assert [one["packed"] for one in said] == [[[0, 16, 32, 48], [0, 0.5, 1, 1.5]]] * 4
    assert [one["live"] for one in said] == [2] * 4
    # token r: 1 x (r + 1) r + 10 x ((r + 1) % 4 + 1) r + the shared expert's half
    assert [one["combined"] for one in said] == [[0.5] * 2, [1 * 2 + 10 * 3 + 0.5] * 2, [2 * 3 + 10 * 4 * 2 + 0.5] * 2, [3 * 4 + 10 * 1 * 3 + 0.5] * 2]


def test_an_emulated_rank_has_its_own_numbers_in_every_place() -> None:
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    y = all_reduce(x, "tp", 4)
    assert torch.equal(y, x)
    assert y.data_ptr() != x.data_ptr()
    assert gather_rows(x, "tp", 2).tolist() == [[1, 2], [3, 4], [1, 2], [3, 4]]
    assert all_gather(x, "tp", 2).tolist() == [[1, 2, 1, 2], [3, 4, 3, 4]]


@pytest.mark.parametrize("run", [ep_dispatch, ep_dispatch.launch], ids=["reference", "kernel"])
def test_an_emulated_exchange_by_hand(run) -> None:
    """Two ranks of one token; this one has experts 2 and 3, which only the other's token wants."""
    x, drawn = torch.tensor([[5.0, 6.0]]), torch.tensor([[0, 1], [3, 1]], dtype=torch.int32)
    x_YH, ids_YJ, weights_YJ = run(x, drawn[:1].clone(), torch.tensor([[0.5, 0.25]]), drawn, "ep", 2, 2, 2, "fp32")
    assert ids_YJ.tolist() == drawn.tolist()
    assert weights_YJ.tolist() == [[0.5, 0.25]] * 2
    assert x_YH[1].tolist() == [5.0, 6.0]


def test_the_exchange_moves_no_row_that_nobody_here_wants() -> None:
    """Deterministic allocations are filled with NaN: rows of tokens whose experts are elsewhere stay so, their ids and weights arrive."""
    drawn = torch.tensor([[0, 1], [2, 0], [3, 3], [1, 0]], dtype=torch.int32)  # experts 2 and 3 are here
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        x_YH, ids_YJ, weights_YJ = ep_dispatch.launch(torch.ones(2, 5), drawn[:2].clone(), torch.ones(2, 2), drawn, "ep", 2, 2, 2, "fp32")
    finally:
        torch.use_deterministic_algorithms(before)
    assert x_YH[[1, 2]].eq(1).all()
    assert x_YH[[0, 3]].isnan().all()
    assert ids_YJ.tolist() == drawn.tolist()
    assert weights_YJ.eq(1).all()


@pytest.mark.parametrize("run", [ep_dispatch, ep_dispatch.launch], ids=["reference", "kernel"])
def test_codes_travel_with_their_scales(run) -> None:
    """The two ranks again: a token of codes 1 .. 3 under scales 0.5 and 4. Nobody here wants row 0, whose scales stay as they were."""
    codes = torch.tensor([[1.0, 2.0, 3.0]]).to(torch.float8_e4m3fn)
    drawn, y_scale = torch.tensor([[0, 1], [3, 1]], dtype=torch.int32), torch.full((2, 2), -1.0)
    x_YH, ids_YJ, _ = run(codes, drawn[:1].clone(), torch.ones(1, 2), drawn, "ep", 2, 2, 2, "", torch.tensor([[0.5, 4.0]]), y_scale)
    assert x_YH.dtype == torch.float8_e4m3fn
    assert x_YH[1].float().tolist() == [1, 2, 3]
    assert y_scale.tolist() == [[-1, -1], [0.5, 4]]
    assert ids_YJ.tolist() == drawn.tolist()


def test_an_operand_travels_whole() -> None:
    """Two rows of 32 mxfp4 values, 16 bytes and a scale: 2^(128 - 127) for both ranks' places."""
    x = Operand(
        format=FORMATS["mxfp4"], values=torch.full((2, 16), 0x21, dtype=torch.uint8), scale=torch.full((2, 1), 128, dtype=torch.uint8)
    )  # fmt: skip
    drawn = torch.zeros(4, 1, dtype=torch.int32)
    y, _, _ = exchanged(x, drawn[:2].clone(), torch.ones(2, 1), drawn, "ep", 2, 0, 1, "bf16")
    assert (y.format.name, y.dims) == ("mxfp4", (4, 32))
    assert decode(y).tolist() == [[1.0, 2.0] * 16] * 4  # e2m1 codes 1 and 2 are 0.5 and 1
    z, _, _ = exchanged(plain(torch.ones(2, 3)), drawn[:2].clone(), torch.ones(2, 1), drawn, "ep", 2, 0, 1, "fp32")
    assert (z.scale, z.values.tolist()) == (None, [[1.0] * 3] * 4)


def test_scales_that_do_not_fit_are_refused() -> None:
    codes, drawn = torch.zeros(1, 4, dtype=torch.uint8), torch.zeros(2, 1, dtype=torch.int32)
    rest = (drawn[:1].clone(), torch.ones(1, 1), drawn, "ep", 2, 0, 1, "")
    with pytest.raises(AssertionError, match="uint8"):  # codes alone mean nothing
        ep_dispatch.launch(codes, *rest)
    with pytest.raises(AssertionError, match=re.escape("[1, 1]")):
        ep_dispatch.launch(codes, *rest, torch.ones(1, 1), torch.ones(1, 1))


@pytest.mark.parametrize("run", [ep_combine, ep_combine.launch], ids=["reference", "kernel"])
def test_an_emulated_return_by_hand(run) -> None:
    """Three live rows 1, 10, 100; two tokens of two choices take rows 0, 1 and 2, 0."""
    z = torch.tensor([[1.0], [10.0], [100.0]] + [[float("nan")]] * 5)
    offsets = torch.tensor([0, 3], dtype=torch.int32)
    row_of = torch.full((4, 2), -1, dtype=torch.int32)
    assert run(z, row_of, offsets, torch.tensor([[0.5], [0.25]]), "ep", 2, "fp32").tolist() == [[11.5], [101.25]]
    nothing = torch.zeros(2, dtype=torch.int32)
    assert run(z, row_of, nothing, None, "ep", 2, "fp32").tolist() == [[0.0], [0.0]]


def call(op: str, tensors: dict[str, tuple[int, ...]], **attrs: object) -> OpCall:
    shapes = tuple((name, TensorShape(dims=dims, dtype=torch.bfloat16)) for name, dims in tensors.items())
    return OpCall(op=op, part="", layer=0, tensors=shapes, attrs=tuple(attrs.items()))


@pytest.mark.parametrize("group_size, reduced, gathered", [(4, 384, 768), (1, 0, 0)])
def test_link_bytes_by_hand(group_size: int, reduced: int, gathered: int) -> None:
    """8 x 16 bf16 values are 256 bytes. A ring over 4 ranks sends 2 x 3/4 of them from each to add up, and 3 times all to gather. One rank sends nothing."""
    reduce = all_reduce.work(call("all_reduce", {"x_TH": (8, 16)}, group_size=group_size), StepFacts())
    assert reduce == Work(read_bytes=256, written_bytes=256, link_bytes=reduced)
    for op, name in ((all_gather, "x_TN"), (gather_rows, "x_TH")):
        gather = op.work(call(op.name, {name: (8, 16)}, group_size=group_size), StepFacts())
        assert gather == Work(read_bytes=256, written_bytes=256 * group_size, link_bytes=gathered)


FACTS = StepFacts(rows_per_expert_LE=((6, 3),), tokens_L=(5,), sent_rows_L=(7,), received_rows_L=(4,))


@pytest.mark.parametrize("wire, row", [("bf16", 512), ("fp8", 264)])
def test_pairs_that_travel_are_counted(wire: str, row: int) -> None:
    """Rows of 256 values: 512 bytes in bf16, 256 and two scales in fp8. 7 pairs leave, with 8 bytes of id and weight; 4 of other ranks go back."""
    # 4 tokens of 2 choices (ids and weights counted as bf16 here); 5 rows with their 2 pairs are written
    out = ep_dispatch.work(call("ep_dispatch", {"x_TH": (4, 256), "ids_TJ": (4, 2), "weights_TJ": (4, 2)}, wire=wire), FACTS)
    assert out == Work(read_bytes=2048 + 16 + 16, written_bytes=5 * (512 + 16), link_bytes=7 * (row + 8))
    back = ep_combine.work(call("ep_combine", {"z_RH": (16, 256), "row_of_YJ": (8, 2), "add_TH": (4, 256)}, wire=wire, group_size=2), FACTS)
    assert back == Work(read_bytes=(4 + 8) * 512 + 2048, written_bytes=2048, link_bytes=4 * row)


@pytest.mark.parametrize(
    "dtype, width, scales, scale_dtype, row",
    [
        (torch.float8_e4m3fn, 256, 2, torch.float32, 256 + 2 * 4),  # what DeepEP sends
        (torch.float8_e4m3fn, 256, 8, torch.uint8, 256 + 8),  # mxfp8
        (torch.uint8, 128, 16, torch.float8_e4m3fn, 128 + 16),  # nvfp4
    ],
)
def test_codes_are_counted_as_they_are(dtype: torch.dtype, width: int, scales: int, scale_dtype: torch.dtype, row: int) -> None:
    """4 tokens of 256 values and 2 choices; 7 pairs leave, 5 rows arrive here."""
    tensors = {
        "x_TH": TensorShape(dims=(4, width), dtype=dtype), "ids_TJ": TensorShape(dims=(4, 2), dtype=torch.int32),
        "weights_TJ": TensorShape(dims=(4, 2), dtype=torch.float32), "x_scale": TensorShape(dims=(4, scales), dtype=scale_dtype),
    }  # fmt: skip
    one = OpCall(op="ep_dispatch", part="", layer=0, tensors=tuple(tensors.items()), attrs=(("wire", ""),))
    assert ep_dispatch.work(one, FACTS) == Work(read_bytes=4 * row + 32 + 32, written_bytes=5 * (row + 16), link_bytes=7 * (row + 8))
