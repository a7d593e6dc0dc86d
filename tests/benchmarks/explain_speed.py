"""How long `tokenmill explain` takes on a run of 200 points and 30,000 operation rows: figure to reach 2 s. By hand, never in the test suite.

python -m tests.benchmarks.explain_speed [folder]      makes the run once, then times the command in a process of its own, five times
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from profiler.record.store import RunWriter
from tests.profiler import handmade_run as made
from tests.profiler import planted_run as planted

POINTS, ROWS = 200, 150  # a prefill and 199 decodes, each with a plan of its own
PARTS = ("experts.gate_up", "experts.down", "attention.qkv", "attention.attend", "attention.o", "head.logits", "mlp.norm", "experts.combine")


def write_run(root: Path) -> Path:
    writer = RunWriter.create(root, subject="benchmark", argv=["run"], version="0.1.0")
    writer.update(environment=made.run().header["environment"])
    for number in range(POINTS):
        plan = {"calls": [planted.entry("matmul", PARTS[n % len(PARTS)], 2, 1e9 + number, 1e6 * (n + 1)) for n in range(ROWS)]}
        point = made.prefill() if number == 0 else made.decode(number, 0.02 + number * 1e-4, 480.0)
        point |= {"run_id": writer.path.name, "point_id": f"{number:03d}-{point['phase']}", "plan": f"{number:016x}"}
        writer.commit(point, plan=plan, ops=[_row(n, call) for n, call in enumerate(plan["calls"])])
    writer.finish("done")
    return writer.path


def _row(entry: int, call: dict[str, Any]) -> dict[str, Any]:
    """A row of five windows, as `run --per-op` writes them."""
    windows = [{"t_start_s": 10.0 + n, "t_end_s": 10.1 + n, "calls": 1000, "energy_j": 60.0} for n in range(5)]
    figures = {"call_s": {"median": 5e-5, "ci95": [4.9e-5, 5.1e-5], "n": 5}, "call_j": {"mean": 0.03, "ci95": [0.029, 0.031], "n": 5}}
    return {"entry": entry, "op": call["op"], "part": call["part"], "count": 2, "rotated": 8, "windows": windows, "why_not": None} | figures


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp())
    run = next(iter(sorted(folder.glob("*/run.json"))), None) or write_run(folder) / "run.json"
    for arguments in ((), ("--json",)):
        command = [sys.executable, "-m", "profiler.cli", "explain", str(run.parent), "--usd-per-gpu-hour", "3.6", *arguments]
        taken = []
        for _ in range(5):
            start = time.monotonic()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            taken.append(time.monotonic() - start)
        print(f"explain {' '.join(arguments)}: {min(taken):.2f} to {max(taken):.2f} s, median {sorted(taken)[2]:.2f} s")


if __name__ == "__main__":
    main()
