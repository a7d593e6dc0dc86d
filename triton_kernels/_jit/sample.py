import triton
import triton.language as tl

# One program a row of logits, in passes over the row, which stays in L2. Blocks are walked with every lane keeping its own sums: one reduction a pass.


@triton.jit
def _logits(row, start, vocab, BLOCK_V: tl.constexpr):
    """BLOCK_V logits from `start` on in fp32, and their ids; -inf past the end, and +0 for -0, which equals it."""
    ids = start + tl.arange(0, BLOCK_V)
    x = tl.load(row + ids, mask=ids < vocab, other=float("-inf")).to(tl.float32)
    return tl.where(x == 0, 0.0, x), ids


@triton.jit
def _keys(x, BITS: tl.constexpr):
    """Unsigned integers in the order of fp32 x; BITS leading bits tell all values of the type that x came from apart."""
    bits = x.to(tl.uint32, bitcast=True)
    ordered = bits ^ tl.where(bits >> 31 == 1, 0xFFFFFFFF, 0x80000000).to(tl.uint32)  # negative: larger bits are smaller values
    return ordered >> (32 - BITS)


@triton.jit
def _weights(x, peak, scale, MASS: tl.constexpr):
    """What a logit counts for: its share of the softmax before division, or 1."""
    if MASS:
        return tl.exp2((x - peak) * scale)
    else:
        return tl.where(x == x, 1.0, 0.0)


@triton.jit
def _weight_from(row, vocab, threshold, peak, scale, MASS: tl.constexpr, BITS: tl.constexpr, BLOCK_V: tl.constexpr):
    """Weight of all logits whose key is `threshold` or more."""
    total = tl.zeros((BLOCK_V,), tl.float32)
    for start in tl.range(0, vocab, BLOCK_V):
        x, ids = _logits(row, start, vocab, BLOCK_V)
        total += tl.where((_keys(x, BITS) >= threshold) & (ids < vocab), _weights(x, peak, scale, MASS), 0.0)
    return tl.sum(total, 0)


@triton.jit
def _threshold(row, vocab, need, peak, scale, MASS: tl.constexpr, BITS: tl.constexpr, BLOCK_V: tl.constexpr):
    """The largest key such that the logits of that key or more weigh `need` at least: two bits a pass, from the top, exact."""
    threshold = tl.full((), 0, tl.uint32)
    digit = tl.full((), 1 << (BITS - 2), tl.uint32)
    for _ in tl.range(0, BITS // 2):
        first, second, third = threshold + digit, threshold + 2 * digit, threshold + 3 * digit
        weight_first = tl.zeros((BLOCK_V,), tl.float32)
        weight_second = tl.zeros((BLOCK_V,), tl.float32)
        weight_third = tl.zeros((BLOCK_V,), tl.float32)
        for start in tl.range(0, vocab, BLOCK_V):
            x, ids = _logits(row, start, vocab, BLOCK_V)
            key = _keys(x, BITS)
            weight = tl.where(ids < vocab, _weights(x, peak, scale, MASS), 0.0)
            weight_first += tl.where(key >= first, weight, 0.0)
            weight_second += tl.where(key >= second, weight, 0.0)
            weight_third += tl.where(key >= third, weight, 0.0)
        threshold = tl.where(tl.sum(weight_first, 0) >= need, first, threshold)
        threshold = tl.where(tl.sum(weight_second, 0) >= need, second, threshold)
        threshold = tl.where(tl.sum(weight_third, 0) >= need, third, threshold)
        digit = digit >> 2
    return threshold


@triton.jit
def greedy_kernel(logits_ptr, ids_ptr, vocab, BLOCK_V: tl.constexpr):
    row = logits_ptr + tl.program_id(0).to(tl.int64) * vocab
    best = tl.full((BLOCK_V,), float("-inf"), tl.float32)
    best_id = tl.arange(0, BLOCK_V)
    for start in tl.range(0, vocab, BLOCK_V):
        x, ids = _logits(row, start, vocab, BLOCK_V)
        best_id = tl.where(x > best, ids, best_id)
        best = tl.maximum(best, x)
    tl.store(ids_ptr + tl.program_id(0), tl.min(tl.where(best == tl.max(best, 0), best_id, vocab), 0))


@triton.jit
def sample_kernel(
    logits_ptr, uniform_ptr, ids_ptr, vocab, top_k, top_p, scale,
    TOP_K: tl.constexpr, TOP_P: tl.constexpr, BITS: tl.constexpr, BLOCK_V: tl.constexpr,
):  # fmt: skip
    """scale: log2(e) / temperature."""
    row = logits_ptr + tl.program_id(0).to(tl.int64) * vocab
    highest = tl.full((BLOCK_V,), float("-inf"), tl.float32)
    for start in tl.range(0, vocab, BLOCK_V):
        x, ids = _logits(row, start, vocab, BLOCK_V)
        highest = tl.maximum(highest, x)
    peak = tl.max(highest, 0)
    threshold = tl.full((), 0, tl.uint32)
    if TOP_K:
        threshold = _threshold(row, vocab, top_k, peak, scale, False, BITS, BLOCK_V)
    total = _weight_from(row, vocab, threshold, peak, scale, True, BITS, BLOCK_V)
    if TOP_P:
        # What top-k left out weighs nothing here: a lower threshold always holds enough, so the search ends at top-k's or above. At least the maximum stays.
        threshold = tl.minimum(_threshold(row, vocab, top_p * total, peak, scale, True, BITS, BLOCK_V), _keys(peak, BITS))
        total = _weight_from(row, vocab, threshold, peak, scale, True, BITS, BLOCK_V)

    # The block in which the kept mass passes the target (where rounding hides it: the last block that holds any), then the id inside it.
    target = tl.load(uniform_ptr + tl.program_id(0)) * total
    before = 0.0
    passed = 0.0
    chosen = 0
    for start in tl.range(0, vocab, BLOCK_V):
        x, ids = _logits(row, start, vocab, BLOCK_V)
        mass = tl.sum(tl.where((_keys(x, BITS) >= threshold) & (ids < vocab), _weights(x, peak, scale, True), 0.0), 0)
        here = (passed <= target) & (mass > 0)
        chosen = tl.where(here, start, chosen)
        before = tl.where(here, passed, before)
        passed += mass
    x, ids = _logits(row, chosen, vocab, BLOCK_V)
    mass = tl.where((_keys(x, BITS) >= threshold) & (ids < vocab), _weights(x, peak, scale, True), 0.0)
    held = mass > 0
    first = tl.min(tl.where(held & (before + tl.cumsum(mass, 0) > target), ids, vocab), 0)
    last = tl.max(tl.where(held, ids, 0), 0)
    tl.store(ids_ptr + tl.program_id(0), tl.minimum(first, last))
