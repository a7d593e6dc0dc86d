"""A model by name or path: its config.json read as plain, untrusted data into a ModelSpec. Importable without torch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from triton_kernels.errors import TokenmillError, unknown
from workloads.architectures.families import FAMILIES
from workloads.architectures.nested import NESTED, open_nested
from workloads.architectures.not_yet import NOT_YET
from workloads.architectures.quantized import read_quantization
from workloads.catalogue import CATALOGUE
from workloads.config_json import Config, read_config
from workloads.model_spec import ModelSpec


def read_model(name_or_path: str) -> ModelSpec:
    """A catalogue name, a config.json, or the folder of one. TokenmillError for anything that is not a supported model."""
    if name_or_path in CATALOGUE:
        entry = CATALOGUE[name_or_path]
        return _spec(read_config(entry.config), name=entry.name, folder=None)
    path = Path(name_or_path)
    if path.is_dir():
        path = path / "config.json"
        if not path.is_file():
            raise TokenmillError(f"{path}: no such file; name a folder that holds a config.json")
    if not path.is_file():
        if path.suffix == ".json" or "/" in name_or_path:
            raise TokenmillError(f"{name_or_path}: no such file or folder; name a config.json, its folder, or a model of `tokenmill list models`")
        raise unknown("model", name_or_path, CATALOGUE)
    folder = path.resolve().parent
    return _spec(read_config(path), name=path.stem if path.name != "config.json" else folder.name or "model", folder=folder)


def _spec(config: Config, *, name: str, folder: Path | None) -> ModelSpec:
    model_type = config.string("model_type")
    if model_type not in FAMILIES and model_type not in NESTED:
        needs = NOT_YET.get(model_type.removesuffix("_text"))
        why = f": it needs {needs}" if needs else ""
        raise config.error("model_type", f"architecture {model_type[:60]!r} is not supported yet{why}; supported: {', '.join(sorted({*FAMILIES, *NESTED}))}")
    text = open_nested(config, model_type) if model_type in NESTED else config
    quantization = read_quantization(config, text, folder)
    kind = text.string("model_type")
    family = FAMILIES[kind]
    for key, (wanted, what) in family.fixed.items():
        text.only(key, wanted, what)
    spec = family.read(text, kind)
    text.refuse_unknown(kind, family.ignored)
    return replace(spec, name=name, model_type=model_type, quantization=quantization, folder=folder)
