"""A handmade run on disk, with a minute of power samples beside each decode point."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from profiler.economics.derive import Derived, derive_run
from profiler.economics.prices import PricePick
from profiler.record.store import Run, RunWriter, read_run
from tests.profiler import handmade_run as made

BEGIN_S, PEAK_W = 100.0, 690.0
WINDOWS = [{"t_start_s": 110.0 + 6 * n, "t_end_s": 115.5 + 6 * n, "steps": 100} for n in range(6)]
PHASES = [{"name": "idle", "t_start_s": 100.0, "t_end_s": 105.0}, {"name": "windows", "t_start_s": 110.0, "t_end_s": 145.5}]


def samples() -> list[dict[str, Any]]:
    """A board looked at every 20 ms: 75 W, from 105 to 155 s about 480 W, once 690 W, nothing from 130 to 133 s; CPUs whose counter gains 12 J each second."""
    rows = []
    for n in range(3000):
        t = BEGIN_S + n / 50
        if not 130 < t < 133:
            watts = PEAK_W if n == 1750 else 480 + 10 * math.sin(n / 20) if 105 < t < 155 else 75.0
            rows.append({"t_s": t, "instant_w": watts, "sm_hz": 1.9e9, "temperature_c": 40 + n / 200, "device": "gpu0", "boundary": "board"})
    counter = ({"t_s": BEGIN_S + n / 10, "counter_j": 1.2 * n, "device": "package-0", "boundary": "cpu"} for n in range(600))
    return [*rows, *counter]


def recorded(root: Path, *points: dict[str, Any], price: PricePick | None = None, **header: Any) -> tuple[Run, PricePick, Derived]:
    """These points, or those of the handmade run, written and read back."""
    writer = RunWriter.create(root, subject="qwen3-30b-a3b", argv=["run", "--model", "qwen3-30b-a3b"], version="0.1.0")
    writer.update(environment=made.run().header["environment"], **header)
    for point in points or made.run().points:
        watched = {"windows": WINDOWS, "phases": PHASES} if point["phase"] == "decode" else {}
        plan = made.PLANS.get(point["plan"] or "")
        writer.commit(point | watched | {"run_id": writer.path.name}, plan=plan, series=samples() if watched else ())
    writer.finish("done")
    run, pick = read_run(writer.path), price or made.price()
    return run, pick, derive_run(run, pick)
