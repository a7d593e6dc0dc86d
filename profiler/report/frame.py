"""Points as one flat table: what CSV writes, and a pandas DataFrame for Python users. Imports pandas only when a frame is made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from profiler.economics.derive import Derived, derive_run, price_for_run
from profiler.economics.price_book import load_price_book
from profiler.economics.prices import PricePick
from profiler.record.store import Run, read_run

if TYPE_CHECKING:
    import pandas as pd

# Lists of records: a table has no room for them. They are in points.jsonl and in `report --json`.
_LEFT_OUT = ("windows", "phases", "gpu_states")

# What a mix adds to the row of the decode point that it is composed from.
_OF_MIX = ("output_tokens_per_s_per_gpu", "energy_j_per_output_token", "tokens_per_s_per_mw", "usd_per_mtok", "usd_per_mtok_by_class", "usd_per_gpu_hour")


def read(ref: str | Path, root: str | Path = "runs") -> Run:
    """A recorded run by its path, its id under `root`, or `last`. TokenmillError for anything else."""
    return read_run(ref, Path(root))


def frame(run: Run, price: PricePick | None = None) -> pd.DataFrame:
    """One row per point with its derived figures, columns as in `tokenmill list schema`, nested ones joined by dots.

    `price`: None takes the price declared with the run, else the price book's for its GPU. What was not measured is NaN or None.
    """
    import pandas as pd

    price = price or price_for_run(run, load_price_book())
    return pd.DataFrame(flat_rows(derive_run(run, price)))


def flat_rows(derived: Derived) -> list[dict[str, Any]]:
    """Each point as one flat row; `mix.*` columns on the decode points that a mix is composed from. All rows have the same columns."""
    mixes = {(mix.get("points") or {}).get("decode"): mix for mix in derived.mixes}
    rows = []
    for point in derived.points:
        row = dict(_flat("", {name: value for name, value in point.items() if name not in _LEFT_OUT}))
        mix = mixes.get(point.get("point_id"))
        if mix is not None:
            row |= dict(_flat("mix", {"valid": mix.get("valid"), **{name: mix.get(name) for name in _OF_MIX}}))
        rows.append(row)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    empty = {name for name in columns if any(other.startswith(f"{name}.") for other in columns)}  # a null where other points have a table
    return [{name: row.get(name) for name in columns if name not in empty} for row in rows]


def _flat(prefix: str, value: Any) -> Iterable[tuple[str, Any]]:
    """Tables become dotted names; an interval becomes its two ends; other lists become text."""
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _flat(f"{prefix}.{name}" if prefix else str(name), inner)
    elif isinstance(value, list) and len(value) == 2 and all(isinstance(end, int | float) for end in value):
        yield f"{prefix}.low", value[0]
        yield f"{prefix}.high", value[1]
    elif isinstance(value, list):
        yield prefix, "; ".join(str(item) for item in value) or None
    else:
        yield prefix, None if isinstance(value, Mapping) else value
