"""What a power source gives: samples on the monotonic clock, and where they come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

# Longer than this between two samples nobody knows what was drawn: five times the slowest sampling period, more than a late thread.
MOST_GAP_S = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class PowerSample:
    """One look at the sensors. `None`: this source has no such figure, or it could not be read this time."""

    t_s: float  # monotonic clock, shared with the measured windows
    counter_j: float | None = None  # total energy since some past moment; steps about every 100 ms on data-centre boards
    instant_w: float | None = None  # mean over the sensor's shortest window (25 ms of every 100 ms on A100 and H100: arXiv 2312.02741)
    average_w: float | None = None  # mean over about 1 s: lags every change of load
    module_w: float | None = None  # the module's, CPU and memory of a superchip with it; holds the board's and is never added to it
    memory_w: float | None = None  # the device memory's part of the board's
    sm_hz: float | None = None
    temperature_c: float | None = None
    event_reasons: int | None = None  # NVML clocks event reasons, a bit mask
    # Seconds since the driver was loaded that clocks were held back, by reason.
    sw_power_cap_s: float | None = None
    sw_thermal_s: float | None = None
    hw_thermal_s: float | None = None
    hw_power_brake_s: float | None = None

    @property
    def readable(self) -> bool:
        """Whether any sensor of power or energy answered."""
        return any(figure is not None for figure in (self.counter_j, self.instant_w, self.average_w, self.module_w))

    def json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class PowerTrace:
    """Samples in the order they were taken, and what their source says of itself."""

    source: str  # "nvml", "dcgm", "rapl", "hwmon", "meter", "declared", "replay", "none"
    kind: str | None  # "measured", "assumed", "replayed"; None: no power
    sensor_accuracy: float | None  # of the sensor's class, as a share of the reading
    device: str = "gpu0"  # what drew the power: "gpu0", "package-0", "node"
    boundary: str = "board"  # which boundary it belongs to: "board", "cpu" or "node"
    most_gap_s: float = MOST_GAP_S
    samples: tuple[PowerSample, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)  # figure -> why it is missing
    invalid_reasons: tuple[str, ...] = ()  # why no figure of this source may be believed

    def rows(self) -> list[dict[str, Any]]:
        """The samples as a record's `series/` holds them."""
        return [{**sample.json(), "device": self.device, "boundary": self.boundary} for sample in self.samples]


class PowerSource(Protocol):
    """Where watts come from. `sample` is cheap, safe to call from a second thread, and never raises for a sensor that fails."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str | None: ...
    @property
    def device(self) -> str: ...
    @property
    def boundary(self) -> str: ...
    @property
    def most_gap_s(self) -> float: ...
    @property
    def sensor_accuracy(self) -> float | None: ...
    @property
    def notes(self) -> Mapping[str, str]: ...
    @property
    def invalid_reasons(self) -> tuple[str, ...]: ...

    def sample(self) -> PowerSample: ...

    def close(self) -> None: ...


def has_sensor(source: PowerSource) -> bool:
    """Whether sampling it tells anything: declared watts are the node's and do not change, and NoPower has none."""
    return source.kind in ("measured", "replayed")


def trace_of(source: PowerSource, samples: tuple[PowerSample, ...]) -> PowerTrace:
    """The samples together with what their source says of itself."""
    return PowerTrace(
        source=source.name,
        kind=source.kind,
        sensor_accuracy=source.sensor_accuracy,
        device=source.device,
        boundary=source.boundary,
        most_gap_s=source.most_gap_s,
        samples=samples,
        notes=dict(source.notes),
        invalid_reasons=source.invalid_reasons,
    )


def lost_since(trace: PowerTrace) -> float | None:
    """When a sensor that had answered stopped doing so for good, on the trace's clock; None: it answered to the end, or never."""
    seen = [i for i, sample in enumerate(trace.samples) if sample.readable]
    return trace.samples[seen[-1] + 1].t_s if seen and seen[-1] + 1 < len(trace.samples) else None
