import triton
import triton.language as tl


@triton.jit
def ep_dispatch_kernel(
    x_ptr, scale_ptr, weights_ptr, drawn_ptr, y_ptr, y_scale_ptr, ids_ptr, y_weights_ptr,
    tokens, hidden, groups, choices, first_expert, local_experts,
    CHOICES: tl.constexpr, BLOCK_H: tl.constexpr, BLOCK_G: tl.constexpr,
):  # fmt: skip
    """One row of the group per program: its ids and weights always, its values and their scales only where one of this rank's experts takes them."""
    row = tl.program_id(0).to(tl.int64)
    token = row % tokens
    j = tl.arange(0, CHOICES)
    ids = tl.load(drawn_ptr + row * choices + j, mask=j < choices, other=-1)
    tl.store(ids_ptr + row * choices + j, ids, mask=j < choices)
    tl.store(y_weights_ptr + row * choices + j, tl.load(weights_ptr + token * choices + j, mask=j < choices), mask=j < choices)
    local = ids - first_expert
    here = tl.sum(((local >= 0) & (local < local_experts) & (j < choices)).to(tl.int32), 0) > 0
    for start in tl.range(0, tl.where(here, hidden, 0), BLOCK_H):
        h = start + tl.arange(0, BLOCK_H)
        tl.store(y_ptr + row * hidden + h, tl.load(x_ptr + token * hidden + h, mask=h < hidden), mask=h < hidden)
    if scale_ptr is not None:
        g = tl.arange(0, BLOCK_G)
        moved = g < tl.where(here, groups, 0)
        tl.store(y_scale_ptr + row * groups + g, tl.load(scale_ptr + token * groups + g, mask=moved), mask=moved)
