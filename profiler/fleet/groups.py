"""Rows of many runs grouped by DuckDB: per group the median and the 10th and 90th percentile of each figure, of valid points alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from profiler.economics.formulas import KINDS
from profiler.fleet.figures import FIGURES, KEYS, OTHERS
from profiler.report.database import connect, json_lines
from profiler.report.database import name as quoted

Group = dict[str, Any]


def groups_of(files: Sequence[Path], folder: Path) -> list[Group]:
    """A group for each machine, model, formats, mix, batch and deployment in the files of `figure_rows`; cheapest first within what differs in batch alone."""
    columns = KEYS | dict.fromkeys(FIGURES, "DOUBLE") | OTHERS
    with connect(folder) as database:
        cursor = database.execute(_query(json_lines(list(files), columns)))
        names = [column[0] for column in cursor.description or ()]
        return [_group(dict(zip(names, row, strict=True))) for row in cursor.fetchall()]


def _query(rows: str) -> str:
    keys = ", ".join(map(quoted, KEYS))
    # The cheapest; at no price the one with most tokens per GPU, which is the cheapest at any price of that GPU.
    order = "coalesce(usd_per_mtok, -coalesce(output_tokens_per_s_per_gpu, decode_output_tokens_per_s_per_gpu, prefill_input_tokens_per_s_per_gpu))"
    figures = ", ".join(
        f"count({quoted(figure)}) FILTER (valid) AS {quoted(f'{figure}.n')}, "
        f"quantile_cont({quoted(figure)}, [0.1, 0.5, 0.9]) FILTER (valid) AS {quoted(figure)}"
        for figure in FIGURES
    )
    return f"""
        SELECT {keys},
            count(*) FILTER (valid) AS n, count(*) FILTER (ran AND NOT valid) AS invalid, count(*) FILTER (NOT ran) AS not_run,
            count(DISTINCT run_id) AS runs, {figures},
            min({{'order': {order}, 'run_id': run_id, 'point_id': point_id}}) FILTER (valid AND {order} IS NOT NULL) AS cheapest,
            min(usd_per_gpu_hour) FILTER (valid) AS usd_low, max(usd_per_gpu_hour) FILTER (valid) AS usd_high,
            min(energy_kind) FILTER (valid) AS energy_kind, min(price_kind) FILTER (valid) AS price_kind,
            min(created) AS first, max(created) AS last
        FROM {rows}
        GROUP BY {keys}
        ORDER BY {keys}
    """


def _group(row: dict[str, Any]) -> Group:
    low, high = row["usd_low"], row["usd_high"]
    kinds = {figure: row["kind"] for figure in FIGURES if row[figure] is not None}
    for figure, kind in (("energy_j_per_output_token", row["energy_kind"]), ("usd_per_gpu_hour", row["price_kind"])):
        if kind is not None:
            kinds[figure] = KINDS[kind]
    return {
        **{key: row[key] for key in KEYS},
        **{count: row[count] for count in ("n", "invalid", "not_run", "runs")},
        **{figure: _spread(row, figure) for figure in FIGURES},
        "usd_per_gpu_hour": None if low is None else [low, high],
        "cheapest": row["cheapest"] and {name: row["cheapest"][name] for name in ("run_id", "point_id")},
        "created": None if row["first"] is None else [row["first"], row["last"]],
        "provenance": kinds,
    }


def _spread(row: dict[str, Any], figure: str) -> dict[str, float | int] | None:
    found = row[figure]
    if found is None or not row[f"{figure}.n"]:
        return None
    return {"n": row[f"{figure}.n"], "p10": found[0], "median": found[1], "p90": found[2]}
