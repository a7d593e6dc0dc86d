"""Between two measured neighbours of a front: what a fleet split between the two operating points delivers. Never beyond the last measured point."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import Any

from profiler.pareto.front import RATE, USD, Front, Point


@dataclass(frozen=True, kw_only=True, slots=True)
class Interpolated:
    """A modelled point between the measured points `slower` and `faster`. `share`: the part of the fleet's GPUs that runs the faster one."""

    x: float  # tokens/s per user, the mean over the fleet's GPUs
    y: float
    ci95: tuple[float, float] | None  # both points' noise taken together at its worst; None where one of them has no interval
    share: float
    output_tokens_per_s_per_gpu: float
    slower: Point
    faster: Point
    kind: str = "modelled"

    def json(self) -> dict[str, Any]:
        return {
            "tokens_per_s_per_user": self.x, "y": self.y, "ci95": None if self.ci95 is None else list(self.ci95), "share_of_faster": self.share,
            "output_tokens_per_s_per_gpu": self.output_tokens_per_s_per_gpu, "kind": self.kind, "between": [self.slower.json(), self.faster.json()],
        }  # fmt: skip


def at(front: Front, x: float) -> Interpolated | None:
    """The front's figure at `x` tokens/s per user, from the two measured points around it. None outside them, and on a measured point, which needs no model.

    The model is a fleet of which a share w of the GPUs runs the faster point and the rest the slower one: both were measured, so the fleet delivers
    (1 - w) T_slower + w T_faster tokens/s per GPU, which is linear in w, and so in the mean tokens/s per user over its GPUs. Dollars and joules per token
    are one over a throughput, so they are not linear: each token keeps its own point's, and the fleet's is their mean by tokens (for one price of a
    GPU-hour: the price over the interpolated throughput). A single batch in between usually does at least as well: where a step's time is a + b x batch,
    a decode's throughput is (1 - a x)/b, exactly linear in x, and with a prefill in the mix it bends above the line. So the line does not flatter. Beyond
    the measured points memory, queues and kernels change in ways that no two points tell.
    """
    speeds = [_known(point.x) for point in front.front]
    after = bisect_left(speeds, x)
    if after == len(speeds) or after == 0 or speeds[after] == x:
        return None
    slower, faster = front.front[after - 1], front.front[after]
    share = (x - speeds[after - 1]) / (speeds[after] - speeds[after - 1])
    rates = (1 - share) * _rate(slower), share * _rate(faster)
    ends = None if slower.ci95 is None or faster.ci95 is None else tuple(zip(slower.ci95, faster.ci95, strict=True))
    return Interpolated(
        x=x, y=_mean(front.y, rates, (_known(slower.y), _known(faster.y)), share), share=share, output_tokens_per_s_per_gpu=sum(rates), slower=slower,
        faster=faster, ci95=None if ends is None else (_mean(front.y, rates, ends[0], share), _mean(front.y, rates, ends[1], share)),
    )  # fmt: skip


def _mean(y: str, rates: tuple[float, float], values: tuple[float, float], share: float) -> float:
    """The fleet's figure from both points': throughputs by GPUs, dollars by tokens, tokens per megajoule by joules. `rates`: tokens/s of each part."""
    if y == RATE:
        return (1 - share) * values[0] + share * values[1]
    if y == USD:
        return (rates[0] * values[0] + rates[1] * values[1]) / sum(rates)
    return sum(rates) / (rates[0] / values[0] + rates[1] / values[1])


def _rate(point: Point) -> float:
    return _known(point.at.figure(RATE))


def _known(value: float | None) -> float:
    assert value is not None, "points of a front have their figures"
    return value
