"""A claims file: a published table as TOML, read strictly.

    title = "Whose table, about what"                # needed
    source = "where it was published"                # without one, every figure of it is "assumed"
    date = "2026-04-15"
    model = "deepseek-r1"                            # of `tokenmill list models`, or any other with active_params
    active_params = 37e9                             # parameters that one token passes; the catalogue's where not given
    token_basis = "output"                           # or "total"; leave it out where the table does not say: both readings are shown
    tolerance = "2%"                                 # how far a claim may lie from what the other cells give, beyond its printed digits; 0% where not given
    unlike_fails = false                             # true: a ratio of unlike things fails as a wrong one does

    [columns.h200]                                   # one for each GPU, in the order they are shown
    label = "HGX H200"
    gpu = "h200"                                     # of `tokenmill list gpus`; leave it out for another
    format = "fp8"                                   # bf16, fp8 or fp4: what the tokens were made in
    usd_per_gpu_hour = "$1.41"                       # cells, each as printed; any of the rows of profiler.audit.printed
    usd_per_mtok = { printed = "$4.20", tolerance = "5%" }

    [columns.h200.ceiling]                           # tokenmill's own floor, made once: audit needs no torch
    output_tokens_per_s_per_gpu = 1122
    command = "tokenmill floor deepseek-r1 --gpu h200 ..."
    note = "what was chosen"

    [ratios."gb300/h200"]                            # of/over; $ per Mtok is over/of, as "35x lower" is printed
    usd_per_gpu_hour = "2x"

Anything else is refused with its line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from profiler.audit.claims import Ceiling, Cell, Claims, Column, Ratio
from profiler.audit.printed import RATIO, ROWS, Row, interval_of
from profiler.economics.strict_toml import Document, read_document
from profiler.gpus import GpuSpec, gpu_named
from triton_kernels.errors import TokenmillError, unknown
from workloads.catalogue import CATALOGUE

SHIPPED = Path(__file__).parent / "blackwell_hopper_r1.toml"
MOST_COLUMNS, MOST_RATIOS, MOST_TOLERANCE = 32, 64, 0.5
MOST_CHARACTERS = {"label": 24, "date": 20, "model": 80}  # of a text, 200 where not named
LANES = {"bf16": "bf16", "fp16": "bf16", "fp8": "fp8", "mxfp8": "fp8", "fp4": "fp4", "mxfp4": "fp4", "nvfp4": "fp4"}

_TOP_KEYS = ("schema_version", "title", "source", "date", "model", "active_params", "token_basis", "tolerance", "unlike_fails", "columns", "ratios")
_COLUMN_KEYS = ("label", "gpu", "format", "ceiling", *ROWS)
_CEILING_KEYS = ("output_tokens_per_s_per_gpu", "command", "note")
_COLUMN_KEY = re.compile(r"[A-Za-z0-9_-]{1,40}", re.ASCII)
_TOLERANCE = re.compile(r"(\d{1,2}(?:\.\d{1,6})?)\s?%", re.ASCII)


def read_claims(path: str | Path | None = None) -> Claims:
    """The table in the file, or the one that tokenmill ships. Raises TokenmillError naming file, line and key for anything that is not as above."""
    return _Reader(file=read_document(Path(path) if path is not None else SHIPPED, "claims file")).claims()


def parse_tolerance(text: str) -> float | None:
    """`2%` as 0.02; None for anything but 0 to 50 %."""
    match = _TOLERANCE.fullmatch(text.strip())
    share = float(match[1]) / 100 if match else None
    return share if share is not None and share <= MOST_TOLERANCE else None


@dataclass(frozen=True, kw_only=True)
class _Reader:
    file: Document

    def claims(self) -> Claims:
        file, data = self.file, self.file.data
        file.known(data, _TOP_KEYS, "")
        if data.get("schema_version", 1) != 1:
            raise file.error("schema_version", "this tokenmill reads version 1")
        title, source, model, date = (self.text(data, key, "") for key in ("title", "source", "model", "date"))
        if not title:
            raise file.error("title", "missing: whose table is it, about what?")
        basis, unlike_fails = file.string(data, "token_basis", ""), data.get("unlike_fails", False)
        if basis not in (None, "output", "total"):
            raise file.error("token_basis", f"{basis[:40]!r}: should be output or total; leave it out where the table does not say")
        if not isinstance(unlike_fails, bool):
            raise file.error("unlike_fails", "should be true or false")
        columns = self.columns("reference" if source else "assumed")
        return Claims(
            title=title,
            source=source,
            date=date,
            model=model,
            active_params=self.active_params(model),
            token_basis=basis,
            tolerance=self.tolerance(data, "") or 0.0,
            unlike_fails=unlike_fails,
            columns=columns,
            ratios=self.ratios(columns, "reference" if source else "assumed"),
        )

    def active_params(self, model: str | None) -> float | None:
        """As given, else as the model's publisher says; a dense model's tokens pass all of it."""
        given = self.file.number(self.file.data, "active_params", "", least=1e3, most=1e15, unit="parameters that a token passes")
        entry = CATALOGUE.get(model or "")
        if given is not None or entry is None:
            return given
        return entry.published_active_params or (entry.published_total_params if entry.active_convention is None else None)

    def columns(self, provenance: str) -> dict[str, Column]:
        found = self.file.table(self.file.data, "columns", "")
        if not 1 <= len(found) <= MOST_COLUMNS:
            raise self.file.error("columns", f"{len(found)} columns: a table of claims has 1 to {MOST_COLUMNS}, each a [columns.NAME]")
        for key in found:
            if not _COLUMN_KEY.fullmatch(key):
                raise self.file.error("columns", f"{key[:40]!r} should be letters, digits, _ and -, at most 40; its label may be any text")
        return {key: self.column(key, self.file.table(found, key, "columns"), provenance) for key in found}

    def column(self, key: str, data: Mapping[str, Any], provenance: str) -> Column:
        where = f"columns.{key}"
        self.file.known(data, _COLUMN_KEYS, where)
        name, lane = self.file.string(data, "gpu", where), self.file.string(data, "format", where)
        if lane is not None and lane not in LANES:
            raise self.file.error(f"{where}.format", str(unknown("format", lane, LANES)))
        return Column(
            key=key,
            label=self.text(data, "label", where) or key,
            gpu=None if name is None else self.gpu(name, f"{where}.gpu"),
            lane=LANES[lane] if lane is not None else None,
            cells={row: self.cell(key, spec, data[row], f"{where}.{row}", row, provenance) for row, spec in ROWS.items() if row in data},
            ceiling=self.ceiling(self.file.table(data, "ceiling", where), f"{where}.ceiling") if "ceiling" in data else None,
        )

    def gpu(self, name: str, where: str) -> GpuSpec:
        try:
            return gpu_named(name)
        except TokenmillError as error:
            raise self.file.error(where, f"{error}; leave it out for a GPU that tokenmill does not know") from error

    def ceiling(self, data: Mapping[str, Any], where: str) -> Ceiling:
        self.file.known(data, _CEILING_KEYS, where)
        rate = self.file.number(data, "output_tokens_per_s_per_gpu", where, least=1e-3, most=1e8, unit="output tokens/s per GPU")
        command = self.text(data, "command", where)
        if rate is None or not command:
            raise self.file.error(where, "needs output_tokens_per_s_per_gpu and the command that gave it")
        return Ceiling(output_tokens_per_s_per_gpu=rate, command=command, note=self.text(data, "note", where) or "")

    def ratios(self, columns: Mapping[str, Column], provenance: str) -> tuple[Ratio, ...]:
        found = self.file.table(self.file.data, "ratios", "")
        if len(found) > MOST_RATIOS:
            raise self.file.error("ratios", f"{len(found)} sets of ratios: at most {MOST_RATIOS}")
        return tuple(self.ratio(pair, self.file.table(found, pair, "ratios"), columns, provenance) for pair in found)

    def ratio(self, pair: str, data: Mapping[str, Any], columns: Mapping[str, Column], provenance: str) -> Ratio:
        of, _, over = pair.partition("/")
        if of not in columns or over not in columns or of == over:
            raise self.file.error("ratios", f'{pair[:90]!r} should be two columns, such as [ratios."gb300/h200"] for gb300 over h200')
        where = f"ratios.{pair}"
        self.file.known(data, ROWS, where)
        cells = {row: self.cell(pair, RATIO, data[row], f"{where}.{row}", row, provenance) for row in ROWS if row in data}
        return Ratio(of=columns[of], over=columns[over], cells=cells)

    def cell(self, column: str, spec: Row, value: Any, where: str, row: str, provenance: str) -> Cell:
        tolerance = None
        if isinstance(value, dict):
            self.file.known(value, ("printed", "tolerance"), where)
            tolerance, value = self.tolerance(value, where), value.get("printed")
        if not isinstance(value, str):
            raise self.file.error(where, f"should be the text as printed, in quotes, such as {spec.example!r}: its digits say how exact it is")
        try:
            interval = interval_of(value, spec)
        except ValueError as error:
            raise self.file.error(where, str(error)) from error
        return Cell(column=column, row=row, printed=value.strip(), interval=interval, unit=spec.unit, tolerance=tolerance, provenance=provenance)

    def text(self, data: Mapping[str, Any], key: str, where: str) -> str | None:
        """A text that fits its place on a screen."""
        found, most = self.file.string(data, key, where), MOST_CHARACTERS.get(key, 200)
        if found is not None and len(found) > most:
            raise self.file.error(f"{where}.{key}" if where else key, f"{len(found)} characters: at most {most}")
        return found

    def tolerance(self, data: Mapping[str, Any], where: str) -> float | None:
        text = self.file.string(data, "tolerance", where)
        if text is None:
            return None
        share = parse_tolerance(text)
        if share is None:
            raise self.file.error(f"{where}.tolerance" if where else "tolerance", f"{text[:40]!r}: should be a share from 0% to 50%, such as 2%")
        return share
