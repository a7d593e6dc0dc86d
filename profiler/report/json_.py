"""Runs as one JSON document: every point and mix with its derived figures. What was not measured is null."""

from __future__ import annotations

import json
from collections.abc import Sequence

from profiler.economics.derive import Derived
from profiler.economics.prices import PricePick
from profiler.record.schema import SCHEMA_VERSION
from profiler.record.store import Run

_HEADER = ("run_id", "created", "finished", "status", "command", "environment")


def json_text(reported: Sequence[tuple[Run, PricePick, Derived]]) -> str:
    """{"schema_version", "runs", "points", "mixes"}; a mix says by `run_id` which run it belongs to, as points do."""
    runs = [{**{name: run.header.get(name) for name in _HEADER}, "path": str(run.path), "price": price.json()} for run, price, _ in reported]
    document = {
        "schema_version": SCHEMA_VERSION,
        "runs": runs,
        "points": [point for _, _, derived in reported for point in derived.points],
        "mixes": [{"run_id": run.header.get("run_id"), **mix} for run, _, derived in reported for mix in derived.mixes],
    }
    return json.dumps(document, allow_nan=False)
