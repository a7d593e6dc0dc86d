import triton
import triton.language as tl


@triton.jit
def _keys(values, ids, COUNT: tl.constexpr):
    """One 64-bit key each that orders by value, then by lower id: the float's bits made monotonic, above the inverted id. Zero first loses its sign."""
    bits = tl.where(values == 0.0, 0.0, values).to(tl.int32, bitcast=True)
    return ((bits ^ ((bits >> 31) & 0x7FFFFFFF)).to(tl.int64) << 32) | (COUNT - 1 - ids)


@triton.jit
def route_kernel(
    logits_ptr, bias_ptr, forced_ptr, ids_ptr, weights_ptr, experts, top_k, groups_kept, scaling,
    SIGMOID: tl.constexpr, RENORMALIZE: tl.constexpr, LEAST_SUM: tl.constexpr, GROUPS: tl.constexpr, GROUPS_POWER: tl.constexpr,
    EXPERTS: tl.constexpr, CHOICES: tl.constexpr,
):  # fmt: skip
    """One token per program. EXPERTS, CHOICES, GROUPS_POWER: the powers of two that hold the experts, the choices and the groups."""
    row = tl.program_id(0).to(tl.int64)
    taken = -0x7FFFFFFFFFFFFFFF
    e = tl.arange(0, EXPERTS)
    logits = tl.load(logits_ptr + row * experts + e, mask=e < experts, other=float("-inf")).to(tl.float32)
    top = tl.max(logits, 0)
    total = tl.sum(tl.exp(logits - top), 0)
    if SIGMOID:
        choice = tl.sigmoid(logits)
    elif bias_ptr is None and GROUPS == 1:
        choice = logits
    else:
        choice = tl.exp(logits - top) / total
    if bias_ptr is not None:
        choice += tl.load(bias_ptr + e, mask=e < experts, other=0.0)
    if GROUPS > 1:
        each = experts // GROUPS
        g = tl.arange(0, GROUPS_POWER)
        best = tl.full((GROUPS_POWER,), float("-inf"), tl.float32)
        for number in tl.static_range(GROUPS):
            inside = (e >= number * each) & (e < (number + 1) * each)
            mine = tl.where(inside, choice, float("-inf"))
            first = tl.max(mine, 0)
            at = tl.min(tl.where(mine == first, e, EXPERTS), 0)
            second = tl.max(tl.where(e == at, float("-inf"), mine), 0)
            best = tl.where(g == number, tl.where(each > 1, first + second, first), best)
        group_key = tl.where(g < GROUPS, _keys(best, g, GROUPS_POWER), taken)
        open_E = tl.zeros((EXPERTS,), tl.int1)
        for _ in tl.range(groups_kept):
            highest = tl.max(group_key, 0)
            group = GROUPS_POWER - 1 - (highest & (GROUPS_POWER - 1)).to(tl.int32)
            open_E = open_E | ((e >= group * each) & (e < (group + 1) * each))
            group_key = tl.where(group_key == highest, taken, group_key)
        choice = tl.where(open_E, choice, float("-inf"))
    key = tl.where(e < experts, _keys(choice, e, EXPERTS), taken)
    j = tl.arange(0, CHOICES)
    ids = tl.zeros((CHOICES,), tl.int32)
    for place in tl.range(top_k):
        best_key = tl.max(key, 0)
        ids = tl.where(j == place, EXPERTS - 1 - (best_key & (EXPERTS - 1)).to(tl.int32), ids)
        key = tl.where(key == best_key, taken, key)
    live = j < top_k
    if forced_ptr is not None:
        forced = tl.load(forced_ptr + row * top_k + j, mask=live, other=-1)
        ids = tl.where(forced >= 0, forced, ids)
    chosen = tl.load(logits_ptr + row * experts + ids, mask=live, other=float("-inf")).to(tl.float32)
    weights = tl.sigmoid(chosen) if SIGMOID else tl.exp(chosen - top) / total
    weights = tl.where(live, weights, 0.0)
    if RENORMALIZE:
        weights = weights / (tl.sum(weights, 0) + (LEAST_SUM if SIGMOID else 0.0))
    tl.store(ids_ptr + row * top_k + j, ids, mask=live)
    tl.store(weights_ptr + row * top_k + j, weights * scaling, mask=live)
