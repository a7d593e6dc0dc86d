"""What is read from machine code: cuobjdump's text, loops, occupancy, and what a variant's code breaks. Texts are cuobjdump's own, shortened."""

from dataclasses import dataclass
from typing import Any

import pytest

from triton_kernels.errors import TokenmillError
from triton_kernels.expected_code import allowed_spills, expected_of, failures, key_of
from triton_kernels.machine_code import MachineCode, machine_code, tensor_core_kinds
from triton_kernels.occupancy import programs_per_sm

# A set-up that spills, a loop of four instructions around an HGMMA whose second half reloads the spill, and what follows.
LOOP = """
 Function matmul_kernel:
  REG:168 STACK:16 SHARED:0 LOCAL:0 CONSTANT[0]:600 TEXTURE:0 SURFACE:0 SAMPLER:0
        /*0000*/                   STL [R1], R4 ;                          /* 0x0 */
        /*0010*/                   LDGSTS.E.BYPASS.128 [R2], desc[UR4][R6.64] ;  /* 0x0 */
        /*0020*/                   HGMMA.64x128x16.F32.BF16 R24, gdesc[UR4], R24 ; /* 0x0 */
        /*0030*/                   LDL R4, [R1] ;                          /* 0x0 */
        /*0040*/              @P0  BRA 0x10 ;                              /* 0x0 */
        /*0050*/                   STG.E desc[UR4][R2.64], R24 ;           /* 0x0 */
        /*0060*/                   EXIT ;                                  /* 0x0 */
"""


def test_registers_spills_instructions_and_the_main_loop() -> None:
    code = machine_code(LOOP)
    assert (code.registers, code.spill_bytes, code.spill_instructions) == (168, 16, 2)
    assert code.instructions == {"HGMMA": 1, "LDGSTS": 1, "STG": 1, "STL": 1, "LDL": 1}
    assert code.spills_in_main_loop == 1  # the LDL; the STL comes before the loop


def test_a_spill_behind_the_loop_is_not_in_it() -> None:
    assert machine_code(LOOP.replace("BRA 0x10", "BRA 0x20").replace("LDL R4, [R1]", "NOP      ")).spills_in_main_loop == 0


def test_a_text_without_usage_is_refused() -> None:
    with pytest.raises(TokenmillError, match="no resource usage"):
        machine_code("nothing here")


def test_programs_on_a_multiprocessor() -> None:
    # 168 registers x 32 = 5376 for a warp; 65536 // 5376 = 12 warps, 3 programs of 4
    assert programs_per_sm(90, registers=168, warps=4, shared_bytes=0) == (3, "registers")
    # 228 KiB hold two programs of 100 KiB and 1 KiB kept of each
    assert programs_per_sm(90, registers=32, warps=4, shared_bytes=100 << 10) == (2, "shared memory")
    # 512 columns of tensor memory
    assert programs_per_sm(100, registers=32, warps=4, shared_bytes=1024, tensor_memory_columns=256) == (2, "tensor memory")
    assert programs_per_sm(90, registers=255, warps=16, shared_bytes=228 << 10)[0] == 0


def test_kinds_in_ptx() -> None:
    ptx = "wgmma.mma_async.sync.aligned.m64n16k32.f32.e4m3.e4m3 {%f1};\ntcgen05.mma.cta_group::1.kind::mxf4nvf4.block_scale.scale_vec::4X [%r1];"
    assert tensor_core_kinds(ptx) == ["tcgen05 mxf4nvf4", "wgmma e4m3"]


@dataclass(frozen=True, kw_only=True)
class Variant:
    kernel: str = "matmul_kernel"
    arch: int = 90
    signature: tuple[tuple[str, str], ...] = (("x_ptr", "*fp8e4nv"), ("w_ptr", "*fp8e4nv"))
    constexprs: tuple[tuple[str, Any], ...] = (("PRODUCT", "blocks"), ("X_FORMAT", "fp8_1x128"), ("W_FORMAT", "fp8_128x128"), ("ROWS", 16), ("EVEN_K", False))
    options: tuple[tuple[str, int], ...] = (("num_warps", 4), ("num_stages", 3))


def code_of(spill_bytes: int = 0, in_loop: int = 0, **instructions: int) -> MachineCode:
    return MachineCode(registers=100, spill_bytes=spill_bytes, instructions=instructions, spills_in_main_loop=in_loop)


def test_each_planted_fault_is_found_and_alone() -> None:
    fp8, good = Variant(), code_of(QGMMA=4)
    assert failures(fp8, good, ["wgmma e4m3"], 2, "3.9.0") == []
    (missing,) = failures(fp8, code_of(), [], 2, "3.9.0")
    assert "holds no QGMMA" in missing
    as_fp16 = failures(fp8, code_of(HMMA=8), ["mma.sync fp16"], 2, "3.9.0")
    assert any("as fp16 or bf16" in line for line in as_fp16)
    (spilled,) = failures(fp8, code_of(spill_bytes=8, QGMMA=4), ["wgmma e4m3"], 2, "3.9.0")
    assert "spills 8 bytes, 0 allowed" in spilled
    (in_loop,) = failures(fp8, code_of(in_loop=1, QGMMA=4), ["wgmma e4m3"], 2, "3.9.0")
    assert "in the main loop" in in_loop
    assert failures(fp8, good, ["wgmma e4m3"], 0, "3.9.0") == ["not one program fits a multiprocessor"]
    native = Variant(arch=100, constexprs=(("PRODUCT", "native"), ("X_FORMAT", "nvfp4"), ("W_FORMAT", "nvfp4")), signature=(("x_ptr", "*u8"),))
    assert expected_of(native) == ("UTCOMMA", frozenset({"tcgen05 mxf4nvf4"}))
    (wrong_kind,) = failures(native, code_of(UTCOMMA=1), ["tcgen05 mxf4"], 2, "3.9.0")
    assert "tcgen05 mxf4 where tcgen05 mxf4nvf4 is expected" in wrong_kind


def test_the_table_of_spills_is_by_name_and_version() -> None:
    assert key_of(Variant()) == "matmul sm_90 blocks fp8_1x128xfp8_128x128 ROWS=16 warps=4 stages=3"
    table = {key_of(Variant()): {"3.6.0": (40, 2), "3.9.0": (8, 0)}}
    assert allowed_spills(key_of(Variant()), "3.7.1", table) == (40, 2)
    assert allowed_spills(key_of(Variant()), "3.10.0", table) == (8, 0)
    assert allowed_spills("another", "3.9.0", table) == (0, 0)
    assert failures(Variant(), code_of(spill_bytes=8, QGMMA=1), ["wgmma e4m3"], 1, "3.9.0", table) == []


def test_few_rows_of_attention_multiply_with_mma_sync_and_copies_with_nothing() -> None:
    decode = Variant(kernel="attention_kernel", signature=(("q_ptr", "*bf16"),), constexprs=(("ROWS", 16),))
    prefill = Variant(kernel="attention_kernel", signature=(("q_ptr", "*bf16"),), constexprs=(("ROWS", 128),))
    assert expected_of(decode) == ("HMMA", frozenset({"mma.sync bf16", "mma.sync fp16"}))
    assert expected_of(prefill) == ("HGMMA", frozenset({"wgmma bf16", "wgmma fp16"}))
    assert expected_of(Variant(kernel="quantize_kernel", constexprs=())) is None
