"""Which experts each token goes to, drawn on the host before the step: with random weights a router's own choice would mean nothing."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from workloads.shape import unknown_routing

Ids = npt.NDArray[np.int32]


def draw_experts(routing: str, *, layers: int, tokens: int, experts: int, top_k: int, rng: np.random.Generator) -> Ids:
    """Expert ids of shape (layers, tokens, top_k), distinct within a token.

    `uniform`: each token draws alone. `balanced`: tokens take turns, so that experts get equal rows (to within one); touches up to 57 % more
    experts than uniform at small batch.
    """
    if routing == "uniform":
        return _uniform(layers * tokens, experts, top_k, rng).reshape(layers, tokens, top_k)
    if routing == "balanced":
        turns = np.arange(tokens * top_k, dtype=np.int64).reshape(tokens, top_k) % experts
        relabel = rng.permuted(np.tile(np.arange(experts, dtype=np.int32), (layers, 1)), axis=1)
        return relabel[:, turns]
    raise unknown_routing(routing)


def _uniform(rows: int, experts: int, top_k: int, rng: np.random.Generator) -> Ids:
    """Each row a uniform top_k-subset of the experts, by Floyd's algorithm (Bentley and Floyd, CACM 30(9), 1987) over all rows at once."""
    chosen = np.empty((rows, top_k), dtype=np.int32)
    for j in range(top_k):
        last = experts - top_k + j
        candidate = rng.integers(0, last + 1, rows, dtype=np.int32)
        taken = (chosen[:, :j] == candidate[:, None]).any(axis=1)
        chosen[:, j] = np.where(taken, last, candidate)
    return chosen


def rows_per_expert(ids_LTJ: Ids, experts: int) -> tuple[tuple[int, ...], ...]:
    """Histogram of each layer's ids."""
    return tuple(tuple(np.bincount(layer.ravel(), minlength=experts).tolist()) for layer in ids_LTJ)
