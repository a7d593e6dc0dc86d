"""Everything that a record says of a point's power, from the traces of its boundaries. One pure function."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from math import hypot
from typing import Any

from profiler.measure.statistics import mean_interval
from profiler.power.energy import PointEnergy, point_energy
from profiler.power.event_share import event_share
from profiler.power.host_energy import HostWatts, host_watts
from profiler.power.readings import mean_watts, p99_watts
from profiler.power.source import PowerTrace
from profiler.power.window import Window

_NORMAL_95 = 1.96  # two-sided 95 % quantile of the normal distribution


@dataclass(frozen=True, kw_only=True)
class NodeTraces:
    """What was recorded beside the board: CPU zones, a meter's file; `host_unread`: why counters that are there could not be read."""

    host: Sequence[PowerTrace] = ()
    meter: PowerTrace | None = None
    host_unread: str | None = None
    measured_gpus: int = 1
    gpus: int | None = None  # of the whole node; 0: it has none, and the host is all there is; None: nobody knows


@dataclass(frozen=True, kw_only=True)
class PointPower:
    """The record's power fields (profiler.record.schema has their units), each window's joules, and what speaks against them."""

    energy_j: float | None = None
    energy_spread_j: float | None = None
    energy_disagreement: float | None = None
    energy_per_step_j: dict[str, Any] | None = None
    dynamic_energy_j: float | None = None
    board_w: float | None = None
    board_w_p99: float | None = None
    module_w: float | None = None
    memory_w: float | None = None
    power_scope: str | None = None
    cpu_w: float | None = None
    cpu_w_p99: float | None = None
    cpu_source: str | None = None
    host_share: float | None = None
    board_cpu_w: float | None = None
    node_w: float | None = None
    node_w_p99: float | None = None
    idle_board_w: float | None = None
    event_share: dict[str, float] = field(default_factory=dict)
    power_source: str = "none"
    sensor_accuracy: float | None = None
    windows_j: tuple[float, ...] | None = None
    invalid_reasons: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def fields(self) -> dict[str, Any]:
        """Only what a point's line holds under these names."""
        return {name: value for name, value in asdict(self).items() if name not in ("windows_j", "invalid_reasons", "warnings")}


def point_power(
    board: PowerTrace, windows: Sequence[Window], *, steps: Sequence[int], idle_w: float | None = None, node: NodeTraces | None = None
) -> PointPower:
    """Power of a point whose `windows` ran `steps` steps each. `idle_w`: the board's before it. Where there is no board to read, joules are the node's by a
    meter, else the CPUs'; `power_source` says whose."""
    assert len(windows) == len(steps), (len(windows), len(steps))
    node = node or NodeTraces()
    energy = point_energy(board, windows)
    declared = board.kind == "assumed"
    seen = energy.energy_j is not None and not declared  # declared watts are the node's: no sensor saw a board
    if board.kind is None and not energy.invalid_reasons:
        energy = _without_board(node, windows) or energy
    board_w = energy.board_w if seen else None
    host, said = host_watts(node.host, windows), list(energy.warnings)
    share = _host_share(node)
    node_w, node_w_p99, node_invalid, node_said = _node(energy.board_w if declared else None, node, windows)
    said += _host_said(host, node, share) + node_said
    return PointPower(
        energy_j=energy.energy_j,
        energy_spread_j=energy.spread_j,
        energy_disagreement=energy.disagreement,
        energy_per_step_j=_per_step(energy, steps),
        dynamic_energy_j=_dynamic(energy, idle_w, windows) if seen else None,
        board_w=board_w,
        board_w_p99=energy.board_w_p99 if seen else None,
        module_w=_mean(board, "module_w", windows) if seen else None,
        memory_w=_mean(board, "memory_w", windows) if seen else None,
        power_scope=energy.power_scope,
        cpu_w=host.mean_w,
        cpu_w_p99=host.p99_w,
        cpu_source=host.source if host.mean_w is not None else None,
        host_share=share if host.mean_w is not None else None,
        board_cpu_w=_board_cpu(board_w, host.mean_w, share, node.gpus),
        node_w=node_w,
        node_w_p99=node_w_p99,
        idle_board_w=idle_w,
        event_share=event_share(board, windows) if not board.invalid_reasons else {},
        power_source=energy.power_source,
        sensor_accuracy=board.sensor_accuracy if seen else None,
        windows_j=energy.windows_j,
        invalid_reasons=energy.invalid_reasons + node_invalid,
        warnings=said,
    )


