"""What a step's time and joules went to, bar by bar, from the datasheet's arithmetic to the price's idle hours. Seconds and joules of one step; no money."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from profiler.economics.formulas import weakest
from profiler.explain.bar import Bar
from profiler.explain.operations import Operation, Operations
from profiler.explain.places import GROUPS
from profiler.explain.step import Step

_NAMES_SHOWN = 6


def compute_bars(point: Mapping[str, Any], step: Step, found: Operations | None) -> list[Bar]:
    """Bars that add up to a mean step, the named residue included: floors, distance to them by part, our kernels, gaps between launches, slow steps."""
    costs = Costs(step=step, measured=bool(found and found.measured))
    bars = floor_bars(point, costs, found)
    bars += part_bars(point, costs, found) if found is not None and found.measured else [_undivided(point, costs, found)]
    bars.append(_our_kernels(point, costs, found))
    slow = _slow_steps(step, costs)
    return [*bars, _residue([*bars, slow], step, found, gaps="between operations" if point.get("device") == "cpu" else "launch gaps"), slow]


@dataclass(frozen=True, kw_only=True, slots=True)
class Costs:
    """Joules of seconds: at an operation's own watts where it was measured alone, else at the step's mean watts."""

    step: Step
    measured: bool

    def bar(self, name: str, label: str, seconds: Iterable[tuple[float, Operation | None]], kind: str, note: str | None = None) -> Bar:
        """A bar of seconds that each belong to an operation, or to none."""
        terms = list(seconds)
        joules = None if self.step.mean_w is None else math.fsum(s * self.watts(op) for s, op in terms)
        return Bar(
            name=name, label=label, gpu_s=math.fsum(s for s, _ in terms), energy_j=joules, kind=kind,
            energy_kind=None if joules is None else weakest(kind, self.step.energy_kind), note=note,
        )  # fmt: skip

    def watts(self, op: Operation | None) -> float:
        assert self.step.mean_w is not None
        return op.energy_j / op.time_s if op is not None and op.energy_j is not None and op.time_s else self.step.mean_w


def floor_bars(point: Mapping[str, Any], costs: Costs, found: Operations | None) -> list[Bar]:
    """What no kernel can go below: arithmetic at the peak, then memory, then what this machine's own ceilings add."""
    peak = "arithmetic at the peak" if found is None or found.datasheet else "arithmetic at its rate"
    labels = {"peak": peak, "memory": f"weights and cache, batch {point.get('batch')}", "ceilings": "ceilings of this machine"}
    if found is None or found.missing:
        why = "no plan was recorded" if found is None else f"a rate is neither measured nor on a datasheet: {', '.join(found.missing)}"
        return [Bar(name=name, label=label, why_null=why) for name, label in labels.items()]
    at = None if found.datasheet else "no datasheet of this machine: at the ceilings measured in the run"
    ops = [op for op in found.ops if not op.collective]
    bars = [
        costs.bar("peak", labels["peak"], [(op.peak_s, op) for op in ops], "modelled", note=at),
        costs.bar("memory", labels["memory"], [(op.sheet_s - op.peak_s, op) for op in ops], "modelled", note="a larger batch shares it among more tokens"),
    ]
    if found.datasheet and found.ceilings:
        return [*bars, costs.bar("ceilings", labels["ceilings"], [(op.floor_s - op.sheet_s, op) for op in ops], weakest("modelled", costs.step.time_kind))]
    why = "no datasheet to compare with" if found.ceilings else "no ceilings were measured in the run: the floor is the datasheet's"
    return [*bars, Bar(name="ceilings", label=labels["ceilings"], why_null=why)]


def part_bars(point: Mapping[str, Any], costs: Costs, found: Operations) -> list[Bar]:
    """One bar for each group of the model's parts: time measured alone less the floor, without what our kernels are slow. Then what nobody measured."""
    kind, bars, of_step = weakest("modelled", costs.step.time_kind), [], _ratio_of_step(point, found)
    for group in GROUPS:
        here = [op for op in found.ops if op.group == group and (op.time_s is not None or not op.collective)]
        ops = [op for op in here if op.time_s is not None]
        if ops:
            distance = [((op.time_s or 0.0) - op.floor_s - slowness(op, of_step), op) for op in ops]
            partly = f"{len(here) - len(ops)} of {len(here)} operations were not measured alone" if len(ops) < len(here) else None
            bars.append(costs.bar(group, group, distance, kind, note=partly))
        elif here:
            bars.append(Bar(name=group, label=group, why_null="none of its operations was measured alone"))
    if found.left_out:
        bars.append(Bar(name="not_measured_alone", label="not measured alone", why_null=f"{_names(found.left_out)}; what lies above their floors is below"))
    return bars


