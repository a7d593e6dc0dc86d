"""Points as rows of plain values: what CSV, Parquet and DataFrames hold."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Any

from profiler.economics.derive import Derived

# Lists of records: a table has no room for them. They are in points.jsonl and in `report --json`.
_LEFT_OUT = frozenset(("windows", "phases", "gpu_states"))

# What a mix adds to the row of the decode point that it is composed from.
_OF_MIX = ("output_tokens_per_s_per_gpu", "energy_j_per_output_token", "tokens_per_s_per_mw", "usd_per_mtok", "usd_per_mtok_by_class", "usd_per_gpu_hour")


def flat_rows(*derived: Derived) -> list[dict[str, Any]]:
    """Each point as one flat row; `mix.*` columns on the decode points that a mix is composed from. All rows have the same columns."""
    rows = [row for one in derived for row in point_rows(one)]
    columns = columns_of((name for row in rows for name in row), {name for row in rows for name, value in row.items() if value is not None})
    return [{name: row.get(name) for name in columns} for row in rows]


def point_rows(derived: Derived) -> Iterator[dict[str, Any]]:
    """Each point as one flat row, with the columns that it has itself."""
    mixes = {mix_point(mix): mix for mix in derived.mixes}
    for point in derived.points:
        row = flat({name: value for name, value in point.items() if name not in _LEFT_OUT})
        mix = mixes.get(point.get("point_id"))
        if mix is not None:
            row |= flat({"valid": mix.get("valid"), **{name: mix.get(name) for name in _OF_MIX}}, "mix.")
        yield row


def mix_point(mix: Mapping[str, Any]) -> Any:
    """The id of the point whose row a mix belongs to: the decode's, or of the one point that serves both phases."""
    points = mix.get("points") or {}
    return points.get("decode", points.get("serving"))


def columns_of(names: Iterable[str], filled: Container[str]) -> list[str]:
    """The columns of rows with these names: parts of one field side by side, in the order of first use. `filled`: names that are not null everywhere.

    A name that is null in every row and a table in some (`step_s` of a point that did not run) is no column.
    """
    names = list(dict.fromkeys(names))
    tables = {name[:dot] for name in names for dot, letter in enumerate(name) if letter == "."}
    fields = {field: place for place, field in enumerate(dict.fromkeys(name.partition(".")[0] for name in names))}
    return sorted((name for name in names if name not in tables or name in filled), key=lambda name: fields[name.partition(".")[0]])


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A row of plain values: tables become dotted names; an interval becomes its two ends; other lists become text."""
    row: dict[str, Any] = {}
    for key, value in values.items():
        kind = value.__class__
        if kind is dict and value:
            row |= flat(value, f"{prefix}{key}.")
        elif kind is list and len(value) == 2 and all(isinstance(end, int | float) for end in value):
            row[f"{prefix}{key}.low"], row[f"{prefix}{key}.high"] = value
        elif kind is list:
            row[f"{prefix}{key}"] = "; ".join(str(item) for item in value) or None
        else:
            row[f"{prefix}{key}"] = None if kind is dict else value
    return row