def _without_board(node: NodeTraces, windows: Sequence[Window]) -> PointEnergy | None:
    """Joules of a node that has no GPU, or none but the measured ones, by the widest that was seen; None where nothing was, or others' work is in it."""
    if node.gpus not in (0, node.measured_gpus):
        return None
    watts = [_mean(node.meter, "instant_w", [w]) if node.meter is not None and not node.meter.invalid_reasons else None for w in windows]
    source = "meter"
    if any(w is None for w in watts):
        watts = [host_watts(node.host, [w]).mean_w for w in windows]
        source = node.host[0].source if node.host else "none"
    joules = [w * window.duration_s for w, window in zip(watts, windows, strict=True) if w is not None]
    return PointEnergy(power_source=source, energy_j=sum(joules), windows_j=tuple(joules)) if len(joules) == len(windows) else None


def _per_step(energy: PointEnergy, steps: Sequence[int]) -> dict[str, Any] | None:
    if energy.windows_j is None:
        return None
    joules = [j / n for j, n in zip(energy.windows_j, steps, strict=True)]
    # Declared watts do not vary: an interval of them would be the steps' alone.
    interval = None if energy.method == "constant" else mean_interval(joules)
    mean_j = sum(joules) / len(joules)
    if interval is not None and energy.noise_j is not None:
        # Five windows may agree by chance. What the ticks' edges leave open is known without them, and is the least that the interval spans.
        half_j = _NORMAL_95 * hypot(*(noise_j / n for noise_j, n in zip(energy.noise_j, steps, strict=True))) / len(joules)
        interval = min(interval[0], mean_j - half_j), max(interval[1], mean_j + half_j)
    return {"mean": mean_j, "ci95": None if interval is None else list(interval), "n": len(joules)}


def _dynamic(energy: PointEnergy, idle_w: float | None, windows: Sequence[Window]) -> float | None:
    return None if energy.energy_j is None or idle_w is None else energy.energy_j - idle_w * sum(w.duration_s for w in windows)


def _mean(trace: PowerTrace, figure: str, windows: Sequence[Window]) -> float | None:
    return mean_watts(trace.samples, figure, windows, most_gap_s=trace.most_gap_s)


def _host_share(node: NodeTraces) -> float | None:
    """RAPL and hwmon see all of the host, which serves all GPUs of the node."""
    if node.gpus is None:
        return None
    return 1.0 if node.gpus == 0 else min(1.0, node.measured_gpus / node.gpus)


def _board_cpu(board_w: float | None, cpu_w: float | None, share: float | None, gpus: int | None) -> float | None:
    if cpu_w is None or share is None or (board_w is None and gpus != 0):
        return None
    return (board_w or 0.0) + share * cpu_w


def _host_said(host: HostWatts, node: NodeTraces, share: float | None) -> list[str]:
    said = [f"host_unread: {why}" for why in (node.host_unread, host.why_not) if why is not None]
    if host.mean_w is None and (node.meter is None or node.gpus is None):
        return said
    if share is None:
        said.append("host_share: nobody knows how many GPUs share this host, so its power is not added to the board's")
    elif share < 1:
        of = f"{node.measured_gpus} of {node.gpus} GPUs of the node were measured"
        said += [f"host_share: {of}, and as much of the CPUs' power is counted with them"] if host.mean_w is not None else []
        said += [f"host_share: {of}, and the meter's watts are the whole node's"] if node.meter is not None else []
    return said


def _node(declared_w: float | None, node: NodeTraces, windows: Sequence[Window]) -> tuple[float | None, float | None, list[str], list[str]]:
    """The node's watts with their 99th percentile, what makes them invalid, and what to know. A meter's where there is one, else as declared."""
    meter = node.meter
    if meter is None:
        return declared_w, None, [], []
    if meter.invalid_reasons:
        return declared_w, None, list(meter.invalid_reasons), [f"{name}: {why}" for name, why in meter.notes.items() if name in meter.invalid_reasons]
    mean_w = _mean(meter, "instant_w", windows)
    p99_w = p99_watts(meter.samples, windows)
    if mean_w is None:
        why = next(iter(meter.notes.values()), f"its samples do not surround the windows, or lie over {meter.most_gap_s:g} s apart")
        return declared_w, None, [], [f"meter: {why}"]
    return mean_w, p99_w, [], []
