"""How a user names another tool's file: FILE, or FILE@GPUxN,FORMAT, each part as needed, for what the file does not say itself.

result.json@h200x8       8 GPUs of H200 served: for files that name neither (`vllm bench serve`, AIPerf without telemetry)
result.json@h200x8,fp8   and in this number format, where the model's name does not end with one
result.json@x8           8 GPUs that the catalogue does not know
agg.json@gb200           of a file that names its GPUs, the rows of this one (InferenceX, aiconfigurator)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from profiler.gpus import gpu_named
from triton_kernels.errors import TokenmillError
from workloads.recipe import recipe_named

ENDINGS = (".json", ".jsonl", ".csv")
_SAID = re.compile(r"@(?P<gpu>(?!x\d+$)[A-Za-z][\w-]*?)?(?:x(?P<count>\d{1,6}))?(?:,(?P<precision>\w+))?", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A file, and what the user stated: the GPU, how many GPUs of the deployment, and the number format (a recipe's name). None where they did not."""

    path: Path
    gpu: str | None = None
    gpus: int | None = None
    precision: str | None = None


def parted(ref: str) -> tuple[str, str]:
    """(the file or pattern of files, what is said of it with its `@`): `results/*.json@h200x8` in two. Of a file with the `@` in its name nothing is said."""
    name, at, said = ref.rpartition("@")
    if not at or Path(name).suffix not in ENDINGS or _exists(Path(ref)):
        return ref, ""
    return name, at + said


def reference_of(name: str, said: str = "") -> Reference | None:
    """The file called `name`, with what is `said` of it; None where it is no file, or lies in a run's folder. TokenmillError for what says nothing."""
    path = Path(name)
    if not _exists(path) and path.suffix in ENDINGS:
        raise TokenmillError(f"{name[:120]}: no such file")
    if not _exists(path) or not path.is_file() or (path.parent / "run.json").is_file():
        return None
    found = _SAID.fullmatch(said)
    gpu, count, precision = found.group("gpu", "count", "precision") if found else (None, None, None)
    if said and (not (gpu or count or precision) or count == "0"):
        raise TokenmillError(f"{name[:120]}{said[:40]}: after @ should be GPU, count and format, each as needed, such as @h200x8 or @h200x8,fp8")
    return Reference(
        path=path,
        gpu=gpu_named(gpu).key if gpu else None,
        gpus=int(count) if count else None,
        precision=recipe_named(precision.lower()).name if precision else None,
    )


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name too long or with a zero byte
        return False
