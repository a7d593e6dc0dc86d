"""Between two neighbours of a front that are batches of one deployment: what a batch between them would do. Modelled, and never beyond the last point."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import Any

from profiler.pareto.front import RATE, USD, Front, Point


@dataclass(frozen=True, kw_only=True, slots=True)
class Interpolated:
    """A modelled point between the points `slower` and `faster`. `part`: how far between their speeds it lies, 0 at the slower and 1 at the faster."""

    x: float  # tokens/s per user
    y: float
    ci95: tuple[float, float] | None  # both points' noise taken together at its worst; None where one of them has no interval
    part: float
    output_tokens_per_s_per_gpu: float
    slower: Point
    faster: Point
    kind: str = "modelled"

    def json(self) -> dict[str, Any]:
        return {
            "tokens_per_s_per_user": self.x, "y": self.y, "ci95": None if self.ci95 is None else list(self.ci95), "part_of_the_way": self.part,
            "output_tokens_per_s_per_gpu": self.output_tokens_per_s_per_gpu, "kind": self.kind, "between": [self.slower.json(), self.faster.json()],
        }  # fmt: skip


def at(front: Front, x: float) -> Interpolated | None:
    """The front's figure at `x` tokens/s per user, from the two points around it. None outside them, on a point, which needs no model, and between points of
    unlike deployments (other GPU counts, other servers, a batch and a concurrency) or of one batch, where there is no batch in between.

    The model is a batch in between, with a step's time linear in the batch: every user sees 1/x = a + b * batch seconds per token, and a decode delivers
    batch * x = (1 - a x)/b tokens/s per GPU, which is linear in x. So throughput is taken as linear in x. A prefill in the mix takes the same GPU-seconds
    per request at any batch, which bends the true curve above that line: the line does not flatter. Dollars per token are the price of the GPU-second
    over that throughput. Tokens/s per megawatt are that throughput over the watts, which are taken as linear in x as well. Beyond the points memory,
    queues and kernels change in ways that no two points tell.
    """
    speeds = [_known(point.x) for point in front.front]
    after = bisect_left(speeds, x)
    if after == len(speeds) or after == 0 or speeds[after] == x:
        return None
    slower, faster = front.front[after - 1], front.front[after]
    if slower.at.deployment != faster.at.deployment or (slower.batch, slower.concurrency) == (faster.batch, faster.concurrency):
        return None
    part = (x - speeds[after - 1]) / (speeds[after] - speeds[after - 1])
    rates = (1 - part) * _rate(slower), part * _rate(faster)
    ends = None if slower.ci95 is None or faster.ci95 is None else tuple(zip(slower.ci95, faster.ci95, strict=True))
    return Interpolated(
        x=x, y=_between(front.y, rates, (_known(slower.y), _known(faster.y)), part), part=part, output_tokens_per_s_per_gpu=sum(rates), slower=slower,
        faster=faster, ci95=None if ends is None else (_between(front.y, rates, ends[0], part), _between(front.y, rates, ends[1], part)),
    )  # fmt: skip


def _between(y: str, rates: tuple[float, float], values: tuple[float, float], part: float) -> float:
    """The figure in between. `rates`: both points' tokens/s per GPU, each times its weight; their sum is the throughput in between."""
    if y == RATE:
        return (1 - part) * values[0] + part * values[1]
    if y == USD:  # a point's rate times its dollars per token is its price of the GPU-second
        return (rates[0] * values[0] + rates[1] * values[1]) / sum(rates)
    return sum(rates) / (rates[0] / values[0] + rates[1] / values[1])  # a point's rate over its tokens per joule is its watts


def _rate(point: Point) -> float:
    return _known(point.at.figure(RATE))


def _known(value: float | None) -> float:
    assert value is not None, "points of a front have their figures"
    return value
