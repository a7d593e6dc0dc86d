"""How many programs of a kernel share a multiprocessor. Importable without torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What one multiprocessor has."""

    warps: int
    programs: int
    shared_bytes: int  # a program's, with the 1 KiB that CUDA keeps of each
    registers: int = 65536
    tensor_memory_columns: int = 0


# CUDA C++ Programming Guide, "Technical Specifications per Compute Capability": resident warps and blocks, shared memory, registers. Tensor memory: PTX ISA,
# "Tensor Memory": 512 columns per SM.
LIMITS = {
    90: Limits(warps=64, programs=32, shared_bytes=228 << 10),
    100: Limits(warps=64, programs=32, shared_bytes=228 << 10, tensor_memory_columns=512),
    103: Limits(warps=64, programs=32, shared_bytes=228 << 10, tensor_memory_columns=512),
    120: Limits(warps=48, programs=24, shared_bytes=100 << 10),
}
# How they are handed out, since compute capability 8.0 (cuda_occupancy.h of the CUDA toolkit): registers in 256 per warp, warps by fours (one for each
# quarter of the SM), shared memory in 128 bytes.
_REGISTERS, _WARPS, _SHARED_BYTES, _RESERVED_BYTES = 256, 4, 128, 1024


def programs_per_sm(arch: int, *, registers: int, warps: int, shared_bytes: int, tensor_memory_columns: int = 0) -> tuple[int, str]:
    """(programs, what limits them). 0: not even one fits."""
    limits = LIMITS[arch]
    of_a_warp = _up(registers * 32, _REGISTERS)
    by = {
        "programs": limits.programs,
        "warps": limits.warps // warps,
        "registers": limits.registers // of_a_warp // _WARPS * _WARPS // warps,
        "shared memory": limits.shared_bytes // (_up(shared_bytes, _SHARED_BYTES) + _RESERVED_BYTES),
    }
    if tensor_memory_columns:
        by["tensor memory"] = limits.tensor_memory_columns // tensor_memory_columns
    least = min(by, key=by.__getitem__)
    return by[least], least


def _up(value: int, step: int) -> int:
    return -(-value // step) * step
