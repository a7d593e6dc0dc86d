"""Hand-made points with windows of their own: what a comparison of runs needs. Every figure of a point follows from its windows, as in a measured one."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from profiler.measure.statistics import mean_interval
from profiler.record.store import RunWriter
from tests.profiler import handmade_run as made

Point = dict[str, Any]
STEPS = 50  # of each window


def windowed(point: Point, steps_s: Sequence[float], joules: Sequence[float] | None = None) -> Point:
    """The point, measured in windows of 50 steps whose means are `steps_s`; `joules` per step of each window, 10 J where left out."""
    per_step = joules if joules is not None else [10.0] * len(steps_s)
    windows = [
        {"step_s": s, "steps": STEPS, "t_start_s": float(n), "t_end_s": n + s * STEPS, "energy_j": j * STEPS, "board_w": j / s}
        for n, (s, j) in enumerate(zip(steps_s, per_step, strict=True))
    ]
    mean_s, whole_s = sum(steps_s) / len(steps_s), sum(steps_s) * STEPS
    tokens = point["tokens_per_step"] * STEPS * len(steps_s)
    interval = mean_interval(steps_s)
    return point | {
        "step_s": {"median": mean_s, "p10": mean_s, "p90": mean_s, "ci95": None if interval is None else list(interval), "n": STEPS * len(steps_s)},
        "windows": windows, "window_s": whole_s, "energy_j": sum(per_step) * STEPS, "board_w": sum(per_step) * STEPS / whole_s,
        "output_tokens": tokens if point["phase"] == "decode" else 0, "input_tokens": tokens if point["phase"] == "prefill" else 0,
    }  # fmt: skip


def noisy(point: Point, seed: int, *, slower: float = 1.0, noise: float = 0.01, windows: int = 5) -> Point:
    """The point with windows that scatter by `noise` around its step, which is `slower` times as long; joules scatter likewise around 10 J a step."""
    rng = random.Random(f"{seed} {point['point_id']}")
    step_s = point["step_s"]["median"] * slower
    return windowed(point, [step_s * rng.gauss(1, noise) for _ in range(windows)], [10.0 * slower * rng.gauss(1, noise) for _ in range(windows)])


def points(seed: int = 0, **changes: Any) -> list[Point]:
    """The hand-made run's prefill and two decodes, with noise of 1 %."""
    return [noisy(point, seed, **changes) for point in (made.prefill(), made.decode(32, 0.020, 480.0), made.decode(128, 0.032, 500.0))]


def record(root: Path, found: Sequence[Point], *, ops: Any = None, plans: Any = None, **header: Any) -> Path:
    """A run on disk. `ops`: rows of operations by point id."""
    writer = RunWriter.create(root, subject="qwen3-30b-a3b", argv=["run"], version="0.1.0")
    writer.update(environment=made.run().header["environment"])
    for point in found:
        plan = {**made.PLANS, **(plans or {})}.get(point["plan"] or "")
        writer.commit(point | {"run_id": writer.path.name}, plan=plan, ops=(ops or {}).get(point["point_id"], ()))
    writer.update(**header)
    writer.finish("done")
    return writer.path
