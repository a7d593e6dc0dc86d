"""What a run was made with: the machine and the software, as a history shows them and as a comparison names what changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from profiler.record.store import Run


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFacts:
    """None: not recorded."""

    name: str  # what the comparison calls it: its id, or its path where ids are not unique
    run_id: str
    path: str
    created: str | None
    gpu: str | None
    power_limit_w: float | None
    driver: str | None
    tokenmill: str | None
    git: str | None
    torch: str | None
    triton: str | None
    cuda: str | None

    def json(self) -> dict[str, Any]:
        return asdict(self)


# What may change between runs that are compared, in the order in which it is told.
SOFTWARE = ("tokenmill", "git", "torch", "triton", "cuda", "driver", "power_limit_w")


def names_of(runs: Sequence[Run]) -> list[str]:
    """A name for each run, no two alike: copies have one id, a file of another tool holds several GPUs, and a run may be named twice."""
    ids = Counter(run.run_id for run in runs)
    gpus: dict[str, set[str | None]] = {}
    for run in runs:
        gpus.setdefault(str(run.path), set()).add(_gpu_key(run))
    seen: Counter[str] = Counter()
    names = []
    for run in runs:
        path = str(run.path) if len(gpus[str(run.path)]) == 1 else f"{run.path}@{_gpu_key(run) or 'other'}"
        name = run.run_id if ids[run.run_id] == 1 else path
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return names


def _gpu_key(run: Run) -> str | None:
    return next((str(point["gpu_key"]) for point in run.points if point.get("gpu_key")), None)


def facts_of(run: Run, name: str) -> RunFacts:
    """Raises what a field that is not what it should be raises."""
    header, environment = run.header, run.header.get("environment") or {}
    gpu = environment.get("gpu") or {}
    named = next((point["gpu"] for point in run.points if point.get("gpu")), None) or (gpu.get("name") if isinstance(gpu, Mapping) else gpu)
    limit = gpu.get("power_limit_w") if isinstance(gpu, Mapping) else None
    told = {name: _text(environment.get(name)) for name in ("driver", "git", "torch", "triton", "cuda")}
    return RunFacts(
        name=name, run_id=run.run_id, path=str(run.path), created=_text(header.get("created")), gpu=_text(named or environment.get("cpu")),
        power_limit_w=None if limit is None else float(limit), tokenmill=_text(header.get("tokenmill") or environment.get("tokenmill")), **told,
    )  # fmt: skip


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
