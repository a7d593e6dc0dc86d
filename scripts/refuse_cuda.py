"""Refuses an installation that would bring CUDA: `refuse_cuda.py torch==2.13.0 [pip options]` exits 0 when pip would bring nothing of the kind.

Asks pip itself (`--dry-run --report`) and reads along, because a dry run downloads what it looks at when the index offers no separate metadata:
the first sign of CUDA ends it, before the gigabytes come.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

LARGEST_MB = 400  # one file; torch for the CPU is under 250 MB, with CUDA above 500 MB
LARGEST_TOTAL_MB = 1000
CUDA_NAME = re.compile(r"(nvidia|cuda|triton|pytorch[-_]triton)([-_.].*)?$", re.IGNORECASE)
MB = {"B": 1e-6, "kB": 1e-3, "MB": 1.0, "GB": 1e3}


class Watch:
    """Reads pip's lines one by one; `problem` says what is wrong with what they announce, None while nothing is."""

    def __init__(self) -> None:
        self.total_mb = 0.0

    def problem(self, line: str) -> str | None:
        if found := re.match(r"\s*Collecting ([\w.-]+)", line):
            return found[1] if CUDA_NAME.match(found[1]) else None
        if found := re.match(r"\s*(?:Downloading|Using cached) (\S+) \(([\d.]+) ([kMG]?B)\)", line):
            name, size_mb = found[1].rsplit("/", 1)[-1], float(found[2]) * MB[found[3]]
            self.total_mb += size_mb
            if size_mb > LARGEST_MB:
                return f"{name} of {size_mb:.0f} MB"
            if self.total_mb > LARGEST_TOTAL_MB:
                return f"{self.total_mb:.0f} MB in all"
        return None


def cuda_in_report(report: dict[str, Any]) -> str | None:
    """The first package of a pip report that belongs to CUDA, or None."""
    for item in report.get("install", ()):
        name, version = item["metadata"]["name"], item["metadata"]["version"]
        if CUDA_NAME.match(name) or "+cu" in version:
            return f"{name} {version}"
    return None


def first_problem(lines: Iterable[str]) -> str | None:
    watch = Watch()
    return next((found for line in lines if (found := watch.problem(line))), None)


def main(arguments: list[str], pip: tuple[str, ...] = (sys.executable, "-m", "pip")) -> int:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [*pip, "install", "--dry-run", "--progress-bar", "off", "--report", str(report), *arguments]
        with open(Path(folder) / "stderr", "w+") as complaints:
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=complaints, text=True) as process:
                assert process.stdout is not None
                problem = first_problem(process.stdout)
                if problem is not None:
                    process.terminate()
            complaints.seek(0)
            said = complaints.read()
        if problem is None and process.returncode != 0:
            print(said, end="", file=sys.stderr)
            print(f"error: pip found no {arguments[0]}; set TOKENMILL_TORCH_INDEX to a package index that has it", file=sys.stderr)
            return 2
        problem = problem or cuda_in_report(json.loads(report.read_text()))
    if problem is not None:
        print(
            f"error: no NVIDIA driver here, and pip would bring {arguments[0]} with CUDA ({problem}), gigabytes of no use; "
            "set TOKENMILL_TORCH_INDEX to a package index with CPU builds of torch and run this again",
            file=sys.stderr,
        )
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
