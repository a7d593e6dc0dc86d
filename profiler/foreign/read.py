"""Result files of other tools as runs: which format a file is of, and its rows as serving points, so that they stand beside a user's own run."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from profiler.foreign import aiconfigurator, aiperf, inferencex, vllm_bench
from profiler.foreign.fields import Fields
from profiler.foreign.reference import Reference
from profiler.foreign.rows import rows_of
from profiler.foreign.serving_point import ServingPoint
from profiler.record.schema import SCHEMA_VERSION
from profiler.record.store import Run
from profiler.report.text import plain
from triton_kernels.errors import TokenmillError


@dataclass(frozen=True, kw_only=True, slots=True)
class Format:
    """One kind of file: how its rows are known, and how one becomes a serving point."""

    name: str
    title: str
    is_row: Callable[[Fields], bool]
    point_of: Callable[[Fields, Reference], ServingPoint]
    states_gpus: bool  # its rows name their GPUs and how many


FORMATS = (
    Format(
        name="inferencex",
        title="InferenceX results (JSON)",
        is_row=inferencex.is_row,
        point_of=lambda row, _: inferencex.point_of(row),
        states_gpus=True,
    ),
    Format(name="aiperf", title="AIPerf's profile_export_aiperf.json", is_row=aiperf.is_row, point_of=aiperf.point_of, states_gpus=False),
    Format(name="vllm", title="`vllm bench serve --save-result` (JSON)", is_row=vllm_bench.is_row, point_of=vllm_bench.point_of, states_gpus=False),
    Format(
        name="aiconfigurator",
        title="aiconfigurator's pareto.csv or best_config_topn.csv",
        is_row=aiconfigurator.is_row,
        point_of=lambda row, _: aiconfigurator.point_of(row),
        states_gpus=True,
    ),
)


def read_foreign(reference: Reference) -> list[Run]:
    """The file's rows as runs of serving points: one run for each GPU that it names, since a run has one price. Never empty.

    TokenmillError names the file, the row and the field of anything that is not what it should be.
    """
    content, rows = rows_of(reference.path)
    form = _format(rows, str(reference.path))
    stated = [f"x{reference.gpus}"] * (reference.gpus is not None) + [f",{reference.precision}"] * (reference.precision is not None)
    if form.states_gpus and stated:
        raise TokenmillError(f"{reference.path}: states its own GPU counts and formats; leave out {' and '.join(stated)}")
    stem = re.sub(r"[^a-z0-9]+", "-", reference.path.stem.lower()).strip("-")[:30].strip("-") or "file"
    named = stem if form.name in stem else f"{form.name}-{stem}"
    run_id = f"{named}-{hashlib.sha256(content).hexdigest()[:4]}"
    found: dict[str | None, list[tuple[int, ServingPoint]]] = {}
    for number, row in enumerate(rows, start=1):
        point = form.point_of(row, reference)
        found.setdefault(point.gpu_key, []).append((number, point))
    if form.states_gpus and reference.gpu is not None:
        if reference.gpu not in found:
            raise TokenmillError(f"{reference.path}: has no row of {reference.gpu}; its GPUs: {_named(found)}")
        found = {reference.gpu: found[reference.gpu]}
    several = len(found) > 1
    return [_run(reference, form, f"{run_id}-{key or 'other'}" if several else run_id, points) for key, points in found.items()]


def _format(rows: list[Fields], file: str) -> Format:
    """The format of every row of a file; TokenmillError where one is of none, or of another."""
    form = next((form for form in FORMATS if form.is_row(rows[0])), None)
    if form is None:
        raise TokenmillError(f"{file}: of no format that is known here; known are {', '.join(form.title for form in FORMATS)}, and runs of tokenmill")
    for row in rows:
        if not form.is_row(row):
            raise TokenmillError(f"{file}: {row.where}is not of {form.title}, as the first row is; give files of one format each")
    return form


def _named(found: dict[str | None, Any]) -> str:
    return ", ".join(sorted(key or "others" for key in found))


def _run(reference: Reference, form: Format, run_id: str, points: list[tuple[int, ServingPoint]]) -> Run:
    file = plain(reference.path)[:200]
    identity = {"run_id": run_id, "source_file": file, "source_format": form.name}
    header = {
        "schema_version": SCHEMA_VERSION,
        "run_id": run_id,
        "created": None,
        "command": None,
        "tokenmill": None,
        "environment": None,
        "price": None,
        "not_measured": [],
        "status": "done",
        "source": {"format": form.name, "title": form.title, "file": file},
    }
    return Run(path=reference.path, header=header, points=[point.json(point_id=f"row-{number}", **identity) for number, point in points], plans={})
