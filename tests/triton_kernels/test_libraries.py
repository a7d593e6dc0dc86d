"""Libraries that kernels are compared with: each does the operation's arithmetic, on the operation's tensors, and says what it leaves out."""

import inspect
from typing import Any

import pytest
import torch

from triton_kernels.grouped_matmul import activated
from triton_kernels.libraries import _block_scales, libraries_of
from triton_kernels.matmul import activate
from triton_kernels.operations import OPERATIONS

Case = dict[str, Any]


def arguments(op: str, case: Case, dtype: torch.dtype = torch.bfloat16) -> dict[str, Any]:
    operation = OPERATIONS[op]
    given = operation.inputs(generator=torch.Generator().manual_seed(0), dtype=dtype, **case)
    return {name: given.get(name, p.default) for name, p in inspect.signature(operation.reference).parameters.items()}


def near(got: torch.Tensor, want: torch.Tensor, most: float = 1e-2) -> bool:
    """Within a few bf16 roundings: 1e-2 of the norm, as kernels are allowed."""
    assert got.shape == want.shape, (got.shape, want.shape)
    return bool((got.float() - want.float()).norm() <= most * want.float().norm())


@pytest.mark.parametrize("case", [c for c in OPERATIONS["matmul"].cases if not c.get("x_format") and not c.get("w_format")], ids=str)
def test_mm_is_the_matmul_without_its_activation(case: Case) -> None:
    a = arguments("matmul", case)
    [library] = libraries_of("matmul", a)
    assert library.name == ("torch.addmm" if case.get("bias") else "torch.mm")
    assert library.differs == (f"without {case['activation']}" if case.get("activation") else "")
    assert near(activate(library.prepare()().float(), a["activation"]), OPERATIONS["matmul"].reference(**a))


@pytest.mark.parametrize("formats", [("fp8", "fp8"), ("fp8_row", "fp8_row")], ids=str)
def test_scaled_mm_of_the_same_scales_is_the_matmul(formats: tuple[str, str]) -> None:
    a = arguments("matmul", {"tokens": 40, "n": 64, "k": 320, "x_format": formats[0], "w_format": formats[1]})
    [library] = libraries_of("matmul", a)
    assert (library.name, library.differs) == ("torch._scaled_mm", "")
    try:
        y_TN = library.prepare()()
    except RuntimeError as e:  # up to PyTorch 2.11 one scale for a tensor was all on a CPU
        pytest.skip(f"not in this PyTorch: {e}")
    assert near(y_TN, OPERATIONS["matmul"].reference(**a))


def test_blocks_come_first_and_rows_where_blocks_do_not_run() -> None:
    a = arguments("matmul", {"tokens": 3, "n": 256, "k": 320, "x_format": "fp8_1x128", "w_format": "fp8_128x128", "activation": "swiglu", "bias": True})
    assert [library.differs for library in libraries_of("matmul", a)] == [
        "scales laid out before, without bias and swiglu", "a scale per row instead of per 128 columns, without bias and swiglu",
    ]  # fmt: skip


def test_scales_of_blocks_lie_as_scaled_mm_asks() -> None:
    """ATen, cuda/ScaledBlas.cpp: of x [T, K / 128] with strides (1, T); of w, transposed back, [N / 128, K / 128] with rows of a multiple of four."""
    a = arguments("matmul", {"tokens": 5, "n": 256, "k": 640, "x_format": "fp8_1x128", "w_format": "fp8_128x128"})
    x_scale, w_scale = _block_scales(a)
    assert (x_scale.shape, x_scale.stride()) == ((5, 5), (1, 5))
    assert (w_scale.t().shape, w_scale.t().stride()) == ((2, 5), (8, 1))
    assert torch.equal(x_scale, a["x_scale"])
    assert torch.equal(w_scale.t(), a["w_scale"])


