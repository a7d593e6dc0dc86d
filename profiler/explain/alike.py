"""Points that differ in one thing, together: what a comparison of causes needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from profiler.explain.waterfall import Explained

# What makes two points the same work on the same GPU with the same kernels, at the same power limit.
SAME = (
    "phase", "model", "weights", "precision", "kv_cache", "batch", "context", "query_len", "mix", "tp", "ep", "dp", "span", "rank", "mtp", "layers_measured",
    "gpu", "device", "kernels", "routing",
)  # fmt: skip
CAP = "power_limit_w"


def alike(found: Sequence[Explained], *, but: str) -> list[list[Explained]]:
    """Groups of points that agree in everything but `but` ("routing", or "power_limit_w"), in the order of their first."""
    names = [name for name in (*SAME, CAP) if name != but]
    groups: dict[str, list[Explained]] = {}
    for each in found:
        groups.setdefault(repr([of(each, name) for name in names]), []).append(each)
    return list(groups.values())


def of(found: Explained, name: str) -> Any:
    """A field of the point; the power limit is of its environment."""
    return (found.point.get("environment") or {}).get(CAP) if name == CAP else found.point.get(name)
