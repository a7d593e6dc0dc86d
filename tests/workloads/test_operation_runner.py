"""Operations of a step, each alone: every entry of the plan has its calls, which do what they do in the step, however often."""

from typing import Any

import pytest
import torch

from triton_kernels.operation import Ledger
from workloads import operation_runner
from workloads.deployment import Deployment
from workloads.operation_runner import operation_runners
from workloads.plan import group_of
from workloads.read_model import read_model
from workloads.shape import StepShape
from workloads.steps import StepRunner

CPU = torch.device("cpu")
ROOM = 1 << 30
STEPS = [
    ("tiny-moe", "decode", 2, 64, Deployment(precision="fp32")),
    ("tiny-moe", "prefill", 1, 40, Deployment(precision="bf16")),
    ("tiny-mla", "prefill", 1, 200, Deployment(precision="bf16")),
    ("tiny-mla", "decode", 2, 64, Deployment(precision="nvfp4", kv_cache="fp8")),
]


def step_runner(model: str, phase: str, batch: int, context: int, deployment: Deployment) -> StepRunner:
    return StepRunner(read_model(model), deployment, StepShape(phase=phase, batch=batch, context=context), CPU)


class Results(Ledger):  # type: ignore[no-untyped-call]
    """Keeps what the first call of each entry returned."""

    def __init__(self) -> None:
        super().__init__()
        self.first: dict[tuple[Any, ...], Any] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        result = super().__torch_dispatch__(func, types, args, kwargs)
        if func._schema.name.startswith("tokenmill::"):
            kept = tuple(r.clone() for r in result) if isinstance(result, tuple) else result.clone()  # the residual is added to later
            self.first.setdefault(group_of(self.calls[-1]), kept)
        return result


@pytest.mark.parametrize("model, phase, batch, context, deployment", STEPS)
def test_every_entry_of_the_plan_does_alone_what_it_does_in_the_step(
    model: str, phase: str, batch: int, context: int, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operation_runner, "RECORDED_STEPS", 1)  # the cache stays as the first step left it
    runner = step_runner(model, phase, batch, context, deployment)
    with torch.inference_mode(), Results() as step:
        runner.step(0)
    found = operation_runners(runner, most_bytes=ROOM)
    plan = runner.plan.json(runner.all_facts())["calls"]
    assert [(o.entry, o.op, o.part, o.count) for o in found] == [(i, e["op"], e["part"], e["count"]) for i, e in enumerate(plan)]
    assert sum(o.count for o in found) == len(runner.plan.calls)
    for operation, wanted in zip(found, step.first.values(), strict=True):
        for got, want in zip(*((r if isinstance(r, tuple) else (r,)) for r in (operation.call(0), wanted)), strict=True):
            assert torch.equal(got.view(torch.uint8), want.view(torch.uint8)), (operation.op, operation.part)


@pytest.mark.parametrize("phase, batch", [("decode", 2), ("prefill", 1)])
def test_libraries_run_on_the_calls_of_a_step(phase: str, batch: int) -> None:
    runner = step_runner("tiny-moe", phase, batch, 64, Deployment(precision="bf16"))
    found = {o.part: (o, [make() for make in o.libraries()]) for o in operation_runners(runner, most_bytes=ROOM)}
    named = {part: [library.name for library in libraries] for part, (_, libraries) in found.items() if libraries}
    assert named == {
        "attention.qkv": ["torch.mm"], "attention.attend": ["scaled_dot_product_attention"], "attention.o": ["torch.mm"],
        "experts.router": ["torch.mm"], "experts.gate_up": ["torch._grouped_mm"], "experts.down": ["torch._grouped_mm"], "head.logits": ["torch.mm"],
    }  # fmt: skip
    for part in ("attention.qkv", "attention.o", "experts.router", "head.logits"):  # nothing beside the product
        operation, (library,) = found[part]
        assert library.rotated == operation.rotated
        for i in range(library.rotated):
            got, want = library.call(i).float(), operation.call(i).float()
            assert (got - want).norm() <= 1e-2 * want.norm(), part


