"""How long commands that only read take, start-up included: figure to reach 1 s for cost, audit and compare, 3 s for a page of 500 points. By hand.

python -m tests.benchmarks.command_speed      records runs in a temporary folder, then times each command in a process of its own, five times
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from profiler.record.store import RunWriter
from tests.profiler import handmade_run as made
from tests.profiler import windowed_run as windowed

PRICE = ("--usd-per-gpu-hour", "3.6")


def write_big(root: Path, points: int) -> Path:
    """A prefill and so many decodes, all of one mix."""
    writer = RunWriter.create(root, subject="benchmark", argv=["run"], version="0.1.0")
    writer.update(environment=made.run().header["environment"])
    for number in range(points):
        point = made.prefill() if number == 0 else made.decode(number, 0.02 + number * 1e-4, 480.0)
        writer.commit(point | {"run_id": writer.path.name, "point_id": f"{number:03d}-{point['phase']}"}, plan=made.PLANS[point["plan"]])
    writer.finish("done")
    return writer.path


def timed(name: str, arguments: Sequence[str]) -> None:
    taken = []
    for _ in range(5):
        start = time.monotonic()
        subprocess.run([sys.executable, "-m", "profiler.cli", *arguments], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        taken.append(time.monotonic() - start)
    print(f"{name:32} {min(taken):.2f} to {max(taken):.2f} s, median {sorted(taken)[2]:.2f} s")


def main() -> None:
    folder = Path(tempfile.mkdtemp())
    three = [str(windowed.record(folder / f"run-{n}", windowed.points(seed=n))) for n in range(3)]
    big = str(write_big(folder / "big", 500))
    timed("--help", ["--help"])
    timed("cost of figures given", ["cost", "--gpu", "h200", "--tokens-per-s-per-gpu", "1500", "--mw", "10", "--sensitivity"])
    timed("cost of a run", ["cost", three[0], *PRICE])
    timed("audit", ["audit"])
    timed("compare of three runs", ["compare", *three, *PRICE])
    timed("report of 500 points, screen", ["report", big, *PRICE])
    timed("report of 500 points, page", ["report", big, *PRICE, "-o", str(folder / "report.html")])


if __name__ == "__main__":
    main()
