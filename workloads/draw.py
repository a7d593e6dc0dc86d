"""Which experts each token goes to, drawn on the host before the step: with random weights a router's own choice would mean nothing.

Shapes: N tokens, E experts, J choices per token.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from triton_kernels.errors import TokenmillError
from workloads.model_spec import Moe
from workloads.routing import Routing

Ids = npt.NDArray[np.int32]


def draw_experts(routing: Routing, moe: Moe, *, layers: int, tokens: int, rng: np.random.Generator) -> Ids:
    """Expert ids of shape (layers, tokens, top_k), distinct within a token; `layers` counts MoE layers only.

    `uniform`: each token draws alone, within groups it has drawn where the model limits them. `balanced`: tokens take turns, so that experts get equal rows (to
    within one); touches up to 57 % more experts than uniform at small batch. `zipf`, `histogram`: see `_systematic`.
    """
    experts, top_k = moe.experts, moe.top_k
    if routing.kind == "uniform":
        return _uniform(layers * tokens, moe, rng).reshape(layers, tokens, top_k)
    if routing.kind == "balanced":
        turns = np.arange(tokens * top_k, dtype=np.int64).reshape(tokens, top_k) % experts
        relabel = rng.permuted(np.tile(np.arange(experts, dtype=np.int32), (layers, 1)), axis=1)
        return relabel[:, turns]
    assert routing.drawn, routing
    return np.stack([_systematic(_share_E(routing, moe, layer, rng), top_k, tokens, rng) for layer in range(layers)])


def _uniform(rows: int, moe: Moe, rng: np.random.Generator) -> Ids:
    if moe.groups == moe.groups_kept:
        return _subsets(rows, moe.experts, moe.top_k, rng)
    each = moe.experts // moe.groups
    kept_NG = _subsets(rows, moe.groups, moe.groups_kept, rng)
    inside_NJ = _subsets(rows, each * moe.groups_kept, moe.top_k, rng)
    return np.take_along_axis(kept_NG, inside_NJ // each, axis=1) * np.int32(each) + inside_NJ % each


def _subsets(rows: int, of: int, size: int, rng: np.random.Generator) -> Ids:
    """Each row a uniform subset, by Floyd's algorithm (Bentley and Floyd, CACM 30(9), 1987) over all rows at once."""
    chosen = np.empty((size, rows), dtype=np.int32)  # a row of memory for each place: three times as fast as one for each subset
    for j in range(size):
        last = of - size + j
        candidate = rng.integers(0, last + 1, rows, dtype=np.int32)
        taken = np.zeros(rows, dtype=bool)
        for earlier in chosen[:j]:
            taken |= earlier == candidate
        chosen[j] = np.where(taken, last, candidate)
    return np.ascontiguousarray(chosen.T)


def _share_E(routing: Routing, moe: Moe, layer: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """How likely a token is to take each expert of a layer: top_k in sum, none above 1."""
    if routing.kind == "zipf":
        weight_E = rng.permutation(np.arange(1, moe.experts + 1, dtype=np.float64) ** -routing.skew)
    else:
        recorded = routing.rows_LE
        if len(recorded[0]) != moe.experts or len(recorded) not in (1, len(moe.layers)):
            found = f"{len(recorded)} lists of {len(recorded[0])}"
            raise TokenmillError(
                f"--routing {routing.text}: holds {found}; the model has {len(moe.layers)} MoE layers (or give one list) of {moe.experts} experts"
            )
        weight_E = np.asarray(recorded[layer % len(recorded)], dtype=np.float64)
        if np.count_nonzero(weight_E) < moe.top_k:
            raise TokenmillError(f"--routing {routing.text}: a layer has fewer experts with rows than the {moe.top_k} that a token takes")
    # An expert takes a token once at most: what the hottest would have above that goes to the others.
    share_E = np.zeros(moe.experts)
    open_E = weight_E > 0
    while True:
        left = moe.top_k - np.count_nonzero(share_E == 1.0)
        share_E[open_E] = weight_E[open_E] * left / weight_E[open_E].sum()
        over_E = open_E & (share_E >= 1.0)
        if not over_E.any():
            return share_E
        share_E[over_E] = 1.0
        open_E &= ~over_E


def _systematic(share_E: npt.NDArray[np.float64], top_k: int, tokens: int, rng: np.random.Generator) -> Ids:
    """Each token takes expert e with probability share_E[e] exactly: systematic sampling (Madow, 1949) along a random order of the experts.

    Group limits are not kept: a recorded histogram has them in it already.
    """
    order_E = rng.permutation(len(share_E))
    ends_E = np.cumsum(share_E[order_E])
    points_NJ = rng.random((tokens, 1)) + np.arange(top_k)
    place_NJ = np.minimum(np.searchsorted(ends_E, points_NJ, side="right"), np.flatnonzero(share_E[order_E])[-1])
    ids_NJ: Ids = order_E[place_NJ].astype(np.int32)
    return ids_NJ


def rows_per_expert(ids: Ids, experts: int) -> npt.NDArray[np.int64]:
    """Histogram of one layer's ids."""
    return np.bincount(ids.ravel(), minlength=experts)
