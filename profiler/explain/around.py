"""What stands around a step: links, queues, idle hours, the host, the site. Seconds and joules of one step, like profiler.explain.causes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from profiler.economics.formulas import weakest
from profiler.economics.prices import PricePick
from profiler.explain.bar import Bar
from profiler.explain.step import Step

SITE = ("host", "facility")  # bars of joules alone


def surrounding_bars(point: Mapping[str, Any], step: Step, price: PricePick | None, gpu_known: bool) -> list[Bar]:
    """Collectives, queueing, idle, host and facility."""
    utilisation = price.utilisation if price is not None else 1.0
    host = _host(step)
    return [_collectives(point, step, gpu_known), _queueing(point), _idle(point, step, utilisation), host, _facility(step, host, price)]


def _collectives(point: Mapping[str, Any], step: Step, gpu_known: bool) -> Bar:
    name, label = "collectives", "collectives on the links"
    if step.collective_s is None:
        return Bar(name=name, label=label, why_null="no plan was recorded, so the links' time is not known")
    if not step.collective_s:
        one = (point.get("deployment_gpus") or 1) == 1
        return Bar(name=name, label=label, gpu_s=0.0, energy_j=0.0, kind=step.time_kind, note="one GPU" if one else "inside the step: all GPUs ran")
    return Bar(
        name=name, label=label, gpu_s=step.collective_s, kind="modelled" if gpu_known else "assumed", note="one after the other with the compute",
        why_null="joules: the network was not measured",
    )  # fmt: skip


def _queueing(point: Mapping[str, Any]) -> Bar:
    why = "steps, not requests: no server was measured" if point.get("kind", "step") == "step" else "not split from the requests' time"
    return Bar(name="queueing", label="queueing", why_null=why)


def _idle(point: Mapping[str, Any], step: Step, utilisation: float) -> Bar:
    name, label = "idle", f"idle, {utilisation:.0%} busy"
    if utilisation == 1:
        return Bar(name=name, label=label, gpu_s=0.0, energy_j=0.0, kind="assumed", note="the price is taken for GPUs that are always busy (--utilisation)")
    seconds = (step.mean_s + (step.collective_s or 0.0)) * (1 / utilisation - 1)
    watts = point.get("idle_board_w")
    joules = None if watts is None else watts * seconds
    return Bar(
        name=name, label=label, gpu_s=seconds, energy_j=joules, kind="assumed", energy_kind=None if joules is None else "assumed",
        why_null=None if joules is not None else "joules: idle power was not measured",
    )  # fmt: skip


def _host(step: Step) -> Bar:
    """The node's joules beyond those of the bars above: CPUs where they were read, the rest of the node where its watts are known."""
    name, label, watts = "host", "host: CPUs, fans, PSUs", step.watts
    bars_w = None if step.mean_w is None else step.mean_w / step.measured_gpus
    if bars_w is None:
        return Bar(name=name, label=label, gpu_s=0.0, why_null=f"joules: {step.why_no_energy}")
    if step.boundary == "node":
        return Bar(name=name, label=label, gpu_s=0.0, why_null="joules: the watts are the node's, so the host is in every bar")
    widest, of_what = (watts.node, "node") if watts.node is not None else (watts.board_cpu, "board_cpu")
    if widest is None:
        return Bar(name=name, label=label, gpu_s=0.0, why_null="joules: the CPUs were not read, and the node's watts are not known (--watts, a meter)")
    note = "CPUs and their memory alone: the node's watts are not known" if of_what == "board_cpu" else None
    if of_what == "node" and watts.board_cpu is not None:
        note = f"CPUs {watts.board_cpu - bars_w:.3g} W, the rest of the node {widest - watts.board_cpu:.3g} W per GPU"
    return _joules(name, label, (widest - bars_w) * step.measured_gpus * step.mean_s, weakest(step.energy_kind, dict(watts.kinds).get(of_what)), note)


def _facility(step: Step, host: Bar, price: PricePick | None) -> Bar:
    name, pue = "facility", price.pue if price is not None else None
    label = "facility: cooling, losses"
    if step.watts.node is None or step.energy_j is None:
        return Bar(name=name, label=label, gpu_s=0.0, why_null="joules: the node's watts are not known (--watts, a meter)")
    if pue is None:
        return Bar(name=name, label=label, gpu_s=0.0, why_null="joules: no PUE (--pue)")
    node_j = step.energy_j + (host.energy_j or 0.0)
    return _joules(name, label, node_j * (pue - 1), "assumed", f"PUE {pue:g}")


def _joules(name: str, label: str, joules: float, kind: str, note: str | None) -> Bar:
    return Bar(name=name, label=label, gpu_s=0.0, energy_j=joules, kind=kind, energy_kind=kind, note=note)


def facility_known(bars: Sequence[Bar]) -> bool:
    """Whether the joules of the site are there, so that dollars of energy can ride on them."""
    return any(bar.name == "facility" and bar.energy_j is not None for bar in bars)
