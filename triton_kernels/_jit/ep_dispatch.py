import triton
import triton.language as tl


@triton.jit
def ep_dispatch_kernel(
    x_ptr, weights_ptr, drawn_ptr, y_ptr, ids_ptr, y_weights_ptr, tokens, hidden, choices, first_expert, local_experts,
    CHOICES: tl.constexpr, BLOCK_H: tl.constexpr,
):  # fmt: skip
    """One row of the group per program: its ids and weights always, its values only where one of this rank's experts takes them."""
    row = tl.program_id(0).to(tl.int64)
    token = row % tokens
    j = tl.arange(0, CHOICES)
    ids = tl.load(drawn_ptr + row * choices + j, mask=j < choices, other=-1)
    tl.store(ids_ptr + row * choices + j, ids, mask=j < choices)
    tl.store(y_weights_ptr + row * choices + j, tl.load(weights_ptr + token * choices + j, mask=j < choices), mask=j < choices)
    local = ids - first_expert
    here = (local >= 0) & (local < local_experts) & (j < choices)
    width = tl.where(tl.sum(here.to(tl.int32), 0) > 0, hidden, 0)
    for start in tl.range(0, width, BLOCK_H):
        h = start + tl.arange(0, BLOCK_H)
        tl.store(y_ptr + row * hidden + h, tl.load(x_ptr + token * hidden + h, mask=h < width), mask=h < width)
