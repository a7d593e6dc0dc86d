"""The process groups that collectives run over, by the name a model calls them: "tp", "ep". Without one a process is one emulated rank."""

from __future__ import annotations

from typing import Any

_GROUPS: dict[str, Any] = {}


def register(name: str, group: Any) -> None:
    """From now on collectives over `name` run over this torch.distributed group."""
    _GROUPS[name] = group


def clear() -> None:
    """Forgets every group."""
    _GROUPS.clear()


def process_group(name: str, size: int) -> Any | None:
    """The group called `name` when it has `size` ranks, more than one; None: this process is one emulated rank of such a group."""
    import torch

    assert size >= 1, size
    group = _GROUPS.get(name)
    if size == 1 or group is None or torch.distributed.get_world_size(group) != size:
        return None
    return group
