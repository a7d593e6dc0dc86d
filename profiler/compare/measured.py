"""The noise of a point's and of a request's figures, from the windows they were measured in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from profiler.compare.figures import PER_MW
from profiler.compare.spread import Noise, noise_of, spread_of, together
from profiler.economics.prices import PricePick
from profiler.explain.step import Step, step_of
from profiler.modelled.mix import parse_mix

Point = Mapping[str, Any]
JOULES = ("energy_j_per_output_token", "energy_j_per_total_token")


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """`time` and `joules`: the noise of a figure that is made of them. `boundary`: whose joules, board, node or cpu; None without any."""

    step: Step | None  # None: it did not run, or another tool measured it
    time: Noise
    joules: Noise
    boundary: str | None
    declared: bool  # the node's watts were declared: a constant has no noise, and joules have the time's

    def of_watts(self, boundary: str) -> Noise:
        """The noise of tokens/s per MW at a boundary; () where its watts were not recorded by window."""
        if boundary == "provisioned" or (boundary in ("node", "facility") and self.declared):
            return self.time
        return self.joules if boundary == self.boundary or (boundary, self.boundary) == ("facility", "node") else ()

    def of(self, figure: str) -> Noise:
        if figure.startswith(PER_MW):
            return self.of_watts(figure.removeprefix(f"{PER_MW}."))
        return self.joules if figure in JOULES else self.time


def measured(point: Point, price: PricePick | None) -> Measured:
    """What the windows of a derived point say. Raises what a field that is not what it should be raises."""
    step = step_of(point, price) if point.get("status", "ok") == "ok" else None
    windows = point.get("windows") or ()
    collective_s = (step.collective_s or 0.0) if step else 0.0
    share = step.mean_s / (step.mean_s + collective_s) if step else 1.0  # links are modelled, and do not scatter
    time = noise_of(spread_of([w["step_s"] for w in windows if w.get("step_s") is not None]), share)
    per_step = [w["energy_j"] / w["steps"] for w in windows if w.get("energy_j") is not None and w.get("steps")]
    joules = noise_of(spread_of(per_step)) if len(per_step) == len(windows) else ()
    if step is None:
        return Measured(step=None, time=time, joules=joules, boundary=_told_boundary(point), declared=False)
    source_declared = point.get("power_source") == "declared"
    return Measured(
        step=step,
        time=time,
        joules=time if source_declared else joules,
        boundary=step.boundary if step.energy_j is not None else None,
        declared=source_declared or (point.get("node_w") is None or (point.get("provenance") or {}).get("node_w") == "assumed"),
    )


def _told_boundary(point: Point) -> str | None:
    """Another tool's joules are of boards, where it has some."""
    return "board" if any(point.get(name) is not None for name in (*JOULES, "board_w")) else None


def of_request(mix: Point, prefill: Point, decode: Point, parts: tuple[Measured, Measured]) -> Measured:
    """The noise of a request's figures: each phase weighs as much as it takes of the GPU-seconds, or of the joules. What is neither's (a cache) is exact."""
    request = parse_mix(str(mix["mix"]))
    read, written = parts
    time: Noise = ()
    joules: Noise = ()
    into, out, whole = (mix.get(f"{name}_tokens_per_s_per_gpu") for name in ("prefill_input", "decode_output", "output"))
    if into and out and whole:
        gpu_s = request.fresh / into, request.osl / out
        share = sum(gpu_s) / max(sum(gpu_s), request.osl / whole)
        time = tuple((weight * share, spread) for weight, spread in together((gpu_s[0], read.time), (gpu_s[1], written.time)))
    spent = prefill.get("energy_j_per_total_token"), decode.get("energy_j_per_output_token")
    if spent[0] is not None and spent[1] is not None:
        joules = together((request.fresh * spent[0], read.joules), (request.osl * spent[1], written.joules))
    same = read.boundary == written.boundary
    return Measured(step=None, time=time, joules=joules, boundary=written.boundary if same else None, declared=read.declared and written.declared)
