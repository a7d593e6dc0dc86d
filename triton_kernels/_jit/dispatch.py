import triton
import triton.language as tl

# offsets_ptr is one layer's slice of a larger tensor: its alignment varies by layer and is not worth a variant.


@triton.jit
def _local(ids_ptr, r, rows, first_expert):
    """Experts of rows r, numbered on this rank; -1 beyond the rows."""
    ids = tl.load(ids_ptr + r, mask=r < rows, other=-1)
    return tl.where(r < rows, ids - first_expert, -1)


@triton.jit(do_not_specialize_on_alignment=["offsets_ptr"])
def dispatch_small_kernel(ids_ptr, offsets_ptr, order_ptr, row_of_ptr, first_expert, rows, experts, ROWS: tl.constexpr):
    """One program per expert, each over all rows at once: what lower experts take, and the running number of its own."""
    expert = tl.program_id(0)
    r = tl.arange(0, ROWS)
    ids = _local(ids_ptr, r, rows, first_expert)
    live = (ids >= 0) & (ids < experts)
    first = tl.sum((live & (ids < expert)).to(tl.int32), 0)
    mine = live & (ids == expert)
    nth = tl.cumsum(mine.to(tl.int32), 0)
    tl.store(order_ptr + first + nth - 1, r, mask=mine)
    tl.store(row_of_ptr + r, first + nth - 1, mask=mine)
    tl.store(offsets_ptr + expert, first)
    if expert == 0:
        tl.store(row_of_ptr + r, -1, mask=(r < rows) & (live == 0))
    if expert == experts - 1:
        tl.store(offsets_ptr + experts, first + tl.sum(mine.to(tl.int32), 0))


@triton.jit
def count_kernel(ids_ptr, counts_ptr, first_expert, rows, experts, blocks, ROWS: tl.constexpr, EXPERTS: tl.constexpr):
    """counts[e, block]: how many of the block's rows expert e takes."""
    block = tl.program_id(0)
    r = block * ROWS + tl.arange(0, ROWS)
    ids = _local(ids_ptr, r, rows, first_expert)
    counts = tl.histogram(ids, EXPERTS, mask=(ids >= 0) & (ids < experts))
    e = tl.arange(0, EXPERTS)
    tl.store(counts_ptr + e * blocks + block, counts, mask=e < experts)


@triton.jit(do_not_specialize_on_alignment=["offsets_ptr"])
def prefix_kernel(counts_ptr, offsets_ptr, starts_ptr, experts, blocks, CHUNK: tl.constexpr):
    """One program per expert: starts[e, block] = where the block's first row of expert e goes, and the expert's own offset."""
    expert = tl.program_id(0)
    c = tl.arange(0, CHUNK)
    lower = tl.zeros((CHUNK,), tl.int32)
    for i in tl.range(0, expert * blocks, CHUNK):
        lower += tl.load(counts_ptr + i + c, mask=i + c < expert * blocks, other=0)
    start = tl.sum(lower, 0)
    tl.store(offsets_ptr + expert, start)
    for i in tl.range(0, blocks, CHUNK):
        counts = tl.load(counts_ptr + expert * blocks + i + c, mask=i + c < blocks, other=0)
        tl.store(starts_ptr + expert * blocks + i + c, start + tl.cumsum(counts, 0) - counts, mask=i + c < blocks)
        start += tl.sum(counts, 0)
    if expert == experts - 1:
        tl.store(offsets_ptr + experts, start)


@triton.jit
def place_kernel(ids_ptr, starts_ptr, order_ptr, row_of_ptr, first_expert, rows, experts, blocks, ROWS: tl.constexpr, STEP: tl.constexpr):
    """A row goes to its expert's start in this block, after as many rows of the same expert as come before it in the block."""
    block = tl.program_id(0)
    i = tl.arange(0, ROWS)
    r = block * ROWS + i
    ids = _local(ids_ptr, r, rows, first_expert)
    live = (ids >= 0) & (ids < experts)
    before = tl.zeros((ROWS,), tl.int32)
    for j0 in tl.range(0, tl.minimum(ROWS, rows - block * ROWS), STEP):  # a run-time bound: unrolled in full it would not fit the registers
        j = j0 + tl.arange(0, STEP)
        others = _local(ids_ptr, block * ROWS + j, rows, first_expert)
        before += tl.sum(((ids[:, None] == others[None, :]) & (j[None, :] < i[:, None])).to(tl.int32), 1)
    place = tl.load(starts_ptr + ids * blocks + block, mask=live, other=0) + before
    tl.store(order_ptr + place, r, mask=live)
    tl.store(row_of_ptr + r, tl.where(live, place, -1), mask=r < rows)