def slowness(op: Operation, of_step: float | None) -> float:
    """Seconds of a measured operation that a library on this GPU would not need: (1 - its time / ours) x ours. 0 where nobody compared.

    `of_step`: the ratio of the whole step, where no operation has one of its own; it says nothing of one that was passed over while others were compared.
    """
    ratio = op.kernel_ratio if op.kernel_ratio is not None else of_step
    return 0.0 if ratio is None or op.time_s is None else op.time_s * max(0.0, 1 - ratio)


def _ratio_of_step(point: Mapping[str, Any], found: Operations) -> float | None:
    return point.get("kernel_ratio") if all(op.kernel_ratio is None for op in found.measured) else None


def _undivided(point: Mapping[str, Any], costs: Costs, found: Operations | None) -> Bar:
    """Everything between the floor and the step, where no operation was measured alone."""
    floor_s = math.fsum(op.floor_s for op in found.ops) if found is not None else 0.0
    seconds = costs.step.median_s - floor_s - _step_slowness(point, costs.step)
    above = "everything above the floor" if floor_s else "the whole step, whose floor is not known"
    return costs.bar("operations", "operations and gaps", [(seconds, None)], weakest("modelled", costs.step.time_kind), note=f"{above}: run --per-op splits it")


def _step_slowness(point: Mapping[str, Any], step: Step) -> float:
    ratio = point.get("kernel_ratio")
    return 0.0 if ratio is None else step.median_s * max(0.0, 1 - ratio)


def _our_kernels(point: Mapping[str, Any], costs: Costs, found: Operations | None) -> Bar:
    name, label, kind = "our_kernels", "our kernels' slowness", costs.step.time_kind
    ops = found.measured if found is not None else ()
    if point.get("kernel_ratio") is None and all(op.kernel_ratio is None for op in ops):
        nobody = "nobody compared our kernels with a library's on this machine"
        return Bar(name=name, label=label, why_null=nobody if point.get("device") != "cpu" else "a CPU runs PyTorch's own operations, not our kernels")
    if not ops:
        return costs.bar(name, label, [(_step_slowness(point, costs.step), None)], kind, note="of the whole step: no operation was measured alone")
    assert found is not None
    of_step, passed = _ratio_of_step(point, found), [op for op in ops if op.kernel_ratio is None]
    partly = f"; {len(passed)} of {len(ops)} operations were compared with none" if of_step is None and passed else ""
    return costs.bar(name, label, [(slowness(op, of_step), op) for op in ops], kind, note=f"what a library on this GPU would not need{partly}")


def _slow_steps(step: Step, costs: Costs) -> Bar:
    seconds = step.mean_s - step.median_s
    return costs.bar("slow_steps", "mean less median step", [(seconds, None)], step.time_kind, note="a rate is made of every step, closure of the median one")


def _residue(bars: Sequence[Bar], step: Step, found: Operations | None, gaps: str) -> Bar:
    """What the closure leaves of a step: gaps between launches (on a CPU, where a launch is inside its operation, between operations), or overlap."""
    if found is None or not found.measured:
        return Bar(name="launch_gaps", label=gaps, why_null="inside the bar of the operations: run --per-op splits it")
    seconds = step.mean_s - math.fsum(bar.gpu_s or 0.0 for bar in bars)
    joules = None if step.energy_j is None else step.energy_j - math.fsum(bar.energy_j or 0.0 for bar in bars)
    name, label = ("launch_gaps", gaps) if seconds >= 0 else ("overlap", "overlap of operations")
    holds = f"holds what {_names(found.left_out)} take above their floors" if found.left_out else None
    kind = weakest("modelled", step.time_kind) if found.left_out else step.time_kind
    return Bar(
        name=name, label=label, gpu_s=seconds, energy_j=joules, kind=kind, energy_kind=None if joules is None else weakest(kind, step.energy_kind), note=holds
    )  # fmt: skip


def _names(ops: Sequence[Operation]) -> str:
    names = list(dict.fromkeys(op.part or op.op for op in ops))
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(names[:_NAMES_SHOWN]) + more
