"""Values to codes and back inside kernels: what triton_kernels.codes and operand.encode do, bit for bit where the arithmetic allows."""

import triton
import triton.language as tl

from triton_kernels._jit.dot import INTERPRETED

E4M3_LARGEST = tl.constexpr(448.0)
E2M1_LARGEST = tl.constexpr(6.0)


@triton.jit
def e4m3_codes(x):
    """fp32 of any size to e4m3, nearest, ties to even, saturating; NaN stays NaN."""
    x = tl.maximum(x, -E4M3_LARGEST, propagate_nan=tl.PropagateNan.ALL)
    x = tl.minimum(x, E4M3_LARGEST, propagate_nan=tl.PropagateNan.ALL)
    if INTERPRETED:  # its cast is wrong where rounding carries into the exponent, and right on values that need no rounding
        exponent = (x.to(tl.int32, bitcast=True) >> 23) & 255
        # 1.5 x 2^23 units of the last place: adding and taking away rounds to that place. The last place is 2^-9 below 2^-6, else 2^-3 of the exponent.
        big = ((tl.maximum(exponent, 121) + 20) << 23 | 1 << 22).to(tl.float32, bitcast=True)
        sign = x.to(tl.int32, bitcast=True) & -0x80000000  # -0 stays so
        rounded = (((x + big) - big).to(tl.int32, bitcast=True) | sign).to(tl.float32, bitcast=True)
        code = tl.where(x == x, rounded.to(tl.float8e4nv).to(tl.uint8, bitcast=True), 127)
        return code.to(tl.uint8).to(tl.float8e4nv, bitcast=True)
    else:
        return x.to(tl.float8e4nv)


@triton.jit
def e2m1_codes(x):
    """fp32 to 4-bit codes in int32, nearest, ties to even, saturating. See codes.encode_element."""
    m = tl.abs(x)
    code = (m > 0.25).to(tl.int32) + (m >= 0.75).to(tl.int32) + (m > 1.25).to(tl.int32) + (m >= 1.75).to(tl.int32)
    code += (m > 2.5).to(tl.int32) + (m >= 3.5).to(tl.int32) + (m > 5.0).to(tl.int32)
    return code | ((x.to(tl.int32, bitcast=True) >> 28) & 8)


@triton.jit
def e2m1_values(code):
    """4-bit codes in int32 to fp32, exactly: exponent and mantissa moved to where fp32 has them are the value times 2^-126, subnormals and all."""
    bits = ((code & 8) << 28) | ((code & 7) << 22)
    return bits.to(tl.float32, bitcast=True) * 8.507059173023462e37  # 2^126


@triton.jit
def e8m0_codes(x):
    """fp32, 0 and up, to the codes (int32) of the least powers of two that are no smaller."""
    code = (x.to(tl.int32, bitcast=True) + 0x7FFFFF) >> 23
    return tl.minimum(code, 254)


@triton.jit
def e8m0_values(code):
    """Codes in int32 to fp32; NaN for 255."""
    return tl.where(code == 0, 1 << 22, tl.where(code == 255, 0x7FC00000, code << 23)).to(tl.float32, bitcast=True)


@triton.jit
def scale_values(scale, SCALE: tl.constexpr):
    """Loaded scales ("e8m0": uint8, "e4m3", "fp32") in fp32."""
    if SCALE == "e8m0":
        return e8m0_values(scale.to(tl.int32))
    else:
        return scale.to(tl.float32)


@triton.jit
def packed(codes, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """4-bit codes in int32 [ROWS, COLUMNS] to bytes [ROWS, COLUMNS / 2], neighbours together, the earlier in the low nibble."""
    low, high = tl.split(tl.reshape(codes, (ROWS, COLUMNS // 2, 2)))
    return (low | (high << 4)).to(tl.uint8)


@triton.jit
def encoded(y, FORMAT: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """(values, scales) of fp32 y [ROWS, COLUMNS] in an activation format, each group of a row with its own scale: [ROWS, COLUMNS / GROUP].

    FORMAT: "fp8_row" (COLUMNS is the whole row), "fp8_1x128", "mxfp8", "mxfp4", "nvfp4". Columns that are not there should hold 0. NaN: see operand.encode.
    """
    GROUP: tl.constexpr = COLUMNS if FORMAT == "fp8_row" else 128 if FORMAT == "fp8_1x128" else 16 if FORMAT == "nvfp4" else 32
    LARGEST: tl.constexpr = E2M1_LARGEST if FORMAT == "mxfp4" or FORMAT == "nvfp4" else E4M3_LARGEST
    groups = tl.reshape(y, (ROWS, COLUMNS // GROUP, GROUP))
    wanted = tl.div_rn(tl.max(tl.abs(groups), 2), LARGEST)  # of NaN and numbers the largest number
    wanted = tl.where(wanted > 0, wanted, 0.0)
    if FORMAT == "fp8_row" or FORMAT == "fp8_1x128":
        scale = tl.where(wanted > 0, wanted, 1.0)
        value = scale
    elif FORMAT == "nvfp4":
        scale = e4m3_codes(wanted)
        value = scale.to(tl.float32)
    else:
        code = e8m0_codes(wanted)
        scale = code.to(tl.uint8)
        value = e8m0_values(code)
    inverse = tl.where(value > 0, tl.div_rn(1.0, tl.where(value > 0, value, 1.0)), 0.0)
    x = tl.reshape(groups * inverse[:, :, None], (ROWS, COLUMNS))
    if FORMAT == "mxfp4" or FORMAT == "nvfp4":
        return packed(e2m1_codes(x), ROWS, COLUMNS), scale
    else:
        return e4m3_codes(x), scale
