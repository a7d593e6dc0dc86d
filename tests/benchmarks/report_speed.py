"""How long `tokenmill report` takes on a fleet's month, and in how much memory: figure to reach 20 s and 1.5 GB on 100,000 points. By hand, never in the tests.

python -m tests.benchmarks.report_speed [runs points folder]      1,000 runs of 100 points; writes them once into the folder, else into a temporary one

The fleet is synthetic: recorded points as `run` writes them (all fields, 5 windows, a plan of 18 operations each), figures drawn around round ones.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import psutil

from profiler.measure.point_fields import UNMEASURED
from tests.profiler import handmade_run as made
from tests.profiler import planted_run as planted

MODELS, PRECISIONS, MIXES = ("qwen3-30b-a3b", "llama-3.1-8b"), ("bf16", "fp8"), ("8k/1k", "1k/1k", "1k/8k")
GPUS = {"h200": "NVIDIA H200", "h100": "NVIDIA H100 80GB HBM3", "b200": "NVIDIA B200"}
PARTS = ("embedding", "attention.norm", "attention.qkv", "attention.rope", "attention.attend", "attention.o", "mlp.norm", "experts.route", "experts.dispatch")
PER_MIX = 10  # a prefill and nine decodes


def write_fleet(folder: Path, runs: int, points: int) -> None:
    """Runs as RunWriter leaves them, without its waiting for the disk."""
    draw = random.Random(1)
    for number in range(runs):
        run = folder / f"202611{1 + number * 30 // runs:02d}-{number % 86400:06d}-fleet-{number % 65536:04x}"
        (run / "plans").mkdir(parents=True)
        day = f"{run.name[:4]}-{run.name[4:6]}-{run.name[6:8]}"
        header = made.run().header | {"run_id": run.name, "created": f"{day}T12:00:00+00:00"}
        (run / "run.json").write_text(json.dumps(header))
        with (run / "points.jsonl").open("w") as file:
            for place in range(points):
                point = _point(run.name, place, draw, list(GPUS)[number % len(GPUS)])
                (run / "plans" / f"{point['plan']}.json").write_text(_plan(place))
                file.write(json.dumps(point, separators=(",", ":")) + "\n")


def _point(run_id: str, place: int, draw: random.Random, gpu: str) -> dict[str, Any]:
    """The first of each ten is the prefill of its mix; one in a hundred is not valid, one in two hundred ran out of memory."""
    group, within = divmod(place, PER_MIX)
    batch, noise = 1 << within, draw.gauss(1.0, 0.02)
    point = made.prefill() if within == 0 else made.decode(batch, 0.016 * noise * (1 + batch / 256), 480.0 * draw.gauss(1.0, 0.02))
    windows = [_window(draw, 10.0 + 3 * n) for n in range(5)]
    point |= {
        "run_id": run_id, "point_id": f"{place:04d}-{point['phase']}", "gpu": GPUS[gpu], "gpu_key": gpu, "model": MODELS[group % 2],
        "precision": PRECISIONS[group // 2 % 2], "mix": MIXES[group // 4 % 3], "plan": f"{place:016x}", "windows": windows,
        "phases": [{"name": f"window {n}", "t_start_s": w["t_start_s"], "t_end_s": w["t_end_s"]} for n, w in enumerate(windows)],
        "ceilings": made.CEILINGS | {"bandwidth_bytes_per_s": 4.3e12 * draw.gauss(1.0, 0.01)},
        "formats": {part: {"weight": "bf16", "takes": "bf16", "kind": "wgmma"} for part in ("attention", "experts", "plain")},
        "environment": {"driver": "575.57.08", "cuda": "12.9", "torch": "2.13.0", "clocks": {"sm_hz": 1.98e9}, "power_limit_w": 700.0},
    }  # fmt: skip
    if draw.random() < 0.01:
        point |= {"valid": False, "invalid_reasons": ["throttled"]}
    elif draw.random() < 0.005:
        point |= made.out_of_memory(batch) | {"run_id": run_id, "point_id": point["point_id"], "plan": point["plan"]}
    return {**UNMEASURED, **point}


def _window(draw: random.Random, start_s: float) -> dict[str, Any]:
    step_s = 0.016 * draw.gauss(1.0, 0.01)
    return {
        "step_s": step_s, "steps": 187, "t_start_s": start_s, "t_end_s": start_s + 187 * step_s, "energy_j": 187 * step_s * 480.0, "board_w": 480.0,
        "sm_hz": 1.98e9, "temperature_c": 61.0, "event_share": {"sw_power_cap": 0.0, "sw_thermal": 0.0, "hw_thermal": 0.0, "hw_power_brake": 0.0},
    }  # fmt: skip


@cache
def _plan(place: int) -> str:
    calls = [planted.entry("matmul", part, 48, 1e9 * (place + 1), 1e6 * (n + 1)) for n, part in enumerate(PARTS * 2)]
    return json.dumps({"calls": calls}, separators=(",", ":"))


def measured(arguments: list[str]) -> tuple[float, float]:
    """(seconds, peak of the memory of all its processes together in bytes) of one command in a process of its own."""
    start, peak = time.monotonic(), 0
    process = psutil.Popen([sys.executable, "-m", "profiler.cli", "report", *arguments], stdout=subprocess.DEVNULL)
    while process.poll() is None:
        peak = max(peak, sum(_resident(one) for one in _family(process)))
        time.sleep(0.02)
    assert process.returncode == 0, process.returncode
    return time.monotonic() - start, peak


def _family(process: psutil.Process) -> Iterator[psutil.Process]:
    yield process
    try:
        yield from process.children(recursive=True)
    except psutil.NoSuchProcess:
        return


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def main() -> None:
    runs, points = (int(argument) for argument in (*sys.argv[1:3], "1000", "100")[:2]) if len(sys.argv) > 2 else (1000, 100)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[3]) if len(sys.argv) > 3 else Path(temporary) / "runs"
        if not folder.is_dir():
            write_fleet(folder, runs, points)
        found = len(list(folder.glob("*/run.json")))
        size = sum(path.stat().st_size for path in folder.glob("*/points.jsonl"))
        print(f"synthetic fleet: {found:,} runs, {size / 1e6:.0f} MB of points, {size / found / points / 1e3:.1f} kB each")
        print(f"load of this machine before: {psutil.getloadavg()[0]:.1f} on {psutil.cpu_count()} processors")
        pattern = f"{folder}/**"
        for what in ([], ["--json"], ["-o", f"{temporary}/fleet.csv"], ["-o", f"{temporary}/fleet.parquet"], ["-o", f"{temporary}/fleet.html"]):
            seconds, peak = measured([pattern, *what])
            print(f"{' '.join(['report', *what]).replace(temporary, ''):<32}{seconds:8.1f} s{peak / 1e6:10.0f} MB")


if __name__ == "__main__":
    main()
