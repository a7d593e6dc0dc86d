"""What no measurement can be: a record may come from anywhere, and a negative second would make a price that looks like any other."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

_NOT_NEGATIVE = (
    "window_s", "tokens_per_step", "output_tokens", "input_tokens", "energy_j", "board_w", "board_cpu_w", "node_w", "weight_bytes", "kv_bytes_per_token",
)  # fmt: skip
_OF_A_STEP = ("median", "p10", "p90")


def refuse_impossible(point: Mapping[str, Any]) -> None:
    """ValueError for a time, a count, an energy or a power of a recorded point that is negative or no number; None is not measured, and fine."""
    step = point.get("step_s") or {}
    for name, value in (*((name, point.get(name)) for name in _NOT_NEGATIVE), *((f"step_s.{name}", step.get(name)) for name in _OF_A_STEP)):
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
            raise ValueError(f"{name} is {value!r:.40}")
