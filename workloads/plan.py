"""A step's plan: every call of the model, made by running the model itself on meta tensors, with the work each does."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from triton_kernels.operation import OpCall, StepFacts
from triton_kernels.operations import OPERATIONS


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The calls of one step in order. Shapes are static: every step of the same shape has the same plan, each with its own facts."""

    calls: tuple[OpCall, ...]

    @cached_property
    def groups(self) -> dict[tuple[Any, ...], list[OpCall]]:
        """Calls that differ only in their layer, together, in order of first appearance."""
        groups: dict[tuple[Any, ...], list[OpCall]] = {}
        for call in self.calls:
            groups.setdefault(group_of(call), []).append(call)
        return groups

    def json(self, facts: Sequence[StepFacts]) -> dict[str, Any]:
        """The plan as plain JSON values. `work` is a group's whole work in one step, the mean over the given steps' facts."""
        return {"calls": [_entry(calls, facts) for calls in self.groups.values()]}


def group_of(call: OpCall) -> tuple[Any, ...]:
    """All of a call but its layer: calls that agree in it are one entry of the plan."""
    return (call.op, call.part, call.tensors, call.attrs)


def plan_id(plan: dict[str, Any]) -> str:
    """The first 16 hex digits of the SHA-256 of the plan's canonical JSON."""
    return hashlib.sha256(json.dumps(plan, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:16]


def _entry(calls: list[OpCall], facts: Sequence[StepFacts]) -> dict[str, Any]:
    first = calls[0]
    work = OPERATIONS[first.op].work
    works = [work(call, step) for step in facts for call in calls]
    return {
        "op": first.op,
        "part": first.part,
        "count": len(calls),
        "shapes": {name: [list(shape.dims), str(shape.dtype).removeprefix("torch.")] for name, shape in first.tensors},
        "attrs": {name: list(value) if isinstance(value, tuple) else value for name, value in first.attrs},
        "work": {
            "flops": sum(w.flops for w in works) / len(facts),
            "lane": next((w.lane for w in works if w.lane), None),
            "read_bytes": sum(w.read_bytes for w in works) / len(facts),
            "written_bytes": sum(w.written_bytes for w in works) / len(facts),
            "link_bytes": sum(w.link_bytes for w in works) / len(facts),
        },
    }
