"""A model at reduced depth: so many of each kind of its layers, to measure one rank of what would not fit. Importable without torch."""

from __future__ import annotations

from dataclasses import replace

from triton_kernels.errors import TokenmillError
from workloads.model_spec import Gqa, ModelSpec


def kind_of_layer(spec: ModelSpec, index: int) -> str:
    """`dense` or `moe`, with `window` where attention has one."""
    windowed = isinstance(spec.attention, Gqa) and index in spec.attention.windowed_layers
    return ("moe" if index in spec.moe_layers else "dense") + (" window" if windowed else "")


def reduced(spec: ModelSpec, layers: int) -> tuple[ModelSpec, dict[str, tuple[int, int]]]:
    """The model with the first `layers` layers of each kind, and by kind how many those are of how many.

    Its weights are random: a checkpoint's layers have other numbers.
    """
    if not 1 <= layers <= spec.layers:
        raise TokenmillError(f"--layers {layers}: should be from 1 to the {spec.layers} layers of {spec.name}")
    kinds = [kind_of_layer(spec, i) for i in range(spec.layers)]
    kept = sorted(i for kind in set(kinds) for i in [j for j in range(spec.layers) if kinds[j] == kind][:layers])
    counts = {kind: (sum(kinds[i] == kind for i in kept), kinds.count(kind)) for kind in dict.fromkeys(kinds)}

    def renumbered(old: frozenset[int]) -> frozenset[int]:
        return frozenset(new for new, i in enumerate(kept) if i in old)

    attention = spec.attention
    if isinstance(attention, Gqa):
        attention = replace(attention, windowed_layers=renumbered(attention.windowed_layers))
    moe = None if spec.moe is None else replace(spec.moe, layers=renumbered(spec.moe.layers))
    return replace(spec, layers=len(kept), attention=attention, moe=moe, folder=None), counts
