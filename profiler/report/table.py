"""The table of points: a row per precision and batch, each column with the kind of its figures, each missing figure with its reason."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass

from rich.table import Table

from profiler.economics.prices import PricePick
from profiler.report import kinds
from profiler.report.fit import Room, fitted
from profiler.report.kinds import kinds_of
from profiler.report.notes import Notes
from profiler.report.numbers import NONE, count, fixed, percent, plus_minus
from profiler.report.rows import Figures, Row, ok
from profiler.report.text import printable

Cell = Callable[[Row, Notes], str]

_DIGITS = set("0123456789")  # of figures; those of notes are raised
_SPARE = 4  # cells of the mark that something was left out
_SEPARATOR = ", "
NAMES = {"kv_cache": "cache", "deployment_gpus": "GPUs"}  # fields whose own name is not what people say


@dataclass(frozen=True, kw_only=True)
class Column:
    """A heading, a cell for each row, and the figure whose kind stands below the heading.

    `use`: of figures, those of the least go first where a screen is narrow; None: it stays at any width. `name`: it folds there.
    """

    heading: str
    cell: Cell
    figure: Callable[[Row], tuple[Figures | None, str]] | None = None
    money: bool = False
    justify: bool = True
    name: bool = False
    use: int | None = None


def points_table(
    rows: Sequence[Row], notes: Notes, price: PricePick | None, *, best: Row | None = None, names: Sequence[str] = (), width: int | None = None
) -> Table:
    """The table of `rows`; `names`: point fields that lead each row, where rows differ in them. `best` is set in bold, invalid rows are dimmed and marked.

    Within `width` cells (None: no limit) names fold, and figures of least use are left out; a note then says which.
    """
    columns = [*(_named(name) for name in names), *_columns(price, "CPU" if all(row.subject.get("device") == "cpu" for row in rows) else "GPU")]
    kept, widths = (columns, {}) if width is None else _kept(columns, rows, deepcopy(notes), price, width)
    cells = [[column.cell(row, notes) for column in kept] for row in rows]
    left_out = [" ".join(column.heading.split()).replace(" /", "/") for column in columns if column not in kept]
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim", show_edge=False)
    for column in kept:
        # Names give way where the screen is narrow, figures never lose a digit.
        table.add_column(
            column.heading, justify="right" if column.justify else "left", no_wrap=not column.name, overflow="fold", vertical="bottom",
            width=widths.get(column.heading),
        )  # fmt: skip
    if left_out:
        table.add_column(f"+{notes.mark(f'not shown at this width: {_SEPARATOR.join(left_out)}')}", vertical="bottom", no_wrap=True)
    table.add_row(*(_kind(column, rows, price) for column in kept), style="dim italic")
    for row, line in zip(rows, cells, strict=True):
        table.add_row(*line, style="dim" if row.invalid_reasons else "bold" if row is best else "")
    return table


def _kept(columns: Sequence[Column], rows: Sequence[Row], notes: Notes, price: PricePick | None, width: int) -> tuple[list[Column], dict[str, int]]:
    """The columns there is room for, and the widths of names that fold, by heading. `notes` are thrown away."""
    cells = [[column.cell(row, notes) for row in rows] for column in columns]
    found = [
        Room(
            texts=[column.heading, _kind(column, rows, price), *of_column],
            use=column.use,
            empty=not any(set(cell) & _DIGITS for cell in of_column),
            name=column.name,
        )
        for column, of_column in zip(columns, cells, strict=True)
    ]
    kept, widths = fitted(found, width, spare=_SPARE)
    return [columns[n] for n in kept], {columns[n].heading: wide for n, wide in widths.items()}


def _kind(column: Column, rows: Sequence[Row], price: PricePick | None) -> str:
    if column.figure is None:
        return ""
    found = kinds_of(column.figure(row) for row in rows)
    return found + kinds.price_kind(price) if found and column.money else found


def _columns(price: PricePick | None, device: str) -> list[Column]:
    def money(row: Row, notes: Notes, name: str) -> str:
        by_class = (row.mix or {}).get("usd_per_mtok_by_class")
        return fixed(by_class[name]) if by_class else notes.missing(kinds.why_no_class(row, price))

    def all_in(row: Row, notes: Notes) -> str:
        usd = (row.mix or {}).get("usd_per_mtok")
        return plus_minus(usd["value"], usd["ci95"]) if usd else notes.missing(kinds.why_no_price(row, price))

    return [
        Column(heading="\n\nformat", cell=lambda row, notes: printable(row.subject.get("precision") or NONE), justify=False),
        Column(heading="\n\nbatch", cell=_batch),
        _decode("decode\ntok/s\n/user", "tokens_per_s_per_user"),
        _decode(f"decode\ntok/s\n/{device}", "output_tokens_per_s_per_gpu", use=5),
        Column(heading=f"prefill\ntok/s\n/{device}", cell=_prefill, figure=lambda row: (row.prefill, "input_tokens_per_s_per_gpu"), use=2),
        Column(heading="J per\noutput\ntoken", cell=_joules, figure=_joules_figure, use=3),
        Column(heading="$ per\nMtok\nin", cell=lambda row, notes: money(row, notes, "input"), figure=_money_figure, use=1),
        Column(heading="$ per\nMtok\nout", cell=lambda row, notes: money(row, notes, "output"), figure=_money_figure, use=4),
        Column(heading="all-in\n$ per\nMtok out", cell=all_in, figure=_money_figure, money=True),
        Column(heading="share of\nroofline\ndec pre", cell=_roofline, figure=lambda row: (row.subject, "share_of_roofline"), use=0),
    ]


def _named(name: str) -> Column:
    return Column(heading=f"\n\n{NAMES.get(name, name)}", cell=lambda row, notes: named(row, name), justify=name == "context", name=True)


def named(row: Row, name: str) -> str:
    """A point's field in words, safe to print."""
    value = row.subject.get(name)
    return NONE if value is None else ("yes" if value else "no") if isinstance(value, bool) else printable(value)


