"""Whether a step's operations, each measured alone, add up to the step: in time, and in the board's energy. Plain numbers; importable without torch.

The residue is named and never spread over the operations: gaps between launches where the step takes longer, overlap (or operations that are slower alone)
where it is shorter. What was not measured alone lies in the residue too, and is listed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Closure:
    """Seconds and joules of one step; None where something is missing, which `why_no_time` and `why_no_energy` tell.

    step_s = ops_s + residue_s; step_j = ops_j + idle_j + residue_j, idle_j being the idle power of the gaps.
    """

    step_s: float | None
    ops_s: float | None
    step_j: float | None
    ops_j: float | None
    idle_j: float | None
    unmeasured: tuple[str, ...]  # parts of the plan whose calls were not measured alone
    why_no_time: str | None = None
    why_no_energy: str | None = None

    @property
    def residue_s(self) -> float | None:
        return None if self.step_s is None or self.ops_s is None else self.step_s - self.ops_s

    @property
    def residue_name(self) -> str | None:
        """What the residue of time is: "launch_gaps" or "overlap"."""
        return None if self.residue_s is None else _residue_name(self.residue_s)

    @property
    def residue_j(self) -> float | None:
        return None if self.step_j is None or self.ops_j is None or self.idle_j is None else self.step_j - self.ops_j - self.idle_j

    @property
    def time_share(self) -> float | None:
        """The operations' part of the step's time."""
        return None if self.step_s is None or self.ops_s is None else self.ops_s / self.step_s

    @property
    def energy_share(self) -> float | None:
        """The part of the step's energy that its operations and the idle power of the gaps explain; without idle power known, the operations alone."""
        return None if self.step_j is None or self.ops_j is None else (self.ops_j + (self.idle_j or 0.0)) / self.step_j


def closure(point: Mapping[str, Any], plan: Mapping[str, Any], ops: Sequence[Mapping[str, Any]]) -> Closure:
    """The closure of a recorded point, its plan and its rows of ops/. Raises a LookupError for rows that fit no plan."""
    by_entry = {row["entry"]: row for row in ops}
    timed = [(entry["count"], by_entry[i]) for i, entry in enumerate(plan["calls"]) if i in by_entry and by_entry[i]["call_s"] is not None]
    unmeasured = tuple(entry["part"] for i, entry in enumerate(plan["calls"]) if i not in by_entry or by_entry[i]["call_s"] is None)
    step_s = (point.get("step_s") or {}).get("median")
    ops_s = math.fsum(count * row["call_s"]["median"] for count, row in timed) if timed else None
    why_no_time = "no operation was measured alone: run --per-op" if ops_s is None else "the step was not timed" if step_s is None else None
    step_j = _step_j(point)
    without_joules = [row["part"] for _, row in timed if row["call_j"] is None]
    ops_j = None if without_joules or not timed else math.fsum(count * row["call_j"]["mean"] for count, row in timed)
    idle_j = None if step_s is None or ops_s is None else _idle_j(point.get("idle_board_w"), step_s - ops_s)
    return Closure(
        step_s=step_s, ops_s=ops_s, step_j=step_j, ops_j=ops_j, idle_j=idle_j, unmeasured=unmeasured, why_no_time=why_no_time,
        why_no_energy=why_no_time or _why_no_energy(step_j, without_joules, idle_j),
    )  # fmt: skip


def _residue_name(residue_s: float) -> str:
    return "launch_gaps" if residue_s >= 0 else "overlap"


def _idle_j(idle_w: float | None, residue_s: float) -> float | None:
    """Of the gaps; an overlap has none."""
    if residue_s <= 0:
        return 0.0
    return None if idle_w is None else idle_w * residue_s


def _step_j(point: Mapping[str, Any]) -> float | None:
    """The board's joules per step, the mean over the windows; records without it have the windows' joules over their steps. Declared watts are no board's."""
    if point.get("power_source") == "declared":
        return None
    if (recorded := point.get("energy_per_step_j")) is not None:
        return float(recorded["mean"])
    steps = sum(window["steps"] for window in point.get("windows") or ())
    return point["energy_j"] / steps if point.get("energy_j") is not None and steps else None


def _why_no_energy(step_j: float | None, without_joules: Sequence[str], idle_j: float | None) -> str | None:
    if step_j is None:
        return "no sensor told the board's energy"
    if without_joules:
        return f"no joules of {', '.join(dict.fromkeys(without_joules))}"
    return "idle power was not measured" if idle_j is None else None
