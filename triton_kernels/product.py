"""How a pair of formats is multiplied on an architecture: which loop over K, with which tensor-core instructions. Importable without torch."""

from __future__ import annotations

from dataclasses import dataclass

from triton_kernels.formats import FORMATS, Format

# By compute capability x 10, first that fits: Blackwell of workstations has block-scaled mma.sync, not tcgen05; Ampere has no fp8.
_FAMILIES = ((120, "sm120"), (100, "sm100"), (90, "sm90"), (89, "sm89"), (80, "sm80"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Product:
    """`name`: the kernels' constexpr PRODUCT (see _jit/tile_product.py). `layout`: how w's 4-bit codes must lie. `kind`: the tensor-core instruction."""

    name: str
    kind: str
    layout: str = "neighbours"


# What the interpreter cannot run, so that only a GPU can prove it: the tests compile it and look for its instructions. The figures come from the same kernel
# with a plain equivalent in that place. docs/evidence/ says on which GPUs it has run against the references.
COMPILE_ONLY = {
    "native": "tl.dot_scaled, tcgen05 and mma.sync with block scales: interpreted as codes decoded to fp32 and a plain dot",
    "promoted": "max_num_imprecise_acc, the fp32 sum of every 128 products: interpreted in fp32 throughout",
    "decoded": "4-bit and e4m3 codes decoded in bf16 arithmetic: interpreted in fp32",
}

# (product, compute capability x 10) whose kernels equal their references on that GPU by a correctness row in docs/evidence/. Until one is there, a recipe that
# needs it is nobody's default, and a point measured with it says so.
PROVEN: frozenset[tuple[str, int]] = frozenset()

_TENSOR_SCALED = ("fp8", "fp8_row")
_TENSOR_SCALED_E5M2 = ("fp8_e5m2", "fp8_e5m2_row")
_CODED_8_BIT = ("fp8", "fp8_row", "fp8_128x128", "fp8_e5m2", "fp8_e5m2_row", "fp8_e5m2_128x128", "mxfp8")
_FP8_KINDS = {"sm90": "wgmma e4m3", "sm100": "tcgen05 f8f6f4", "sm120": "mma.sync e4m3", "sm89": "mma.sync e4m3"}
_E5M2_KINDS = {"sm90": "wgmma e5m2", "sm100": "tcgen05 f8f6f4", "sm120": "mma.sync e5m2", "sm89": "mma.sync e5m2"}


def _half_kinds(name: str) -> dict[str, str]:
    return {"sm90": f"wgmma {name}", "sm100": "tcgen05 f16", "sm120": f"mma.sync {name}", "sm89": f"mma.sync {name}", "sm80": f"mma.sync {name}"}


_FP32_KINDS = dict.fromkeys(("sm80", "sm89", "sm90", "sm100", "sm120"), "fma fp32")  # IEEE fp32 has no tensor core

# (name, x formats, w formats, layout of w, instruction by family; a family that is not there cannot).
# e5m2 and e4m3 operands may be mixed in wgmma, but no recipe does.
_PRODUCTS: tuple[tuple[str, tuple[str, ...], tuple[str, ...], str, dict[str, str]], ...] = (
    ("plain", ("bf16",), ("bf16",), "neighbours", _half_kinds("bf16")),
    ("plain", ("fp16",), ("fp16",), "neighbours", _half_kinds("fp16")),
    ("plain", ("fp32",), ("fp32",), "neighbours", _FP32_KINDS),
    # One scale for a tensor or a row: after the loop.
    ("promoted", _TENSOR_SCALED, _TENSOR_SCALED, "neighbours", _FP8_KINDS),
    ("promoted", _TENSOR_SCALED_E5M2, _TENSOR_SCALED_E5M2, "neighbours", _E5M2_KINDS),
    # DeepSeek-V3's blocks: a scale for every 128 of K.
    ("blocks", ("fp8_1x128",), ("fp8_128x128",), "neighbours", _FP8_KINDS),
    ("blocks", ("fp8_e5m2_1x128",), ("fp8_e5m2_128x128",), "neighbours", _E5M2_KINDS),
    # 4-bit weights become e4m3, exactly; a scale for every 32 of K, which is one wgmma.
    ("groups", ("fp8_row", "fp8_1x128"), ("mxfp4",), "halves", {"sm90": "wgmma e4m3"}),
    # Scales go to the tensor core.
    ("native", ("mxfp8",), ("mxfp8", "mxfp4"), "neighbours", {"sm100": "tcgen05 mxf8f6f4", "sm120": "mma.sync mxf8f6f4"}),
    ("native", ("mxfp4",), ("mxfp4",), "neighbours", {"sm100": "tcgen05 mxf4", "sm120": "mma.sync mxf4"}),
    ("native", ("nvfp4",), ("nvfp4",), "neighbours", {"sm100": "tcgen05 mxf4nvf4", "sm120": "mma.sync mxf4nvf4"}),
    # Weights become x's type inside the loop. Anywhere.
    *(("decoded", (x,), _CODED_8_BIT, "neighbours", _half_kinds(x)) for x in ("bf16", "fp16")),
    *(("decoded", (x,), ("mxfp4", "nvfp4"), "halves", _half_kinds(x)) for x in ("bf16", "fp16")),
    ("decoded", ("fp32",), _CODED_8_BIT, "neighbours", _FP32_KINDS),
    ("decoded", ("fp32",), ("mxfp4", "nvfp4"), "halves", _FP32_KINDS),
)  # fmt: skip

_TABLE = {
    (x, w, family): Product(name=name, kind=kind, layout=layout)
    for name, xs, ws, layout, kinds in _PRODUCTS
    for x in xs
    for w in ws
    for family, kind in kinds.items()
}
assert all(x in FORMATS and w in FORMATS for x, w, _ in _TABLE)


def product_of(x: Format, w: Format, arch: int) -> Product | None:
    """How x @ w.T is computed on compute capability `arch` / 10; None where it is not."""
    family = next((name for least, name in _FAMILIES if arch >= least), None)
    return None if family is None else _TABLE.get((x.name, w.name, family))