@pytest.mark.parametrize("gather", [False, True])
@pytest.mark.parametrize("activation", ["none", "swiglu", "clamped_swiglu"])
def test_grouped_mm_is_the_experts_product_of_live_rows(gather: bool, activation: str) -> None:
    rows = (5, 0, 9)
    a = arguments(
        "grouped_matmul",
        {"rows_per_expert": rows, "dead": 2, "n": 64, "k": 96, "top_k": 2, "gather": gather, "activation": activation, "limit": 0.7, "weighted": not gather},
    )
    [library] = libraries_of("grouped_matmul", a)
    assert library.name == "torch._grouped_mm"
    said = [*([f"without {activation}"] if activation != "none" else []), "rows gathered before" if gather else "without the router's weights"]
    assert library.differs == ", ".join(said)
    assert library.copied_bytes == (16 * 96 * 2 if gather else 0)  # 16 rows of 96 bf16 values
    live = sum(rows)
    y_RN = activated(library.prepare()()[:live].float(), activation, 0.7)
    if a["weights_TJ"] is not None:
        y_RN = y_RN * a["weights_TJ"].flatten()[a["order_R"][:live].long(), None]
    assert near(y_RN, OPERATIONS["grouped_matmul"].reference(**a)[:live])


def test_grouped_fp8_is_prepared_by_rows() -> None:
    """There is none on a CPU to run it: its operands by shape, and by what they stand for."""
    case = {"rows_per_expert": (3, 0, 6), "dead": 1, "n": 256, "k": 256, "top_k": 2, "gather": True, "x_format": "fp8_1x128", "w_format": "fp8_128x128"}
    [library] = libraries_of("grouped_matmul", arguments("grouped_matmul", case))
    assert (library.name, library.differs) == ("torch._scaled_grouped_mm", "a scale per row instead of per 128 columns, rows gathered before")
    call = library.prepare()
    held = inspect.getclosurevars(call).nonlocals
    assert (held["x_RK"].shape, held["x_scale_R"].shape) == ((10, 256), (10,))
    assert (held["w_EKN"].shape, held["w_EKN"].stride(1), held["w_scale_EN"].shape) == ((3, 256, 256), 1, (3, 256))


@pytest.mark.parametrize("case", [c for c in OPERATIONS["head_matmul"].cases if not c.get("out_format")], ids=str)
def test_bmm_is_the_head_matmul_without_rotation(case: Case) -> None:
    a = arguments("head_matmul", case)
    [library] = libraries_of("head_matmul", a)
    assert library.differs == ("without the rotated part" if case.get("dim") else "")
    n = a["w_ANK"].shape[1]
    assert near(library.prepare()().transpose(0, 1), OPERATIONS["head_matmul"].reference(**a)[..., :n])


@pytest.mark.parametrize(
    "queries, contexts",
    [([1, 1, 1], [70, 70, 70]), ([150], [150]), ([40, 40], [40, 40])],
    ids=["decode", "prefill", "prefill of two"],
)
@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_sdpa_is_attention_over_one_length(queries: list[int], contexts: list[int], kv_heads: int) -> None:
    a = arguments("attention", {"queries": queries, "contexts": contexts, "heads": 4, "kv_heads": kv_heads, "dim": 64, "page_size": 32})
    [library] = libraries_of("attention", a)
    assert library.differs == "keys and values in one piece instead of pages"
    assert library.copied_bytes == 2 * sum(contexts) * kv_heads * 64 * 2  # keys and values in bf16
    o = library.prepare()()
    o_TAD = o.reshape(-1, 4, 64) if queries[0] == 1 else o.transpose(1, 2).reshape(-1, 4, 64)
    assert near(o_TAD, OPERATIONS["attention"].reference(**a))


@pytest.mark.parametrize(
    "case",
    [
        {"queries": [1, 1], "contexts": [70, 71]},
        {"queries": [4], "contexts": [70]},
        {"queries": [1], "contexts": [70], "sinks": True},
        {"queries": [1], "contexts": [70], "window": 16},
        {"queries": [1], "contexts": [70], "cache_format": "fp8"},
    ],
    ids=["ragged", "chunk", "sinks", "window", "fp8 cache"],
)
def test_what_no_library_here_attends_to(case: Case) -> None:
    assert libraries_of("attention", arguments("attention", {"heads": 2, "kv_heads": 1, "dim": 64, "page_size": 32, **case})) == ()


@pytest.mark.parametrize(
    "op, case",
    [
        ("matmul", {"tokens": 3, "n": 64, "k": 96, "w_format": "mxfp4"}),
        ("grouped_matmul", {"rows_per_expert": (3, 0), "n": 64, "k": 96, "w_format": "mxfp4"}),
        ("add_norm", OPERATIONS["add_norm"].cases[0]),
    ],
)
def test_no_counterpart(op: str, case: Case) -> None:
    assert libraries_of(op, arguments(op, case)) == ()
