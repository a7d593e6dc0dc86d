"""Recipes: which number format each part of a model has, as production serves it, and what each is multiplied with on a given GPU. Importable without torch."""

from __future__ import annotations

from dataclasses import dataclass

from triton_kernels.errors import TokenmillError, unknown
from triton_kernels.formats import FORMATS, Format
from triton_kernels.product import COMPILE_ONLY, PROVEN, product_of
from workloads.model_spec import ModelSpec

# The parts of a model that a recipe may quantise, and the first words of tokenmill's names for their matrices within a layer. Everything else stays as the
# recipe's plain format: what is small or decides much (router, norms, embedding, head; DeepSeek-V3 report, arXiv 2412.19437, 3.3.1), the expansion of
# latents, which servers multiply into the query unquantised (vLLM, SGLang), and the projection of a multi-token-prediction module.
PARTS = {
    "attention": ("qkv", "o", "q_a_kv_a", "q_b", "q"),
    "experts": ("experts.gate_up", "experts.down"),
    "shared": ("shared.gate_up", "shared.down"),
    "mlp": ("mlp.gate_up", "mlp.down"),
}
PART_OF = {name: part for part, names in PARTS.items() for name in names}
ALL = tuple(PARTS)
MLP = ("experts", "shared", "mlp")


@dataclass(frozen=True, kw_only=True, slots=True)
class Use:
    """How a parameter is kept and multiplied: `takes` is the format of what it is multiplied with, `kind` the tensor-core instruction on a known GPU."""

    weight: Format
    takes: Format
    layout: str = "neighbours"  # of 4-bit codes: triton_kernels.codes.LAYOUTS
    kind: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """`weight` of the matrices of `parts`, which are multiplied with the first of `takes` that the GPU has instructions for; `plain` of everything else."""

    name: str
    plain: Format
    weight: Format
    takes: tuple[Format, ...]
    parts: tuple[str, ...] = ()
    latent_attention: bool = True  # whether the attention of a model with latents is quantised too

    def part_of(self, within_layer: str, *, latent: bool) -> str | None:
        """The part that this recipe quantises and a matrix belongs to; None: it stays plain. `within_layer`: its name there, such as experts.down."""
        part = PART_OF.get(within_layer)
        if part not in self.parts or (part == "attention" and latent and not self.latent_attention):
            return None
        return part

    def use(self, arch: int | None) -> Use:
        """Of the quantised matrices on a GPU of compute capability `arch` / 10. None: no GPU; the references multiply anything."""
        if self.weight is self.plain:
            return self.use_plain(arch)
        for takes in self.takes:
            if arch is None:
                return Use(weight=self.weight, takes=takes)
            product = product_of(takes, self.weight, arch)
            if product is not None:
                return Use(weight=self.weight, takes=takes, layout=product.layout, kind=product.kind)
        raise TokenmillError(f"--precision {self.name}: a GPU of compute capability {(arch or 0) / 10:g} has no way to multiply it; run in bf16")

    def use_plain(self, arch: int | None) -> Use:
        product = None if arch is None else product_of(self.plain, self.plain, arch)
        return Use(weight=self.plain, takes=self.plain, kind=None if product is None else product.kind)

    def emulated_on(self, arch: int | None) -> str | None:
        """What to say where a GPU multiplies in a wider format than the recipe's own; None where it has the instructions."""
        use = self.use(arch)
        if arch is None or use.takes is self.takes[0]:
            return None
        return f"{self.name} on compute capability {arch / 10:g}: {self.weight.name} weights are widened to {use.takes.name} as they are read ({use.kind})"

    def unproven_on(self, arch: int | None) -> str | None:
        """What to say where the recipe's products are of those that no interpreter runs, and no evidence from such a GPU is there yet."""
        if arch is None or self.weight is self.plain:
            return None
        product = product_of(self.use(arch).takes, self.weight, arch)
        if product is None or product.name not in COMPILE_ONLY or (product.name, arch) in PROVEN:
            return None
        return f"unproven_kernels: {self.name} by {product.kind} has no correctness row from compute capability {arch / 10:g} in docs/evidence yet"


def _plain(name: str) -> Recipe:
    return Recipe(name=name, plain=FORMATS[name], weight=FORMATS[name], takes=(FORMATS[name],))


def _quantised(name: str, weight: str, takes: str, *, parts: tuple[str, ...], latent_attention: bool = True) -> Recipe:
    bf16 = FORMATS["bf16"]
    return Recipe(name=name, plain=bf16, weight=FORMATS[weight], takes=(FORMATS[takes], bf16), parts=parts, latent_attention=latent_attention)


RECIPES = {
    recipe.name: recipe
    for recipe in (
        _plain("bf16"),
        _plain("fp16"),
        _plain("fp32"),
        # Blocks of e4m3, rows to the experts in e4m3 and back in bf16, attention itself in bf16: DeepSeek-V3 and -R1 as published and served; Qwen3's FP8 too.
        _quantised("fp8", "fp8_128x128", "fp8_1x128", parts=ALL),
        # Microscaling fp8 in every linear layer, as TensorRT Model Optimizer and vLLM have it.
        _quantised("mxfp8", "mxfp8", "mxfp8", parts=ALL),
        # Experts (or the MLPs of a dense model) alone, as gpt-oss is published; with e4m3 activations on Blackwell (TensorRT-LLM, vLLM), bf16 elsewhere.
        _quantised("mxfp4", "mxfp4", "mxfp8", parts=MLP),
        # Every linear layer, but for attention over latents, as NVIDIA's checkpoints are understood to be; a checkpoint's own list of exclusions decides.
        _quantised("nvfp4", "nvfp4", "nvfp4", parts=ALL, latent_attention=False),
    )
}


def recipe_named(name: str) -> Recipe:
    """The recipe called `name`; a TokenmillError offering the nearest names otherwise."""
    if name not in RECIPES:
        raise unknown("precision", name, RECIPES)
    return RECIPES[name]


def published_recipe(spec: ModelSpec) -> str:
    """The recipe that a published checkpoint is served in where tokenmill has it, else bf16."""
    published = spec.quantization.recipe if spec.quantization is not None else None
    return published if published in RECIPES else "bf16"
