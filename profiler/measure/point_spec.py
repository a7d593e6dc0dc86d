"""One point to measure, as the parent asks the worker for it. Importable without torch."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from triton_kernels.errors import TokenmillError

if TYPE_CHECKING:
    from workloads.deployment import Deployment
    from workloads.shape import StepShape

KERNELS = ("triton",)
RANKS = ("hottest", "mean")


@dataclass(frozen=True, kw_only=True, slots=True)
class PointSpec:
    """Model, formats, shape and method of one point. Sizes are counts; checked on making: TokenmillError names the option and the fix."""

    model: str  # a catalogue name, a config.json, or its folder
    phase: str
    precision: str
    kv_cache: str
    batch: int
    context: int
    mix: str | None = None  # which mix this point serves
    tp: int = 1
    ep: int = 1
    dp: int = 1
    rank: str = "hottest"  # "hottest", "mean" or the number of a GPU: which of the deployment's is played
    span: str | None = None  # what the deployment covers; None: see profiler.modelled.link
    layers: int | None = None  # so many layers of each kind; None: all
    mtp: bool = False
    routing: str = "uniform"
    seed: int = 0
    device: str = "auto"
    kernels: str = "triton"
    window_s: float = 2.0
    windows: int = 5
    watts: float | None = None
    power_replay: str | None = None
    node_power: str | None = None  # a wall meter's file
    dcgm: str | None = None  # address of a DCGM exporter's page
    sensor_accuracy: float | None = None  # of a board that was calibrated against a meter, as a share; None: its sensor's class
    per_op: bool = False  # each operation alone, after the windows
    per_op_budget_s: float | None = None  # that at most for it; None: all that it needs
    compare: bool = False  # one step more, against the same weights in the recipe's plain format, where that was measured before

    def __post_init__(self) -> None:
        from profiler.modelled.link import SPANS
        from workloads.routing import parse_routing

        _ = self.shape
        _ = self.deployment
        parse_routing(self.routing)
        self._check_rank()
        if self.span is not None:
            _one_of("--span", self.span, SPANS)
        if self.layers is not None and self.layers < 1:
            raise TokenmillError(f"--layers {self.layers}: should be at least 1")
        _one_of("--kernels", self.kernels, KERNELS)
        _one_of("--device", self.device, ("auto", "cuda", "cpu"))
        if not 0 <= self.seed < 1 << 32:
            raise TokenmillError(f"--seed {self.seed}: should be from 0 to {(1 << 32) - 1}")
        if not math.isfinite(self.window_s) or not 0.01 <= self.window_s <= 600:
            raise TokenmillError(f"--window {self.window_s:g}: should be from 0.01 to 600 seconds")
        if not 2 <= self.windows <= 1000:
            raise TokenmillError(f"--windows {self.windows}: should be from 2 to 1000; the spread between windows is the interval")
        if self.watts is not None and (not math.isfinite(self.watts) or not 0 < self.watts <= 1e6):
            raise TokenmillError(f"--watts {self.watts:g}: should be a positive number of watts")
        if self.watts is not None and self.power_replay is not None:
            raise TokenmillError("--watts and --power-replay: give one of them; power has one source")
        self._check_sensors()

    def _check_sensors(self) -> None:
        if self.watts is not None and self.node_power is not None:
            raise TokenmillError("--watts and --node-power: give one of them; both are the node's power")
        if self.dcgm is not None and not re.match("https?://[^/]", self.dcgm, re.ASCII):
            raise TokenmillError(f"--dcgm {self.dcgm[:60]!r}: should be the address of an exporter's page, such as http://localhost:9400/metrics")
        if self.sensor_accuracy is not None and not 0 < self.sensor_accuracy < 0.5:
            raise TokenmillError(f"--sensor-accuracy {self.sensor_accuracy:g}: should be a share above 0 and below 0.5, such as 0.01")
        if self.per_op_budget_s is not None and not self.per_op_budget_s >= 0:
            raise TokenmillError(f"per_op_budget_s {self.per_op_budget_s:g}: should be seconds from 0 on")

    def _check_rank(self) -> None:
        from workloads.deployment import Rank

        if self.rank in RANKS:
            return
        if not (self.rank.isascii() and self.rank.isdigit() and len(self.rank) <= 6):
            raise TokenmillError(f"--rank {self.rank[:40]!r}: should be hottest, mean, or the number of a GPU")
        Rank(deployment=self.deployment, index=int(self.rank))

    @property
    def deployment(self) -> Deployment:
        from workloads.deployment import Deployment

        return Deployment(precision=self.precision, kv_cache=self.kv_cache, tp=self.tp, ep=self.ep, dp=self.dp)

    @property
    def shape(self) -> StepShape:
        from workloads.shape import StepShape

        return StepShape(phase=self.phase, batch=self.batch, context=self.context, mtp=self.mtp)

    @property
    def emulated(self) -> bool:
        """Whether one process stands for more than itself: other GPUs, or layers that are not there."""
        return self.deployment.gpus > 1 or self.layers is not None

    @property
    def weights_key(self) -> tuple[Any, ...]:
        """Points with the same key run on the same weights."""
        return (self.model, self.precision, self.kv_cache, self.tp, self.ep, self.dp, self.rank, self.layers, self.mtp, self.seed, self.device)

    def json(self) -> dict[str, Any]:
        return asdict(self)


def point_spec(values: dict[str, Any]) -> PointSpec:
    """The PointSpec with these fields, as a request line gave them. TokenmillError for a field that is unknown or missing."""
    known = {f.name for f in fields(PointSpec)}
    if unknown := sorted(set(values) - known):
        raise TokenmillError(f"point spec: unknown field {unknown[0][:60]!r}")
    try:
        return PointSpec(**values)
    except TypeError as e:
        raise TokenmillError(f"point spec: {e}") from e


def _one_of(flag: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise TokenmillError(f"{flag} {value[:60]!r}: should be {', '.join(known[:-1]) + ' or ' + known[-1] if len(known) > 1 else known[0]}")
