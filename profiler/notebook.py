"""Recorded runs for Python users: `tokenmill.read("runs/...")`, tables as pandas DataFrames, and a picture of themselves in a notebook."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from profiler.commands.pricing import pricing_of
from profiler.commands.recorded import priced_runs
from profiler.economics.derive import Derived, derive_run, price_for_run
from profiler.economics.price_book import load_price_book
from profiler.economics.prices import PricePick, price_summary
from profiler.record.schema import FIELDS
from profiler.record.store import Run
from profiler.report.flat import flat, flat_rows
from profiler.report.json_ import json_text
from profiler.report.kinds import LEGEND, kind_of, price_kind, short
from profiler.report.numbers import NONE, count, plus_minus
from profiler.report.rows import Row, rows_of
from profiler.report.text import plain

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS = 20  # that a notebook shows; `.points` and `.mixes` have all


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Runs with their prices and derived figures, all in the order of the references that named them.

    `points` and `mixes` are DataFrames made when first asked for, `columns` says what theirs mean. A notebook shows a table of the mixes.
    """

    runs: tuple[Run, ...]
    prices: tuple[PricePick, ...]
    derived: tuple[Derived, ...]

    @cached_property
    def points(self) -> pd.DataFrame:
        """A row per point with its derived figures, columns as in `tokenmill list schema`, nested ones joined by dots. Not measured is NaN or None, never 0.

        `mix.*` columns hold the figures of the mix that a decode point is part of.
        """
        import pandas as pd

        return pd.DataFrame(flat_rows(*self.derived))

    @cached_property
    def mixes(self) -> pd.DataFrame:
        """A row per mix: what a request of both phases delivers, draws and costs. Columns as `mix` in `tokenmill list schema`, and `run_id`."""
        import pandas as pd

        found = ((run, mix) for run, derived in zip(self.runs, self.derived, strict=True) for mix in derived.mixes)
        return pd.DataFrame([{"run_id": run.run_id, **flat(mix)} for run, mix in found])

    @cached_property
    def columns(self) -> pd.DataFrame:
        """What the columns of `points` mean: a row per column with the field it is of, its unit and meaning. A column of no known field has none."""
        import pandas as pd

        point = {f.name: f for f in FIELDS if f.where in ("point", "derived")}
        mix = {f.name: f for f in FIELDS if f.where == "mix"}
        rows = []
        for column in map(str, self.points.columns):
            known, name = (point | mix, column.removeprefix("mix.")) if column.startswith("mix.") else (point, column)
            said = known.get(name.partition(".")[0])
            rows.append({"column": column, "unit": said.unit if said else None, "meaning": said.meaning if said else None})
        return pd.DataFrame(rows, columns=["column", "unit", "meaning"]).set_index("column")

    def json(self) -> dict[str, Any]:
        """The document of `tokenmill report --json`: runs, points, mixes."""
        document: dict[str, Any] = json.loads(json_text(list(zip(self.runs, self.prices, self.derived, strict=True))))
        return document

    def __repr__(self) -> str:
        points = sum(len(derived.points) for derived in self.derived)
        mixes = sum(len(derived.mixes) for derived in self.derived)
        names = ", ".join(plain(run.run_id)[:60] for run in self.runs[:3])
        return f"<tokenmill.Reading of {len(self.runs)} runs ({names}{', ...' if len(self.runs) > 3 else ''}): {points} points, {mixes} mixes>"

    def _repr_html_(self) -> str:
        """A table of the mixes with the kind of each figure, a line per run. Nothing in it but text and table cells; no resource is asked for."""
        priced = list(zip(self.runs, self.prices, self.derived, strict=True))
        rows = [(row, price) for run, price, derived in priced for row in rows_of(derived, run.run_id) if row.mix is not None]
        lines = [_run_line(run, price) for run, price, _ in priced[:MOST_ROWS]]
        lines += [f"and {len(priced) - MOST_ROWS} more runs"] if len(priced) > MOST_ROWS else []
        lines += [_table(rows[:MOST_ROWS]) if rows else "no mixes, and a price needs one (<code>--phase both --mix 8k/1k</code>): see <code>.points</code>"]
        lines += [f"and {len(rows) - MOST_ROWS} more mixes: <code>.mixes</code> has all"] if len(rows) > MOST_ROWS else []
        legend = "; ".join(f"{name} {meaning}" for name, meaning in LEGEND.items())
        return "<br>".join([*lines, f"<small>{legend}; {NONE} not measured; ✗ not valid</small>"])


