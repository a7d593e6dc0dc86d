"""One step of a point as the waterfall needs it: its seconds and joules, and what turns them into those of a token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from profiler.economics.formulas import Watts
from profiler.economics.points import energy_kind, is_reduced, point_watts, serial_s, time_kind
from profiler.economics.prices import PricePick

# What the recorded joules are of. A sensor of the board is the rule.
_BOUNDARIES = {"declared": "node", "meter": "node", "rapl": "cpu", "hwmon": "cpu"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """`mean_s` is what a rate is made of, windows over steps; `median_s` what one step takes that nothing disturbed. Joules and watts of the measured GPUs."""

    median_s: float
    mean_s: float
    energy_j: float | None  # of a mean step
    why_no_energy: str | None
    boundary: str  # of the joules: board, cpu or node
    time_kind: str
    energy_kind: str
    collective_s: float | None  # behind each step, modelled; None: nobody can tell
    gpu_s_per_s: float  # GPU-seconds of the deployment per token, for a second of this step
    gpus_per_gpu: float  # joules of the deployment per token, for a joule of this step
    unit: str  # "output token", "input token", or "step" where a step is no model's
    measured_gpus: int
    watts: Watts  # per GPU

    @property
    def mean_w(self) -> float | None:
        """Watts of the measured GPUs over the windows."""
        return None if self.energy_j is None else self.energy_j / self.mean_s


def step_of(point: Mapping[str, Any], price: PricePick | None) -> Step | None:
    """The step of a point that derive_point has been over; None for one that did not run."""
    median_s, window_s = (point.get("step_s") or {}).get("median"), point.get("window_s")
    if not median_s:
        return None
    tokens = (point.get("output_tokens") or 0) + (point.get("input_tokens") or 0)
    gpus, measured, ranks = point.get("deployment_gpus") or 1, point.get("measured_gpus") or 1, point.get("dp") or 1
    per_step = point.get("tokens_per_step") or (tokens * median_s / window_s if window_s and tokens else None)
    mean_s = window_s * per_step / tokens if window_s and per_step and tokens else median_s
    joules = point.get("energy_j")
    whole = bool(per_step) and not is_reduced(point)
    scale = 1 / (ranks * per_step) if per_step and whole else 1.0
    return Step(
        median_s=median_s,
        mean_s=mean_s,
        energy_j=None if joules is None or not window_s else joules * mean_s / window_s,
        why_no_energy=None if joules is not None and window_s else _why_no_energy(point),
        boundary=_BOUNDARIES.get(str(point.get("power_source")), "board"),
        time_kind=time_kind(point),
        energy_kind=energy_kind(point),
        collective_s=serial_s(point, point.get("collective_s")),
        gpu_s_per_s=gpus * scale if whole else 1.0,
        gpus_per_gpu=gpus / measured * scale if whole else 1.0,
        unit=("output token" if point.get("phase") == "decode" else "input token") if whole else "step",
        measured_gpus=measured,
        watts=point_watts(point, price),
    )


def _why_no_energy(point: Mapping[str, Any]) -> str:
    said = next((str(w).removeprefix("no_power: ") for w in point.get("warnings") or () if str(w).startswith("no_power")), None)
    return f"no power was measured{f' ({said})' if said else ''}; --watts at `run` declares it"
