import triton
import triton.language as tl

from triton_kernels._jit.dot import dot
from triton_kernels._jit.quantize import store_encoded


@triton.jit
def _rotate(x_row, cos_sin_ptr, positions_ptr, y_row, t, live_t, k, n, DIM: tl.constexpr, HALF: tl.constexpr):
    """The last DIM columns of the rows t, rotated by position."""
    d = tl.arange(0, HALF)[None, :]
    live = live_t[:, None] & (d < DIM // 2)
    position = tl.load(positions_ptr + t, mask=live_t, other=0)
    angles = cos_sin_ptr + position.to(tl.int64)[:, None] * DIM + d
    cos = tl.load(angles, mask=live, other=0.0)
    sin = tl.load(angles + DIM // 2, mask=live, other=0.0)
    source = x_row[:, None] + k + d
    low = tl.load(source, mask=live, other=0.0).to(tl.float32)
    high = tl.load(source + DIM // 2, mask=live, other=0.0).to(tl.float32)
    place = y_row[:, None] + n + d
    tl.store(place, (low * cos - high * sin).to(y_row.dtype.element_ty), mask=live)
    tl.store(place + DIM // 2, (high * cos + low * sin).to(y_row.dtype.element_ty), mask=live)


@triton.jit
def head_matmul_kernel(
    x_ptr, w_ptr, cos_sin_ptr, positions_ptr, y_ptr, y_scale_ptr, tokens, heads, n, k, w_stride_a, w_stride_n, w_stride_k,
    DIM: tl.constexpr, HALF: tl.constexpr,
    ROWS: tl.constexpr, OUTPUTS: tl.constexpr, INPUTS: tl.constexpr, SWAP: tl.constexpr, EVEN_N: tl.constexpr, EVEN_K: tl.constexpr,
    OUT_FORMAT: tl.constexpr, OUT_GROUP: tl.constexpr,
):  # fmt: skip
    """One tile of one head; with cos_sin_ptr each head has a further column of tiles, which rotate. EVEN_N, EVEN_K: n, k are multiples of OUTPUTS, INPUTS."""
    tiles_n = tl.cdiv(n, OUTPUTS)
    columns = tiles_n + 1 if cos_sin_ptr is not None else tiles_n
    place = tl.program_id(0)
    tile_n = place % columns
    place = place // columns
    tile_t = place % tl.cdiv(tokens, ROWS)
    head = place // tl.cdiv(tokens, ROWS)

    t = tile_t * ROWS + tl.arange(0, ROWS)
    live_t = t < tokens
    y_row = y_ptr + (t.to(tl.int64) * heads + head) * (n + DIM)
    # Rows over the edge repeat the last one: loads need no mask, and what they give is not stored.
    x_row = x_ptr + (tl.minimum(t, tokens - 1).to(tl.int64) * heads + head) * (k + DIM)
    if cos_sin_ptr is not None:  # noqa: SIM102  known when compiling, the other only when running
        if tile_n == tiles_n:
            _rotate(x_row, cos_sin_ptr, positions_ptr, y_row, t, live_t, k, n, DIM, HALF)
            return

    c = tile_n * OUTPUTS + tl.arange(0, OUTPUTS)
    # Where outputs lie next to each other a clamp would hide that from the compiler, and cost the wide loads.
    w_row = w_ptr + head.to(tl.int64) * w_stride_a + (c if EVEN_N else tl.minimum(c, n - 1)) * w_stride_n
    if SWAP:
        acc = tl.zeros((OUTPUTS, ROWS), tl.float32)
    else:
        acc = tl.zeros((ROWS, OUTPUTS), tl.float32)
    for k0 in tl.range(0, k, INPUTS):
        ks = k0 + tl.arange(0, INPUTS)[None, :]
        inside = None if EVEN_K else ks < k
        zero = None if EVEN_K else 0.0
        x_tile = tl.load(x_row[:, None] + ks, mask=inside, other=zero)
        w_tile = tl.load(w_row[:, None] + ks * w_stride_k, mask=inside, other=zero)
        if SWAP:
            acc = dot(w_tile, tl.trans(x_tile), acc)
        else:
            acc = dot(x_tile, tl.trans(w_tile), acc)
    if SWAP:
        acc = tl.trans(acc)
    if OUT_FORMAT == "":
        tl.store(y_row[:, None] + c[None, :], acc.to(y_ptr.dtype.element_ty), mask=live_t[:, None] & (c < n)[None, :])
    else:  # n is whole groups
        row = t.to(tl.int64) * heads + head
        outputs = n // 2 if OUT_FORMAT == "mxfp4" or OUT_FORMAT == "nvfp4" else n
        groups = n // OUT_GROUP
        scale_row = y_scale_ptr + row * groups
        store_encoded(acc, y_ptr + row * outputs, scale_row, tile_n * OUTPUTS, outputs, groups, live_t, OUT_FORMAT, OUT_GROUP, ROWS, OUTPUTS)
