"""A row's name in few words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# Fields that are named only where rows differ in them, with the word before each.
_NAMED = {
    "model": "", "mix": "", "kv_cache": "cache ", "routing": "", "weights": "weights ", "tp": "tp ", "ep": "ep ", "dp": "dp ", "span": "", "rank": "rank ",
    "mtp": "mtp ", "kernels": "kernels ", "device": "", "layers_measured": "layers ", "deployment_gpus": "GPUs ", "workers": "workers ",
}  # fmt: skip

Key = Mapping[str, Any]


def differing(keys: Iterable[Key]) -> tuple[str, ...]:
    """The fields besides phase, format and size that rows differ in. A prefill's mix and context follow from its row."""
    every = list(keys)
    return tuple(name for name in _NAMED if len({str(key.get(name)) for key in every}) > 1)


def label(key: Key, names: Sequence[str] = ()) -> str:
    """`request bf16 batch 32 8k/1k`, `decode bf16 batch 32 context 8704`, `serving fp8 concurrency 64`."""
    phase = key.get("phase") or key.get("kind") or "serving"
    size = f"concurrency {key['concurrency']}" if key.get("concurrency") is not None else f"batch {key.get('batch')}"
    of = key.get("mix") if phase == "request" and "mix" not in names else f"context {key['context']}" if phase == "decode" and not key.get("mix") else None
    parts = [phase, key.get("precision"), size, of, *(f"{_NAMED[name]}{_told(key[name])}" for name in names if key.get(name) not in (None, False))]
    return " ".join(str(part) for part in parts if part is not None)


def _told(value: Any) -> str:
    """Of workers their GPUs, of layers how many of how many."""
    if not isinstance(value, Mapping):
        return str(value)
    counts = {name: each.get("gpus") if isinstance(each, Mapping) else each for name, each in value.items()}
    return " ".join(f"{name} {count}" for name, count in counts.items())
