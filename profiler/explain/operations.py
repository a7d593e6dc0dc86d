"""Each operation of a point's step: its least time at three sets of rates, and what it took alone where it was measured (`run --per-op`)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from profiler.economics.points import floor_of_point
from profiler.explain.places import group_of_part
from profiler.gpus import GpuSpec
from profiler.modelled.floor_math import BANDWIDTH, Floor, floor_of_plan
from profiler.modelled.link import group_of

Table = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Operation:
    """One entry of the plan; every figure is of all its calls in one step. Seconds at: the datasheet's arithmetic alone, its roofline, the measured one."""

    entry: int
    op: str
    part: str
    group: str
    flops: float
    nbytes: float
    lane: str | None
    collective: bool  # its time on the links is modelled apart; here only what it does on the GPU itself
    bound: str | None  # "memory" or "compute", at the measured rates; None where those are not known
    peak_s: float
    sheet_s: float
    floor_s: float
    time_s: float | None  # measured alone; None: it was not
    energy_j: float | None  # of the measured board, idle power with it
    kernel_ratio: float | None  # the library's time over ours, for this operation
    library: str | None  # which
    why_not: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Operations:
    """The operations of one step. Floors are 0 where a rate is unknown (`missing`): then every measured second counts as distance."""

    ops: tuple[Operation, ...]
    missing: tuple[str, ...]
    datasheet: bool  # whether `peak_s` and `sheet_s` are a datasheet's; else those of the measured rates
    ceilings: bool  # whether rates were measured in the run; else floor_s is the datasheet's
    rates: Mapping[str, float]  # of floor_s: bandwidth in bytes/s, lanes in FLOP/s

    @property
    def measured(self) -> tuple[Operation, ...]:
        return tuple(op for op in self.ops if op.time_s is not None)

    @property
    def left_out(self) -> tuple[Operation, ...]:
        """Operations that were not measured alone; links are modelled apart and not among them."""
        return tuple(op for op in self.ops if op.time_s is None and not op.collective)


def operations_of(point: Mapping[str, Any], plan: Mapping[str, Any] | None, gpu: GpuSpec | None, rows: Sequence[Mapping[str, Any]]) -> Operations | None:
    """The operations of the point's plan, `rows` being those of ops/. None without a plan. A LookupError or ValueError for rows that fit no plan."""
    floor = floor_of_point(point, plan, gpu)
    if floor is None or plan is None:
        return None
    measured = {lane: rate for lane, rate in ((point.get("ceilings") or {}).get("flops_per_s") or {}).items() if rate is not None}
    # A lane that the datasheet does not state is taken as it was measured.
    unstated = {} if gpu is None else {lane: rate for lane, rate in measured.items() if lane not in gpu.flops_per_s}
    sheet = floor if gpu is None else floor_of_plan(plan, gpu=gpu, ceilings=unstated)
    known = not (floor.missing or sheet.missing)
    floors = zip(floor.ops, sheet.ops, strict=True)
    by_entry = _by_entry(rows, plan)
    ops = []
    for index, entry in enumerate(plan["calls"]):
        pair = next(floors) if group_of(entry) == 1 else None
        ops.append(_operation(index, entry, pair if known else None, pair is None, sheet, by_entry.get(index)))
    return Operations(
        ops=tuple(ops), missing=floor.missing, datasheet=gpu is not None, ceilings=bool(point.get("ceilings")) and floor.rates_source != "datasheet",
        rates=floor.rates,
    )  # fmt: skip


def _by_entry(rows: Sequence[Mapping[str, Any]], plan: Mapping[str, Any]) -> dict[int, Mapping[str, Any]]:
    found = {}
    for row in rows:
        index = row["entry"]
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(plan["calls"]):
            raise ValueError(f"an operation's entry {index!r} is not in the plan")
        found[index] = row
    return found


def _operation(index: int, entry: Mapping[str, Any], floors: tuple[Table, Table] | None, collective: bool, sheet: Floor, row: Table | None) -> Operation:
    op, part, work = entry["op"], entry["part"], entry["work"]
    call_s = figure((row or {}).get("call_s"), "median")
    call_j = figure((row or {}).get("call_j"), "mean")
    count, lane = entry["count"], work["lane"]
    return Operation(
        entry=index,
        op=op,
        part=part,
        group=group_of_part(op, part),
        flops=work["flops"],
        nbytes=work["read_bytes"] + work["written_bytes"],
        lane=lane,
        collective=collective,
        bound=floors[0]["bound"] if floors else None,
        peak_s=work["flops"] / sheet.rates[lane] if floors and lane and work["flops"] else 0.0,
        sheet_s=floors[1]["floor_s"] if floors else 0.0,
        floor_s=floors[0]["floor_s"] if floors else 0.0,
        time_s=None if call_s is None else count * call_s,
        energy_j=None if call_j is None else count * call_j,
        kernel_ratio=figure(row, "kernel_ratio"),
        library=(row or {}).get("library"),
        why_not=(row or {}).get("why_not"),
    )


def figure(found: Mapping[str, Any] | None, name: str) -> float | None:
    """A recorded figure of a table that may be null; a ValueError for one that is no figure."""
    value = None if found is None else found.get(name)
    if value is None:
        return None
    if type(value) is float and 0 <= value < math.inf:  # of tens of thousands of rows, all that are in order
        return value
    if isinstance(value, bool) or not math.isfinite(value) or value < 0:
        raise ValueError(f"{name} {value!r} is not a figure")
    return float(value)


def copy_rate(point: Mapping[str, Any], rates: Mapping[str, float]) -> tuple[float | None, str]:
    """Bytes per second that an operation that moves data can hope for: copied where measured, else read."""
    copied = (point.get("ceilings") or {}).get("copy_bytes_per_s")
    return (copied, "copy bandwidth") if copied else (rates.get(BANDWIDTH), "read bandwidth")
