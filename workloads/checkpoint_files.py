"""The tensors in a folder's *.safetensors files, by name. Data only: no pickle, no code from the folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from triton_kernels.errors import TokenmillError


class CheckpointFiles:
    """Opens the files and reads what is asked for. TokenmillError names a tensor that is missing or misshapen."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        self.folder = folder
        self._files = [_open(path, device) for path in _shards(folder)]
        self._where = {name: file for file in self._files for name in file.keys()}  # noqa: SIM118 - a safetensors handle is no mapping
        self.unread = set(self._where)

    def __contains__(self, name: str) -> bool:
        return name in self._where

    def stored_type(self, name: str) -> str:
        """What safetensors calls the type of a tensor's values: "BF16", "F8_E4M3", "U8"."""
        return str(self._slice(name).get_dtype())

    def read(self, name: str, *dims: tuple[int, ...], at: int | None = None) -> torch.Tensor:
        """The tensor `name`, which should have one of the shapes `dims`; with `at` only that index of its first dimension."""
        from safetensors import SafetensorError

        found = self._slice(name)
        if tuple(found.get_shape()) not in dims:
            raise self.error(name, f"has shape {found.get_shape()}, which does not fit config.json's {list(dims[0])}")
        try:
            values = self._where[name].get_tensor(name) if at is None else found[at : at + 1][0]
        except SafetensorError as e:  # a number format that PyTorch does not have
            raise self.error(name, f"cannot be read ({e})") from e
        self.unread.discard(name)
        assert isinstance(values, torch.Tensor)
        return values

    def _slice(self, name: str) -> Any:
        from safetensors import SafetensorError

        if name not in self._where:
            raise self.error(name, "is missing from the safetensors files; download the checkpoint again")
        try:
            return self._where[name].get_slice(name)
        except SafetensorError as e:
            raise self.error(name, f"cannot be read ({e})") from e

    def error(self, name: str, problem: str) -> TokenmillError:
        return TokenmillError(f"{self.folder}: tensor {name[:200]!r} {problem}")


def _shards(folder: Path) -> list[Path]:
    """The files that the index names, or every *.safetensors of the folder."""
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return sorted(folder.glob("*.safetensors"))
    try:
        weight_map = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        names = sorted(set(weight_map.values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as e:
        raise TokenmillError(f"{index}: is not a safetensors index with a weight_map") from e
    for name in names:
        if not isinstance(name, str) or Path(name).name != name or not name.endswith(".safetensors"):
            raise TokenmillError(f"{index}: names {str(name)[:80]!r}, which is not a safetensors file of this folder")
        if not (folder / name).is_file():
            raise TokenmillError(f"{folder / name}: is named by the index but missing; download it again")
    return [folder / name for name in names]


def _open(path: Path, device: torch.device) -> Any:
    from safetensors import SafetensorError, safe_open

    try:
        return safe_open(path, framework="pt", device=str(device))
    except (OSError, SafetensorError) as e:
        raise TokenmillError(f"{path}: is not a readable safetensors file ({e})") from e
