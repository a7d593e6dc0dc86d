import triton
import triton.language as tl

from triton_kernels._jit.codec import encoded


@triton.jit
def store_encoded(
    y, values_row, scale_row, first, outputs, groups, live,
    OUT_FORMAT: tl.constexpr, GROUP: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Encodes fp32 y [ROWS, COLUMNS] and stores codes and scales.

    values_row, scale_row: pointers to column 0 of each row [ROWS]; first: the tile's first column; outputs: columns of the values' tensor (bytes of 4-bit
    codes); live: the rows that are stored.
    """
    PER_BYTE: tl.constexpr = 2 if OUT_FORMAT == "mxfp4" or OUT_FORMAT == "nvfp4" else 1
    codes, scale = encoded(y, OUT_FORMAT, ROWS, COLUMNS)
    c = first // PER_BYTE + tl.arange(0, COLUMNS // PER_BYTE)
    tl.store(values_row[:, None] + c[None, :], codes, mask=live[:, None] & (c < outputs)[None, :])
    g = first // GROUP + tl.arange(0, COLUMNS // GROUP)
    tl.store(scale_row[:, None] + g[None, :], scale, mask=live[:, None] & (g < groups)[None, :])


@triton.jit
def quantize_kernel(
    x_ptr, y_ptr, scale_ptr, k, outputs, groups, tiles,
    OUT_FORMAT: tl.constexpr, GROUP: tl.constexpr, COLUMNS: tl.constexpr, EVEN_K: tl.constexpr,
):  # fmt: skip
    """COLUMNS values of one row, whole groups of GROUP. A row has `tiles` of them."""
    program = tl.program_id(0)
    row = (program // tiles).to(tl.int64) + tl.arange(0, 1)
    first = (program % tiles).to(tl.int64) * COLUMNS
    c = first + tl.arange(0, COLUMNS)[None, :]
    x = tl.load(x_ptr + row[:, None] * k + c, mask=None if EVEN_K else c < k, other=None if EVEN_K else 0.0).to(tl.float32)
    store_encoded(x, y_ptr + row * outputs, scale_ptr + row * groups, first, outputs, groups, row >= 0, OUT_FORMAT, GROUP, 1, COLUMNS)