def read(*refs: str | Path, root: str | Path = "runs", price_book: str | Path | None = None, **flags: Any) -> Reading:
    """Recorded runs by path, id under `root`, pattern (`runs/**`), folder of runs, or `last` (which no reference at all means).

    `price_book`: a file of your own prices. `flags` as on the command line: usd_per_gpu_hour, price_kind, watts, pue, kw_per_gpu, utilisation and so on
    (profiler.commands.pricing.pricing_of). All points are held in memory, some 10 kB each: of very many runs write a table with
    `tokenmill report 'runs/**' -o points.parquet` and read that. TokenmillError where a run cannot be read.
    """
    priced = priced_runs([str(ref) for ref in refs] or ["last"], Path(root), pricing_of(price_book=None if price_book is None else str(price_book), **flags))
    return Reading(runs=tuple(run for run, _, _ in priced), prices=tuple(price for _, price, _ in priced), derived=tuple(derived for _, _, derived in priced))


def frame(run: Run | Reading, price: PricePick | None = None) -> pd.DataFrame:
    """One row per point with its derived figures, columns as in `tokenmill list schema`, nested ones joined by dots.

    `price`: None takes the one that a Reading was read at; of a Run the price declared with it, else the price book's for its GPU. What was not measured is
    NaN or None.
    """
    import pandas as pd

    if isinstance(run, Run):
        return pd.DataFrame(flat_rows(derive_run(run, price or price_for_run(run, load_price_book()))))
    return run.points if price is None else pd.DataFrame(flat_rows(*(derive_run(one, price) for one in run.runs)))


_HEADINGS = ("run", "model", "format", "mix", "batch", "tok/s/user", "tok/s/GPU", "J/token", "$/Mtok")


def _run_line(run: Run, price: PricePick) -> str:
    return f"<b>{_text(run.run_id)}</b> {len(run.points)} points; {_text(price_summary(price))}"


def _table(rows: Sequence[tuple[Row, PricePick]]) -> str:
    head = "".join(f"<th>{heading}</th>" for heading in _HEADINGS)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(_line(row, price) for row, price in rows)}</tbody></table>"


def _line(row: Row, price: PricePick) -> str:
    mix = row.mix or {}
    usd = mix.get("usd_per_mtok")
    dollars = NONE if usd is None else f"{plus_minus(usd['value'], usd['ci95'])} <small>{_kind(row, 'usd_per_mtok')}{price_kind(price)}</small>"
    if usd is None and mix.get("why_null"):
        dollars = f"{NONE} <small>{_text(mix['why_null'])}</small>"
    names = (row.run_id, row.subject.get("model"), row.subject.get("precision"), mix.get("mix"), row.subject.get("batch") or row.subject.get("concurrency"))
    energy = plus_minus(mix.get("energy_j_per_output_token"), (mix.get("ci95") or {}).get("energy_j_per_output_token"))
    figures = (
        f"{count(mix.get('tokens_per_s_per_user'))} <small>{_kind(row, 'tokens_per_s_per_user')}</small>",
        f"{count(mix.get('output_tokens_per_s_per_gpu'))} <small>{_kind(row, 'output_tokens_per_s_per_gpu')}</small>",
        f"{energy} <small>{_kind(row, 'energy_j_per_output_token')}</small>",
        dollars,
    )
    cells = [*(NONE if name is None else _text(name) for name in names), *figures]
    if row.invalid_reasons or not mix.get("valid"):
        cells[0] += f" ✗ <small>{_text(', '.join(row.invalid_reasons))}</small>"
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _kind(row: Row, figure: str) -> str:
    kind = kind_of(row.mix, figure)
    return "" if kind is None else short(kind)


def _text(value: object) -> str:
    """A text from a record as HTML shows it: inert, on one line, not endless."""
    return escape(plain(value)[:200])
