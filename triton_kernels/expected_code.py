"""Which tensor-core instructions each kernel variant must hold, what it may spill, and what its machine code breaks of that. Importable without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from triton_kernels.allowed_spills import ALLOWED_SPILLS
from triton_kernels.machine_code import MachineCode
from triton_kernels.sass import TENSOR_CORE

_FAMILIES = {90: "sm90", 100: "sm100", 103: "sm100", 120: "sm120"}

# (PRODUCT, family) -> (the one tensor-core instruction that its code may hold, kinds of PTX it may come from). Literal and apart from triton_kernels.product,
# which kernels are launched by: a slip there is not copied here.
EXPECTED: dict[tuple[str, str], tuple[str, frozenset[str]]] = {
    # bf16 and fp16 operands: the asynchronous instructions, which alone reach the datasheet's rate; mma.sync on Hopper gets about 60 % of it.
    ("plain", "sm90"): ("HGMMA", frozenset({"wgmma bf16", "wgmma fp16"})),
    ("plain", "sm100"): ("UTCHMMA", frozenset({"tcgen05 f16"})),
    ("plain", "sm120"): ("HMMA", frozenset({"mma.sync bf16", "mma.sync fp16"})),
    # Weights decoded to the activations' bf16 or fp16 in registers: as plain.
    ("decoded", "sm90"): ("HGMMA", frozenset({"wgmma bf16", "wgmma fp16"})),
    ("decoded", "sm100"): ("UTCHMMA", frozenset({"tcgen05 f16"})),
    ("decoded", "sm120"): ("HMMA", frozenset({"mma.sync bf16", "mma.sync fp16"})),
    # fp8 x fp8, scales after the loop or after every 128 of K: twice the rate of bf16, which an HGMMA in its place would silently give away.
    ("promoted", "sm90"): ("QGMMA", frozenset({"wgmma e4m3", "wgmma e5m2"})),
    ("promoted", "sm100"): ("UTCQMMA", frozenset({"tcgen05 f8f6f4"})),
    ("promoted", "sm120"): ("QMMA", frozenset({"mma.sync e4m3", "mma.sync e5m2"})),
    ("blocks", "sm90"): ("QGMMA", frozenset({"wgmma e4m3", "wgmma e5m2"})),
    ("blocks", "sm100"): ("UTCQMMA", frozenset({"tcgen05 f8f6f4"})),
    ("blocks", "sm120"): ("QMMA", frozenset({"mma.sync e4m3", "mma.sync e5m2"})),
    # 4-bit weights decoded to e4m3, exactly: as fp8.
    ("groups", "sm90"): ("QGMMA", frozenset({"wgmma e4m3"})),
}
# PRODUCT "native" hands scales to the tensor core: by (X_FORMAT, W_FORMAT, family). UTCQMMA and QMMA multiply 8 bits with 8 or 4, UTCOMMA and OMMA 4 with 4.
NATIVE: dict[tuple[str, str, str], tuple[str, frozenset[str]]] = {
    ("mxfp8", "mxfp8", "sm100"): ("UTCQMMA", frozenset({"tcgen05 mxf8f6f4"})),
    ("mxfp8", "mxfp4", "sm100"): ("UTCQMMA", frozenset({"tcgen05 mxf8f6f4"})),
    ("mxfp4", "mxfp4", "sm100"): ("UTCOMMA", frozenset({"tcgen05 mxf4"})),
    ("nvfp4", "nvfp4", "sm100"): ("UTCOMMA", frozenset({"tcgen05 mxf4nvf4"})),
    ("mxfp8", "mxfp8", "sm120"): ("QMMA", frozenset({"mma.sync mxf8f6f4"})),
    ("mxfp8", "mxfp4", "sm120"): ("QMMA", frozenset({"mma.sync mxf8f6f4"})),
    ("mxfp4", "mxfp4", "sm120"): ("OMMA", frozenset({"mma.sync mxf4"})),
    ("nvfp4", "nvfp4", "sm120"): ("OMMA", frozenset({"mma.sync mxf4nvf4"})),
}
# Kernels that multiply; no other may hold a tensor-core instruction. Attention widens a coded cache to q's type, so it is always "plain".
PRODUCTS = frozenset(
    {"matmul_kernel", "grouped_matmul_kernel", "head_matmul_kernel", "expanded_attention_kernel", "attention_kernel", "latent_attention_kernel"}
)
# Attention of few rows is bound by memory and multiplies with mma.sync on purpose: wgmma and tcgen05 take 64 rows at least (attention_tiles.py).
FEW_ROWS = frozenset({"attention_kernel", "latent_attention_kernel"})
_LEAST_ROWS = 64
_UNKNOWN: tuple[str, frozenset[str]] = ("", frozenset())  # a product that the tables above do not know on this architecture
_MMA_SYNC = ("HMMA", frozenset({"mma.sync bf16", "mma.sync fp16"}))


class Asked(Protocol):
    """What is looked at of a triton_kernels.launch.Variant."""

    @property
    def kernel(self) -> str: ...
    @property
    def arch(self) -> int: ...
    @property
    def signature(self) -> tuple[tuple[str, str], ...]: ...
    @property
    def constexprs(self) -> tuple[tuple[str, Any], ...]: ...
    @property
    def options(self) -> tuple[tuple[str, int], ...]: ...


def formats_of(variant: Asked) -> str:
    """`bf16`, `fp8_1x128 x fp8_128x128`: what is multiplied or moved, in the recipes' words where the kernel knows them."""
    named = dict(variant.constexprs)
    x, w = named.get("X_FORMAT"), named.get("W_FORMAT")
    if x:
        return str(x) if x == w else f"{x} x {w}"
    pointers = [kind[1:] for _, kind in variant.signature if kind.startswith("*")]
    numbers = dict.fromkeys({"fp8e4nv": "e4m3", "fp8e5": "e5m2"}.get(kind, kind) for kind in pointers if kind[0] in "fb" and kind != "fp32")
    return " ".join(numbers) or (pointers[0] if pointers else "-")


