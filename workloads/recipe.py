"""Recipes: which number format each part of a model has, as production serves it. Importable without torch."""

from __future__ import annotations

from dataclasses import dataclass

from triton_kernels.errors import unknown
from triton_kernels.formats import FORMATS, Format

# Weights that a quantised recipe leaves in the activations' format, by the last part of tokenmill's name for them: what is small or decides much (router,
# norms,
# embedding, head). Source: DeepSeek-V3 report, arXiv 2412.19437, 3.3.1.
KEPT = frozenset({"embedding", "head", "router"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """`weight` of the matrices that are multiplied, but those kept; `activation` of everything else."""

    name: str
    weight: Format
    activation: Format
    wire: str  # format in which tokens travel to their experts

    @property
    def runs(self) -> bool:
        """Whether kernels exist; else it is for plans and floors."""
        return self.weight.plain

    def format_of(self, name: str, dims: tuple[int, ...], *, stays: bool = False) -> Format:
        """Of the parameter `name`. `stays`: the checkpoint's quantization_config leaves it out."""
        if name.endswith("router_correction"):  # added to fp32 scores, as published
            return FORMATS["fp32"]
        matrix = len(dims) > 1 and not name.endswith("_bias")
        return self.weight if matrix and not stays and name.rpartition(".")[2] not in KEPT else self.activation


def _plain(name: str) -> Recipe:
    return Recipe(name=name, weight=FORMATS[name], activation=FORMATS[name], wire=name)


# fp8: weights in e4m3, rows to the experts in e4m3 and back in bf16, attention in bf16, as DeepSeek-V3 is served.
RECIPES = {
    recipe.name: recipe
    for recipe in (
        _plain("bf16"),
        _plain("fp16"),
        _plain("fp32"),
        Recipe(name="fp8", weight=FORMATS["fp8_128x128"], activation=FORMATS["bf16"], wire="fp8"),
    )
}


def recipe_named(name: str) -> Recipe:
    """The recipe called `name`; a TokenmillError offering the nearest names otherwise."""
    if name not in RECIPES:
        raise unknown("precision", name, RECIPES)
    return RECIPES[name]