def _batch(row: Row, notes: Notes) -> str:
    batch, concurrency = row.subject.get("batch"), row.subject.get("concurrency")
    text = printable(batch) if batch is not None else NONE if concurrency is None else f"c{printable(concurrency)}"
    if row.invalid_reasons:
        return f"{text} ✗{notes.mark('✗ not valid: ' + ', '.join(row.invalid_reasons) + '; kept, and in no headline')}"
    return text


def _decode(heading: str, name: str, *, use: int | None = None) -> Column:
    def cell(row: Row, notes: Notes) -> str:
        if row.decode is None or not ok(row.decode) or row.decode.get(name) is None:
            return _gone(row.decode, notes, kinds.why_no_decode(row))
        return count(row.decode[name])

    return Column(heading=heading, cell=cell, figure=lambda row: (row.decode, name), use=use)


def _prefill(row: Row, notes: Notes) -> str:
    if row.prefill is None or row.prefill.get("input_tokens_per_s_per_gpu") is None:
        return _gone(row.prefill, notes, kinds.why_no_prefill(row))
    return count(row.prefill["input_tokens_per_s_per_gpu"])


def _gone(point: Figures | None, notes: Notes, reason: str) -> str:
    """A figure that is not there: `oom` and `failed` are results and say so."""
    return f"{printable(point['status'])}{notes.mark(reason)}" if point is not None and not ok(point) else notes.missing(reason)


def _joules_figure(row: Row) -> tuple[Figures | None, str]:
    """All-in joules of the mix where it has them, else the decode's."""
    whole = (row.mix or {}).get("energy_j_per_output_token")
    return (row.mix if whole is not None else row.decode, "energy_j_per_output_token")


def _joules(row: Row, notes: Notes) -> str:
    figures, name = _joules_figure(row)
    value = (figures or {}).get(name)
    shown = plus_minus(value, ((figures or {}).get("ci95") or {}).get(name))
    if value is not None and any(str(w).startswith("no_network") for w in row.subject.get("warnings") or ()):
        return shown + notes.mark("without network: joules of one rank's compute alone")
    if value is not None:
        return shown if row.mix is figures else shown + notes.mark("decode only: the prefill's energy is not in it")
    failed = next((point for point in row.points if not ok(point)), None)
    if row.decode is None or failed is not None:
        return notes.missing(kinds.why_no_decode(row) if failed is None or failed is row.decode else kinds.why_no_prefill(row))
    return notes.missing(kinds.why_no_power(row.decode))


def _money_figure(row: Row) -> tuple[Figures | None, str]:
    return (row.mix, "usd_per_mtok") if (row.mix or {}).get("usd_per_mtok") else (None, "usd_per_mtok")


def _roofline(row: Row, notes: Notes) -> str:
    def share(point: Figures | None) -> str:
        if point is None:
            return NONE
        value = point.get("share_of_roofline")
        return percent(value) if value is not None else notes.missing(kinds.why_no_floor(point))

    return f"{share(row.decode)} {share(row.prefill)}"
