"""What a point's power is read with: the board, the host beside it, a meter's file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from profiler.power.sampler import PERIOD_S
from profiler.power.source import PowerSource


@dataclass(frozen=True, kw_only=True)
class Instrument:
    """`board`: of the measured GPU, or NoPower with the reason. `meter`: a file of the node's watts, read once the windows are over."""

    board: PowerSource
    host: tuple[PowerSource, ...] = ()
    host_unread: str | None = None  # why CPU counters that are there cannot be read
    meter: Path | None = None
    gpus: int | None = None  # of the whole node; 0: it has none; None: nobody knows
    period_s: tuple[float, float] = PERIOD_S
    accuracy: float | None = None  # of this board, calibrated against a meter; None: its class's
