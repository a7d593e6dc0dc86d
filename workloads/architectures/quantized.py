"""What a config says of a quantized checkpoint, and which recipe of tokenmill's serves it. Importable without torch."""

from __future__ import annotations

from pathlib import Path

from workloads.config_json import Config, read_config
from workloads.model_spec import Quantization
from workloads.quantization import pattern_problem

MODELOPT_FILE = "hf_quant_config.json"  # NVIDIA's tool wrote this file before it wrote quantization_config
BLOCK = (128, 128)  # of DeepSeek-V3's fp8: one scale for as many rows and columns
NVFP4_GROUP = 16

# Every name a config has for the list of modules that stayed in the checkpoint's own dtype.
NOT_CONVERTED = ("modules_to_not_convert", "ignored_layers", "ignore", "exclude_modules")
# Known keys of the methods that have a recipe, which change nothing a step computes.
IGNORED = {
    "fp8": frozenset({"scale_fmt", "dequantize"}),  # ue8m0 scales are powers of two, stored as fp32 or in a byte of their own: the checkpoint's tensors say
    "mxfp4": frozenset({"dequantize"}),
    "nvfp4": frozenset({"config_groups", "format", "kv_cache_quant_algo", "kv_cache_scheme", "producer", "quantization_status", "quant_type"}),
}


def read_quantization(config: Config, text: Config, folder: Path | None) -> Quantization | None:
    """From quantization_config at the top, else from the file beside a folder's config.json, else from text_config: the order in which vLLM looks."""
    beside = None if folder is None else folder / MODELOPT_FILE
    inner = text.table("quantization_config")
    table = config.table("quantization_config")
    if table is not None:
        return _quantization(table)
    if beside is not None and beside.is_file():
        return _modelopt_file(read_config(beside))
    return None if inner is None else _quantization(inner)


def _quantization(table: Config) -> Quantization:
    method = table.string("quant_method")
    if method.startswith("modelopt"):
        return _modelopt(table, method)
    not_converted = _not_converted(table, strict=method in IGNORED)
    if method == "fp8":
        return Quantization(method=method, recipe=_fp8_recipe(table), not_converted=not_converted)
    if method == "mxfp4":
        table.refuse_unknown("mxfp4", IGNORED["mxfp4"])
        return Quantization(method=method, recipe="mxfp4", not_converted=not_converted)
    if not method.isprintable() or len(method) > 60:
        raise table.error("quant_method", f"{method[:60]!r} is no method's name")
    return Quantization(method=method, recipe=None, not_converted=not_converted)


def _fp8_recipe(table: Config) -> str | None:
    """Blocks of e4m3 with scales found as a step runs are DeepSeek's recipe; one scale per tensor, or scales fixed beforehand, is another."""
    blocks = table.sizes("weight_block_size") == BLOCK
    dynamic = table.string("activation_scheme", default="dynamic") == "dynamic"
    e4m3 = table.string("fmt", default="e4m3") == "e4m3"
    experts = table.string("expert_dtype", default="fp8") == "fp8"
    table.refuse_unknown("fp8", IGNORED["fp8"])
    return "fp8" if blocks and dynamic and e4m3 and experts else None


def _modelopt(table: Config, method: str) -> Quantization:
    algorithm = table.string("quant_algo", default="unnamed")
    not_converted = _not_converted(table, strict=algorithm == "NVFP4")
    if algorithm != "NVFP4":
        return Quantization(method=f"{method} {algorithm[:40]}" if algorithm.isprintable() else method, recipe=None, not_converted=not_converted)
    group = table.size("group_size", most=1 << 20, default=NVFP4_GROUP)
    table.refuse_unknown("nvfp4", IGNORED["nvfp4"])
    return Quantization(method=method, recipe="nvfp4" if group == NVFP4_GROUP else None, not_converted=not_converted)


def _modelopt_file(config: Config) -> Quantization:
    table = config.table("quantization")
    if table is None:
        raise config.error("quantization", "is missing")
    return _modelopt(table, "modelopt")


def _not_converted(table: Config, *, strict: bool) -> tuple[str, ...]:
    """Every listed name, each once. `strict`: a pattern that cannot be followed is refused by the key that lists it; without a recipe nobody follows it."""
    names: dict[str, None] = {}
    for key in NOT_CONVERTED:
        for name in table.strings(key):
            problem = pattern_problem(name)
            if problem and strict:
                raise table.error(key, f"pattern {name[:60]!r} {problem}")
            if not problem:
                names[name] = None
    return tuple(names)
