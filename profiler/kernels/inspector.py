"""One variant's machine code as a row: what `tokenmill kernels --inspect` prints and gives as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from profiler.kernels.readings import read_or_recall
from triton_kernels.errors import TokenmillError
from triton_kernels.expected_code import expected_of, failures, formats_of, key_of
from triton_kernels.machine_code import tensor_core_kinds, triton_version
from triton_kernels.occupancy import programs_per_sm
from workloads.in_use import MODELS, PRECISIONS, InUse, Refused, variants_in_use
from workloads.shape import StepShape

Row = dict[str, Any]


class Inspector:
    """The variants of a request, in an order that never changes, each compiled when it is asked for."""

    def __init__(
        self, *, archs: Sequence[int], shapes: Sequence[Sequence[Any]], operations: Sequence[str], models: Sequence[str] = tuple(MODELS),
        precisions: Sequence[str] = PRECISIONS,
    ) -> None:  # fmt: skip
        steps = [StepShape(phase=phase, batch=batch, context=context) for phase, batch, context in shapes]
        self.entries: list[tuple[int, InUse | Refused]] = []
        for arch in archs:
            found, refused = variants_in_use(arch, models=models, precisions=precisions, shapes=steps, operations=operations)
            self.entries += [(arch, entry) for entry in found]
            self.entries += [(arch, entry) for entry in refused]

    def row(self, index: int) -> Row:
        arch, entry = self.entries[index]
        return _refused(entry, arch) if isinstance(entry, Refused) else _inspected(entry)


def _inspected(entry: InUse) -> Row:
    variant = entry.variant
    row = _blank(variant.kernel.removesuffix("_kernel"), variant.arch, key_of(variant), entry.used_by)
    row |= {"formats": formats_of(variant), "constants": {k: v for k, v in variant.constexprs if k.isupper()}}
    try:
        compiled = variant.compiled
    except Exception as e:  # whatever a compiler raises: it is this variant's result, the others go on
        said = str(e).strip().splitlines()
        return row | {"failures": [f"does not compile: {type(e).__name__}: {said[-1][:200] if said else ''}"]}
    metadata = compiled.metadata
    code = read_or_recall(compiled.asm["cubin"])
    kinds = tensor_core_kinds(compiled.asm["ptx"])
    columns = getattr(metadata, "tmem_size", 0) or 0
    programs, limit = programs_per_sm(
        variant.arch, registers=code.registers, warps=metadata.num_warps, shared_bytes=metadata.shared, tensor_memory_columns=columns
    )  # fmt: skip
    expected = expected_of(variant)
    return row | {
        "warps": metadata.num_warps, "stages": metadata.num_stages, "registers": code.registers, "spill_bytes": code.spill_bytes,
        "spill_instructions": code.spill_instructions, "spills_in_main_loop": code.spills_in_main_loop, "shared_bytes": metadata.shared,
        "tensor_memory_columns": columns, "programs_per_sm": programs, "limited_by": limit, "instructions": code.instructions, "kinds": kinds,
        "expected": None if expected is None else expected[0], "failures": failures(variant, code, kinds, programs, triton_version()),
    }  # fmt: skip


def _refused(entry: Refused, arch: int) -> Row:
    row = _blank(entry.op, arch, f"{entry.op} sm_{arch}", entry.used_by)
    return row | {"failures": [f"its launcher refuses what {entry.used_by[0]} plans: {entry.why[:200]}"]}


def _blank(kernel: str, arch: int, name: str, used_by: Sequence[str]) -> Row:
    """What is known of a variant before it is compiled; None is what only machine code tells."""
    unknown = (
        "formats", "constants", "warps", "stages", "registers", "spill_bytes", "spill_instructions", "spills_in_main_loop", "shared_bytes",
        "tensor_memory_columns", "programs_per_sm", "limited_by", "instructions", "kinds", "expected",
    )  # fmt: skip
    return {"kernel": kernel, "arch": arch, "variant": name, "used_by": list(used_by), **dict.fromkeys(unknown), "failures": []}


def reason(error: Exception) -> tuple[str, str]:
    """(kind, text) of an error for the parent."""
    return ("user", str(error)) if isinstance(error, TokenmillError) else ("bug", f"{type(error).__name__}: {error}")