_SPELLED_APART = ("PRODUCT", "X_FORMAT", "W_FORMAT")


def key_of(variant: Asked) -> str:
    """The variant's name in the table of spills: kernel, architecture, formats, and the constants that are neither off nor empty. Variants that differ in
    alignment or in which optional arguments are there share a name."""
    named = dict(variant.constexprs)
    shown = [f"{k}={v}" for k, v in variant.constexprs if k.isupper() and k not in _SPELLED_APART and v not in (False, 0, "", None)]
    options = dict(variant.options)
    form = [f"{name}={options[option]}" for name, option in (("warps", "num_warps"), ("stages", "num_stages")) if option in options]
    product = [str(named["PRODUCT"])] if named.get("PRODUCT", "plain") != "plain" else []
    return " ".join([variant.kernel.removesuffix("_kernel"), f"sm_{variant.arch}", *product, formats_of(variant).replace(" ", ""), *shown, *form])


def expected_of(variant: Asked) -> tuple[str, frozenset[str]] | None:
    """The tensor-core instruction that it must hold and the PTX kinds of it; None: none at all."""
    named, family = dict(variant.constexprs), _FAMILIES[variant.arch]
    operand = next((kind for _, kind in variant.signature if kind.startswith("*")), "")
    if variant.kernel not in PRODUCTS or operand == "*fp32":  # IEEE fp32 has no tensor core
        return None
    if variant.kernel in FEW_ROWS and named["ROWS"] < _LEAST_ROWS:
        return _MMA_SYNC
    product = named.get("PRODUCT", "plain")
    if product == "native":
        return NATIVE.get((named["X_FORMAT"], named["W_FORMAT"], family), _UNKNOWN)
    return EXPECTED.get((product, family), _UNKNOWN)


def failures(
    variant: Asked, code: MachineCode, kinds: Sequence[str], programs: int, triton: str, allowed: Mapping[str, Mapping[str, tuple[int, int]]] = ALLOWED_SPILLS
) -> list[str]:
    """What is wrong with a variant's machine code, each in one line without the variant's name."""
    found = [name for name in TENSOR_CORE if code.instructions.get(name)]
    wrong = _wrong_instructions(variant, found, kinds)
    if programs == 0:
        wrong.append("not one program fits a multiprocessor")
    spills, in_loop = allowed_spills(key_of(variant), triton, allowed)
    if code.spill_bytes > spills:
        wrong.append(f"spills {code.spill_bytes} bytes, {spills} allowed; if that must be: {table_line(variant, code, triton)}")
    if code.spills_in_main_loop > in_loop:
        more = f", {in_loop} allowed" if in_loop else ""
        wrong.append(f"{code.spills_in_main_loop} spill instructions in the main loop{more}; if that must be: {table_line(variant, code, triton)}")
    return wrong


def _wrong_instructions(variant: Asked, found: Sequence[str], kinds: Sequence[str]) -> list[str]:
    expected = expected_of(variant)
    if expected is None:
        return [f"holds {', '.join(found)}, where no tensor core is expected"] if found else []
    if expected is _UNKNOWN:
        return [f"multiplies {formats_of(variant)} in a way that triton_kernels/expected_code.py does not know; add what it must hold"]
    opcode, wanted = expected
    others = [name for name in found if name != opcode]
    wrong = []
    if opcode not in found:
        wrong.append(f"holds no {opcode} ({', '.join(others) or 'no tensor-core instruction at all'})")
    elif others:
        wrong.append(f"holds {', '.join(others)} beside {opcode}")
    if others and opcode.endswith(("QGMMA", "QMMA", "OMMA")) and any(name.endswith(("HMMA", "HGMMA")) for name in others):
        wrong.append(f"multiplies {formats_of(variant)} as fp16 or bf16")
    strange = [kind for kind in kinds if kind not in wanted]
    if strange and not others:
        wrong.append(f"holds {', '.join(strange)} where {' or '.join(sorted(wanted))} is expected")
    return wrong


def allowed_spills(key: str, triton: str, allowed: Mapping[str, Mapping[str, tuple[int, int]]] = ALLOWED_SPILLS) -> tuple[int, int]:
    """(bytes per thread, instructions in the main loop) under a version of Triton: of the newest listed one that is not newer."""
    by_version = allowed.get(key, {})
    known = [listed for listed in by_version if _number(listed) <= _number(triton)]
    return by_version[max(known, key=_number)] if known else (0, 0)


def table_line(variant: Asked, code: MachineCode, triton: str) -> str:
    return f'"{key_of(variant)}": {{"{triton}": ({code.spill_bytes}, {code.spills_in_main_loop})}}'


def _number(triton: str) -> tuple[int, ...]:
    return tuple(int(part) for part in triton.split("+")[0].split(".") if part.isdigit())