def test_copies_that_a_library_needs_stay_within_a_quarter_of_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = step_runner("tiny-moe", "decode", 2, 64, Deployment(precision="bf16"))
    attend = next(o for o in operation_runners(runner, most_bytes=ROOM) if o.part == "attention.attend")
    assert attend.rotated > 2
    spec = runner.spec.attention
    one = 2 * 2 * 64 * spec.kv_heads * spec.head_dim * 2  # keys and values of two sequences of 64 positions, in bf16
    monkeypatch.setattr(operation_runner, "free_bytes", lambda device: 4 * (2 * one + 1))
    assert [make().rotated for make in attend.libraries()] == [2]
    monkeypatch.setattr(operation_runner, "free_bytes", lambda device: 0)
    assert [make().rotated for make in attend.libraries()] == [1]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_adding_in_place_again_and_again_stays_where_a_step_is(precision: str) -> None:
    runner = step_runner("tiny-moe", "decode", 1, 2, Deployment(precision=precision))
    norm = next(o for o in operation_runners(runner, most_bytes=ROOM) if o.part == "mlp.norm")
    for i in range(norm.rotated):  # one round rounds the residual to where it stays
        norm.call(i)
    first = norm.call(0).clone()
    residual = norm._kept[0].args[0]
    after_one = residual.clone()
    for i in range(1, 10_000 // norm.rotated * norm.rotated + 1):
        result = norm.call(i)
    # The last call began a round: 10,000 additions on, residual and result are the same bits.
    assert (i % norm.rotated, bool(residual.isfinite().all())) == (0, True)
    assert torch.equal(residual, after_one)
    assert torch.equal(result, first)


def test_calls_are_kept_until_a_round_reads_twice_the_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = step_runner("tiny-moe", "decode", 2, 64, Deployment(precision="fp32"))
    qkv = next(e for e in runner.plan.json(runner.all_facts())["calls"] if e["part"] == "attention.qkv")
    one_call_bytes = qkv["work"]["read_bytes"] / qkv["count"]

    def rotated(cache_bytes: float, room: int = ROOM) -> int:
        monkeypatch.setattr(operation_runner, "CPU_CACHE_BYTES", int(cache_bytes))
        return next(o for o in operation_runners(runner, most_bytes=room) if o.part == "attention.qkv").rotated

    assert rotated(0) == 8  # all six layers and two of the second input set
    assert rotated(4.5 * one_call_bytes) == 9  # 9 x its bytes are the first to reach 2 x 4.5 x them
    assert rotated(100 * one_call_bytes) == 12  # there are no more: six layers, two input sets
    assert rotated(0, room=0) == 1


def test_calls_wait_for_nothing_on_a_link() -> None:
    runner = step_runner("tiny-moe", "decode", 2, 64, Deployment(precision="fp32", tp=2, ep=2))
    left_out = {o.part: (o.rotated, o.why_not) for o in operation_runners(runner, most_bytes=ROOM) if o.why_not is not None}
    parts = {"embedding.all_gather", "attention.all_reduce", "experts.all_reduce", "head.all_gather"}
    assert left_out == dict.fromkeys(parts, (0, "collective: its link is modelled"))


@pytest.mark.gpu
def test_graphs_of_operations_alone_leave_finite_numbers() -> None:
    shape = StepShape(phase="decode", batch=8, context=300)
    runner = StepRunner(read_model("tiny-moe"), Deployment(precision="bf16"), shape, torch.device("cuda"))
    found, pool = operation_runners(runner, most_bytes=ROOM), torch.cuda.graph_pool_handle()
    for operation in found:
        operation.capture(pool)
        assert (operation.sets, operation.calls_per_iteration % operation.rotated) == (1, 0)
        for i in range(20):
            operation.iteration(i)
    torch.cuda.synchronize()
    for operation in found:
        for tensor in (a for kept in operation._kept for a in kept.args if isinstance(a, torch.Tensor) and a.is_floating_point()):
            assert tensor.float().isfinite().all(), operation.part
