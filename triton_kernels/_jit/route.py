import triton
import triton.language as tl


@triton.jit
def route_kernel(
    logits_ptr, forced_ptr, ids_ptr, weights_ptr, experts, top_k,
    RENORMALIZE: tl.constexpr, EXPERTS: tl.constexpr, CHOICES: tl.constexpr,
):  # fmt: skip
    """One token per program. EXPERTS, CHOICES: the powers of two that hold the experts and the choices."""
    row = tl.program_id(0).to(tl.int64)
    e = tl.arange(0, EXPERTS)
    logits = tl.load(logits_ptr + row * experts + e, mask=e < experts, other=float("-inf")).to(tl.float32)
    top = tl.max(logits, 0)
    total = tl.sum(tl.exp(logits - top), 0)
    # One 64-bit key per expert orders by value, then by lower id: the float's bits made monotonic, above the inverted id. Zero first loses its sign.
    bits = tl.where(logits == 0.0, 0.0, logits).to(tl.int32, bitcast=True)
    key = ((bits ^ ((bits >> 31) & 0x7FFFFFFF)).to(tl.int64) << 32) | (EXPERTS - 1 - e)
    taken = -0x7FFFFFFFFFFFFFFF
    key = tl.where(e < experts, key, taken)
    j = tl.arange(0, CHOICES)
    ids = tl.zeros((CHOICES,), tl.int32)
    for choice in tl.range(top_k):
        best = tl.max(key, 0)
        ids = tl.where(j == choice, EXPERTS - 1 - (best & (EXPERTS - 1)).to(tl.int32), ids)
        key = tl.where(key == best, taken, key)
    live = j < top_k
    if forced_ptr is not None:
        forced = tl.load(forced_ptr + row * top_k + j, mask=live, other=-1)
        ids = tl.where(forced >= 0, forced, ids)
    chosen = tl.load(logits_ptr + row * experts + ids, mask=live, other=float("-inf")).to(tl.float32)
    weights = tl.exp(chosen - top) / total
    if RENORMALIZE:
        weights = weights / tl.sum(weights, 0)
    tl.store(ids_ptr + row * top_k + j, ids, mask=live)
    tl.store(weights_ptr + row * top_k + j, weights, mask=live)
